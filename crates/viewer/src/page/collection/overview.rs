//! The overview of the whole collection.

use std::cmp::Reverse;

use serde::Serialize;

use crate::history::kinds::Totals;
use crate::page::collection::choice::Candidate;
use crate::page::collection::years::Years;
use crate::page::collection::{time, title};

/// How much was seen, since when, and what stands out.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// Requests that were answered, whether or not they are kept.
    requests: u64,
    countries: u64,
    /// Time of the first start, or else of the first request.
    since: Option<String>,
    /// How many kinds have a label.
    recognised: usize,
    /// How many kinds have no label.
    unrecognised: usize,
    /// The kind that came first.
    first: Option<Mention>,
    /// The kind whose weakness became known first.
    oldest: Option<Mention>,
    /// The kind whose weakness became known last.
    newest: Option<Mention>,
    /// The kind with a label that came the least.
    rarest: Option<Mention>,
    #[serde(skip)]
    pub(super) years: Option<Years>,
}

/// A kind that stands out.
#[derive(Debug, Serialize)]
struct Mention {
    kind: String,
    title: String,
    cve: Option<String>,
    year: Option<u16>,
    requests: u64,
    /// When it was first seen.
    first: String,
}

impl Overview {
    /// Makes the overview of these kinds.
    pub(super) fn new(kinds: &[Candidate<'_>], totals: &Totals) -> Self {
        let mut named = Vec::new();
        let mut weaknesses = Vec::new();
        for kind in kinds {
            if kind.row.category.is_none() {
                continue;
            }
            named.push(kind);
            if let Some(year) = year_of(kind) {
                weaknesses.push((year, kind));
            }
        }
        let first = kinds.iter().min_by_key(|it| (it.row.first, it.row.id));
        let oldest = weaknesses
            .iter()
            .min_by_key(|(year, kind)| (*year, kind.row.first));
        let newest = weaknesses
            .iter()
            .max_by_key(|(year, kind)| (*year, Reverse(kind.row.first)));
        let rarest = named.iter().min_by_key(|it| rarity(it));
        let since = totals.since.or(first.map(|it| it.row.first));
        Self {
            requests: totals.requests,
            countries: totals.countries,
            since: since.map(time),
            recognised: named.len(),
            unrecognised: kinds.len() - named.len(),
            first: first.map(Mention::new),
            oldest: oldest.map(|(_, kind)| Mention::new(kind)),
            newest: newest.map(|(_, kind)| Mention::new(kind)),
            rarest: rarest.map(|kind| Mention::new(kind)),
            years: Years::new(weaknesses.iter().map(|(year, _)| *year)),
        }
    }
}

/// Returns the year in which a vulnerability became known. A label without a CVE number may have a
/// year, but is not about a vulnerability.
fn year_of(kind: &Candidate<'_>) -> Option<u16> {
    let label = kind.label?;
    if label.cve.is_empty() {
        None
    } else {
        label.year
    }
}

/// Returns the key that sorts kinds, the rarest first: fewer requests, then fewer published logs,
/// then kinds with a year, then the kind that came last.
fn rarity(kind: &Candidate<'_>) -> impl Ord + use<> {
    let elsewhere = kind.label.and_then(|label| label.usual);
    (
        kind.row.requests,
        elsewhere,
        year_of(kind).is_none(),
        Reverse(kind.row.last),
    )
}

impl Mention {
    fn new(kind: &Candidate<'_>) -> Self {
        Self {
            kind: kind.row.name.clone(),
            title: title(kind),
            cve: kind
                .label
                .and_then(|it| it.cve.first())
                .map(ToString::to_string),
            year: kind.label.and_then(|it| it.year),
            requests: kind.row.requests,
            first: time(kind.row.first),
        }
    }
}
