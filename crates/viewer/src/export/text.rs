//! The ring as a table for a terminal.
//!
//! In: entries. Out: text in which nothing is obeyed by a terminal but the colours that were asked
//! for.

use std::fmt::Write;
use std::sync::Arc;

use forever200_identify::{Label, Protocol};

use crate::page::stats::ports;
use crate::reader::asked_for::Kind;
use crate::reader::{Entry, View};

/// Stands before the port that a request came to, where there are several.
const TO_PORT: &str = " to :";
/// Stands before the sensor that sent a request, where one of them has one.
const BY: &str = " by ";

/// Returns a table: a line each, the newest first.
///
/// `color` sets apart what is not HTTP and what is incomplete, by the codes of ECMA-48, 8.3.117.
#[must_use]
pub fn table(view: &View, entries: &[Arc<Entry>], color: bool) -> String {
    let (faint, red, green, plain) = if color {
        ("\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        Default::default()
    };
    let widest = |cell: fn(&Entry) -> usize| {
        entries
            .iter()
            .map(|entry| cell(entry))
            .max()
            .unwrap_or_default()
    };
    let seqs = widest(|entry| entry.record.seq.to_string().len());
    let sources = widest(|entry| entry.source.len());
    let bytes = widest(|entry| entry.record.bytes.to_string().len());
    let ports = if ports(entries).len() > 1 {
        widest(|entry| entry.record.dest_port.to_string().len() + TO_PORT.len())
    } else {
        0
    };
    let sensors = widest(|entry| by_sensor(entry).len());
    let mut text = format!(
        "{} requests so far, {} shown:\n\n",
        view.snapshot.cursor,
        entries.len()
    );
    for entry in entries {
        let record = &entry.record;
        let tint = if entry.protocol == Protocol::Http {
            ""
        } else {
            green
        };
        let marks = [
            (entry.incomplete, "incomplete"),
            (entry.blanked > 0, "partly blanked"),
        ];
        let marks = marks.iter().filter(|(applies, _)| *applies);
        let marks: String = marks
            .map(|(_, mark)| format!("  {red}({mark}){plain}"))
            .collect();
        writeln!(
            text,
            "{:>seqs$}  {faint}{:.0}{plain}  {:<sources$}{:<sensors$}{:<ports$}  {:>bytes$} B  {tint}{:<7}  {}{}{}{marks}{}",
            record.seq,
            record.timestamp,
            entry.source,
            by_sensor(entry),
            if ports > 0 {
                format!("{TO_PORT}{}", record.dest_port)
            } else {
                String::new()
            },
            record.bytes,
            entry.protocol.name(),
            entry.summary,
            if tint.is_empty() { "" } else { plain },
            name_of(entry).map(|name| format!("  {faint}(for {name}){plain}")).unwrap_or_default(),
            entry.labels.first().map(|label| says(label, entry, color)).unwrap_or_default(),
        )
        .expect("a String takes every write");
    }
    text
}

fn by_sensor(entry: &Entry) -> String {
    let sensor = entry.sensor.as_ref();
    sensor
        .map(|it| format!("{BY}{}", it.name))
        .unwrap_or_default()
}

/// The name that an HTTP request asks for, where it is one; others say it in their summary.
fn name_of(entry: &Entry) -> Option<&str> {
    let asked_for = entry.http.as_ref().and(entry.asked_for.as_ref());
    let named = asked_for.filter(|it| it.kind == Kind::Name)?;
    Some(&named.name)
}

/// What a request is, on a line of its own under it.
fn says(label: &Label, entry: &Entry, color: bool) -> String {
    let (bold, faint, plain) = if color {
        ("\x1b[1m", "\x1b[2m", "\x1b[0m")
    } else {
        Default::default()
    };
    let signature = &label.signature;
    let cve = signature
        .cve
        .first()
        .map(|cve| format!(", {cve}"))
        .unwrap_or_default();
    let excerpt = entry
        .excerpt
        .as_ref()
        .map(|it| format!("  {faint}{}: {}{plain}", it.place, it.text))
        .unwrap_or_default();
    format!(
        "\n    {}: {bold}{}{plain}{cve}{excerpt}",
        signature.category.name(),
        signature.title
    )
}
