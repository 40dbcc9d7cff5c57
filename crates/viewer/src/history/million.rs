//! Writes one million requests of 300,000 payloads with the real writer. Measures what that costs,
//! and makes a file for other measurements.
//!
//! `cargo test --release -p forever200-viewer --lib million -- --ignored --nocapture`.
//! `HISTORY_FOLDER` names a folder in which the file is kept.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use forever200_identify::signature::Signatures;
use forever200_identify::{Labeller, Signature};
use forever200_ring::Record;
use jiff::{SignedDuration, Timestamp};
use memchr::memmem;
use rusqlite::Connection;

use super::*;
use crate::history::found::Found;
use crate::reader::describer::Describer;
use crate::reader::entry::Entry;
use crate::reader::entry::tests::record as record_of;
use crate::reader::locations::{self, Locations};
use crate::reader::privacy::Privacy;

const REQUESTS: u64 = 1_000_000;
const PAYLOADS: u64 = 300_000;
const SOURCES: u64 = 40_000;
/// The addresses are spread over all networks.
const FIRST_ADDRESS: u32 = 0x0101_0101;
const BETWEEN_ADDRESSES: u32 = 92_821;
const MEAN_BYTES: u64 = 400;
/// How many payloads one tool sends. They are alike: of one kind, from the same few sources.
const TOOL: u64 = 64;
/// USER_HZ, the unit of times in /proc.
const TICKS_PER_SECOND: u64 = 100;
/// One tool in this many sends requests that no signature recognises.
const UNRECOGNISED: u64 = 7;
/// Over how many days the requests came.
const DAYS: u64 = 30;
const LARGE: u64 = 1 << 30;
/// Most bytes of the file for each request, beside the payloads. CPU time is only printed, because
/// it depends on what else the machine does.
const MOST_BYTES_BESIDE: u64 = 160;

/// Random numbers of SplitMix64, the same in each run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Returns small numbers much more often than large ones.
    fn often_small(&mut self, most: u64) -> u64 {
        let unit = self.next() as f64 / u64::MAX as f64;
        ((most as f64 + 1.0).powf(unit) - 1.0) as u64 % most
    }
}

/// Returns the first example of each signature that comes with the program, in an order that is the
/// same in each run.
fn examples() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../identify/signatures");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "toml"));
    files.sort();
    let mut examples = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        for signature in Signatures::parse(&text).unwrap().list {
            let example = signature.examples.first();
            examples.extend(example.map(|it| Signature::example_bytes(it)));
        }
    }
    examples
}

/// Makes the payload with this number: an example of a signature, or a request that no signature
/// recognises. A header that no other payload has makes it unique. The payload depends on the
/// number alone.
fn payload(number: u64, examples: &[Vec<u8>]) -> Vec<u8> {
    let (mut draw, mut of_tool) = (Draw(number), Draw(number / TOOL));
    let example = &examples[of_tool.often_small(examples.len() as u64) as usize];
    let path = draw.often_small(3000);
    let user_agent = draw.often_small(500);
    let unrecognised = || {
        let head = format!(
            "GET /made-up/{path}?id={number} HTTP/1.1\r\nHost: 192.0.2.{}\r\n\
             User-Agent: Mozilla/5.0 (made up) client/{user_agent}\r\n\r\n",
            number % 4
        );
        head.into_bytes()
    };
    let mut bytes = if (number / TOOL).is_multiple_of(UNRECOGNISED) {
        unrecognised()
    } else {
        example.clone()
    };
    let length = 100 + draw.below(2 * (MEAN_BYTES - 100)) as usize;
    let mut header = format!("X-Made-Up: {number:x}");
    while bytes.len() + header.len() < length {
        write!(header, " {:x}", draw.next()).unwrap();
    }
    header.push_str("\r\n");
    let end_of_line = memmem::find(&bytes, b"\r\n").map(|at| at + 2);
    let at = end_of_line.unwrap_or(bytes.len());
    bytes.splice(at..at, header.into_bytes());
    bytes
}

/// Draws the source of a request. Three quarters of the requests of one tool come from the same few
/// sources, and a quarter from any source.
fn source_of(payload: u64, draw: &mut Draw) -> u32 {
    let few = Draw(payload / TOOL).below(SOURCES) + draw.often_small(64);
    let any = draw.often_small(SOURCES);
    (if draw.below(4) == 0 {
        any
    } else {
        few % SOURCES
    }) as u32
}

/// CPU time of the thread that writes: `utime` and `stime` of proc_pid_stat(5).
fn cpu_of_writer() -> Duration {
    let ticks_of = |stat: &str| -> Option<u64> {
        let (name, rest) = stat.split_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let is_writer = name.ends_with("(history");
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        is_writer.then_some(ticks(11)? + ticks(12)?)
    };
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = threads.filter_map(|it| std::fs::read_to_string(it.ok()?.path().join("stat")).ok());
    let ticks: u64 = stats.filter_map(|stat| ticks_of(&stat)).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

fn until_written(history: &History, seq: u64) {
    let start = Instant::now();
    while history.questions().record(seq).unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{seq} is missing"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn number(folder: &Path, query: &str) -> u64 {
    let file = Connection::open(folder.join(file::NAME)).unwrap();
    let number: i64 = file.query_row(query, [], |row| row.get(0)).unwrap();
    number.unsigned_abs()
}

#[test]
#[ignore = "takes minutes, and means something in a release build alone"]
fn a_million_requests_stay_within_their_bounds() {
    let made = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("HISTORY_FOLDER").map(std::path::PathBuf::from);
    let folder = kept.as_deref().unwrap_or(made.path());
    let history = History::open(folder, LARGE).unwrap();
    let describer = Describer {
        labeller: Labeller::built_in().into(),
        locations: Locations::open(Path::new(locations::DEFAULT_PATH)),
        privacy: Privacy::default(),
    };
    let examples = examples();
    let begin = Timestamp::now() - SignedDuration::from_hours(24 * DAYS as i64);
    let step_micros = DAYS * 24 * 3600 * 1_000_000 / REQUESTS;
    let mut draw = Draw(1);
    let mut fresh = 0;
    for seq in 1..=REQUESTS {
        // New payloads come all the time. Half of the others are among the most frequent.
        let number = if fresh == 0 || draw.below(REQUESTS) < PAYLOADS {
            fresh = PAYLOADS.min(fresh + 1);
            fresh
        } else {
            draw.often_small(fresh) + 1
        };
        let raw = payload(number, &examples);
        let source = source_of(number, &mut draw);
        let record = Record {
            seq,
            timestamp: begin + SignedDuration::from_micros((seq * step_micros) as i64),
            src_ip: Ipv4Addr::from(FIRST_ADDRESS + source * BETWEEN_ADDRESSES).into(),
            src_port: 1024 + draw.below(60_000) as u16,
            ..record_of(&raw)
        };
        let found = Found::new(&Entry::new(&record, 1, &describer));
        let mut item = Some(Item::request(record, found));
        while let Some(again) = item.take() {
            item = history.offer(again).err();
            if item.is_some() {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    }
    until_written(&history, REQUESTS);
    let cpu = cpu_of_writer() / REQUESTS as u32;
    drop(history);
    let payload_bytes = number(folder, "SELECT sum(length(bytes)) FROM payload");
    let query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let beside = number(folder, query).saturating_sub(payload_bytes) / REQUESTS;
    let payloads = number(folder, "SELECT count(*) FROM payload");
    println!(
        "{REQUESTS} requests of {payloads} payloads, {} B on average: \
         {beside} B and {} us of CPU a request beside them",
        payload_bytes / payloads,
        cpu.as_micros()
    );
    assert!(beside <= MOST_BYTES_BESIDE, "{beside} B a request");
}
