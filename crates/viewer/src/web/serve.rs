//! Accepts and serves connections to the viewer, and cuts connections that take nothing of an
//! answer.
//!
//! In: a listener. `run` returns after a stop, when the open requests are finished. The buffers of
//! each connection are bounded here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use forever200_daemon::GRACE_PERIOD;
use forever200_ring::Store;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_tcp_user_timeout};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, info, warn};

use crate::captures::Captures;
use crate::history::History;
use crate::metrics::Counters;
use crate::page::pages::Pages;
use crate::reader::{Describer, Reader};
use crate::web::cache::Caches;
use crate::web::hosts::Hosts;
use crate::web::limits::{Connection, Limits};
use crate::web::routes::routes;
use crate::web::state::Viewer;

/// A connection is cut when its client takes nothing of an answer for this long.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Longest time for the head of a request to arrive.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// After a stop, longest wait until the history and the lines are written.
const KEEP_TIME: Duration = Duration::from_millis(900);
/// Largest buffer for a request's head, and for an answer before the socket takes it. haproxy has
/// 16 KiB for a head.
const BUFFER_BYTES: usize = 20 * 1024;
/// Send buffer of each connection (SO_SNDBUF), which the kernel doubles. If it is not set, it grows
/// to megabytes.
const SOCKET_BYTES: usize = 64 * 1024;
/// Pause when no connection can be accepted: too many files are open, and other connections must
/// end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` ends. Then finishes open requests, for five seconds at most, and then
/// waits 0.9 s at most for the history and the lines (`KEEP_TIME`).
///
/// # Errors
/// The reader of the ring has ended, which it never should.
pub async fn run(
    listener: TcpListener,
    store: Store,
    describer: Describer,
    history: Option<Arc<History>>,
    captures: Option<Captures>,
    hosts: Hosts,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(());
    describer.privacy.log();
    let describer = Arc::new(describer);
    let counters = Arc::new(Counters::default());
    let (reader, reader_ended) = Reader::start(
        store,
        Arc::clone(&describer),
        history.clone(),
        captures.clone(),
        Arc::clone(&counters),
    )?;
    let mut pages = Pages::new(describer, history.is_some());
    if let Some(history) = &history {
        pages.follow_sensors(history.sensors());
    }
    let viewer = Viewer {
        reader,
        pages: Arc::new(pages),
        history,
        captures,
        counters,
        caches: Caches::default(),
        limits: Limits::new(),
        hosts,
        stopping,
    };
    let viewer = Arc::new(viewer);
    let app = routes(Arc::clone(&viewer));
    let open = GracefulShutdown::new();
    info!("started");
    tokio::select! {
        () = accept(&listener, &app, &open) => {}
        error = reader_ended => return Err(error),
        () = shutdown => drop(stop),
    }
    drop(listener);
    if timeout(GRACE_PERIOD, open.shutdown()).await.is_err() {
        warn!("cut off open requests at the end");
    }
    if timeout(KEEP_TIME, keep_the_last(&viewer)).await.is_err() {
        warn!("the newest requests are not in the history, or have no line");
    }
    info!("stopped");
    Ok(())
}

/// Looks at the ring once more, and waits until the history and the lines have the requests that it
/// found, because memcached is stopped next.
async fn keep_the_last(viewer: &Viewer) {
    if viewer.history.is_none() && viewer.captures.is_none() {
        return;
    }
    viewer.reader.look_once_more().await;
    flush_history(viewer).await;
    // The program that reads the lines may hang, so the history does not wait for them.
    if let Some(captures) = &viewer.captures {
        captures.flush().await;
        // This look tells the history which lines are written.
        viewer.reader.look_once_more().await;
        flush_history(viewer).await;
    }
}

async fn flush_history(viewer: &Viewer) {
    if let Some(history) = &viewer.history {
        history.flush().await;
    }
}

async fn accept(listener: &TcpListener, app: &Router, open: &GracefulShutdown) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => serve(stream, peer, app.clone(), open),
            Err(error) => {
                debug!(%error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve(stream: TcpStream, peer: SocketAddr, app: Router, open: &GracefulShutdown) {
    if let Err(error) = prepare(&stream) {
        debug!(%error, "cannot set socket options");
    }
    let cut = Arc::new(Notify::new());
    let connection = Connection {
        peer: peer.ip(),
        cut: Arc::clone(&cut),
    };
    let app = TowerToHyperService::new(app);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        app.call(request)
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIME));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    let served = open.watch(served);
    tokio::spawn(async move {
        tokio::select! {
            // An error of a connection concerns only its visitor.
            _ = served => {}
            () = cut.notified() => {}
        }
    });
}

fn prepare(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    // Otherwise the kernel would hold the unsent bytes of a client that takes nothing for minutes
    // after its connection has ended.
    set_tcp_user_timeout(stream, WRITE_TIME.as_millis() as u32).context("no time limit")?;
    set_socket_send_buffer_size(stream, SOCKET_BYTES).context("no smaller buffer")
}
