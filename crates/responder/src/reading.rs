//! Reads one request as it arrives: decides how long to wait for more, and how much to hold.
//!
//! In: a byte stream. Out: why reading stopped, and a [`Record`]. [`Framing`] tells whether more
//! must come; nothing else of a request is interpreted.

use std::time::Duration;

use forever200_head::Framing;
use forever200_ring::{Ended, Record};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connection::{CONTINUE, Received, Shared, WRITE_TIME};
use crate::proxy::Addresses;
use crate::room::Taken;

/// If framing cannot tell where the request ends, it ends after this time without more bytes: one
/// round trip round the globe.
pub const QUIET_TIME: Duration = Duration::from_millis(250);
/// If framing says that more must come, the request is given up after this time without more bytes,
/// and at [`DEADLINE`](crate::connection::DEADLINE) at the latest.
pub const UNFINISHED_TIME: Duration = Duration::from_secs(2);
/// Longest time to finish reading a connection that is open when the program has to stop. One
/// second less than the grace period, so that the record still gets to memcached.
const STOPPING_DEADLINE: Duration = Duration::from_secs(4);
/// Bytes beyond the kept prefix that are read, counted and discarded before the answer.
pub const MAX_DISCARDED_BYTES: u64 = 1024 * 1024;
/// Capacity for the first read: enough for the head of an ordinary request, and little for a
/// connection that sends nothing.
pub(crate) const FIRST_READ_BYTES: usize = 2048;
/// Capacity when the first one is full. It doubles from then on.
const SECOND_READ_BYTES: usize = 8192;
/// Capacity beyond the kept bytes, for bytes that are only counted.
const DISCARD_BUFFER_BYTES: usize = 8192;
/// If the account gives no more room, this many held bytes are dropped, and the next bytes are read
/// into their place.
const SCRATCH_BYTES: usize = 1024;
/// Bytes of a head that are held until its end is found, even if fewer bytes are kept. Without
/// them, framing cannot find the end of the request. Web servers accept heads of at most 8 to 16
/// KiB.
const HEAD_BYTES: usize = 16 * 1024;

/// Returns the most bytes of one request that are held if `max_request_bytes` are kept.
pub(crate) fn most_held(max_request_bytes: usize) -> usize {
    max_request_bytes.max(HEAD_BYTES) + DISCARD_BUFFER_BYTES
}

/// The bytes of the connection that were read before a [`Reading`] begins.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The bytes, in a buffer with room for more.
    pub(crate) buffer: Vec<u8>,
    /// The last read filled the buffer, so more bytes may wait in the socket.
    pub(crate) filled: bool,
}

impl Arrived {
    /// Returns an empty buffer.
    pub(crate) fn nothing() -> Self {
        Self {
            buffer: Vec::with_capacity(FIRST_READ_BYTES),
            filled: false,
        }
    }
}

/// How long a reading may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    pub(crate) until_first_byte: Instant,
    pub(crate) until_end: Instant,
}

/// A request that is being read.
pub(crate) struct Reading<'a> {
    shared: &'a Shared,
    taken: Taken<'a>,
    /// The held bytes: the prefix that is kept, or all of a head whose end was not found yet.
    buffer: Vec<u8>,
    /// The last read filled the buffer, so more bytes may wait in the socket.
    filled: bool,
    /// Number of bytes that came, held or not.
    bytes: u64,
    /// When the first byte came.
    first_byte: Option<Timestamp>,
    framing: Framing,
    /// Most bytes to keep.
    max_kept: usize,
    limit: TimeLimit,
    stopping: watch::Receiver<bool>,
}

/// How long to wait for more bytes, and why reading is over when none come.
struct Patience {
    until: Instant,
    ended: Ended,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        addresses: &Addresses,
        arrived: Arrived,
        limit: TimeLimit,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let mut reading = Self {
            shared,
            taken: shared.account.nothing_taken(addresses.source.ip()),
            buffer: arrived.buffer,
            filled: false,
            bytes: 0,
            first_byte: None,
            framing: Framing::default(),
            max_kept: shared.max_request_bytes,
            limit,
            stopping,
        };
        reading.count_new(0);
        reading.filled = arrived.filled;
        reading
    }

    /// Reads until the request is whole or nothing more is read, and returns why reading is over.
    /// Sends `100 Continue` if the client waits for it.
    pub(crate) async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Ended {
        let mut over = self.over();
        loop {
            if let Some(ended) = over {
                return ended;
            }
            if self.framing.take_expectation() && !send_continue(stream).await {
                return Ended::Eof;
            }
            over = self.read(stream).await;
        }
    }

    /// Reads the bytes that come after the answer, and returns why reading is over. Never sends
    /// `100 Continue`.
    pub(crate) async fn run_without_continue<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> Ended {
        loop {
            if let Some(ended) = self.read(stream).await {
                return ended;
            }
        }
    }

    /// Tells whether no byte came.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Returns what framing has found out about the request.
    pub(crate) fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Reads once, and waits for bytes if none are there. Returns why reading is over; `None` if it
    /// goes on.
    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Option<Ended> {
        self.ensure_capacity();
        let known = self.buffer.len();
        let stopping = *self.stopping.borrow_and_update();
        if stopping {
            self.limit.until_end = self.limit.until_end.min(Instant::now() + STOPPING_DEADLINE);
        }
        let patience = self.patience(stopping);
        tokio::select! {
            biased;
            read = timeout_at(patience.until, stream.read_buf(&mut self.buffer)) => match read {
                Ok(Ok(0) | Err(_)) => Some(self.ended(Ended::Eof)),
                Ok(Ok(_)) => {
                    self.count_new(known);
                    self.over()
                }
                Err(_) => Some(patience.ended),
            },
            Ok(()) = self.stopping.changed(), if !stopping => None,
        }
    }

    /// Returns how long to wait for the next byte, and why reading is over when it does not come.
    fn patience(&self, stopping: bool) -> Patience {
        let now = Instant::now();
        if self.bytes == 0 {
            let until = if stopping {
                now
            } else {
                self.limit.until_first_byte
            };
            return Patience {
                until,
                ended: Ended::Deadline,
            };
        }
        let quiet = if self.framing.is_exactly_whole() {
            // The last read may have left bytes in the socket.
            now
        } else if self.framing.is_unfinished() {
            now + UNFINISHED_TIME
        } else {
            now + QUIET_TIME
        };
        if quiet < self.limit.until_end {
            Patience {
                until: quiet,
                ended: self.ended(Ended::Quiet),
            }
        } else {
            Patience {
                until: self.limit.until_end,
                ended: self.ended(Ended::Deadline),
            }
        }
    }

    /// Returns `Complete` where framing has the whole request, else `otherwise`.
    fn ended(&self, otherwise: Ended) -> Ended {
        if self.framing.is_whole() {
            Ended::Complete
        } else {
            otherwise
        }
    }

    /// Returns why reading is over after bytes came; `None` if it goes on.
    fn over(&self) -> Option<Ended> {
        if self.bytes >= self.max_kept as u64 + MAX_DISCARDED_BYTES {
            Some(Ended::Limit)
        } else if self.framing.is_exactly_whole() && !self.filled {
            Some(Ended::Complete)
        } else {
            None
        }
    }

    /// Makes capacity for the next bytes if the buffer is full. If the account gives no more room,
    /// drops the last held bytes: the next ones are read into their place and only counted.
    fn ensure_capacity(&mut self) {
        let capacity = self.buffer.capacity();
        if self.buffer.len() < capacity {
            return;
        }
        let wanted = (2 * capacity)
            .max(SECOND_READ_BYTES)
            .min(most_held(self.max_kept))
            .max(capacity + SCRATCH_BYTES);
        if self.taken.grow(wanted - capacity) {
            self.buffer.reserve_exact(wanted - self.buffer.len());
        } else {
            let kept = self.buffer.len().saturating_sub(SCRATCH_BYTES);
            self.max_kept = self.max_kept.min(kept);
            self.buffer.truncate(kept);
        }
    }

    /// Counts the bytes of the buffer from `known` on, feeds them to framing, and drops those that
    /// are not held.
    fn count_new(&mut self, known: usize) {
        let new = self.buffer.len() - known;
        if new == 0 {
            return;
        }
        self.first_byte.get_or_insert_with(Timestamp::now);
        self.bytes += new as u64;
        self.filled = self.buffer.len() == self.buffer.capacity();
        self.framing.feed(&self.buffer, known);
        let held = if self.framing.needs_head() {
            self.max_kept.max(HEAD_BYTES)
        } else {
            self.max_kept
        };
        self.buffer.truncate(held);
    }

    /// Returns the record of the request. The recorder sets its number, and the number of the
    /// record that it continues.
    pub(crate) fn into_record(mut self, addresses: &Addresses, ended: Ended) -> Record {
        self.buffer.truncate(self.max_kept);
        // haproxy's time wins, if it sent one: the first byte came to haproxy earlier than to here.
        let first_byte = addresses.first_byte.or(self.first_byte);
        let received = Received {
            first_byte: first_byte.unwrap_or_else(Timestamp::now),
            bytes: self.bytes,
            kept: self.buffer,
            ended,
        };
        Record {
            extra: self.framing.extra(),
            ..self.shared.record(addresses, received)
        }
    }
}

/// Sends `100 Continue`; returns whether that worked.
async fn send_continue<S: AsyncWrite + Unpin>(stream: &mut S) -> bool {
    let sent = timeout(WRITE_TIME, stream.write_all(CONTINUE)).await;
    matches!(sent, Ok(Ok(())))
}
