//! Measures the labels on requests whose nature is known: `make eval CORPUS=FILE`.
//!
//! In: lines of JSON with `id`, `b64`, and what is known of the request: `kind`, `cve` and
//! `cve_certain`, `kev` and `vkev` (known to be exploited), `protocol` (acceptable names),
//! `attack`. A figure counts only the lines that have the fields it needs. Out: six figures for all
//! requests and for each kind, and the CPU time of a request. `--misses` also prints a line for
//! each miss, `--misses=FIGURE` only for misses of one figure.
//!
//! The file is long because an example is one file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Category, Labeller, labels::Description};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer};

/// Categories that count as an attack.
const ATTACKS: [Category; 6] = [
    Category::Exploit,
    Category::Secrets,
    Category::Webshell,
    Category::Login,
    Category::Recon,
    Category::ProxyProbe,
];
/// Categories that a harmless request must not get.
const ALARMS: [Category; 3] = [Category::Exploit, Category::Secrets, Category::Webshell];
/// The kind that stands for all requests.
const ALL: &str = "all";
/// How many bytes of a missed request are shown.
const MAX_SHOWN_BYTES: usize = 100;

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    kind: String,
    b64: String,
    #[serde(default, deserialize_with = "or_default")]
    cve: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    cve_certain: bool,
    #[serde(default, deserialize_with = "or_default")]
    kev: bool,
    #[serde(default, deserialize_with = "or_default")]
    vkev: bool,
    #[serde(default, deserialize_with = "or_default")]
    protocol: Vec<String>,
    attack: Option<bool>,
}

/// A figure that is measured; in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    RightCve,
    KnownExploited,
    NamedRightly,
    Attack,
    Protocol,
    FalseAlarm,
}

/// How many requests met a figure, and how many were counted for it.
#[derive(Clone, Copy, Default)]
struct Share {
    met: usize,
    of: usize,
}

/// The parts of a description that are measured.
struct Found<'a> {
    cves: Vec<&'a str>,
    categories: Vec<Category>,
    protocol: &'static str,
}

/// The figures of each kind.
type Table = BTreeMap<String, BTreeMap<Figure, Share>>;

fn main() -> anyhow::Result<()> {
    let (mut misses, mut files) = (None, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("--misses", name)) => misses = Some(Figure::named(name)?),
            _ if argument == "--misses" => misses = Some(Figure::ALL.to_vec()),
            _ if argument.starts_with('-') => bail!("unknown option {argument}"),
            _ => files.push(argument),
        }
    }
    if files.is_empty() {
        bail!("expected a file of lines of JSON: make eval CORPUS=FILE");
    }
    let labeller = Labeller::built_in();
    let (mut table, mut times) = (Table::new(), Vec::new());
    for name in &files {
        let file = File::open(name).with_context(|| format!("cannot read {name}"))?;
        for (line, number) in BufReader::new(file).lines().zip(1..) {
            let item: Item =
                serde_json::from_str(&line?).with_context(|| format!("{name}, line {number}"))?;
            let raw = BASE64_STANDARD.decode(&item.b64)?;
            // The first run is not timed: it compiles expressions.
            let _ = labeller.describe(&raw, None);
            let start = cpu_time();
            let description = labeller.describe(&raw, None);
            times.push(cpu_time() - start);
            let missed = count(&mut table, &item, &Found::new(&description));
            for figure in missed {
                if misses.as_ref().is_some_and(|all| all.contains(&figure)) {
                    show(figure, &item, &raw, &description);
                }
            }
        }
    }
    print(&table);
    print_times(times);
    Ok(())
}

/// Counts a request, and returns the figures that it missed.
fn count(table: &mut Table, item: &Item, found: &Found<'_>) -> Vec<Figure> {
    let mut missed = Vec::new();
    for figure in Figure::ALL {
        let Some(is_met) = figure.is_met(item, found) else {
            continue;
        };
        for kind in [ALL, &item.kind] {
            let shares = table.entry(kind.to_owned()).or_default();
            let share = shares.entry(figure).or_default();
            share.of += 1;
            share.met += usize::from(is_met);
        }
        if is_met == (figure == Figure::FalseAlarm) {
            missed.push(figure);
        }
    }
    missed
}

impl<'a> Found<'a> {
    fn new(description: &'a Description<'_>) -> Self {
        let signatures = description.labels.iter().map(|label| &label.signature);
        let cves = signatures.clone().flat_map(|it| &it.cve);
        Self {
            cves: cves.map(String::as_str).collect(),
            categories: signatures.map(|it| it.category).collect(),
            protocol: description.protocol.name(),
        }
    }

    fn names(&self, cves: &[String]) -> bool {
        self.cves.iter().any(|&cve| cves.iter().any(|it| it == cve))
    }

    fn is_of(&self, categories: &[Category]) -> bool {
        self.categories.iter().any(|it| categories.contains(it))
    }
}

impl Figure {
    const ALL: [Self; 6] = [
        Self::RightCve,
        Self::KnownExploited,
        Self::NamedRightly,
        Self::Attack,
        Self::Protocol,
        Self::FalseAlarm,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::RightCve => "right CVE",
            Self::KnownExploited => "known exploited",
            Self::NamedRightly => "named rightly",
            Self::Attack => "attack recognised",
            Self::Protocol => "protocol",
            Self::FalseAlarm => "false alarm",
        }
    }

    /// Returns the figures whose names contain a text; a hyphen in it means a space.
    fn named(start: &str) -> anyhow::Result<Vec<Self>> {
        let start = start.replace('-', " ");
        let mut found = Self::ALL.to_vec();
        found.retain(|figure| figure.name().to_lowercase().contains(&start.to_lowercase()));
        if found.is_empty() {
            let names = Self::ALL.map(Self::name).join(", ");
            bail!("no figure is named {start}: {names}");
        }
        Ok(found)
    }

    /// Tells whether a request meets the figure; `None` if the figure does not count the request.
    fn is_met(self, item: &Item, found: &Found<'_>) -> Option<bool> {
        let is_certain = item.cve_certain && !item.cve.is_empty();
        let is_part = match self {
            Self::RightCve => is_certain,
            Self::KnownExploited => is_certain && (item.kev || item.vkev),
            Self::NamedRightly => is_certain && !found.cves.is_empty(),
            Self::Attack => item.attack == Some(true),
            Self::Protocol => !item.protocol.is_empty(),
            Self::FalseAlarm => item.attack == Some(false),
        };
        let is_met = || match self {
            Self::RightCve | Self::KnownExploited | Self::NamedRightly => found.names(&item.cve),
            Self::Attack => found.is_of(&ATTACKS),
            Self::Protocol => item.protocol.iter().any(|name| name == found.protocol),
            Self::FalseAlarm => found.is_of(&ALARMS),
        };
        is_part.then(is_met)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { met, of } = *self;
        let text = match of {
            0 => "-".to_owned(),
            _ => format!("{:.1} % ({met}/{of})", 100.0 * met as f64 / of as f64),
        };
        formatter.pad(&text)
    }
}

fn show(figure: Figure, item: &Item, raw: &[u8], description: &Description<'_>) {
    let labels = description.labels.iter();
    let ids: Vec<_> = labels.map(|label| &*label.signature.id).collect();
    println!(
        "{}: {} {:?} {} {ids:?} {}",
        figure.name(),
        item.id,
        item.cve,
        description.protocol.name(),
        raw[..raw.len().min(MAX_SHOWN_BYTES)].escape_ascii()
    );
}

fn print(table: &Table) {
    let kinds: Vec<_> = table.keys().filter(|kind| !kind.is_empty()).collect();
    print!("{:<18}", "");
    kinds.iter().for_each(|kind| print!(" {kind:<20}"));
    println!();
    for figure in Figure::ALL {
        print!("{:<18}", figure.name());
        for &kind in &kinds {
            let share = table[kind].get(&figure).copied().unwrap_or_default();
            print!(" {share:<20}");
        }
        println!();
    }
}

fn print_times(mut times: Vec<Duration>) {
    times.sort();
    let (Some(last), Some(worst)) = (times.len().checked_sub(1), times.last()) else {
        return;
    };
    let at = |share: f64| times[(last as f64 * share) as usize];
    println!(
        "{} requests; CPU time of each: median {:?}, p99 {:?}, worst {worst:?}",
        times.len(),
        at(0.5),
        at(0.99)
    );
}

/// Returns the CPU time of this thread, to which other work of the machine adds little.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a clock that counts from zero")
}

/// Reads null as a missing field.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
