//! The templates, and the filters and values that they use.
//!
//! Numbers, times and addresses are formatted here, so that no template cuts one out of a text.

use forever200_identify::{Category, Protocol, cve_record};
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use crate::digits::grouped;
use crate::page::assets;
use crate::page::filter::{UNRECOGNISED, host_value};

/// Names end in .html, which turns escaping on.
const TEMPLATES: [(&str, &str); 26] = [
    ("base.html", include_str!("../../templates/base.html")),
    ("home.html", include_str!("../../templates/home.html")),
    ("filter.html", include_str!("../../templates/filter.html")),
    ("history.html", include_str!("../../templates/history.html")),
    ("refused.html", include_str!("../../templates/refused.html")),
    ("strip.html", include_str!("../../templates/strip.html")),
    ("row.html", include_str!("../../templates/row.html")),
    ("request.html", include_str!("../../templates/request.html")),
    ("explain.html", include_str!("../../templates/explain.html")),
    ("file.html", include_str!("../../templates/file.html")),
    (
        "file_head.html",
        include_str!("../../templates/file_head.html"),
    ),
    ("export.html", include_str!("../../templates/export.html")),
    (
        "export_request.html",
        include_str!("../../templates/export_request.html"),
    ),
    (
        "export_end.html",
        include_str!("../../templates/export_end.html"),
    ),
    ("footer.html", include_str!("../../templates/footer.html")),
    ("labels.html", include_str!("../../templates/labels.html")),
    (
        "collection.html",
        include_str!("../../templates/collection.html"),
    ),
    ("kind.html", include_str!("../../templates/kind.html")),
    ("message.html", include_str!("../../templates/message.html")),
    ("wall.html", include_str!("../../templates/wall.html")),
    (
        "wall_row.html",
        include_str!("../../templates/wall_row.html"),
    ),
    (
        "wall_strip.html",
        include_str!("../../templates/wall_strip.html"),
    ),
    ("sources.html", include_str!("../../templates/sources.html")),
    ("sensors.html", include_str!("../../templates/sensors.html")),
    ("source.html", include_str!("../../templates/source.html")),
    ("macros.html", include_str!("../../templates/macros.html")),
];

/// Compiles the templates.
///
/// # Panics
/// A template does not compile, which a test would have found.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in TEMPLATES {
        environment
            .add_template(name, source)
            .expect("the templates compile");
    }
    environment.add_filter("grouped", grouped);
    environment.add_filter("milliseconds", milliseconds);
    environment.add_filter("utc", utc);
    environment.add_filter("host_value", |name: &str| host_value(name));
    environment.add_filter("cve_record", |cve: &str| cve_record(cve));
    for (name, file, content) in [
        ("style", "style.css", assets::STYLE),
        ("script", "script.js", assets::SCRIPT),
        ("live_script", "live.js", assets::LIVE_SCRIPT),
        ("list_script", "list.js", assets::LIST_SCRIPT),
        ("wall_style", "wall.css", assets::WALL_STYLE),
        ("wall_script", "wall.js", assets::WALL_SCRIPT),
        ("icon", "icon.svg", assets::ICON),
    ] {
        environment.add_global(name, assets::address(file, content));
    }
    environment.add_global("protocols", Serde(Protocol::ALL));
    let mut categories = Category::ALL.map(Category::name).to_vec();
    categories.push(UNRECOGNISED);
    environment.add_global("categories", categories);
    environment
}

/// Returns a time for the `datetime` of an element. HTML allows no digits after the milliseconds.
fn milliseconds(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => format!("{time:.3}"),
        Err(_) => time.to_owned(),
    }
}

/// Returns a time in UTC for people. `form` is the smallest unit: `day`, `minute`, `second` or
/// `microsecond`; `time_of_day` is the hour and the minute without the day.
fn utc(time: &str, form: &str) -> String {
    let Ok(time) = time.parse::<Timestamp>() else {
        return time.to_owned();
    };
    let format = match form {
        "day" => "%Y-%m-%d",
        "minute" => "%Y-%m-%d %H:%M",
        "second" => "%Y-%m-%d %H:%M:%S",
        "time_of_day" => "%H:%M",
        _ => "%Y-%m-%d %H:%M:%S%.6f",
    };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_and_not_rounded() {
        let time = "2031-05-04T03:02:59.999999Z";
        assert_eq!(milliseconds(time), "2031-05-04T03:02:59.999Z");
        for (form, text) in [
            ("day", "2031-05-04"),
            ("minute", "2031-05-04 03:02"),
            ("second", "2031-05-04 03:02:59"),
            ("microsecond", "2031-05-04 03:02:59.999999"),
            ("time_of_day", "03:02"),
        ] {
            assert_eq!(utc(time, form), text, "{form}");
        }
    }

    #[test]
    fn what_is_no_time_stays_what_it_is() {
        assert_eq!(milliseconds(""), "");
        assert_eq!(utc("soon", "day"), "soon");
    }
}
