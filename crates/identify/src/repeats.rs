//! Keeps the findings of recent requests, for other requests with the same bytes: a scanner sends
//! one request to everybody, again and again.
//!
//! In: the bytes of a request, and the network of its source. Out: the findings for the same bytes
//! and network. Holds a limited amount of memory; the findings that were added first go first.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::labels::Findings;

/// Most requests that are held.
const MAX_HELD: usize = 64;
/// Most bytes that all held requests take together. A request that takes more alone is not held.
const MAX_HELD_BYTES: usize = 1 << 20;

/// Holds the findings of recent requests.
pub(crate) struct Repeats {
    held: Mutex<Held>,
    /// Random in each process, so that nobody can make many requests with the same hash.
    hasher: RandomState,
}

#[derive(Default)]
struct Held {
    /// The newest is the last.
    all: VecDeque<Request>,
    bytes: usize,
}

struct Request {
    hash: u64,
    raw: Box<[u8]>,
    asn: Option<u32>,
    findings: Arc<Findings>,
    bytes: usize,
}

impl Repeats {
    pub(crate) fn new() -> Self {
        Self {
            held: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Returns the findings held for the same bytes and network. If there are none, calls `find`
    /// and holds its result.
    pub(crate) fn findings(
        &self,
        raw: &[u8],
        asn: Option<u32>,
        find: impl FnOnce() -> Findings,
    ) -> Arc<Findings> {
        let hash = self.hasher.hash_one(raw);
        let is_same = |it: &&Request| it.hash == hash && it.asn == asn && *it.raw == *raw;
        // The lock is not held during `find`: at worst, two threads find the same.
        let known = self
            .lock()
            .all
            .iter()
            .rfind(is_same)
            .map(|it| Arc::clone(&it.findings));
        if let Some(known) = known {
            return known;
        }
        let findings = Arc::new(find());
        self.hold(Request {
            hash,
            raw: raw.into(),
            asn,
            bytes: raw.len() + findings.bytes(),
            findings: Arc::clone(&findings),
        });
        findings
    }

    fn hold(&self, request: Request) {
        if request.bytes > MAX_HELD_BYTES {
            return;
        }
        let mut held = self.lock();
        held.bytes += request.bytes;
        held.all.push_back(request);
        while held.all.len() > MAX_HELD || held.bytes > MAX_HELD_BYTES {
            let oldest = held.all.pop_front();
            held.bytes -= oldest.map_or(0, |oldest| oldest.bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labeller;

    fn findings(raw: &[u8]) -> Findings {
        Labeller::built_in().find(raw, None).0
    }

    #[test]
    fn the_same_bytes_from_the_same_network_are_looked_at_once() {
        let repeats = Repeats::new();
        let mut looks = 0;
        for (raw, asn, expected) in [
            (&b"GET /a HTTP/1.1\r\n\r\n"[..], None, 1),
            (b"GET /a HTTP/1.1\r\n\r\n", None, 1),
            (b"GET /b HTTP/1.1\r\n\r\n", None, 2),
            (b"GET /a HTTP/1.1\r\n\r\n", Some(64496), 3),
            (b"GET /a HTTP/1.1\r\n\r\n", Some(64496), 3),
            (b"GET /a HTTP/1.1\r\n\r\n", None, 3),
        ] {
            let found = repeats.findings(raw, asn, || {
                looks += 1;
                findings(raw)
            });
            assert_eq!(looks, expected, "{}", raw.escape_ascii());
            assert_eq!(format!("{found:?}"), format!("{:?}", findings(raw)));
        }
    }

    #[test]
    fn so_much_is_held_and_no_more() {
        let repeats = Repeats::new();
        let is_in_bounds = || {
            let held = repeats.lock();
            let sum: usize = held.all.iter().map(|it| it.bytes).sum();
            held.bytes == sum && sum <= MAX_HELD_BYTES && held.all.len() <= MAX_HELD
        };
        for length in (0..200).chain((0..40).map(|it| it * 3000)) {
            let raw = vec![b'x'; length];
            repeats.findings(&raw, None, || findings(b"x"));
            assert!(is_in_bounds(), "{length}");
        }
        let longest = vec![b'x'; MAX_HELD_BYTES];
        let before = repeats.lock().all.len();
        repeats.findings(&longest, None, || findings(b"x"));
        assert_eq!(repeats.lock().all.len(), before);
    }
}
