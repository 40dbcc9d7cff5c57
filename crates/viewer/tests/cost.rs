//! The most processor time that one record takes to describe. Whatever a stranger sends, the other
//! records must not wait for long.

use std::sync::Arc;
use std::time::Duration;

use forever200_identify::Labeller;
use forever200_ring::Record;
use forever200_testkit::record;
use forever200_testkit::report::{at_length, row};
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::reader::{Describer, Entry};
use rustix::time::{ClockId, clock_gettime};

use laborious::{fillers, requests};

mod laborious;

/// The most time that one record may take in a release build. In a debug build, it may take thirty
/// times as long.
const MOST: Duration = Duration::from_millis(20);
/// A source that is not the hidden address.
const SOURCE: [u8; 4] = [203, 0, 113, 77];
/// The longest request that is kept by default, and with any settings.
const LENGTHS: [usize; 2] = [65_536, 1_000_000];

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[test]
fn no_record_takes_more_than_its_time() {
    each_takes_its_time("open", Privacy::default());
}

#[test]
fn no_record_takes_more_than_its_time_where_addresses_are_hidden() {
    let hidden = "203.0.113.7,honey.example.net,192.0.2.80,2001:db8::7";
    let masked = Privacy {
        mask_sources: true,
        hidden: hidden.parse().expect("a list"),
    };
    each_takes_its_time("masked", masked);
}

fn each_takes_its_time(how: &str, privacy: Privacy) {
    let describer = Describer {
        labeller: Arc::new(Labeller::built_in()),
        locations: Locations::default(),
        privacy,
    };
    let most = MOST * if cfg!(debug_assertions) { 30 } else { 1 };
    // The longer requests only in a test at length: they show what costs more than in proportion.
    let lengths = if at_length() {
        &LENGTHS[..]
    } else {
        &LENGTHS[..1]
    };
    let mut dearest = (Duration::ZERO, "", 0);
    for (name, filler) in fillers() {
        for &length in lengths {
            for raw in requests(&filler, length) {
                dearest = dearest.max((time_of(&raw, &describer, most), name, length));
            }
        }
    }
    let (time, name, length) = dearest;
    let milliseconds = format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    row("cost", &[&how, &name, &length, &milliseconds]);
    assert!(time < most, "{how}: {name}, {length} bytes: {time:?}");
}

/// Returns the time that it takes to describe a request. If that is more than `most`, or if a
/// figure is wanted, it is the least of three.
///
/// The first one also compiles what is compiled only once, and each one may be disturbed. Each one
/// has a byte less than the one before, because the same bytes are described only once.
fn time_of(raw: &[u8], describer: &Describer, most: Duration) -> Duration {
    let describe = |missing: usize| {
        let record = Record {
            src_ip: SOURCE.into(),
            ..record(7, &raw[..raw.len().saturating_sub(missing)])
        };
        let start = processor_time();
        drop(Entry::new(&record, 1, describer));
        processor_time() - start
    };
    let mut least = describe(0);
    for missing in 1..=2 {
        if at_length() || least >= most {
            least = least.min(describe(missing));
        }
    }
    least
}
