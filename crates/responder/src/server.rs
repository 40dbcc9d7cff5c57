//! The accept loops: from listening sockets to connections, and to an orderly end.
//!
//! In: bound listeners and a future that ends when the program has to stop. Out: one task for each
//! connection, at most [`Config::max_connections`] at a time; further clients wait in the kernel's
//! queue.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use forever200_daemon::GRACE_PERIOD;
use forever200_ring::{Store, Via};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::connection::{self, Shared};
use crate::handshakes::Hellos;
use crate::log_limit::LogLimit;
use crate::proxy::Addresses;
use crate::reading::most_held;
use crate::recorder::Recorder;
use crate::room::Account;

/// Shortest and longest wait after an error of `accept`, which is most likely EMFILE.
const ACCEPT_DELAY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(5)..=Duration::from_secs(1);

/// Longest wait for the recorder's last writes, after the grace period.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Settings of a responder.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Bytes of a request that are kept.
    pub max_request_bytes: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Whether a viewer has a history, and puts the sequence numbers back into an empty memcached.
    pub has_history: bool,
}

/// The sockets to accept from.
#[derive(Debug)]
pub struct Listeners {
    /// For anybody.
    pub tcp: TcpListener,
    /// For haproxy on the same machine; cheaper than TCP.
    pub unix: Option<UnixListener>,
}

/// Serves until `shutdown` ends. Then finishes the requests in flight, and returns when all
/// received requests are in the store, or after six seconds.
///
/// # Errors
/// The recorder has ended before `shutdown`. Without it no request would be recorded, so all
/// connections are cut off.
pub async fn run(
    listeners: Listeners,
    config: Config,
    store: Store,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let recorder = Recorder::default();
    let running = recorder.clone().run(store, config.has_history, stopping);
    let recording = Recording {
        task: tokio::spawn(running),
        stop,
    };
    serve(listeners, &config, recorder, recording, shutdown).await
}

/// The recorder's task.
struct Recording {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

async fn serve(
    listeners: Listeners,
    config: &Config,
    recorder: Recorder,
    mut recording: Recording,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let server = Server {
        permits: Arc::new(Semaphore::new(config.max_connections)),
        stopping,
        bad_headers: Arc::default(),
        shared: Arc::new(Shared {
            proxy_protocol: config.proxy_protocol,
            max_request_bytes: config.max_request_bytes,
            account: Account::new(most_held(config.max_request_bytes)),
            recorder,
            hellos: Hellos::default(),
            name: random_name(),
        }),
    };
    info!(responder = server.shared.name, "started");

    tokio::select! {
        () = shutdown => {}
        () = server.accept_all(&listeners) => {}
        ended = &mut recording.task => {
            ended.context("the recorder failed")?;
            bail!("the recorder has ended");
        }
    }
    // From here on, the kernel refuses connections that wait in its queue.
    drop(listeners);
    let _ = stop.send(true);
    server.finish(config.max_connections).await;
    let _ = recording.stop.send(true);
    match timeout(FLUSH_TIME, recording.task).await {
        Ok(ended) => ended.context("the recorder failed")?,
        Err(_) => warn!("stopped while memcached was not answering"),
    }
    info!("stopped");
    Ok(())
}

struct Server {
    permits: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    bad_headers: Arc<LogLimit>,
    shared: Arc<Shared>,
}

impl Server {
    /// Waits until no connection is open, for the grace period at most.
    async fn finish(&self, max_connections: usize) {
        // Every connection holds a permit: when all permits are back, no connection is open.
        let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
        let finished = timeout(GRACE_PERIOD, self.permits.acquire_many(all)).await;
        if finished.is_err() {
            let connections = max_connections - self.permits.available_permits();
            warn!(connections, "cut off at the end");
        }
    }

    async fn accept_all(&self, listeners: &Listeners) {
        let bound = listeners
            .tcp
            .local_addr()
            .ok()
            .filter(|address| !address.ip().is_unspecified());
        let tcp = async || {
            let (stream, source) = listeners.tcp.accept().await?;
            // Asks the kernel only if the address may differ, because this takes a system call for
            // each connection.
            let destination = bound.or_else(|| stream.local_addr().ok());
            let peer = |destination| Addresses {
                source,
                destination,
                via: Via::Peer,
                first_byte: None,
            };
            Ok((destination.map_or(Addresses::UNKNOWN, peer), stream))
        };
        let accept_unix = async {
            if let Some(unix) = &listeners.unix {
                let unix = async || {
                    unix.accept()
                        .await
                        .map(|(stream, _)| (Addresses::UNKNOWN, stream))
                };
                self.accept(unix).await;
            }
        };
        tokio::join!(self.accept(tcp), accept_unix);
    }

    /// Accepts connections for ever, also after errors. When all permits are taken, each listener
    /// accepts one more connection, which waits for a permit.
    async fn accept<S, F>(&self, accept: impl Fn() -> F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<(Addresses, S)>>,
    {
        let errors = LogLimit::default();
        let mut delay = *ACCEPT_DELAY.start();
        loop {
            match accept().await {
                Ok((peer, stream)) => {
                    delay = *ACCEPT_DELAY.start();
                    let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                        return;
                    };
                    self.spawn(stream, peer, permit);
                }
                Err(error) => {
                    if let Some(suppressed) = errors.check() {
                        warn!(%error, suppressed, "cannot accept");
                    }
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(*ACCEPT_DELAY.end());
                }
            }
        }
    }

    fn spawn<S>(&self, stream: S, peer: Addresses, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (shared, stopping) = (Arc::clone(&self.shared), self.stopping.clone());
        let bad_headers = Arc::clone(&self.bad_headers);
        tokio::spawn(async move {
            if let Err(error) = connection::serve(stream, peer, &shared, stopping).await
                && let Some(suppressed) = bad_headers.check()
            {
                warn!(
                    error = format!("{error:#}"),
                    suppressed, "connection dropped"
                );
            }
            drop(permit);
        });
    }
}

/// Returns eight hexadecimal digits, which are different at every start. They are random because
/// the operating system seeds the hasher of the standard library.
fn random_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:08x}", RandomState::new().hash_one(()) as u32)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Runs a responder with this task as its recorder, and returns its error.
    async fn result_with(
        recording: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<String> {
        let listeners = Listeners {
            tcp: TcpListener::bind("127.0.0.1:0").await?,
            unix: None,
        };
        let config = Config {
            proxy_protocol: false,
            max_request_bytes: 65_536,
            max_connections: 8,
            has_history: false,
        };
        let recording = Recording {
            task: tokio::spawn(recording),
            stop: watch::channel(false).0,
        };
        let serving = serve(
            listeners,
            &config,
            Recorder::default(),
            recording,
            pending(),
        );
        // On paused time, this timeout ends as soon as only timers are left to wait for.
        let served = timeout(GRACE_PERIOD, serving).await?;
        Ok(served.expect_err("nobody has stopped it").to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_responder_ends_with_its_recorder() -> anyhow::Result<()> {
        let failing = async { panic!("a recorder that fails") };
        assert_eq!(result_with(failing).await?, "the recorder failed");
        assert_eq!(result_with(async {}).await?, "the recorder has ended");
        assert!(result_with(pending()).await.is_err(), "it goes on");
        Ok(())
    }
}
