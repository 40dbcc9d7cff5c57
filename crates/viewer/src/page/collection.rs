//! The collection: one row for each kind that was ever seen.
//!
//! In: rows of the history, and a query. Out: a page of kinds as they may be shown, and an overview
//! of all kinds. Titles, CVE numbers and years come from the labels as they are now. A kind whose
//! label is gone keeps its title. If a title names something hidden, the kind is not shown at all.
//! If a title may have been truncated within something hidden, the kind is shown without its title.

use std::collections::BTreeMap;

use forever200_identify::Category;
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use crate::bytes::printable;
use crate::history::kinds::{Countries, KindRow, Totals};
use crate::history::sensors::SeenBy;
use crate::page::collection::choice::{Candidate, Choice, Sort};
use crate::page::collection::known::KnownLabels;
use crate::page::collection::overview::Overview;
use crate::page::filter::FilterQuery;
use crate::page::pages::Pages;
use crate::reader::privacy::TitleShown;
use crate::rfc3339;

pub(crate) mod choice;
pub(crate) mod known;
mod overview;
pub(crate) mod usual;
mod years;

/// Kinds on one page: 80 kB of HTML.
const PAGE_KINDS: usize = 100;
/// Longest title, in characters. The title of a signature is shorter.
const MAX_TITLE_CHARS: usize = 120;
/// How long a kind is new, in microseconds.
const NEW_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// A page of the collection. Its JSON is that of `/home/api/collection`.
#[derive(Debug, Serialize)]
pub(crate) struct Collection {
    #[serde(flatten)]
    overview: Overview,
    /// How many kinds meet the conditions.
    matching: usize,
    /// How many of these kinds have no label.
    matching_unrecognised: usize,
    sort: Sort,
    page: usize,
    pages: usize,
    kinds: Vec<ShownKind>,
}

/// A kind, as it may be shown.
#[derive(Debug, Serialize)]
pub(crate) struct ShownKind {
    #[serde(skip)]
    id: i64,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) category: Option<Category>,
    also: Vec<Category>,
    cve: Vec<String>,
    /// When the weakness became known.
    year: Option<u16>,
    requests: u64,
    sources: u64,
    countries: Vec<String>,
    more_countries: u64,
    /// How many of the sensors saw it; null if there are no sensors.
    seen_by: Option<SeenBy>,
    /// RFC 3339, microseconds.
    pub(crate) first: String,
    last: String,
    /// Number of the specimen.
    specimen: u64,
    /// It has a label, or had one.
    pub(crate) is_recognised: bool,
    /// It was seen for the first time within the last day.
    is_new: bool,
    /// In how many published logs it is.
    pub(crate) usual: Option<u8>,
    /// What the number of logs means, in words.
    pub(crate) elsewhere: Option<&'static str>,
}

impl Collection {
    /// Chooses and orders kinds, and takes the page that is asked for.
    pub(crate) fn new(
        rows: &[KindRow],
        totals: &Totals,
        choice: &Choice,
        pages: &Pages,
        now: Timestamp,
    ) -> Self {
        let all: Vec<Candidate<'_>> = candidates(rows, pages.known_labels()).collect();
        let mut chosen: Vec<Candidate<'_>> = Vec::with_capacity(all.len());
        chosen.extend(all.iter().filter(|kind| choice.is_met_by(kind)));
        choice.sort.apply(&mut chosen);
        let last_page = chosen.len().div_ceil(PAGE_KINDS).max(1);
        let page = choice.page.clamp(1, last_page);
        let here = chosen.iter().skip((page - 1) * PAGE_KINDS).take(PAGE_KINDS);
        let unlabelled = chosen.iter().filter(|it| it.row.category.is_none());
        Self {
            overview: Overview::new(&all, totals),
            matching: chosen.len(),
            matching_unrecognised: unlabelled.count(),
            sort: choice.sort,
            page,
            pages: last_page,
            kinds: here.map(|kind| ShownKind::new(kind, now)).collect(),
        }
    }

    /// Returns the row ids of the kinds on this page.
    pub(crate) fn rows(&self) -> Vec<i64> {
        self.kinds.iter().map(|kind| kind.id).collect()
    }

    /// Adds how many of the sensors saw each kind on this page.
    pub(crate) fn add_sensors(&mut self, seen_by: &BTreeMap<i64, SeenBy>) {
        for kind in &mut self.kinds {
            kind.add_sensors(seen_by.get(&kind.id).copied());
        }
    }

    /// Adds the countries from which the kinds on this page came.
    pub(crate) fn add_countries(&mut self, mut countries: BTreeMap<i64, Countries>) {
        for kind in &mut self.kinds {
            let found = countries.remove(&kind.id).unwrap_or_default();
            kind.add_countries(found);
        }
    }
}

impl ShownKind {
    /// Lays out a kind. `now` decides whether it is new.
    pub(crate) fn new(kind: &Candidate<'_>, now: Timestamp) -> Self {
        let (row, label) = (kind.row, kind.label);
        let cve = label.iter().flat_map(|it| it.cve.iter());
        let usual = label.and_then(|it| it.usual);
        Self {
            id: row.id,
            kind: row.name.clone(),
            title: title(kind),
            category: kind.category(),
            also: label.map(|it| it.also.to_vec()).unwrap_or_default(),
            cve: cve.map(|cve| cve.to_string()).collect(),
            year: label.and_then(|it| it.year),
            requests: row.requests,
            sources: row.sources,
            countries: Vec::new(),
            more_countries: 0,
            seen_by: None,
            first: time(row.first),
            last: time(row.last),
            specimen: row.seq,
            is_recognised: row.category.is_some(),
            is_new: row.first > now.as_microsecond() - NEW_MICROS,
            usual,
            elsewhere: usual::elsewhere(usual),
        }
    }

    /// Adds how many of the sensors saw the kind.
    pub(crate) fn add_sensors(&mut self, seen_by: Option<SeenBy>) {
        self.seen_by = seen_by;
    }

    /// Adds the countries from which the kind came.
    pub(crate) fn add_countries(&mut self, countries: Countries) {
        self.more_countries = countries.all.saturating_sub(countries.codes.len() as u64);
        self.countries = countries.codes;
    }
}

/// Returns the kinds that may be shown, each with what is known of its label.
pub(crate) fn candidates<'a>(
    rows: &'a [KindRow],
    labels: &'a KnownLabels,
) -> impl Iterator<Item = Candidate<'a>> {
    let shown = rows
        .iter()
        .filter(|row| row.title_shown != TitleShown::Named);
    let candidate = |row: &'a KindRow| Candidate {
        row,
        // The name of a shape may by chance be the id of somebody's own label.
        label: labels.find(&row.name).filter(|_| row.category.is_some()),
    };
    shown.map(candidate)
}

/// Returns the title of a kind as visible text, because somebody may have changed it in the file.
fn title(kind: &Candidate<'_>) -> String {
    match printable::line(kind.title().as_bytes(), MAX_TITLE_CHARS) {
        empty if empty.is_empty() => "(nothing that can be shown)".to_owned(),
        title => title,
    }
}

/// Returns a time of the file as RFC 3339 with microseconds; the beginning of 1970 if the calendar
/// does not reach that far.
pub(crate) fn time(micros: i64) -> String {
    rfc3339::micros(Timestamp::from_microsecond(micros).unwrap_or_default())
}

impl Pages {
    /// Renders a page of the collection. `query` is what the visitor asked for.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn collection(
        &self,
        collection: &Collection,
        query: &FilterQuery,
    ) -> anyhow::Result<String> {
        let asked = query.encoded();
        let (chips, values) = (query.chips(), query.values());
        let further = Serde(query.further());
        let sorts = Sort::ALL.map(Sort::name);
        let sensors = collection.kinds.iter().find_map(|kind| kind.seen_by);
        let sensors = sensors.map_or(0, |seen_by| seen_by.of);
        let years = Serde(&collection.overview.years);
        let (collection, chips, query) = (Serde(collection), Serde(&chips), Serde(&values));
        self.render(
            "collection.html",
            context! { collection, sensors, years, query, further, asked, chips, sorts },
        )
    }
}

#[cfg(test)]
mod tests;
