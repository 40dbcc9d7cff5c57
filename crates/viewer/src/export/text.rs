//! The ring as a table for a terminal.
//!
//! In: entries. Out: text without any terminal codes, except for colours if they are wanted.

use std::fmt::Write;
use std::sync::Arc;

use forever200_identify::{Label, Protocol};

use crate::page::stats::ports;
use crate::reader::asked_for::NameKind;
use crate::reader::{Entry, View};

/// Precedes the port of a request, if the requests came to several ports.
const TO_PORT: &str = " to :";
/// Precedes the sensor of a request, if any request has one.
const BY: &str = " by ";

/// Returns a table with one line for each request, the newest first.
///
/// With `color`, requests that are not HTTP and marks such as "incomplete" have colours: ECMA-48,
/// 8.3.117.
#[must_use]
pub fn table(view: &View, entries: &[Arc<Entry>], color: bool) -> String {
    let (faint, red, green, plain) = if color {
        ("\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        Default::default()
    };
    let Widths {
        seqs,
        sources,
        bytes,
        ports,
        sensors,
    } = Widths::of(entries);
    let mut text = format!(
        "{} {} so far, {} shown:\n\n",
        view.snapshot.cursor,
        if view.snapshot.cursor == 1 {
            "request"
        } else {
            "requests"
        },
        entries.len()
    );
    for entry in entries {
        let record = &entry.record;
        let tint = if entry.protocol == Protocol::Http {
            ""
        } else {
            green
        };
        let mut marks = String::new();
        if entry.incomplete {
            marks += &format!("  {red}(incomplete){plain}");
        }
        if entry.blanked > 0 {
            marks += &format!("  {red}(partly blanked){plain}");
        }
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

/// The widths of the columns, in characters.
#[derive(Default)]
struct Widths {
    seqs: usize,
    sources: usize,
    bytes: usize,
    /// 0 where all requests came to one port.
    ports: usize,
    sensors: usize,
}

impl Widths {
    fn of(entries: &[Arc<Entry>]) -> Self {
        let has_ports = ports(entries).len() > 1;
        let mut widest = Self::default();
        for entry in entries {
            let record = &entry.record;
            widest.seqs = widest.seqs.max(record.seq.to_string().len());
            widest.sources = widest.sources.max(entry.source.len());
            widest.bytes = widest.bytes.max(record.bytes.to_string().len());
            widest.sensors = widest.sensors.max(by_sensor(entry).len());
            if has_ports {
                let port = record.dest_port.to_string();
                widest.ports = widest.ports.max(TO_PORT.len() + port.len());
            }
        }
        widest
    }
}

fn by_sensor(entry: &Entry) -> String {
    match &entry.sensor {
        Some(sensor) => format!("{BY}{}", sensor.name),
        None => String::new(),
    }
}

/// Returns the DNS name that an HTTP request asks for. Other requests have it in their summary.
fn name_of(entry: &Entry) -> Option<&str> {
    let asked_for = entry.http.as_ref().and(entry.asked_for.as_ref());
    let named = asked_for.filter(|it| it.kind == NameKind::Name)?;
    Some(&named.name)
}

/// Returns the line under a request that says what it is.
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
