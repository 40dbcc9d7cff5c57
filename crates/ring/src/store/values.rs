//! What the values in memcached look like, beside the records.
//!
//! In: numbers, times, records. Out: writes of them; and back from answers, where `None` stands for
//! a miss or for what is not ours.

use jiff::Timestamp;
use memcache::exp::{Arithmetic, GetResult, Set, Ttl};

use crate::counts::Count;
use crate::record::{MAX_NUMBER, Record};
use crate::ring::{slot_key, slot_of};
use crate::silent::{self, ByPort};

/// A record in its slot.
pub(super) fn slot(record: &Record) -> Set {
    Set::new(slot_key(slot_of(record.seq)), record.encode()).ttl(Ttl::NEVER)
}

/// An increment. Makes a missing counter only if its value expires: the crate `memcache` cannot
/// make one that does not. `Store::raise` makes those.
pub(super) fn increment(count: &Count) -> Arithmetic {
    let increment = Arithmetic::new(&count.key).delta(count.value);
    if count.ttl_seconds > 0 {
        increment.initial(count.value, count.ttl_seconds)
    } else {
        increment
    }
}

/// A time that is written once.
pub(super) fn time(key: &str, time: Timestamp) -> Set {
    Set::new(key, format!("{time:.6}")).ttl(Ttl::NEVER).add()
}

pub(super) fn timestamp(answer: &GetResult) -> Option<Timestamp> {
    text(answer)?.parse().ok()
}

/// Counts by port.
pub(super) fn ports_in(answer: &GetResult) -> Option<ByPort> {
    silent::decode(answer.value.as_deref()?, MAX_NUMBER)
}

/// A decimal number. memcached pads a number with spaces when it has got shorter.
pub(super) fn number(answer: &GetResult) -> Option<u64> {
    let number = text(answer)?.trim_end().parse().ok()?;
    (number <= MAX_NUMBER).then_some(number)
}

fn text(answer: &GetResult) -> Option<&str> {
    std::str::from_utf8(answer.value.as_deref()?).ok()
}
