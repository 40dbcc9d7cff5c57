//! One connection: read a request, send [`RESPONSE`], hand the bytes to the recorder.
//!
//! In: a byte stream. Out: the reply, and one [`Record`]. Does not interpret what it read beyond
//! finding its end, does not depend on memcached.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use forever200_ring::{Ended, Record};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::framing::Framing;
use crate::proxy::{self, Origin};
use crate::recorder::Recorder;

/// What every request is answered with, whatever it is.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// What a client that waits with its body is told first. RFC 9110, 10.1.1.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Longest time from accepting a connection to answering it.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time to answer a connection that is open when the program is told to stop. One second
/// less than the grace period, so that its record still gets to memcached.
const STOPPING_DEADLINE: Duration = Duration::from_secs(4);
/// Longest time that sending the answer may take; it fits into every socket's buffer.
const WRITE_TIME: Duration = Duration::from_secs(1);
/// Longest time to read on after the answer. Closing with unread bytes in the socket makes the
/// kernel send RST, which can destroy the answer on its way (RFC 9112, 9.6).
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes beyond the kept prefix that are read, counted and thrown away before answering.
pub const MAX_DISCARDED_BYTES: u64 = 1024 * 1024;
/// Room for the first read: the head of an ordinary request, and little for a connection that
/// says nothing.
const FIRST_READ_BYTES: usize = 2048;
/// Room that is added when it is full.
const READ_BYTES: usize = 8192;
/// Room that all connections together may add. Beyond it, a request is kept as far as it came, and read to its
/// end in the room of its last [`SCRATCH_BYTES`].
const MAX_ADDED_BYTES: usize = 16 * 1024 * 1024;
/// Room to read what is not kept.
const SCRATCH_BYTES: usize = 1024;

/// What all connections of one responder share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Bytes of a request that are kept.
    pub(crate) max_request_bytes: usize,
    /// Room that connections have added, in bytes.
    pub(crate) added: AtomicUsize,
    /// Takes the records.
    pub(crate) recorder: Recorder,
    /// This responder's name in its records.
    pub(crate) name: String,
}

/// Reads one request from `stream`, records and answers it.
///
/// `peer` is where the request comes from unless a PROXY header says otherwise. `stopping` turns
/// true when the program is told to stop.
///
/// # Errors
/// The PROXY header is missing or broken. Trouble after it ends the request, and is no error.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: Origin,
    shared: &Shared,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut reading = Reading::new(shared, stopping);
    let mut origin = Some(peer);
    if shared.proxy_protocol {
        let header = proxy::read_header(&mut stream, &mut reading.buffer, peer);
        origin = timeout_at(reading.deadline, header)
            .await
            .context("no PROXY header came")??;
    }
    let Some(origin) = origin else { return Ok(()) };
    let Some(ended) = reading.run(&mut stream).await else {
        shared.recorder.silent();
        return Ok(());
    };
    let may_go_on = reading.may_go_on(ended);
    // Recorded before it is answered: who has an answer has a record, even if this process is killed now.
    shared
        .recorder
        .record(reading.into_record(origin, ended))
        .await;
    let answered = timeout(WRITE_TIME, stream.write_all(RESPONSE)).await;
    if may_go_on && matches!(answered, Ok(Ok(()))) {
        let _ = timeout(DRAIN_TIME, drain(&mut stream)).await;
    }
    Ok(())
}

/// Says that this was all, and reads on until the client has done so, too.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let mut discarded = Vec::with_capacity(FIRST_READ_BYTES);
    let _ = stream.shutdown().await;
    while stream
        .read_buf(&mut discarded)
        .await
        .is_ok_and(|count| count > 0)
    {
        discarded.clear();
    }
}

/// A request as far as it came.
struct Reading<'a> {
    shared: &'a Shared,
    /// The kept prefix.
    buffer: Vec<u8>,
    /// Room that was added to the buffer, in bytes.
    added: usize,
    /// Number of bytes that came, kept or not.
    bytes: u64,
    /// When the first of them came.
    first_byte: Option<Timestamp>,
    framing: Framing,
    max_kept: usize,
    deadline: Instant,
    stopping: watch::Receiver<bool>,
}

impl<'a> Reading<'a> {
    fn new(shared: &'a Shared, stopping: watch::Receiver<bool>) -> Self {
        Self {
            shared,
            buffer: Vec::with_capacity(FIRST_READ_BYTES),
            added: 0,
            bytes: 0,
            first_byte: None,
            framing: Framing::default(),
            max_kept: shared.max_request_bytes,
            deadline: Instant::now() + DEADLINE,
            stopping,
        }
    }

    /// Makes room for the next bytes where there is none.
    fn make_room(&mut self) {
        if self.buffer.len() < self.buffer.capacity() {
            return;
        }
        if self.shared.added.load(Relaxed) >= MAX_ADDED_BYTES {
            self.max_kept = self
                .max_kept
                .min(self.buffer.len().saturating_sub(SCRATCH_BYTES));
            self.buffer.truncate(self.max_kept);
            return;
        }
        let before = self.buffer.capacity();
        self.buffer.reserve(READ_BYTES);
        let added = self.buffer.capacity() - before;
        self.shared.added.fetch_add(added, Relaxed);
        self.added += added;
    }

    /// Reads until the request is whole and returns why it is; `None` if not a byte came.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Option<Ended> {
        let mut ended = self.take(0);
        while ended.is_none() {
            if self.framing.take_expectation() && stream.write_all(CONTINUE).await.is_err() {
                ended = Some(Ended::Eof);
                break;
            }
            ended = self.read(stream).await;
        }
        ended.filter(|_| self.bytes > 0)
    }

    /// Waits for more bytes, once, and returns why reading is over, if it is.
    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Option<Ended> {
        self.make_room();
        let known = self.buffer.len();
        let stopping = *self.stopping.borrow_and_update();
        if stopping {
            self.deadline = self.deadline.min(Instant::now() + STOPPING_DEADLINE);
        }
        let (until, over) = match self.bytes {
            0 if stopping => (Instant::now(), Ended::Deadline),
            0 => (self.deadline, Ended::Deadline),
            _ => {
                let quiet = Instant::now() + self.framing.patience();
                if quiet < self.deadline {
                    (quiet, Ended::Quiet)
                } else {
                    (self.deadline, Ended::Deadline)
                }
            }
        };
        tokio::select! {
            biased;
            read = timeout_at(until, stream.read_buf(&mut self.buffer)) => match read {
                Ok(Ok(0) | Err(_)) => Some(Ended::Eof),
                Ok(Ok(_)) => self.take(known),
                Err(_) => Some(over),
            },
            Ok(()) = self.stopping.changed(), if !stopping => None,
        }
    }

    /// Takes note of the bytes behind the first `known` ones of the buffer.
    fn take(&mut self, known: usize) -> Option<Ended> {
        let new = &self.buffer[known..];
        if new.is_empty() {
            return None;
        }
        self.first_byte.get_or_insert_with(Timestamp::now);
        self.bytes += new.len() as u64;
        self.framing.feed(new);
        self.buffer.truncate(self.max_kept);
        if self.framing.is_complete() {
            Some(Ended::Complete)
        } else if self.bytes >= self.max_kept as u64 + MAX_DISCARDED_BYTES {
            Some(Ended::Limit)
        } else {
            None
        }
    }

    /// Whether the client may send more. To wait for its end in vain costs two system calls and a wake-up, a tenth of
    /// all CPU time; not to wait for one that sends more after a whole GET, within a millisecond, cost one in 3,000 of
    /// them its answer behind haproxy, which cannot deliver the rest.
    fn may_go_on(&self, ended: Ended) -> bool {
        match ended {
            Ended::Complete => self.framing.may_go_on(),
            Ended::Eof => false,
            Ended::Quiet | Ended::Limit | Ended::Deadline => true,
        }
    }

    fn into_record(mut self, origin: Origin, ended: Ended) -> Record {
        Record {
            seq: 0,
            timestamp: self.first_byte.unwrap_or_else(Timestamp::now),
            src_ip: origin.source.ip().to_canonical(),
            src_port: origin.source.port(),
            dest_ip: origin.destination.ip().to_canonical(),
            dest_port: origin.destination.port(),
            via: origin.via,
            bytes: self.bytes,
            truncated: self.bytes > self.buffer.len() as u64,
            ended,
            responder: self.shared.name.clone(),
            // A boxed slice has no spare room: the ring keeps 101 of these for long.
            raw: Bytes::from(std::mem::take(&mut self.buffer).into_boxed_slice()),
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.shared.added.fetch_sub(self.added, Relaxed);
    }
}
