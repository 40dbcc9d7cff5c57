//! What is said of the whole collection.

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
    /// Kinds with a label, and without.
    recognised: usize,
    unrecognised: usize,
    /// What came first.
    first: Option<Mention>,
    /// The weakness that became known first, and last.
    oldest: Option<Mention>,
    newest: Option<Mention>,
    /// What has a label and came the least.
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
    /// Says it of these kinds.
    pub(super) fn new(kinds: &[Candidate<'_>], totals: &Totals) -> Self {
        let named = || kinds.iter().filter(|it| it.row.category.is_some());
        // A label without a CVE number may be of a year, and of no weakness.
        let year_of = |it: &&Candidate<'_>| {
            let weakness = it.label.filter(|label| !label.cve.is_empty());
            weakness.and_then(|label| label.year)
        };
        let weaknesses = || named().filter(|it| year_of(it).is_some());
        let first = kinds.iter().min_by_key(|it| (it.row.first, it.row.id));
        let oldest = weaknesses().min_by_key(|it| (year_of(it), it.row.first));
        let newest = weaknesses().max_by_key(|it| (year_of(it), Reverse(it.row.first)));
        let rarest = named().min_by_key(|it| {
            let elsewhere = it.label.and_then(|label| label.usual);
            (
                it.row.requests,
                elsewhere,
                year_of(it).is_none(),
                Reverse(it.row.last),
            )
        });
        let since = totals.since.or(first.map(|it| it.row.first));
        Self {
            requests: totals.requests,
            countries: totals.countries,
            since: since.map(time),
            recognised: named().count(),
            unrecognised: kinds.len() - named().count(),
            first: first.map(Mention::new),
            oldest: oldest.map(Mention::new),
            newest: newest.map(Mention::new),
            rarest: rarest.map(Mention::new),
            years: Years::new(weaknesses().filter_map(|it| year_of(&it))),
        }
    }
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
