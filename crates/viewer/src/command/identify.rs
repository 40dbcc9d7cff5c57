//! `forever200-viewer identify`: says what raw requests are, without a server.
//!
//! In: files of raw bytes, or lines of JSON with `b64`. Out: text for people, or a line of JSON for
//! each request.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Category, Indicator, Label, Labeller};
use serde::{Deserialize, Serialize};

use crate::bytes::printable;
use crate::export::json;
use crate::reader::entry;

/// Longest line of text output, in characters.
const MAX_CHARS: usize = 120;

/// What to identify, and how to print it.
#[derive(Debug, clap::Args)]
pub struct Identify {
    /// Files with the raw bytes of one request each; without files, standard input is read
    files: Vec<PathBuf>,
    /// Print a line of JSON for each request
    #[arg(long)]
    json: bool,
    /// Read lines of JSON with the fields id and b64, print a line of JSON for each
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "json"])]
    corpus: Option<PathBuf>,
    /// Only read the signatures, as at a start, count them, and list duplicates
    #[arg(long, conflicts_with_all = ["files", "json", "corpus"])]
    check: bool,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    b64: String,
}

#[derive(Serialize)]
struct Identified<'a> {
    id: &'a str,
    protocol: &'static str,
    labels: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    id: &'a str,
    category: Category,
    cve: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    protocol: &'static str,
    summary: String,
    labels: Vec<json::Label<'a>>,
    quoted: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
}

/// Identifies requests and prints the results.
///
/// # Errors
/// A file cannot be read, a line is not JSON, or the output is closed.
pub fn run(labeller: &Labeller, args: &Identify) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if args.check {
        write!(out, "{}", labeller.report())?;
    } else if let Some(corpus) = &args.corpus {
        let text = fs::read_to_string(corpus)
            .with_context(|| format!("cannot read {}", corpus.display()))?;
        for identified in identify_lines(labeller, &text)? {
            out.write_all(identified.as_bytes())?;
        }
    } else if args.files.is_empty() {
        let mut raw = Vec::new();
        io::stdin().lock().read_to_end(&mut raw)?;
        print(labeller, Path::new("-"), &raw, args.json, &mut out)?;
    } else {
        for path in &args.files {
            let raw = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            print(labeller, path, &raw, args.json, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// Identifies the request of each line, on all processors. The answers are in the order of the
/// lines.
fn identify_lines(labeller: &Labeller, text: &str) -> anyhow::Result<Vec<String>> {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().collect();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let share = lines.len().div_ceil(processors).max(1);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for lines in lines.chunks(share) {
            running.push(scope.spawn(move || identify_share(labeller, lines)));
        }
        let mut identified = Vec::new();
        for thread in running {
            let answers = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
            identified.push(answers?);
        }
        Ok(identified)
    })
}

fn identify_share(labeller: &Labeller, lines: &[(usize, &str)]) -> anyhow::Result<String> {
    let mut identified = String::new();
    for (number, line) in lines {
        let answer = identify_line(labeller, line);
        identified += &answer.with_context(|| format!("line {}", number + 1))?;
    }
    Ok(identified)
}

fn identify_line(labeller: &Labeller, line: &str) -> anyhow::Result<String> {
    let item: Item = serde_json::from_str(line)?;
    let raw = BASE64_STANDARD.decode(&item.b64).context("b64")?;
    let description = labeller.describe(&raw, None);
    let mut labels = Vec::new();
    for label in &description.labels {
        let signature = &label.signature;
        labels.push(Found {
            id: &signature.id,
            category: signature.category,
            cve: &signature.cve,
        });
    }
    let identified = Identified {
        id: &item.id,
        protocol: description.protocol.name(),
        labels,
    };
    Ok(json::to_string(&identified) + "\n")
}

fn print(
    labeller: &Labeller,
    path: &Path,
    raw: &[u8],
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let description = labeller.describe(raw, None);
    let name = printable::line(path.as_os_str().as_encoded_bytes(), MAX_CHARS);
    let summary = entry::summary(raw, &description);
    if json {
        let labels = description.labels.iter().map(json::Label::new).collect();
        let quoted = description.quoted.iter().map(json::Label::new).collect();
        let indicators = &description.indicators;
        let line = Line {
            file: &name,
            protocol: description.protocol.name(),
            summary,
            labels,
            quoted,
            indicators,
        };
        return Ok(writeln!(out, "{}", json::to_string(&line))?);
    }
    writeln!(out, "{name}: {}: {summary}", description.protocol.name())?;
    for label in &description.labels {
        let mark = if label.also_fits { "also fits: " } else { "" };
        print_label(label, mark, raw, out)?;
    }
    for label in &description.quoted {
        print_label(label, "quotes: ", raw, out)?;
    }
    for indicator in &description.indicators {
        writeln!(out, "  fetches or calls {}", indicator.address)?;
    }
    Ok(())
}

fn print_label(label: &Label, mark: &str, raw: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    let signature = &label.signature;
    let cve = signature
        .cve
        .iter()
        .map(|cve| format!(", {cve}"))
        .collect::<String>();
    let place = label.found_in.iter().map(|place| format!(", in {place}"));
    writeln!(
        out,
        "  {mark}{}: {}{cve} ({}{})",
        signature.category.name(),
        signature.title,
        signature.confidence.name(),
        place.collect::<String>()
    )?;
    writeln!(out, "    {}", signature.explanation)?;
    for range in &label.evidence {
        let bytes = raw.get(range.clone()).unwrap_or_default();
        writeln!(
            out,
            "    bytes {} to {}: {}",
            range.start,
            range.end,
            printable::line(bytes, MAX_CHARS)
        )?;
    }
    Ok(())
}
