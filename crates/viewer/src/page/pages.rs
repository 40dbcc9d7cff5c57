//! Renders entries as pages: the templates, and the data of the list.
//!
//! In: views and entries. Out: HTML. The template escapes; what is made here is visible text only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use forever200_identify::Category;
use jiff::Timestamp;
use minijinja::value::{Object, Serde, Value};
use minijinja::{Environment, context};

use crate::bytes::printable;
use crate::history::NotKept;
use crate::history::label_counts::LabelCounts;
use crate::page::catalogue::{Catalogue, CatalogueQuery, sizes};
use crate::page::chart::{Bar, Chart};
use crate::page::collection::known::KnownLabels;
use crate::page::detail::Detail;
use crate::page::filter::{FilterQuery, UNRECOGNISED};
use crate::page::kinds::Also;
use crate::page::row::{Row, groups, span};
use crate::page::stats::{Stats, ports};
use crate::page::templates;
use crate::reader::privacy::Privacy;
use crate::reader::{Describer, Entry, View, locations};

/// Longest search text that the page of labels repeats, in characters.
const MAX_WANTED_CHARS: usize = 80;

/// The neighbours of a request.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// The number of the next newer request that meets the filter.
    pub newer: Option<u64>,
    /// The number of the next older request that meets the filter.
    pub older: Option<u64>,
    /// The number of the request that came after its answer, on the same connection.
    pub continued_by: Option<u64>,
    /// Other requests of its source, the newest first.
    pub others: Vec<Arc<Entry>>,
    /// The request is in the ring.
    pub in_ring: bool,
}

/// A number that is true in a template if it is not 0.
#[derive(Debug, Default)]
struct Count(Arc<AtomicU64>);

impl Object for Count {
    fn is_true(self: &Arc<Self>) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// The templates, ready to render. Keeps nothing of what it renders.
pub struct Pages {
    environment: Environment<'static>,
    /// How many sensors the history has.
    sensors: Arc<Count>,
    pub(crate) describer: Arc<Describer>,
    /// The number of signatures of each category. It is cached, because all signatures must be read
    /// to count them.
    sizes: OnceLock<Vec<(Category, usize)>>,
    /// Signatures with more than one category, cached for the same reason.
    pub(super) also: OnceLock<Also>,
    /// What lists of kinds show of each label, from the signatures; cached for the same reason.
    known_labels: OnceLock<KnownLabels>,
}

impl Pages {
    /// Compiles the templates. If there is a history, pages have links to it.
    ///
    /// # Panics
    /// A template does not compile, which a test would have found.
    #[must_use]
    pub fn new(describer: Arc<Describer>, has_history: bool) -> Self {
        let mut environment = templates::environment();
        let attribution = if describer.locations.are_known() {
            locations::ATTRIBUTION
        } else {
            ""
        };
        environment.add_global("attribution", attribution);
        environment.add_global("has_history", has_history);
        environment.add_global("hidden_notice", describer.privacy.notice());
        let mut pages = Self {
            environment,
            sensors: Arc::default(),
            describer,
            sizes: OnceLock::new(),
            also: OnceLock::new(),
            known_labels: OnceLock::new(),
        };
        pages.follow_sensors(Arc::default());
        pages
    }

    /// Follows the number of sensors. While it is not 0, pages have links to the sensors, and offer
    /// to filter by them.
    pub(crate) fn follow_sensors(&mut self, sensors: Arc<AtomicU64>) {
        self.sensors = Arc::new(Count(sensors));
        let value = Value::from_dyn_object(Arc::clone(&self.sensors));
        self.environment.add_global("has_sensors", value);
    }

    /// Tells whether a list of these requests offers to filter by sensors.
    pub(super) fn shows_sensors(&self, entries: &[Arc<Entry>]) -> bool {
        self.sensors.is_true() || entries.iter().any(|entry| entry.sensor.is_some())
    }

    /// Returns the describer of requests.
    #[must_use]
    pub fn describer(&self) -> &Describer {
        &self.describer
    }

    /// Renders the list. `entries` are the requests that meet `query`; `host` is the name by which
    /// the visitor knows this machine.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn home(
        &self,
        view: &View,
        query: &FilterQuery,
        entries: &[Arc<Entry>],
        strip: &str,
        host: &str,
    ) -> anyhow::Result<String> {
        let now = Timestamp::now();
        let groups = groups(entries, now);
        // In whole seconds, so that the page stays the same within a second.
        let now = now.as_second() * 1000;
        let (total, held) = (entries.len(), view.entries.len());
        // The event stream of the page begins after this number, and so sends the requests that are
        // missing here.
        let cursor = view.complete_up_to();
        let (asked, link_beginnings) = (query.encoded(), query.link_beginnings());
        let (chips, values) = (query.chips(), query.values());
        let further = Serde(query.further());
        let (groups, chips, query) = (Serde(&groups), Serde(&chips), Serde(&values));
        let (at, span) = ("/home", "");
        let has_ports = ports(&view.entries).len() > 1;
        let shows_sensors = self.shows_sensors(&view.entries);
        self.render(
            "home.html",
            context! {
                strip, groups, total, held, cursor, query, further, asked, link_beginnings, chips,
                host, now, at, span, has_ports, shows_sensors,
            },
        )
    }

    /// Renders the strip of the list. Its links add conditions to `query`.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn strip(&self, view: &View, query: &FilterQuery) -> anyhow::Result<String> {
        self.numbers("strip.html", view, query)
    }

    /// Renders the strip of the wall, which has no links.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn wall_strip(&self, view: &View) -> anyhow::Result<String> {
        self.numbers("wall_strip.html", view, &FilterQuery::default())
    }

    fn numbers(&self, template: &str, view: &View, query: &FilterQuery) -> anyhow::Result<String> {
        let stats = Stats::new(view, Timestamp::now());
        let (hour, day) = (Chart::new(&stats.minutes), Chart::new(&stats.quarters));
        let first = stats
            .first_request_seconds
            .map(|seconds| span(seconds as i64));
        let named = stats
            .categories
            .iter()
            .map(|(category, &count)| (category.name(), count));
        let unnamed = stats.held - stats.categories.values().sum::<usize>();
        let bar = Bar::new(named.chain((unnamed > 0).then_some((UNRECOGNISED, unnamed))));
        let (stats, hour, day, bar) = (Serde(&stats), Serde(&hour), Serde(&day), Serde(&bar));
        let away = view.away.is_some();
        let (oldest, link_beginnings) = (view.oldest(), query.link_beginnings());
        let not_kept = view.history.as_ref().and_then(|it| it.not_kept.as_ref());
        let not_kept = not_kept.map(NotKept::sentence);
        self.render(
            template,
            context! { stats, hour, day, bar, first, away, oldest, link_beginnings, not_kept },
        )
    }

    /// Renders one row for the event stream. Each row is rendered once, for all watchers together.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn row(&self, entry: &Entry) -> anyhow::Result<Bytes> {
        if let Some(row) = entry.row.get() {
            return Ok(row.clone());
        }
        let row = Row::new(entry, Timestamp::now());
        let html = Bytes::from(self.render("row.html", context! { row => Serde(&row) })?);
        let _ = entry.row.set(html.clone());
        Ok(html)
    }

    /// Renders one request, with links to its neighbours.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn request(
        &self,
        entry: &Entry,
        neighbours: &Neighbours,
        query: &FilterQuery,
        host: &str,
    ) -> anyhow::Result<String> {
        let now = Timestamp::now();
        let others: Vec<_> = neighbours
            .others
            .iter()
            .map(|other| Row::new(other, now))
            .collect();
        let (row, detail) = (
            Row::new(entry, now),
            Detail::new(entry, host, &self.describer),
        );
        let (row, detail, others) = (Serde(&row), Serde(&detail), Serde(&others));
        let (asked, link_beginnings) = (query.encoded(), query.link_beginnings());
        let (layout, in_file, writing) = ("base.html", false, ());
        let Neighbours {
            newer,
            older,
            continued_by,
            in_ring,
            ..
        } = *neighbours;
        self.render(
            "request.html",
            context! {
                layout, in_file, writing, row, detail, others, newer, older, continued_by, in_ring,
                asked, link_beginnings,
            },
        )
    }

    /// Renders one request without its neighbours. `own` are further values for the template: the
    /// layout, and whether the page is for a file.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn alone(
        &self,
        entry: &Entry,
        host: &str,
        own: minijinja::Value,
    ) -> anyhow::Result<String> {
        let detail = Detail::new(entry, host, &self.describer);
        self.alone_as("request.html", entry, &detail, own)
    }

    /// Renders one request without its neighbours, from details that are already laid out.
    /// `template` is `request.html`, or a template that extends it.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn alone_as(
        &self,
        template: &str,
        entry: &Entry,
        detail: &Detail<'_>,
        own: minijinja::Value,
    ) -> anyhow::Result<String> {
        let row = Row::new(entry, Timestamp::now());
        let (row, detail) = (Serde(&row), Serde(detail));
        let none = ();
        let context = context! {
            row, detail,
            others => none, newer => none, older => none, continued_by => none, in_ring => false,
            asked => "",
            link_beginnings => none, ..own
        };
        self.render(template, context)
    }

    /// Returns what the collection says about labels.
    pub(crate) fn known_labels(&self) -> &KnownLabels {
        self.known_labels
            .get_or_init(|| KnownLabels::new(&self.describer.labeller))
    }

    /// Renders the labels that meet the query or, if it is empty, those in the ring, with their
    /// counts in the ring and in the history.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn labels(
        &self,
        view: &View,
        counts: &LabelCounts,
        query: &CatalogueQuery,
    ) -> anyhow::Result<String> {
        let signatures = || self.describer.labeller.signatures();
        let catalogue = if query.is_empty() {
            Catalogue::of_ring(view, counts)
        } else {
            Catalogue::of_query(signatures(), query, view, counts)
        };
        let sizes = self.sizes.get_or_init(|| sizes(signatures()));
        let (total, held) = (signatures().len(), view.entries.len());
        let wanted = printable::line(query.q.as_bytes(), MAX_WANTED_CHARS);
        let (query, catalogue, sizes) = (Serde(query), Serde(&catalogue), Serde(sizes));
        self.render(
            "labels.html",
            context! { query, catalogue, sizes, total, held, wanted },
        )
    }

    /// Renders a page with one message, usually an error.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn message(&self, title: &str, text: &str, refresh: bool) -> anyhow::Result<String> {
        self.render("message.html", context! { title, text, refresh })
    }

    /// Returns what must be hidden.
    #[must_use]
    pub(crate) fn privacy(&self) -> &Privacy {
        &self.describer.privacy
    }

    /// Renders any template.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn render(
        &self,
        template: &str,
        context: minijinja::Value,
    ) -> anyhow::Result<String> {
        Ok(self.environment.get_template(template)?.render(context)?)
    }
}
