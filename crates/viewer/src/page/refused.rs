//! The page of a search that could not be read: the HTML form as it was filled in, and the error.
//!
//! In: the address, and the error. Out: HTML; nothing if the address has no such form. Then another
//! page shows the error.

use axum::http::Uri;
use minijinja::context;
use minijinja::value::Serde;

use crate::page::filter::FilterQuery;
use crate::page::pages::Pages;

/// Longest query string that the form repeats. Nobody types a longer one, and the page of an error
/// is made at once, without waiting for the visitor's turn (`web`).
const MAX_QUERY_BYTES: usize = 2048;

impl Pages {
    /// Renders the form of the list or of the history, with the error of the query; `None` for
    /// another address, or if the query is too long.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn refused(&self, address: &Uri, reason: &str) -> anyhow::Result<Option<String>> {
        let at = match address.path() {
            "/home" | "/home/" => "/home",
            "/home/history" => "/home/history",
            _ => return Ok(None),
        };
        let asked = address.query().unwrap_or_default();
        if asked.len() > MAX_QUERY_BYTES {
            return Ok(None);
        }
        // A query string that cannot be parsed is not repeated.
        let query: FilterQuery = serde_urlencoded::from_str(asked).unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(asked).unwrap_or_default();
        let of_name = |name: &str| pairs.iter().find(|pair| pair.0 == name);
        let value = |name: &str| of_name(name).map_or("", |pair| pair.1.as_str());
        let (since, until) = (value("since"), value("until"));
        // A reason begins with the name of the parameter.
        let wrong = reason.split(':').next().unwrap_or_default();
        let (chips, values) = (query.chips(), query.values());
        let (asked, further) = (query.encoded(), Serde(query.further()));
        let shows_sensors = self.shows_sensors(&[]);
        let (chips, query, span) = (Serde(&chips), Serde(&values), "");
        let html = self.render(
            "refused.html",
            context! {
                at, reason, wrong, since, until, query, asked, chips, further, shows_sensors, span,
            },
        )?;
        Ok(Some(html))
    }
}
