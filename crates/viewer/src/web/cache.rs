//! All that is made once for many: each by what it was made from, one of each kind.
//!
//! In: a view. Out: what was made of it for whoever asked before, or made now. Beside these, each
//! entry keeps its row and, where that is short, its JSON. Bounds: a page of 101 rows has some 100
//! kB, `HOME_BYTES` at most; the list of the API `WHOLE_LIST_BYTES`; the labels 100 kB, and their
//! counts as much; the strip some kB. Nobody waits here for anybody: two who find nothing at the
//! same time both make it.

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

/// How long the counts beside the labels may be old, in seconds: the page has thousands of lines,
/// most of which stay.
const LABELS_SECONDS: i64 = 5;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What was made last, of each kind.
pub(crate) struct Caches {
    /// By name. An address has a hash of what is there, so that browsers may keep it.
    assets: [(&'static str, Prepared); 7],
    /// The numbers at the top of the list: by version of the view and second, as ages are in
    /// seconds.
    strip: Latest<(u64, i64), Bytes>,
    wall_strip: Latest<(u64, i64), Bytes>,
    /// How rare each request is, by version of the view.
    rarity: Latest<u64, Arc<Rarity>>,
    /// The whole list.
    home: Latest<(u64, i64), Arc<Prepared>>,
    /// The whole list of the API, by version of the view; those that are short.
    pub(crate) list: Latest<u64, Arc<Prepared>>,
    labels: Latest<i64, Arc<Prepared>>,
    /// What the history counts by label.
    pub(super) label_counts: Latest<i64, Arc<LabelCounts>>,
}

impl Default for Caches {
    /// Holds the assets, and nothing else yet.
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

    /// Returns the numbers at the top of the whole list.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn strip(&self, pages: &Pages, view: &View) -> anyhow::Result<Bytes> {
        let key = (view.version, Timestamp::now().as_second());
        let query = FilterQuery::default();
        self.strip
            .get(key, || Ok(pages.strip(view, &query)?.into()))
    }

    /// Returns the numbers at the top of the wall.
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

    /// Returns the whole list. That there is nothing in it is said to each visitor with `host`, the
    /// name by which they know this machine.
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

/// Names the span of time in which the page of labels, and what it counts, stay the same.
pub(super) fn labels_key() -> i64 {
    Timestamp::now().as_second() / LABELS_SECONDS
}

/// What a template made is text.
fn text(html: &Bytes) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(html)
}

/// The last value, with what it was made from.
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
