//! Entries to pages: the templates, and what the list is given.
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

/// Longest text that the page of labels says was searched for, in characters.
const MAX_WANTED_CHARS: usize = 80;

/// What stands around a request.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// The next newer and the next older of those that the visitor asks for.
    pub newer: Option<u64>,
    /// See `newer`.
    pub older: Option<u64>,
    /// The one that came after its answer, on the same connection.
    pub continued_by: Option<u64>,
    /// Others of its source, the newest first.
    pub others: Vec<Arc<Entry>>,
    /// The page of the last requests has it.
    pub in_ring: bool,
}

/// A number that is true in a template where it is not 0.
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
    /// The number of signatures of each category: to count them, all have to be read.
    sizes: OnceLock<Vec<(Category, usize)>>,
    /// Signatures that are of more than one category.
    pub(super) also: OnceLock<Also>,
    /// What the collection says of labels; the same.
    known_labels: OnceLock<KnownLabels>,
}

impl Pages {
    /// Compiles the templates. Pages lead to the history where there is one.
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
        environment.add_global("notice", describer.privacy.notice());
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

    /// Pages lead to the sensors, and offer to filter by them, as long as this number is not 0.
    pub(crate) fn follow_sensors(&mut self, sensors: Arc<AtomicU64>) {
        self.sensors = Arc::new(Count(sensors));
        let value = Value::from_dyn_object(Arc::clone(&self.sensors));
        self.environment.add_global("has_sensors", value);
    }

    /// Tells whether a list of these requests offers to filter by sensors.
    pub(super) fn shows_sensors(&self, entries: &[Arc<Entry>]) -> bool {
        self.sensors.is_true() || entries.iter().any(|entry| entry.sensor.is_some())
    }

    /// Returns what describes requests.
    #[must_use]
    pub fn describer(&self) -> &Describer {
        &self.describer
    }

    /// Renders the list. `query` is what the visitor asked for, `entries` what meets it; `host` is
    /// the name by which the visitor knows this machine.
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
        // Within a second, the page stays the same.
        let now = now.as_second() * 1000;
        let (total, held) = (entries.len(), view.entries.len());
        // Events begin after it. Those that are missing here will be among them.
        let cursor = view.complete_up_to();
        let (asked, kept) = (query.encoded(), query.kept());
        let (chips, values) = (query.chips(), query.values());
        let further = Serde(query.further());
        let (groups, chips, query) = (Serde(&groups), Serde(&chips), Serde(&values));
        let (at, span) = ("/home", "");
        let has_ports = ports(&view.entries).len() > 1;
        let shows_sensors = self.shows_sensors(&view.entries);
        self.render(
            "home.html",
            context! {
                strip, groups, total, held, cursor, query, further, asked, kept, chips, host, now, at,
                span, has_ports, shows_sensors,
            },
        )
    }

    /// Renders the numbers at the top of the list. Its links narrow what the visitor asked for with
    /// `query`.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn strip(&self, view: &View, query: &FilterQuery) -> anyhow::Result<String> {
        self.numbers("strip.html", view, query)
    }

    /// Renders the numbers at the top of the wall, which has no links.
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
        let (oldest, kept) = (view.oldest(), query.kept());
        let not_kept = view.history.as_ref().and_then(|it| it.not_kept.as_ref());
        let not_kept = not_kept.map(NotKept::sentence);
        self.render(
            template,
            context! { stats, hour, day, bar, first, away, oldest, kept, not_kept },
        )
    }

    /// Renders one row, for the event stream; once for all who watch.
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

    /// Renders one request, between its neighbours.
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
        let (asked, kept) = (query.encoded(), query.kept());
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
                layout, in_file, writing, row, detail, others, newer, older, continued_by, in_ring, asked, kept,
            },
        )
    }

    /// Renders one request without its neighbours. `own` says what differs: the layout, and whether
    /// it is for a file.
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

    /// The same by that template or one that extends it, with details that were laid out before.
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
            kept => none, ..own
        };
        self.render(template, context)
    }

    /// Returns what the collection says of labels.
    pub(crate) fn known_labels(&self) -> &KnownLabels {
        self.known_labels
            .get_or_init(|| KnownLabels::new(&self.describer.labeller))
    }

    /// Renders the labels that a visitor looks for, or those in the ring, with how often they are
    /// there and in the history.
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

    /// Renders a page that says one thing: an error, most often.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn message(&self, title: &str, text: &str, refresh: bool) -> anyhow::Result<String> {
        self.render("message.html", context! { title, text, refresh })
    }

    /// Returns what not to show.
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
