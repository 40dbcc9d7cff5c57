//! Answers that are made once for many visitors. Only the last answer of each sort is kept. Its key
//! is the version of the view or the time for which it was made, or both.
//!
//! In: a view. Out: an answer, kept from before or made now. Besides these, each entry keeps its
//! row and, if it is short, its JSON. A page of 101 rows has some 100 kB, `HOME_BYTES` at most. The
//! list of the API has at most `WHOLE_LIST_BYTES`. The page of labels has 100 kB, and its counts
//! have as much. The strip has some kB. No lock is held while an answer is made, so two visitors
//! who find no answer at the same time both make it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;

use crate::history::label_counts::LabelCounts;
use crate::page::assets;
use crate::page::catalogue::CatalogueQuery;
use crate::page::filter::FilterQuery;
use crate::page::pages::Pages;
use crate::page::wall::Rarity;
use crate::reader::View;
use crate::web::failure::Failure;
use crate::web::prepared::Prepared;

/// How old the counts on the page of labels may be, in seconds. The page has thousands of lines,
/// and most of them do not change.
const LABELS_SECONDS: i64 = 5;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The last answer of each sort.
pub(crate) struct Caches {
    /// Files of the pages, by name. Links to them have a hash of the content, so that browsers may
    /// keep them.
    assets: [(&'static str, Prepared); 7],
    /// The strip of the list, by version of the view and by second, because it shows ages in
    /// seconds.
    strip: Latest<(u64, i64), Bytes>,
    /// The strip of the wall, by version of the view and by second.
    wall_strip: Latest<(u64, i64), Bytes>,
    /// How rare each request is, by version of the view.
    rarity: Latest<u64, Arc<Rarity>>,
    /// The page `/home` without a query, by version of the view and by second.
    home: Latest<(u64, i64), Arc<Prepared>>,
    /// The list of the API without a query, by version of the view, if it is short.
    pub(crate) list: Latest<u64, Arc<Prepared>>,
    /// The page of labels without a query, by [`labels_key`].
    labels: Latest<i64, Arc<Prepared>>,
    /// The counts of the history by label, by [`labels_key`].
    pub(super) label_counts: Latest<i64, Arc<LabelCounts>>,
}

impl Default for Caches {
    /// Returns caches that hold only the assets.
    fn default() -> Self {
        Self {
            assets: [
                asset("style.css", CSS, assets::STYLE),
                asset("script.js", JAVASCRIPT, assets::SCRIPT),
                asset("live.js", JAVASCRIPT, assets::LIVE_SCRIPT),
                asset("list.js", JAVASCRIPT, assets::LIST_SCRIPT),
                asset("wall.css", CSS, assets::WALL_STYLE),
                asset("wall.js", JAVASCRIPT, assets::WALL_SCRIPT),
                asset("icon.svg", "image/svg+xml", assets::ICON),
            ],
            strip: Latest::default(),
            wall_strip: Latest::default(),
            rarity: Latest::default(),
            home: Latest::default(),
            list: Latest::default(),
            labels: Latest::default(),
            label_counts: Latest::default(),
        }
    }
}

fn asset(
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
) -> (&'static str, Prepared) {
    let content = Bytes::from_static(content.as_bytes());
    (name, Prepared::new(content_type, content))
}

impl Caches {
    /// Returns an asset.
    #[must_use]
    pub(crate) fn asset(&self, file: &str) -> Option<&Prepared> {
        for (name, asset) in &self.assets {
            if *name == file {
                return Some(asset);
            }
        }
        None
    }

    /// Returns the strip of the list without a filter.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn strip(&self, pages: &Pages, view: &View) -> anyhow::Result<Bytes> {
        let key = (view.version, Timestamp::now().as_second());
        let query = FilterQuery::default();
        self.strip
            .get(key, || Ok(pages.strip(view, &query)?.into()))
    }

    /// Returns the strip of the wall.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn wall_strip(&self, pages: &Pages, view: &View) -> anyhow::Result<Bytes> {
        let key = (view.version, Timestamp::now().as_second());
        self.wall_strip
            .get(key, || Ok(pages.wall_strip(view)?.into()))
    }

    /// Returns how rare each request of a view is.
    pub(crate) fn rarity(&self, view: &View) -> Arc<Rarity> {
        let count = || Ok::<_, Infallible>(Arc::new(Rarity::new(view)));
        let Ok(rarity) = self.rarity.get(view.version, count);
        rarity
    }

    /// Returns the page `/home`. If there are no requests, the page is made for each visitor,
    /// because it shows `host`.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn home(
        &self,
        pages: &Pages,
        view: &View,
        host: &str,
    ) -> Result<Arc<Prepared>, Failure> {
        let render = || {
            let strip = self.strip(pages, view)?;
            let query = FilterQuery::default();
            let html = pages.home(view, &query, &view.entries, &text(&strip), host)?;
            Ok(Arc::new(Prepared::html(html)))
        };
        if view.entries.is_empty() {
            return render();
        }
        self.home
            .get((view.version, Timestamp::now().as_second()), render)
    }

    /// Returns the page of labels, whose counts may be some seconds old.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn labels(
        &self,
        pages: &Pages,
        view: &View,
        counts: &LabelCounts,
    ) -> Result<Arc<Prepared>, Failure> {
        self.labels.get(labels_key(), || {
            let html = pages.labels(view, counts, &CatalogueQuery::default())?;
            Ok(Arc::new(Prepared::html(html)))
        })
    }
}

/// Returns the number of the current span of time, within which the page of labels and its counts
/// stay the same.
pub(super) fn labels_key() -> i64 {
    Timestamp::now().as_second() / LABELS_SECONDS
}

/// Returns the HTML as text. A template writes only UTF-8, so nothing is replaced.
fn text(html: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(html)
}

/// The last value, with the key from which it was made.
#[derive(Debug)]
pub(crate) struct Latest<K, V>(Mutex<Option<(K, V)>>);

impl<K: PartialEq, V: Clone> Latest<K, V> {
    /// Returns the value for `key`: the last one, or what `make` makes.
    ///
    /// # Errors
    /// `make` failed.
    pub(crate) fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(kept) = self.find(&key) {
            return Ok(kept);
        }
        let value = make()?;
        self.keep(key, value.clone());
        Ok(value)
    }

    /// Returns the value for `key`, if that is the last one.
    pub(crate) fn find(&self, key: &K) -> Option<V> {
        self.last()
            .as_ref()
            .filter(|(made_from, _)| made_from == key)
            .map(|(_, it)| it.clone())
    }

    /// Keeps a value in place of the last one.
    pub(crate) fn keep(&self, key: K, value: V) {
        *self.last() = Some((key, value));
    }

    fn last(&self) -> MutexGuard<'_, Option<(K, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_for_a_key() {
        let (latest, mut made) = (Latest::default(), 0);
        let mut get = |key: &str| {
            let make = || {
                made += 1;
                Ok::<_, ()>(made)
            };
            latest.get(key.to_owned(), make)
        };
        assert_eq!(
            [get("a"), get("a"), get("b"), get("a")],
            [Ok(1), Ok(1), Ok(2), Ok(3)]
        );
        assert_eq!(latest.get("c".to_owned(), || Err("no")), Err("no"));
        latest.keep("d".to_owned(), 9);
        assert_eq!(
            (latest.find(&"d".to_owned()), latest.find(&"e".to_owned())),
            (Some(9), None)
        );
    }
}
