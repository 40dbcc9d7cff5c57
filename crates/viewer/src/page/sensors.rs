//! The sensors of a hub, as a page and as JSON.
//!
//! In: the sensors from the history. Out: the sensors as they may be shown. Their names and
//! versions come from other machines.

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
use crate::rfc3339;

/// Time in seconds after which a sensor counts as silent, if neither a request nor a heartbeat of
/// it has come. A public address gets requests more often than that.
pub(crate) const UNHEARD_SECONDS: i64 = 10 * 60;
/// Most pages that can be asked for. Further sensors are only in the SQLite file.
const MOST_PAGES: u64 = 1000;
/// The orders, by name.
const SORTS: [(&str, Sort); 4] = [
    ("silent", Sort::Silent),
    ("often", Sort::Often),
    ("missing", Sort::Missing),
    ("name", Sort::Name),
];

/// The parameters of the page.
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
    /// How many sensors there are.
    total: u64,
    /// How many of them were not heard for ten minutes.
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
    /// When its last request was written here, or when it last said that it runs (RFC 3339,
    /// microseconds).
    heard: String,
    silent_seconds: u64,
    /// Times of its first and its last request.
    first: String,
    last: String,
}

/// A sensor in the template, with texts that are only for people.
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
    /// A value cannot be read; the error is a sentence for the visitor.
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

/// A page of the sensors, as the history has it.
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
    /// Lays out a sensor; `None` if its name is not valid.
    fn new(row: &SensorRow, now: Timestamp, privacy: &Privacy) -> Option<Self> {
        let silent = now.as_second().saturating_sub(row.heard.as_second());
        Some(Self {
            sensor: shown_name(&row.name, privacy)?,
            version: shown_version(&row.version, privacy),
            requests: row.requests,
            missing: row.missing,
            heard: rfc3339::micros(row.heard),
            silent_seconds: u64::try_from(silent).unwrap_or_default(),
            first: rfc3339::micros(row.first),
            last: rfc3339::micros(row.last),
        })
    }
}

impl<'a> Line<'a> {
    fn new(sensor: &'a ShownSensor) -> Self {
        let seconds = i64::try_from(sensor.silent_seconds).unwrap_or(i64::MAX);
        Self {
            silent_for: span(seconds),
            is_silent: seconds >= UNHEARD_SECONDS,
            sensor,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bytes::printable::is_visible;
    use crate::reader::entry::tests::describer;

    fn pages(privacy: Privacy) -> Pages {
        Pages::new(Arc::new(describer(privacy)), true)
    }

    fn row(name: &str, version: &str) -> SensorRow {
        SensorRow {
            name: name.to_owned(),
            version: version.to_owned(),
            requests: 1234,
            missing: 5,
            heard: Timestamp::from_second(1_800_000_000).unwrap(),
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
        }
    }

    fn page(rows: Vec<SensorRow>) -> SensorsPage {
        SensorsPage {
            sort: Sort::Silent,
            page: 1,
            all: AllSensors {
                sensors: 1000,
                silent: 12,
                requests: 123_456,
                missing: 5,
            },
            rows,
            now: Timestamp::from_second(1_800_007_200).unwrap(),
        }
    }

    #[test]
    fn a_sensor_has_a_row_with_how_long_it_is_silent() {
        let (pages, page) = (
            pages(Privacy::default()),
            page(vec![row("berlin-1", "0.1.0")]),
        );
        let html = pages.sensors(&page).unwrap();
        for text in [
            "<b>1,000</b> machines send here",
            "<b>12</b> for ten minutes",
            "/home/history?sensor=berlin-1\"",
            "<b>2 h</b>",
            "<span class=\"second zoned\">",
            "page 1 of 5",
            "sort=silent&amp;page=2",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        let json: serde_json::Value = serde_json::from_str(&pages.sensors_json(&page)).unwrap();
        let sensor = &json["sensors"][0];
        assert_eq!(sensor["silent_seconds"], 7200);
        assert_eq!((&json["pages"], &json["total"]), (&5.into(), &1000.into()));
        let nothing = SensorsPage {
            all: AllSensors::default(),
            ..super::tests::page(Vec::new())
        };
        let html = pages.sensors(&nothing).unwrap();
        assert!(
            html.contains("No other machine sends anything here"),
            "{html}"
        );
    }

    #[test]
    fn what_a_sensor_says_of_itself_does_nothing_to_the_page() {
        let odd = "<script>\u{202e}\u{9b}31m\"".repeat(9);
        let page = page(vec![
            row("berlin-1", &odd),
            row("<b>", "1"),
            row("../x", "1"),
        ]);
        let hidden = Privacy {
            hidden: "berlin".parse().unwrap(),
            ..Privacy::default()
        };
        for (privacy, name) in [(Privacy::default(), "berlin-1"), (hidden, "hidden")] {
            let pages = pages(privacy);
            for answer in [pages.sensors(&page).unwrap(), pages.sensors_json(&page)] {
                assert!(answer.contains(name), "{answer}");
                assert!(
                    answer.chars().all(|it| it == '\n' || is_visible(it)),
                    "{answer}"
                );
                assert!(
                    !answer.contains("<b>\"") && !answer.contains("../x"),
                    "{answer}"
                );
            }
            let html = pages.sensors(&page).unwrap();
            assert!(!html.contains("<script>"), "{html}");
            assert_eq!(html.contains("berlin"), name == "berlin-1", "{html}");
        }
    }

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
