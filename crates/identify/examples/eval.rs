//! Measures the labels on requests of which somebody knows what they are: `make eval CORPUS=FILE`.
//!
//! In: lines of JSON with `id`, `kind`, `b64`, and what is known: `cve` and `cve_certain`, `protocol`
//! (acceptable names), `attack`. Out: four figures for each kind, and with `--misses` each miss.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Category, Labeller, labels::Description};
use serde::Deserialize;

#[derive(Deserialize)]
struct Item {
    id: String,
    kind: String,
    b64: String,
    #[serde(default)]
    cve: Vec<String>,
    #[serde(default)]
    cve_certain: bool,
    protocol: Option<Vec<String>>,
    attack: Option<bool>,
}

/// How often it was right, of how many.
#[derive(Default)]
struct Share {
    right: usize,
    of: usize,
}

impl Share {
    /// Counts, and returns whether it was wrong.
    fn count(&mut self, right: bool) -> bool {
        self.of += 1;
        self.right += usize::from(right);
        !right
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.of {
            0 => formatter.write_str("-"),
            of => write!(
                formatter,
                "{:.1} % ({}/{of})",
                100.0 * self.right as f64 / of as f64,
                self.right
            ),
        }
    }
}

/// Of one kind of request.
#[derive(Default)]
struct Score {
    cve: Share,
    protocol: Share,
    attack: Share,
    false_alarm: Share,
}

const ATTACKS: [Category; 6] = [
    Category::Exploit,
    Category::Secrets,
    Category::Webshell,
    Category::Login,
    Category::Recon,
    Category::ProxyProbe,
];
const ALARMS: [Category; 4] = [
    Category::Exploit,
    Category::Secrets,
    Category::Webshell,
    Category::Login,
];

impl Score {
    /// Counts an item, and returns in which of the figures it was missed.
    fn count(&mut self, item: &Item, found: &Description<'_>) -> Vec<&'static str> {
        let mut labels = found.labels.iter().map(|label| &label.signature);
        let has = |categories: &[Category]| {
            found
                .labels
                .iter()
                .flat_map(|label| label.signature.categories())
                .any(|it| categories.contains(&it))
        };
        let mut misses = Vec::new();
        if item.cve_certain
            && self
                .cve
                .count(labels.any(|it| it.cve.iter().any(|cve| item.cve.contains(cve))))
        {
            misses.push("cve");
        }
        let name = found.protocol.name();
        if item
            .protocol
            .as_ref()
            .is_some_and(|names| self.protocol.count(names.iter().any(|it| it == name)))
        {
            misses.push("protocol");
        }
        if item.attack == Some(true) && self.attack.count(has(&ATTACKS)) {
            misses.push("attack");
        }
        if item.attack == Some(false) && !self.false_alarm.count(has(&ALARMS)) {
            misses.push("false alarm");
        }
        misses
    }
}

fn main() -> anyhow::Result<()> {
    let mut show_misses = false;
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        if argument == "--misses" {
            show_misses = true;
        } else {
            files.push(argument);
        }
    }
    let labeller = Labeller::built_in();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut times = Vec::new();
    for line in files
        .iter()
        .flat_map(std::fs::File::open)
        .flat_map(|file| BufReader::new(file).lines())
    {
        let item: Item = serde_json::from_str(&line?)?;
        let raw = BASE64_STANDARD.decode(&item.b64)?;
        // Once before, for expressions are compiled when they are first needed.
        let _ = labeller.describe(&raw, None);
        let start = Instant::now();
        let found = labeller.describe(&raw, None);
        times.push(start.elapsed());
        for kind in ["all", &item.kind] {
            let misses = scores
                .entry(kind.to_owned())
                .or_default()
                .count(&item, &found);
            if show_misses && kind != "all" && !misses.is_empty() {
                let ids: Vec<_> = found
                    .labels
                    .iter()
                    .map(|label| &*label.signature.id)
                    .collect();
                let start = raw[..raw.len().min(100)].escape_ascii();
                println!(
                    "{} {misses:?} {:?} {} {ids:?} {start}",
                    item.id,
                    item.cve,
                    found.protocol.name()
                );
            }
        }
    }
    times.sort();
    println!(
        "{:<8} {:<20} {:<20} {:<20} false alarms",
        "kind", "right CVE", "right protocol", "attacks found"
    );
    for (kind, score) in &scores {
        let [cve, protocol, attack, alarm] = [
            &score.cve,
            &score.protocol,
            &score.attack,
            &score.false_alarm,
        ]
        .map(ToString::to_string);
        println!("{kind:<8} {cve:<20} {protocol:<20} {attack:<20} {alarm}");
    }
    if let (Some(last), Some(&worst)) = (times.len().checked_sub(1), times.last()) {
        let at = |share: f64| times[(last as f64 * share) as usize];
        println!(
            "{} requests; time for each: p50 {:?}, p99 {:?}, worst {worst:?}",
            times.len(),
            at(0.5),
            at(0.99)
        );
    }
    Ok(())
}
