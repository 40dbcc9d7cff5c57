//! Reads the lines that haproxy sends about TLS: each client's hello, and each handshake that
//! failed.
//!
//! In: lines of text, from a connection that haproxy opens only for them, without a PROXY header.
//! Out: the hello of a given connection, and a record for each failure. The lines are defined in
//! haproxy.cfg: `ring handshakes`.
//!
//! ```text
//! tls hello SOURCE PORT DESTINATION PORT HELLO-IN-BASE64
//! tls failed SOURCE PORT DESTINATION PORT REASON|REASON
//! tls none …
//! ```
//!
//! `tls none` is about a connection that failed without TLS, and is ignored.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_ring::record::MAX_HELLO_CHARS;
use forever200_ring::{Ended, Record, Tls, Via};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::connection::{Received, Shared};
use crate::proxy::Addresses;

/// How every line begins. No PROXY header begins like this.
pub(crate) const LINE_PREFIX: &[u8] = b"tls ";
/// Longest line: haproxy's buffer of 16 KiB in base64, and the words before it.
const MAX_LINE_BYTES: usize = 24 * 1024;
/// Most hellos that are held until their requests come, and most bytes of these hellos together. A
/// handshake may take ten seconds. Its hello is lost if more others than these come meanwhile.
const MAX_HELLOS: usize = 4096;
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;
/// Longest wait for a hello. haproxy writes it before the handshake, through another connection.
const HELLO_TIME: Duration = Duration::from_millis(20);
/// The end of a `tls failed` line whose handshake had succeeded. haproxy logs such a line when a
/// later request on the connection was not HTTP.
const NO_FAILURE: &str = "|Success";
/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 100;

/// The two addresses by which a hello is found: a client may use one of its ports to connect to
/// several of ours. [`Addresses`] also has how they were learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    source: SocketAddr,
    destination: SocketAddr,
}

/// The hellos of connections that have not sent a request yet.
#[derive(Debug, Default)]
pub(crate) struct Hellos {
    held: Mutex<Held>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Held {
    by_ends: HashMap<Ends, Hello>,
    /// The ends and numbers of the hellos, in the order in which they came. Some of these hellos
    /// may have been taken since.
    order: VecDeque<(Ends, u64)>,
    /// Number of hellos that came.
    came: u64,
    bytes: usize,
}

/// The first bytes that a client sent.
#[derive(Debug)]
struct Hello {
    /// The number distinguishes this hello from an older one with the same ends in `order`.
    number: u64,
    base64: String,
    came: Timestamp,
}

impl Hellos {
    fn keep(&self, ends: Ends, base64: &str) {
        let mut held = self.held();
        held.take(ends);
        held.came += 1;
        let number = held.came;
        let hello = Hello {
            number,
            base64: base64.to_owned(),
            came: Timestamp::now(),
        };
        held.bytes += hello.base64.len();
        held.by_ends.insert(ends, hello);
        held.order.push_back((ends, number));
        while held.order.len() > MAX_HELLOS || held.bytes > MAX_HELD_BYTES {
            let Some((oldest, number)) = held.order.pop_front() else {
                break;
            };
            let hello = held.by_ends.get(&oldest);
            if hello.is_some_and(|hello| hello.number == number) {
                held.take(oldest);
            }
        }
        drop(held);
        self.more.notify_waiters();
    }

    /// Adds the hello of the connection with these addresses to `tls`, if the hello comes in time.
    pub(crate) async fn add_to(&self, tls: &mut Tls, addresses: &Addresses) {
        let hello = async {
            loop {
                let more = self.more.notified();
                if let Some(hello) = self.hello_of(addresses) {
                    return hello;
                }
                more.await;
            }
        };
        let hello = timeout(HELLO_TIME, hello).await.ok();
        tls.hello = hello.filter(|hello| hello.len() <= MAX_HELLO_CHARS);
    }

    /// Returns the hello of this connection, and removes it. If haproxy splits the connection into
    /// requests, the hello stays, because more requests may follow.
    fn hello_of(&self, addresses: &Addresses) -> Option<String> {
        let ends = Ends {
            source: addresses.source,
            destination: addresses.destination,
        };
        let mut held = self.held();
        if addresses.via == Via::Http {
            let hello = held.by_ends.get(&ends);
            return hello.map(|hello| hello.base64.clone());
        }
        held.take(ends).map(|hello| hello.base64)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn take(&mut self, ends: Ends) -> Option<Hello> {
        let hello = self.by_ends.remove(&ends)?;
        self.bytes = self.bytes.saturating_sub(hello.base64.len());
        Some(hello)
    }
}

/// Reads lines until haproxy closes the connection or the program has to stop. `buffer` holds the
/// first bytes.
///
/// # Errors
/// A line is too long.
pub(crate) async fn follow<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut buffer: Vec<u8>,
    shared: &Shared,
    mut stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    loop {
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            take_line(&line, shared);
        }
        if buffer.len() > MAX_LINE_BYTES {
            bail!("a line of more than {MAX_LINE_BYTES} bytes about TLS");
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            read = stream.read_buf(&mut buffer) => {
                if !read.is_ok_and(|count| count > 0) {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes one line: keeps a hello, or records a failure. Ignores a line that has another form.
fn take_line(line: &[u8], shared: &Shared) {
    let line = std::str::from_utf8(line).unwrap_or_default().trim_end();
    let mut words = line.splitn(7, ' ');
    let (Some("tls"), Some(what)) = (words.next(), words.next()) else {
        return;
    };
    let Some(source) = address(words.next(), words.next()) else {
        return;
    };
    let Some(destination) = address(words.next(), words.next()) else {
        return;
    };
    let ends = Ends {
        source,
        destination,
    };
    let rest = words.next().unwrap_or_default();
    match what {
        "hello" => shared.hellos.keep(ends, rest),
        "failed" => {
            if let Some(record) = failure(ends, rest, shared) {
                // No client waits for this record.
                drop(shared.recorder.record(record));
            }
        }
        _ => {}
    }
}

fn address(ip: Option<&str>, port: Option<&str>) -> Option<SocketAddr> {
    let ip: IpAddr = ip?.parse().ok()?;
    Some(SocketAddr::new(ip, port?.parse().ok()?))
}

/// Returns the record of a handshake that failed; `None` where the handshake succeeded. The
/// record's bytes are the client's hello, where it is known.
fn failure(ends: Ends, reasons: &str, shared: &Shared) -> Option<Record> {
    if reasons.ends_with(NO_FAILURE) {
        return None;
    }
    let mut reasons = reasons
        .split('|')
        .filter(|reason| !reason.is_empty() && *reason != "-");
    let reason = reasons.next().unwrap_or("unknown");
    let hello = shared.hellos.held().take(ends);
    let came = hello
        .as_ref()
        .map_or_else(Timestamp::now, |hello| hello.came);
    let raw = hello.and_then(|hello| BASE64_STANDARD.decode(hello.base64).ok());
    let mut raw = raw.unwrap_or_default();
    let bytes = raw.len() as u64;
    raw.truncate(shared.max_request_bytes);
    let addresses = Addresses {
        source: ends.source,
        destination: ends.destination,
        // haproxy sent the same addresses as in such a header, but in a log line.
        via: Via::ProxyV2,
        first_byte: Some(came),
    };
    let received = Received {
        first_byte: came,
        bytes,
        kept: raw,
        ended: Ended::Eof,
    };
    let tls = Tls {
        failed: Some(reason.chars().take(MAX_REASON_CHARS).collect()),
        ..Tls::default()
    };
    Some(Record {
        tls: Some(Box::new(tls)),
        ..shared.record(&addresses, received)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Recorder;
    use crate::room::Account;

    fn shared() -> Shared {
        Shared {
            proxy_protocol: true,
            max_request_bytes: 65_536,
            account: Account::new(65_536),
            recorder: Recorder::without_store(),
            hellos: Hellos::default(),
            name: "r".to_owned(),
        }
    }

    fn source(port: u16) -> SocketAddr {
        ([203, 0, 113, 7], port).into()
    }

    fn destination(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn from(source: SocketAddr, via: Via) -> Addresses {
        Addresses {
            source,
            destination: destination(443),
            via,
            first_byte: None,
        }
    }

    fn keep(shared: &Shared, port: u16, hello: &str) {
        let ends = Ends {
            source: source(port),
            destination: destination(443),
        };
        shared.hellos.keep(ends, hello);
    }

    async fn read(mut lines: &[u8], shared: &Shared) -> anyhow::Result<()> {
        let (_stop, stopping) = watch::channel(false);
        follow(&mut lines, Vec::new(), shared, stopping).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_is_that_of_its_connection_and_is_taken_once() {
        let shared = shared();
        let lines = b"tls hello 203.0.113.7 1 192.0.2.1 443 FgMB\n\
            tls hello 2001:db8::1 1 2001:db8::2 443 AAAA\n";
        read(lines, &shared).await.unwrap();
        let mut tls = Tls::default();
        for via in [Via::Http, Via::Http, Via::Tls] {
            shared.hellos.add_to(&mut tls, &from(source(1), via)).await;
            assert_eq!(tls.hello.as_deref(), Some("FgMB"));
        }
        shared
            .hellos
            .add_to(&mut tls, &from(source(1), Via::Tls))
            .await;
        assert_eq!(tls.hello, None);
        let v6 = Addresses {
            destination: "[2001:db8::2]:443".parse().unwrap(),
            ..from("[2001:db8::1]:1".parse().unwrap(), Via::Tls)
        };
        shared.hellos.add_to(&mut tls, &v6).await;
        assert_eq!(tls.hello.as_deref(), Some("AAAA"));
        assert_eq!(shared.hellos.held().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_from_one_port_to_two_have_their_own_hellos() {
        let shared = shared();
        let lines = b"tls hello 203.0.113.7 1 192.0.2.1 443 FgMBAAA=\n\
            tls hello 203.0.113.7 1 192.0.2.1 8443 FgMBAAE=\n\
            tls hello 203.0.113.7 1 192.0.2.2 443 FgMBAAI=\n\
            tls failed 203.0.113.7 1 192.0.2.2 443 no shared cipher|\n";
        read(lines, &shared).await.unwrap();
        for (port, hello) in [(8443, "FgMBAAE="), (443, "FgMBAAA=")] {
            let addresses = Addresses {
                destination: destination(port),
                ..from(source(1), Via::Tls)
            };
            let mut tls = Tls::default();
            shared.hellos.add_to(&mut tls, &addresses).await;
            assert_eq!(tls.hello.as_deref(), Some(hello), "{port}");
        }
        let records = shared.recorder.numbered();
        assert_eq!(
            (records.len(), &records[0].raw[..]),
            (1, &b"\x16\x03\x01\0\x02"[..])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hello_that_comes_late_is_waited_for_a_moment() {
        let shared = shared();
        let mut tls = Tls::default();
        let addresses = from(source(1), Via::Tls);
        tokio::join!(shared.hellos.add_to(&mut tls, &addresses), async {
            tokio::time::sleep(HELLO_TIME / 2).await;
            keep(&shared, 1, "FgMB");
        });
        assert_eq!(tls.hello.as_deref(), Some("FgMB"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_a_record_of_the_hello_and_its_reason() {
        let shared = shared();
        let lines = b"tls hello 203.0.113.7 1 192.0.2.1 443 FgMBAAA=\n\
            tls failed 203.0.113.7 1 192.0.2.1 443 tlsv1 alert unknown ca|SSL handshake failure\n\
            tls failed 203.0.113.7 2 192.0.2.1 443 -|Timeout during SSL handshake\n\
            tls failed 203.0.113.7 3 192.0.2.1 443 -|Success\n\
            tls failed 203.0.113.7\nnonsense\n\xff\n\n";
        read(lines, &shared).await.unwrap();
        let records = shared.recorder.numbered();
        let told: Vec<_> = records
            .iter()
            .map(|it| {
                let failed = it.tls.as_ref().unwrap().failed.as_deref();
                (it.src_port, &it.raw[..], it.bytes, it.dest_port, failed)
            })
            .collect();
        let (hello, nothing) = (&b"\x16\x03\x01\0\0"[..], &b""[..]);
        assert_eq!(
            told,
            [
                (1, hello, 5, 443, Some("tlsv1 alert unknown ca")),
                (2, nothing, 0, 443, Some("Timeout during SSL handshake")),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded() {
        let shared = shared();
        for port in 0..=u16::MAX {
            keep(&shared, port, &"A".repeat(100));
        }
        assert_eq!(shared.hellos.held().by_ends.len(), MAX_HELLOS);
        for port in 0..2000 {
            keep(&shared, port, &"A".repeat(20_000));
        }
        let count = |held: MutexGuard<'_, Held>| (held.bytes, held.order.len());
        let (bytes, hellos) = count(shared.hellos.held());
        assert!(bytes <= MAX_HELD_BYTES && hellos < 2000);
        let endless = [b"tls ", &[b'A'; 3 * MAX_LINE_BYTES][..]].concat();
        assert!(read(&endless, &shared).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_hello_does_not_go_in_the_place_of_an_older_one() {
        let shared = shared();
        keep(&shared, 1, "AAAA");
        for port in 2..MAX_HELLOS as u16 {
            keep(&shared, port, "AAAA");
        }
        keep(&shared, 1, "FgMB");
        keep(&shared, u16::MAX, "AAAA");
        let mut tls = Tls::default();
        let addresses = from(source(1), Via::Tls);
        shared.hellos.add_to(&mut tls, &addresses).await;
        assert_eq!(tls.hello.as_deref(), Some("FgMB"));
    }
}
