//! Limits the memory of requests that are still arriving.
//!
//! In: how much more memory a request needs, and its source. Out: whether it may have it. Every
//! connection has a small buffer that is not counted here.
//!
//! All sources together may take [`ACCOUNT_BYTES`]. When these are used up, a source gets more only
//! if all that it then holds is at most its share: 16 MiB divided by the number of sources, but at
//! least 16 KiB, and at most the largest buffer of one request. So a source that has taken
//! everything takes nothing from the others. While there are few sources, each of them may take a
//! larger share. So 256 sources take at most 34 MiB, 1,024 sources 57 MiB, and each further source
//! 16 KiB more: 166 MiB for 8,000 sources that all take as much as they can.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that all requests together may take before any of them is refused more.
const ACCOUNT_BYTES: usize = 16 * 1024 * 1024;
/// Smallest share of a source, in bytes: an ordinary request.
const LEAST_SHARE_BYTES: usize = 16 * 1024;

/// The room that all requests of a responder have taken.
#[derive(Debug)]
pub(crate) struct Account {
    totals: Mutex<Totals>,
    /// Largest share of a source, in bytes, while there are few sources.
    largest_share: usize,
}

#[derive(Debug, Default)]
struct Totals {
    total: usize,
    /// Bytes taken by each source. A source that has taken nothing is not in the map.
    sources: HashMap<IpAddr, usize>,
}

/// The room that one request has taken. Dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    account: &'a Account,
    source: IpAddr,
    bytes: usize,
}

impl Account {
    /// Makes an account. `whole_request` is the largest buffer of one request, in bytes: see
    /// [`most_held`](crate::reading::most_held).
    pub(crate) fn new(whole_request: usize) -> Self {
        Self {
            totals: Mutex::default(),
            largest_share: whole_request.max(LEAST_SHARE_BYTES),
        }
    }

    /// Returns the room of a request from this address, which has taken none so far.
    pub(crate) fn nothing_taken(&self, address: IpAddr) -> Taken<'_> {
        Taken {
            account: self,
            source: source_of(address),
            bytes: 0,
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    /// Takes this many bytes more, and returns `true`. If the account does not have them, takes
    /// none, and returns `false`.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let mut totals = self.account.totals();
        let total = totals.total + bytes;
        let of_source = totals.sources.get(&self.source).copied().unwrap_or(0) + bytes;
        let sources = totals.sources.len().max(1);
        let share = (ACCOUNT_BYTES / sources).clamp(LEAST_SHARE_BYTES, self.account.largest_share);
        if total > ACCOUNT_BYTES && of_source > share {
            return false;
        }
        totals.total = total;
        totals.sources.insert(self.source, of_source);
        self.bytes += bytes;
        true
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut totals = self.account.totals();
        totals.total -= self.bytes;
        let left = totals
            .sources
            .get(&self.source)
            .map_or(0, |bytes| bytes - self.bytes);
        if left == 0 {
            totals.sources.remove(&self.source);
        } else {
            totals.sources.insert(self.source, left);
        }
    }
}

/// Returns what counts as one source: an IPv4 address or an IPv6 network /64, which one customer
/// has.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;
    /// The longest request that is kept by default, and what is read beyond it.
    const WHOLE_REQUEST: usize = 72 * KIB;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn one_source_may_take_all_and_another_still_gets_its_share() {
        let account = Account::new(WHOLE_REQUEST);
        let mut greedy: Vec<_> = (0..480)
            .map(|_| account.nothing_taken(address(1)))
            .collect();
        let grown = greedy
            .iter_mut()
            .filter_map(|taken| taken.grow(40 * KIB).then_some(()));
        assert_eq!(grown.count(), ACCOUNT_BYTES / (40 * KIB));
        let mut others: Vec<_> = (2..50)
            .map(|number| account.nothing_taken(address(number)))
            .collect();
        for taken in &mut others {
            assert!(taken.grow(16 * KIB));
        }
        // The source that holds most gets no more.
        assert!(!greedy[0].grow(KIB));
        drop(greedy);
        assert!(account.nothing_taken(address(1)).grow(1024 * KIB));
    }

    #[test]
    fn whatever_sources_do_there_is_a_bound() {
        let account = Account::new(WHOLE_REQUEST);
        let mut all = Vec::new();
        for number in 1..=8000 {
            let mut taken = account.nothing_taken(address(number));
            while taken.grow(KIB) {}
            all.push(taken);
            let total = account.totals().total;
            match number {
                256 => assert!(total <= 34 * 1024 * KIB, "{total}"),
                1024 => assert!(total <= 57 * 1024 * KIB, "{total}"),
                8000 => assert!(total <= 166 * 1024 * KIB, "{total}"),
                _ => {}
            }
        }
        drop(all);
        let totals = account.totals();
        assert_eq!((totals.total, totals.sources.len()), (0, 0));
    }

    #[test]
    fn a_source_is_an_address_of_ipv4_or_a_network_of_ipv6() {
        let source = |address: &str| source_of(address.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
