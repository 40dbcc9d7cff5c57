//! A faulty connection between a program and its memcached.
//!
//! In: connections of the program under test. Out: the same bytes to and from memcached, except for
//! the fault that the test sets. It does not parse the protocol: what arrives in one read counts as
//! one command or one answer.

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

/// Most bytes in one read.
const READ_BYTES: usize = 64 * 1024;
/// Longest wait for memcached to finish its commands before a connection is cut.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What goes wrong between the program and memcached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// memcached executes the command. The connection is closed after this many bytes of the
    /// answer; 0 loses the whole answer.
    CutAnswer(usize),
    /// The connection is closed before the command reaches memcached.
    CutCommand,
    /// The connection is closed before a command that contains this text reaches memcached.
    CutCommandWith(&'static str),
    /// Each piece of an answer comes this much later. `Duration::MAX` is a dead connection without
    /// any sign of it.
    Delay(Duration),
    /// These bytes replace each piece of an answer.
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

/// A listener that passes all bytes on to a memcached. It ends when dropped.
///
/// A fault also applies to connections that are already open, because it is looked up when bytes
/// pass.
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
    /// Listens at an address of its own. For each connection it connects to `memcached`, a
    /// `host:port`.
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
                    // If memcached cannot be reached, the client's connection is closed.
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

    /// Returns its address, `host:port`, which the program under test uses in place of memcached's.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the fault from now on; `None` for no fault.
    pub fn always(&self, fault: Option<Fault>) {
        lock(&self.line).always = fault;
    }

    /// Sets a fault that happens once, as soon as it can.
    pub fn once(&self, fault: Fault) {
        lock(&self.line).once = Some(fault);
    }

    /// Returns how many faults have happened so far.
    #[must_use]
    pub fn happened(&self) -> usize {
        lock(&self.line).happened
    }

    /// Removes all faults, also one that was to happen once and has not happened yet.
    pub fn mend(&self) {
        let mut line = lock(&self.line);
        (line.always, line.once) = (None, None);
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        // This ends all connections too.
        self.accepting.abort();
    }
}

impl Line {
    /// Returns and counts the fault that happens now, if one is set and `can` allows it.
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
    // memcached executes what was sent to it before it sees the end. Only then is the client's
    // connection closed.
    let _ = to_server.shutdown().await;
    let _ = timeout(DRAIN_TIME, from_server.read_to_end(&mut Vec::new())).await;
}

/// Passes commands on until one side closes or a fault cuts the connection.
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

/// Passes answers on until one side closes or a fault cuts the connection.
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
