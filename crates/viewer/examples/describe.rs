//! Measures what it costs to describe requests: `make describe CORPUS=FILE`.
//!
//! In: lines of JSON with `id` and `b64`, in any number of files. Out: processor time for each
//! request, of the files and with `--built` of those that are built to be work; the time to begin;
//! memory. With `--labels`, what is said of each request instead, a line for each: two builds that
//! say the same of all of them can be compared.
//!
//! The time is that of this thread, the median of some rounds. A round takes each request once, in
//! the order of the files, as different ones come: nothing is warmed up for the same request.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_decode::Part;
use forever200_identify::{Label, Labeller};
use forever200_ring::Record;
use forever200_testkit::record;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::reader::{Describer, Entry};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::json;

use laborious::{fillers, requests};

#[path = "../tests/laborious/mod.rs"]
mod laborious;

/// How often each request is described; the first round is not counted.
const ROUNDS: usize = 5;
/// Length of the requests that are built: as much of one as is looked at.
const BUILT_BYTES: usize = 65_536;

#[derive(Deserialize)]
struct Item {
    id: String,
    b64: String,
}

/// A request, and what it is called here.
struct Request {
    name: String,
    record: Record,
}

fn main() -> anyhow::Result<()> {
    let (options, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|it| it.starts_with("--"));
    let start = processor_time();
    let labeller = Labeller::built_in();
    let begun = processor_time() - start;
    let resident = resident();
    let describer = Describer {
        labeller: Arc::new(labeller),
        locations: Locations::default(),
        privacy: Privacy::default(),
    };
    if options.iter().any(|it| it == "--labels") {
        for request in read(&files)?.iter().chain(&built()) {
            println!("{}", said(request, &describer));
        }
        return Ok(());
    }
    println!("to begin: {begun:?}");
    for file in &files {
        let requests = read(std::slice::from_ref(file))?;
        row(file, &requests, times(&requests, &describer));
    }
    println!(
        "memory: {resident} kB, and after the files {} kB",
        self::resident()
    );
    if options.iter().any(|it| it == "--built") {
        let requests = built();
        row("built ones", &requests, times(&requests, &describer));
        println!("memory after all: {} kB", self::resident());
    }
    Ok(())
}

fn read(files: &[String]) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    for file in files {
        for line in BufReader::new(std::fs::File::open(file)?).lines() {
            let Item { id, b64 } = serde_json::from_str(&line?)?;
            let record = record(7, &BASE64_STANDARD.decode(b64)?);
            requests.push(Request { name: id, record });
        }
    }
    Ok(requests)
}

fn built() -> Vec<Request> {
    let mut all = Vec::new();
    for (name, filler) in fillers() {
        for (number, raw) in requests(&filler, BUILT_BYTES).iter().enumerate() {
            let name = format!("{name} {number}");
            let record = record(7, raw);
            all.push(Request { name, record });
        }
    }
    all
}

/// The processor time of each request: the median of its rounds.
fn times(requests: &[Request], describer: &Describer) -> Vec<Duration> {
    let mut rounds = vec![Vec::new(); requests.len()];
    for round in 0..=ROUNDS {
        for (request, times) in requests.iter().zip(&mut rounds) {
            let start = processor_time();
            drop(Entry::new(&request.record, 1, describer));
            if round > 0 {
                times.push(processor_time() - start);
            }
        }
    }
    for times in &mut rounds {
        times.sort_unstable();
    }
    rounds.iter().map(|times| times[times.len() / 2]).collect()
}

fn row(title: &str, requests: &[Request], times: Vec<Duration>) {
    let mut order: Vec<_> = times.iter().zip(requests).collect();
    order.sort_by_key(|(time, _)| **time);
    let Some(last) = order.len().checked_sub(1) else {
        return;
    };
    let at = |share: usize| format!("{:.1}", order[last * share / 100].0.as_secs_f64() * 1e6);
    println!(
        "{title}: {} requests, µs: p50 {}, p90 {}, p99 {}, worst {} ({})",
        order.len(),
        at(50),
        at(90),
        at(99),
        at(100),
        order[last].1.name
    );
    for (time, request) in order.iter().rev().take(6).skip(1) {
        println!("  {:.1} ({})", time.as_secs_f64() * 1e6, request.name);
    }
}

/// All that labels, indicators and decoded parts say.
fn said(request: &Request, describer: &Describer) -> String {
    let entry = Entry::new(&request.record, 1, describer);
    let label = |label: &Label| {
        let evidence = label.evidence.iter();
        json!([
            label.signature.id,
            evidence
                .map(|range| [range.start, range.end])
                .collect::<Vec<_>>(),
            label.found_in,
        ])
    };
    let decoded = entry.decoded(describer);
    json!({
        "id": request.name,
        "protocol": entry.protocol.name(),
        "summary": entry.summary,
        "labels": entry.labels.iter().map(label).collect::<Vec<_>>(),
        "indicators": entry.indicators,
        "evidence": entry.indicators.iter().map(|it| [it.evidence.start, it.evidence.end]).collect::<Vec<_>>(),
        "actions": entry.actions.iter().map(|it| it.sentence()).collect::<Vec<_>>(),
        "decoded": decoded.iter().map(Part::what).collect::<Vec<_>>(),
        "excerpt": entry.excerpt,
        "partial": entry.is_looked_at_in_part,
        "likeness": entry.likeness,
    })
    .to_string()
}

/// Memory of this program that is in use, in kB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status
        .lines()
        .filter_map(|line| line.strip_prefix("VmRSS:"));
    let number = lines.next().and_then(|rest| rest.split_whitespace().next());
    number.and_then(|it| it.parse().ok()).unwrap_or_default()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
