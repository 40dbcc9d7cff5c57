//! A bad line between a program and its memcached.
//!
//! In: connections of the program under test. Out: the same bytes to and from memcached, but for
//! the fault that the test asks for. Knows no protocol: what arrives in one read is a command, or
//! an answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::process::loopback;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Longest wait until memcached has done what was sent to it before a line is cut.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What goes wrong on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// memcached does all that it was told; after so many bytes of the answer the connection is
    /// closed. 0 loses all of it.
    CutAnswer(usize),
    /// The connection is closed with the command in hand: memcached never hears of it.
    CutCommand,
    /// The same with the next command that has this in it.
    CutCommandWith(&'static str),
    /// Each piece of an answer comes so much later; `Duration::MAX` is a line that is dead and says
    /// nothing.
    Delay(Duration),
    /// These bytes come in the place of each piece of an answer.
    Nonsense(Vec<u8>),
}

impl Fault {
    fn cuts(&self, command: &[u8]) -> bool {
        match self {
            Self::CutCommand => true,
            Self::CutCommandWith(text) => command
                .windows(text.len())
                .any(|part| part == text.as_bytes()),
            _ => false,
        }
    }

    fn is_of_answers(&self) -> bool {
        !matches!(self, Self::CutCommand | Self::CutCommandWith(_))
    }
}

/// A listener that passes everything on to a memcached, gone when dropped.
///
/// Faults are looked up when bytes pass: they apply to connections that are open already.
#[derive(Debug)]
pub struct Between {
    address: SocketAddr,
    line: Arc<Mutex<Line>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Line {
    always: Option<Fault>,
    once: Option<Fault>,
    happened: usize,
}

impl Between {
    /// Listens at an address of its own, and connects to `memcached`, `host:port`, for each
    /// connection that comes.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start(memcached: impl Into<String>) -> anyhow::Result<Self> {
        let (memcached, line) = (memcached.into(), Arc::<Mutex<Line>>::default());
        let listener = TcpListener::bind((loopback(), 0))
            .await
            .context("listening before memcached")?;
        let address = listener.local_addr()?;
        let shared = Arc::clone(&line);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (memcached, line) = (memcached.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    // One that cannot be connected is closed, as by a memcached that is not there.
                    if let Ok(server) = TcpStream::connect(&memcached).await {
                        pass_on(client, server, &line).await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            line,
            accepting,
        })
    }

    /// Returns its address, `host:port`: what the program under test takes for memcached's.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets what goes wrong from now on; `None` for nothing.
    pub fn always(&self, fault: Option<Fault>) {
        lock(&self.line).always = fault;
    }

    /// Sets what goes wrong the next time that it can, once.
    pub fn once(&self, fault: Fault) {
        lock(&self.line).once = Some(fault);
    }

    /// Returns how often something went wrong so far.
    #[must_use]
    pub fn happened(&self) -> usize {
        lock(&self.line).happened
    }

    /// Takes back a fault that was to happen once and has not, and those that always happen.
    pub fn mend(&self) {
        let mut line = lock(&self.line);
        (line.always, line.once) = (None, None);
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        // Takes all connections along.
        self.accepting.abort();
    }
}

impl Line {
    /// Returns the fault that happens now, if it is of the kind that can.
    fn fault(&mut self, can: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let fault = self
            .once
            .take_if(|fault| can(fault))
            .or_else(|| self.always.clone().filter(can));
        self.happened += usize::from(fault.is_some());
        fault
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, line: &Mutex<Line>) {
    // An answer is many small writes.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        _ = commands(&mut from_client, &mut to_server, line) => {}
        _ = answers(&mut from_server, &mut to_client, line) => {}
    }
    // memcached does what it has been sent before it sees the end; the client learns of the cut
    // only then.
    let _ = to_server.shutdown().await;
    let _ = timeout(DRAIN_TIME, from_server.read_to_end(&mut Vec::new())).await;
}

/// Passes commands on until one end closes or the line is cut.
async fn commands(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    line: &Mutex<Line>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        let command = &bytes[..count];
        if count == 0 || lock(line).fault(|fault| fault.cuts(command)).is_some() {
            return Ok(());
        }
        to.write_all(command).await?;
    }
}

/// Passes answers on until one end closes or the line is cut.
async fn answers(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    line: &Mutex<Line>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        let answer = &bytes[..count];
        let fault = lock(line).fault(Fault::is_of_answers);
        match fault {
            Some(Fault::CutAnswer(after)) => {
                return to.write_all(&answer[..count.min(after)]).await;
            }
            Some(Fault::Nonsense(nonsense)) => to.write_all(&nonsense).await?,
            Some(Fault::Delay(delay)) => {
                sleep(delay).await;
                to.write_all(answer).await?;
            }
            Some(Fault::CutCommand | Fault::CutCommandWith(_)) | None => {
                to.write_all(answer).await?;
            }
        }
    }
}
