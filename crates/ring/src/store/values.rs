//! The format of the values in memcached.
//!
//! In: numbers, times, records. Out: writes of these, and the values in answers. `None` means a
//! miss, or a value in another format.

use jiff::Timestamp;
use memcache::exp::{Arithmetic, GetResult, Set, Ttl};

use crate::counts::Count;
use crate::record::{MAX_NUMBER, Record};
use crate::ring::{slot_key, slot_of};
use crate::silent::{self, ByPort};

/// Returns the write of a record into its slot.
pub(super) fn slot(record: &Record) -> Set {
    Set::new(slot_key(slot_of(record.seq)), record.encode()).ttl(Ttl::NEVER)
}

/// Returns an increment. A missing counter is created only if it has a TTL: the crate `memcache`
/// cannot create one without. `Store::raise` creates those.
pub(super) fn increment(count: &Count) -> Arithmetic {
    let increment = Arithmetic::new(&count.key).delta(count.value);
    if count.ttl_seconds > 0 {
        increment.initial(count.value, count.ttl_seconds)
    } else {
        increment
    }
}

/// Returns the write of a time, which has no effect if there is one already.
pub(super) fn time(key: &str, time: Timestamp) -> Set {
    Set::new(key, format!("{time:.6}")).ttl(Ttl::NEVER).add()
}

pub(super) fn timestamp(answer: &GetResult) -> Option<Timestamp> {
    text(answer)?.parse().ok()
}

/// Reads counts by port.
pub(super) fn ports_in(answer: &GetResult) -> Option<ByPort> {
    silent::decode(answer.value.as_deref()?, MAX_NUMBER)
}

/// Reads a decimal number. memcached pads a number with spaces when it has become shorter.
pub(super) fn number(answer: &GetResult) -> Option<u64> {
    let number = text(answer)?.trim_end().parse().ok()?;
    (number <= MAX_NUMBER).then_some(number)
}

fn text(answer: &GetResult) -> Option<&str> {
    std::str::from_utf8(answer.value.as_deref()?).ok()
}
