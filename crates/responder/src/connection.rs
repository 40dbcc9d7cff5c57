//! One connection: read a request, send [`RESPONSE`], hand the bytes to the recorder.
//!
//! In: a byte stream. Out: the answer, and one [`Record`]; a second record if the client sends more
//! after the answer. Normally the answer is sent when memcached has the record. The recorder limits
//! the wait for that. The bytes are interpreted only to find the end of the request.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use forever200_ring::{Ended, Record, Tls};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::handshakes::{self, Hellos};
use crate::proxy::{self, Addresses};
use crate::reading::{Arrived, FIRST_READ_BYTES, Reading, TimeLimit};
use crate::recorder::{Number, Recorder};
use crate::room::Account;

/// The answer to every request. It has copies in the viewer's `export/pcap.rs` and, as JSON, in
/// `export/har.rs`, and in the testkit's `lib.rs`.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// The answer to a client that waits for it before it sends the body: RFC 9110, 10.1.1.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Longest time from accepting a connection to the end of reading its request, whatever comes.
///
/// A client that pauses is answered earlier: see
/// [`UNFINISHED_TIME`](crate::reading::UNFINISHED_TIME). `timeout client` and `timeout server` in
/// haproxy.cfg are longer, so that haproxy does not end the connection first.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for sending the answer, which fits into every socket's buffer.
pub(crate) const WRITE_TIME: Duration = Duration::from_secs(1);
/// Longest wait, after the answer, for the client to close or to send more: a round trip, and some
/// time for the client to react.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Longest time to read what a client sends after the answer.
pub const CONTINUATION_TIME: Duration = Duration::from_secs(3);

/// What all connections of one responder share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whether every connection begins with a PROXY header.
    pub(crate) proxy_protocol: bool,
    /// Bytes of a request that are kept.
    pub(crate) max_request_bytes: usize,
    /// Memory for requests that are still arriving.
    pub(crate) account: Account,
    /// Takes the records.
    pub(crate) recorder: Recorder,
    /// The first bytes of clients that use TLS, for the records of their requests.
    pub(crate) hellos: Hellos,
    /// This responder's name in its records.
    pub(crate) name: String,
}

/// The bytes that came over a connection, and the facts about them.
#[derive(Debug)]
pub(crate) struct Received {
    /// When the first byte came.
    pub(crate) first_byte: Timestamp,
    /// Number of bytes that came.
    pub(crate) bytes: u64,
    /// These bytes, or only the first ones if they are more than are kept.
    pub(crate) kept: Vec<u8>,
    /// Why reading stopped.
    pub(crate) ended: Ended,
}

impl Shared {
    /// Returns the record of bytes from this client, without TLS and with nothing behind the
    /// request. The recorder sets its number, and the number of the record that it continues.
    pub(crate) fn record(&self, addresses: &Addresses, received: Received) -> Record {
        Record {
            seq: 0,
            timestamp: received.first_byte,
            src_ip: addresses.source.ip().to_canonical(),
            src_port: addresses.source.port(),
            dest_ip: addresses.destination.ip().to_canonical(),
            dest_port: addresses.destination.port(),
            via: addresses.via,
            bytes: received.bytes,
            extra: 0,
            truncated: received.bytes > received.kept.len() as u64,
            ended: received.ended,
            continues: None,
            tls: None,
            sensor: None,
            responder: self.name.clone(),
            // A boxed slice has no spare capacity, and the ring keeps 101 of these for long.
            raw: Bytes::from(received.kept.into_boxed_slice()),
        }
    }
}

/// How the bytes that come after the answer are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// No bytes can come, or waiting for them is not worth it.
    Close,
    /// The bytes are read and discarded, so that the answer arrives.
    Discard,
    /// The bytes become a record of their own.
    Keep,
    /// The bytes become a record of their own, and the client may believe that it has a tunnel.
    KeepTunnel,
}

/// Reads one request from `stream`, records and answers it.
///
/// `peer` holds the addresses of the connection unless a PROXY header names others. `stopping`
/// turns true when the program has to stop.
///
/// # Errors
/// The PROXY header is missing or broken. A failure behind the header ends the request, and is no
/// error here.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: Addresses,
    shared: &Shared,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut arrived = Arrived::nothing();
    let (mut addresses, mut tls) = (peer, None);
    if shared.proxy_protocol {
        let first = stream.read_buf(&mut arrived.buffer);
        let first = timeout_at(deadline, first).await;
        if !matches!(first, Ok(Ok(1..))) {
            // haproxy also connects here to send its lines about TLS handshakes (`handshakes`), and
            // closes this connection when there are none.
            return Ok(());
        }
        if arrived.buffer.starts_with(handshakes::LINE_PREFIX) {
            return handshakes::follow(&mut stream, arrived.buffer, shared, stopping).await;
        }
        let header = proxy::read_header(&mut stream, &mut arrived.buffer, peer);
        let header = timeout_at(deadline, header)
            .await
            .context("no PROXY header came")??;
        let Some(from_header) = header.addresses else {
            return Ok(());
        };
        (addresses, tls) = (from_header, header.tls);
        arrived.filled = arrived.buffer.len() == arrived.buffer.capacity();
        arrived.buffer.drain(..header.length);
    }
    let limit = TimeLimit {
        until_first_byte: deadline,
        until_end: deadline,
    };
    let mut reading = Reading::new(shared, &addresses, arrived, limit, stopping.clone());
    let ended = reading.run(&mut stream).await;
    if let Some(tls) = &mut tls {
        shared.hellos.add_to(tls, &addresses).await;
    }
    // A TLS handshake gets a record even if no request follows it.
    if reading.is_empty() && tls.is_none() {
        shared.recorder.silent(addresses.destination.port());
        return Ok(());
    }
    let rest = rest_of(&reading, ended);
    let mut record = reading.into_record(&addresses, ended);
    record.tls.clone_from(&tls);
    if rest != Rest::Keep && rest != Rest::KeepTunnel {
        shared.recorder.record(record).await;
        if answer(&mut stream).await && rest == Rest::Discard {
            let _ = timeout(DRAIN_TIME, drain(&mut stream)).await;
        }
        return Ok(());
    }
    let number = Number::default();
    shared.recorder.record_numbered(record, &number).await;
    if answer(&mut stream).await {
        if rest == Rest::Keep {
            // Ends the answer without closing. A close with unread bytes in the socket would make
            // the kernel send RST, which can destroy the answer on its way (RFC 9112, 9.6). Not
            // done for a tunnel: the client would see it closed, and send nothing.
            let _ = stream.shutdown().await;
        }
        record_rest(&mut stream, &addresses, tls, shared, &number, stopping).await;
    }
    Ok(())
}

/// Returns what to do with bytes that the client may send after the answer.
///
/// After a whole request there is no wait, because waiting in vain costs two system calls and a
/// wake-up, a tenth of all CPU time. The price: of the clients that send more within a millisecond
/// after a whole GET, one in 3,000 gets no answer, because haproxy cannot deliver the rest.
fn rest_of(reading: &Reading<'_>, ended: Ended) -> Rest {
    if reading.is_empty() {
        return Rest::Close;
    }
    let framing = reading.framing();
    match ended {
        Ended::Complete if framing.asks_for_a_tunnel() => Rest::KeepTunnel,
        Ended::Complete if framing.extra() == 0 => Rest::Close,
        Ended::Eof => Rest::Close,
        // The record has the first bytes, and how many came.
        Ended::Limit => Rest::Discard,
        Ended::Complete | Ended::Quiet | Ended::Deadline => Rest::Keep,
    }
}

/// Sends the answer; returns whether that worked.
async fn answer<S: AsyncWrite + Unpin>(stream: &mut S) -> bool {
    let answered = timeout(WRITE_TIME, stream.write_all(RESPONSE)).await;
    matches!(answered, Ok(Ok(())))
}

/// Records the bytes that come after the answer, if any, as the continuation of the request with
/// this number.
async fn record_rest<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    addresses: &Addresses,
    tls: Option<Box<Tls>>,
    shared: &Shared,
    number: &Number,
    stopping: watch::Receiver<bool>,
) {
    // The time in the PROXY header is the time of the first request.
    let addresses = &Addresses {
        first_byte: None,
        ..*addresses
    };
    let now = Instant::now();
    let limit = TimeLimit {
        until_first_byte: now + DRAIN_TIME,
        until_end: now + CONTINUATION_TIME,
    };
    let mut reading = Reading::new(shared, addresses, Arrived::nothing(), limit, stopping);
    let ended = reading.run_without_continue(stream).await;
    if !reading.is_empty() {
        let mut record = reading.into_record(addresses, ended);
        record.tls = tls;
        shared.recorder.record_continuation(record, number);
    }
}

/// Shuts down the sending side, and discards what comes until the client closes its side.
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

#[cfg(test)]
mod tests;
