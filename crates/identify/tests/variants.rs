//! Tests that a label stays when another sender writes the request differently: a signature must
//! name only what every sender must send.
//!
//! In: each example of each signature. Out: how many of its variants still have the label. A
//! variant is the same request as another sender, or a server in between, would write it: with
//! other payloads, other hosts and headers, another order, another encoding of the same bytes.

mod variant;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::Context;
use forever200_identify::signature::Signatures;
use forever200_identify::{Labeller, Signature};

use crate::variant::{KINDS, Kind, Request};

/// Share of all variants that keep the label.
const MIN_SHARE: f64 = 0.99;
/// How many bytes of a variant that lost its label are shown.
const MAX_SHOWN_BYTES: usize = 300;

/// How many variants of a kind were tried, and the text of those without the label.
#[derive(Default)]
struct Score {
    tried: usize,
    missed: Vec<String>,
}

type Scores = BTreeMap<&'static str, Score>;

#[test]
fn a_label_stays_when_what_is_no_part_of_the_weakness_changes() {
    let files = Mutex::new(files().unwrap());
    let all = Mutex::new(Scores::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = files.lock().unwrap().pop();
                    let Some(file) = next else {
                        return;
                    };
                    let found = try_file(&file).unwrap();
                    let mut all = all.lock().unwrap();
                    for (kind, score) in found {
                        let of_all = all.entry(kind).or_default();
                        of_all.tried += score.tried;
                        of_all.missed.extend(score.missed);
                    }
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    let (mut tried, mut missed) = (0, 0);
    for score in all.values() {
        tried += score.tried;
        missed += score.missed.len();
        score.missed.iter().for_each(|line| println!("{line}"));
    }
    let mut short = Vec::new();
    for Kind { name, least, .. } in KINDS {
        let score = &all[name];
        let share = share(score.tried, score.missed.len());
        println!("{name}: {share:.4} of {}", score.tried);
        if share < least {
            short.push(name);
        }
    }
    println!("all: {:.4} of {tried}", share(tried, missed));
    assert!(short.is_empty(), "{short:?}");
    assert!(share(tried, missed) >= MIN_SHARE);
}

fn share(tried: usize, missed: usize) -> f64 {
    1.0 - missed as f64 / tried as f64
}

/// Returns the files of signatures, the largest last: it is taken first, so that no thread has to
/// read it alone at the end.
fn files() -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("signatures");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let (path, bytes) = entry.and_then(|it| Ok((it.path(), it.metadata()?.len())))?;
        if path.extension().is_some_and(|it| it == "toml") {
            files.push((bytes, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Tries the signatures of a file, with a labeller that knows only that file, so that no other
/// signature has an influence.
fn try_file(path: &Path) -> anyhow::Result<Scores> {
    let text = std::fs::read_to_string(path)?;
    let signatures = Signatures::parse(&text)?.list;
    let written: toml::Table = toml::from_str(&text)?;
    let written = written["signature"].as_array().context("signatures")?;
    let labeller = Labeller::with(&format!("replace = true\n{text}"))?;
    let mut scores = Scores::new();
    for (signature, table) in signatures.iter().zip(written) {
        let condition = format!("{:?}", table["match"]);
        for example in &signature.examples {
            let raw = Signature::example_bytes(example);
            if let Some(request) = Request::read(&raw) {
                try_request(&labeller, signature, &condition, &request, &mut scores);
            }
        }
    }
    Ok(scores)
}

fn try_request(
    labeller: &Labeller,
    signature: &Signature,
    condition: &str,
    request: &Request,
    scores: &mut Scores,
) {
    for Kind { name, vary, .. } in KINDS {
        let score = scores.entry(name).or_default();
        for varied in vary(request, signature, condition) {
            let raw = varied.write();
            score.tried += 1;
            if !has(labeller, &raw, &signature.id) {
                let shown = raw[..raw.len().min(MAX_SHOWN_BYTES)].escape_ascii();
                let line = format!("{name}: {}: {shown}", signature.id);
                score.missed.push(line);
            }
        }
    }
}

fn has(labeller: &Labeller, raw: &[u8], id: &str) -> bool {
    let description = labeller.describe(raw, None);
    let mut labels = description.labels.iter().chain(&description.quoted);
    labels.any(|label| label.signature.id == id)
}
