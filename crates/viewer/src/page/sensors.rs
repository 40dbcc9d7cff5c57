//! The machines that send what they record, to a page and to JSON.
//!
//! In: what the history says of them. Out: the same as it may be shown: names and versions are what other machines say.

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};

use crate::export::json;
use crate::history::sensors::{AllSensors, PAGE_SENSORS, SensorRow, Sort};
use crate::page::pages::Pages;
use crate::page::row::span;
use crate::reader::privacy::Privacy;
use crate::reader::sensor::{shown_name, shown_version};

/// After this time without a request a sensor is counted as silent, in seconds. Strangers come more often to an address of
/// the internet.
pub(crate) const SILENT_SECONDS: i64 = 60 * 60;
/// Pages that can be asked for. What is behind them is in the file.
const MOST_PAGES: u64 = 1000;
/// The orders, by name.
const SORTS: [(&str, Sort); 4] = [
    ("silent", Sort::Silent),
    ("often", Sort::Often),
    ("missing", Sort::Missing),
    ("name", Sort::Name),
];

/// What a visitor asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SensorsQuery {
    /// `silent`, `often`, `missing` or `name`.
    sort: String,
    page: Option<u64>,
}

/// A page of the sensors. Its JSON is that of `/home/api/sensors`.
#[derive(Debug, Serialize)]
struct List {
    /// How many there are.
    total: u64,
    /// Those of which nothing was heard for an hour.
    silent: u64,
    requests: u64,
    missing: u64,
    sort: &'static str,
    page: u64,
    pages: u64,
    sensors: Vec<ShownSensor>,
}

/// A sensor, as it may be shown.
#[derive(Debug, Serialize)]
struct ShownSensor {
    sensor: String,
    version: String,
    requests: u64,
    missing: u64,
    /// When the last of its requests was written here: RFC 3339, microseconds.
    heard: String,
    silent_seconds: u64,
    /// Times of its first and its last request.
    first: String,
    last: String,
}

/// A sensor in the template, with what only people read.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    sensor: &'a ShownSensor,
    silent_for: String,
    is_silent: bool,
}

impl SensorsQuery {
    /// Reads what is asked for: the order, and the page.
    ///
    /// # Errors
    /// A value is none; the error is a sentence for the visitor.
    pub(crate) fn wanted(&self) -> Result<(Sort, u64), String> {
        let page = self.page.unwrap_or(1);
        if !(1..=MOST_PAGES).contains(&page) {
            return Err(format!("page: expected a number from 1 to {MOST_PAGES}"));
        }
        let name = self.sort.trim();
        if name.is_empty() {
            return Ok((Sort::default(), page));
        }
        let mut sorts = SORTS.iter();
        let known = sorts.find(|(known, _)| *known == name);
        known
            .map(|(_, sort)| (*sort, page))
            .ok_or_else(|| "sort: expected silent, often, missing or name".to_owned())
    }
}

impl Pages {
    /// Renders a page of the sensors.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn sensors(&self, page: &SensorsPage) -> anyhow::Result<String> {
        let list = page.list(self.privacy());
        let lines: Vec<_> = list.sensors.iter().map(Line::new).collect();
        let (list, lines) = (Serde(&list), Serde(&lines));
        self.render("sensors.html", context! { list, lines })
    }

    /// Returns a page of the sensors as JSON.
    #[must_use]
    pub(crate) fn sensors_json(&self, page: &SensorsPage) -> String {
        json::to_string(&page.list(self.privacy()))
    }
}

/// What the history has of a page of the sensors.
#[derive(Debug)]
pub(crate) struct SensorsPage {
    pub(crate) sort: Sort,
    pub(crate) page: u64,
    pub(crate) rows: Vec<SensorRow>,
    pub(crate) all: AllSensors,
    pub(crate) now: Timestamp,
}

impl SensorsPage {
    fn list(&self, privacy: &Privacy) -> List {
        let sort = SORTS.iter().find(|(_, sort)| *sort == self.sort);
        let shown = self.rows.iter();
        List {
            total: self.all.sensors,
            silent: self.all.silent,
            requests: self.all.requests,
            missing: self.all.missing,
            sort: sort.map_or("silent", |(name, _)| name),
            page: self.page,
            pages: self.all.sensors.div_ceil(PAGE_SENSORS).clamp(1, MOST_PAGES),
            sensors: shown
                .filter_map(|row| ShownSensor::new(row, self.now, privacy))
                .collect(),
        }
    }
}

impl ShownSensor {
    /// Lays out a sensor; `None` where its name is none.
    fn new(row: &SensorRow, now: Timestamp, privacy: &Privacy) -> Option<Self> {
        let silent = now.as_second().saturating_sub(row.heard.as_second());
        Some(Self {
            sensor: shown_name(&row.name, privacy)?,
            version: shown_version(&row.version, privacy),
            requests: row.requests,
            missing: row.missing,
            heard: format!("{:.6}", row.heard),
            silent_seconds: u64::try_from(silent).unwrap_or_default(),
            first: format!("{:.6}", row.first),
            last: format!("{:.6}", row.last),
        })
    }
}

impl<'a> Line<'a> {
    fn new(sensor: &'a ShownSensor) -> Self {
        let seconds = i64::try_from(sensor.silent_seconds).unwrap_or(i64::MAX);
        Self {
            silent_for: span(seconds),
            is_silent: seconds >= SILENT_SECONDS,
            sensor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_and_a_page_are_asked_for_by_name_and_number() {
        let wanted = |sort: &str, page| {
            let sort = sort.to_owned();
            SensorsQuery { sort, page }.wanted()
        };
        assert_eq!(wanted("", None), Ok((Sort::Silent, 1)));
        assert_eq!(wanted("missing", Some(3)), Ok((Sort::Missing, 3)));
        assert!(wanted("x", None).unwrap_err().starts_with("sort: expected"));
        for page in [0, MOST_PAGES + 1, u64::MAX] {
            let error = wanted("", Some(page)).unwrap_err();
            assert!(error.starts_with("page: expected"), "{error}");
        }
    }
}
