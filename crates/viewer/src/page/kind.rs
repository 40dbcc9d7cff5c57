//! The page of one kind: what it is, how usual it is, who sends it, and its specimen.
//!
//! In: the kind from the history. Out: the kind as it may be shown, with addresses that may be
//! masked, and without hidden names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use forever200_identify::Signature;
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use crate::bytes::printable;
use crate::history::found::MAX_CHARS;
use crate::history::kind::title;
use crate::history::kinds::{self, Asked, Countries, KindSource, Share, WholeKind};
use crate::history::sensors::SeenBy;
use crate::page::chart::Chart;
use crate::page::collection::{ShownKind, candidates, time, usual};
use crate::page::detail::Detail;
use crate::page::pages::Pages;
use crate::page::stats::PortCount;
use crate::reader::Entry;
use crate::reader::privacy::{Privacy, TitleShown};
use crate::rfc3339;

/// Most sources that are shown.
const MAX_SOURCES: usize = 20;
/// Most names that are shown.
const MAX_NAMES: usize = 20;
/// Longest name that is shown, in characters.
const MAX_NAME_CHARS: usize = 120;
/// Most days that the chart shows. Counts by day are kept for no longer.
const CHART_DAYS: i64 = 400;

/// A kind, as it may be shown. Its JSON is that of `/home/api/collection/{kind}`, without the
/// specimen.
#[derive(Debug, Serialize)]
pub(crate) struct KindParts {
    #[serde(flatten)]
    pub(crate) kind: ShownKind,
    product: Option<String>,
    explanation: Option<String>,
    references: Vec<String>,
    /// How usual it is here, in words.
    here: String,
    /// The basis of the words about other machines ([`ShownKind::elsewhere`]).
    grounds: Option<String>,
    /// How many sensors of the hub saw it, if this machine sends to a hub that says so.
    pub(crate) at_hub: Option<SeenBy>,
    /// Requests by day.
    days: Vec<Day>,
    sent_by: Vec<Sender>,
    networks: Vec<Network>,
    sent_from: Vec<Country>,
    asked_for: Vec<Name>,
    /// How many of the newest requests came to which port.
    ports: Vec<PortCount>,
    /// Number of the newest request, if it is still kept.
    newest: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Day {
    date: String,
    requests: u64,
}

/// A source that sent the kind: an address, or the network that is shown of it.
#[derive(Debug, Serialize)]
struct Sender {
    address: String,
    is_network: bool,
    country: Option<String>,
    asn: Option<u32>,
    as_name: Option<String>,
    requests: u64,
    first: String,
    last: String,
}

#[derive(Debug, Serialize)]
struct Network {
    asn: u32,
    as_name: Option<String>,
    requests: u64,
    sources: u64,
}

#[derive(Debug, Serialize)]
struct Country {
    country: String,
    requests: u64,
    sources: u64,
}

#[derive(Debug, Serialize)]
struct Name {
    name: String,
    requests: u64,
}

/// A kind with its specimen and its newest request.
pub(crate) struct KindPage {
    pub(crate) parts: KindParts,
    chart: Chart,
    chart_since: String,
    pub(crate) specimen: Entry,
    newest: Option<Entry>,
}

impl Pages {
    /// Lays out a kind; `None` if it must be hidden.
    pub(crate) fn kind_page(&self, whole: &WholeKind, now: Timestamp) -> Option<KindPage> {
        let describer = &self.describer;
        let rows = std::slice::from_ref(&whole.row);
        let candidate = candidates(rows, self.known_labels()).next()?;
        let signature = candidate
            .label
            .and_then(|it| it.signature(&describer.labeller));
        let specimen = Entry::new(&whole.specimen, 0, describer);
        let mut kind = ShownKind::new(&candidate, now);
        if whole.row.title_shown == TitleShown::Cut {
            kind.title = title(&specimen.summary);
        }
        let all = whole.countries.len() as u64;
        let codes = whole.countries.iter().map(|it| it.of.clone());
        kind.add_countries(Countries {
            codes: codes.collect(),
            all,
        });
        kind.add_sensors(whole.seen_by);
        let newest = match &whole.newest {
            Some(newest) if newest.seq != whole.specimen.seq => {
                Some(Entry::new(newest, 0, describer))
            }
            _ => None,
        };
        let (chart, chart_since) = chart(&whole.days, now);
        Some(KindPage {
            parts: KindParts::new(whole, kind, signature.as_deref(), &describer.privacy, now),
            chart,
            chart_since,
            specimen,
            newest,
        })
    }

    /// Renders the page of a kind. `host` is the name by which the visitor knows this machine.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn kind(&self, page: &KindPage, host: &str) -> anyhow::Result<String> {
        let newest = page.newest.as_ref().map(|it| Newest {
            seq: it.record.seq,
            summary: &it.summary,
            time: rfc3339::micros(it.record.timestamp),
        });
        let (kind, chart, newest) = (Serde(&page.parts), Serde(&page.chart), Serde(&newest));
        let (layout, in_file, writing) = ("base.html", false, ());
        let since = &page.chart_since;
        let own = context! { kind, chart, since, newest, layout, in_file, writing };
        let detail = Detail::new(&page.specimen, host, &self.describer);
        self.alone_as("kind.html", &page.specimen, &detail, own)
    }
}

/// What the page shows of the newest request.
#[derive(Serialize)]
struct Newest<'a> {
    seq: u64,
    summary: &'a str,
    time: String,
}

impl KindParts {
    fn new(
        whole: &WholeKind,
        kind: ShownKind,
        signature: Option<&Signature>,
        privacy: &Privacy,
        now: Timestamp,
    ) -> Self {
        let days: Vec<i64> = whole.days.iter().map(|(day, _)| *day).collect();
        let first = Timestamp::from_microsecond(whole.row.first).unwrap_or_default();
        Self {
            product: signature.and_then(|it| it.product.clone()),
            explanation: signature.map(|it| it.explanation.clone()),
            references: signature.map(|it| it.links().collect()).unwrap_or_default(),
            here: usual::here(&days, whole.row.requests, first, now),
            grounds: usual::grounds(kind.usual),
            at_hub: None,
            days: whole.days.iter().map(Day::new).collect(),
            sent_by: senders(&whole.sources, privacy),
            networks: whole.networks.iter().map(Network::new).collect(),
            sent_from: whole.countries.iter().map(Country::new).collect(),
            asked_for: names(&whole.asked, privacy),
            ports: whole.ports.iter().map(PortCount::new).collect(),
            newest: whole.newest.as_ref().map(|it| it.seq),
            kind,
        }
    }
}

impl Day {
    fn new((day, requests): &(i64, u64)) -> Self {
        Self {
            date: date(*day),
            requests: *requests,
        }
    }
}

impl Network {
    fn new(share: &Share<kinds::Network>) -> Self {
        Self {
            asn: share.of.asn,
            as_name: share.of.name.as_deref().map(shown),
            requests: share.requests,
            sources: share.sources,
        }
    }
}

impl Country {
    fn new(share: &Share<String>) -> Self {
        Self {
            country: shown(&share.of),
            requests: share.requests,
            sources: share.sources,
        }
    }
}

/// Returns a chart from the first day to today, and the date of its first day.
fn chart(days: &[(i64, u64)], now: Timestamp) -> (Chart, String) {
    let today = usual::day_of(now);
    let first = days.first().map_or(today, |(day, _)| *day);
    let first = first.clamp(today - CHART_DAYS + 1, today);
    let mut bars = vec![0; usize::try_from(today - first).unwrap_or_default() + 1];
    for (day, requests) in days {
        let place = usize::try_from(day - first).ok();
        if let Some(bar) = place.and_then(|place| bars.get_mut(place)) {
            *bar = *requests;
        }
    }
    (Chart::new(&bars), date(first))
}

fn date(day: i64) -> String {
    let time = Timestamp::from_second(day.saturating_mul(24 * 60 * 60)).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

/// Returns the sources as they may be shown. If addresses are masked, the sources of one network
/// become one.
fn senders(sources: &[KindSource], privacy: &Privacy) -> Vec<Sender> {
    let mut senders: Vec<Sender> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources {
        let Ok(address) = source.address.parse::<IpAddr>() else {
            continue;
        };
        let (address, prefix) = privacy.source(address);
        let address = match prefix {
            Some(bits) => format!("{address}/{bits}"),
            None if address.is_unspecified() => "unknown".to_owned(),
            None => address.to_string(),
        };
        if let Some(&place) = places.get(&address)
            && let Some(known) = senders.get_mut(place)
        {
            known.add(source);
            continue;
        }
        places.insert(address.clone(), senders.len());
        senders.push(Sender {
            is_network: prefix.is_some(),
            country: source.country.as_deref().map(shown),
            asn: source.asn,
            as_name: source.as_name.as_deref().map(shown),
            requests: source.requests,
            first: time(source.first),
            last: time(source.last),
            address,
        });
    }
    senders.sort_by_key(|it| std::cmp::Reverse(it.requests));
    senders.truncate(MAX_SOURCES);
    senders
}

impl Sender {
    fn add(&mut self, source: &KindSource) {
        self.requests = self.requests.saturating_add(source.requests);
        // These texts have the same length, so they are in the order of the times.
        self.first = time(source.first).min(std::mem::take(&mut self.first));
        self.last = time(source.last).max(std::mem::take(&mut self.last));
    }
}

/// Returns the names that may be shown. A name is left out if it is hidden in one request, or if it
/// may have been truncated in the middle of something hidden.
fn names(asked: &[Asked], privacy: &Privacy) -> Vec<Name> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut hidden: BTreeSet<&str> = BTreeSet::new();
    for asked in asked {
        if hidden.contains(asked.name.as_str())
            || privacy.may_be_cut(&asked.name, MAX_CHARS)
            || privacy.is_named_in(&asked.senders, &asked.name)
        {
            hidden.insert(&asked.name);
        }
        *counts.entry(&asked.name).or_default() += asked.requests;
    }
    let mut names = Vec::new();
    for (name, requests) in counts {
        if !hidden.contains(name) {
            let name = shown(name);
            names.push(Name { name, requests });
        }
    }
    names.sort_by_key(|it| std::cmp::Reverse(it.requests));
    names.truncate(MAX_NAMES);
    names
}

/// Returns a text of the file as visible text, because somebody may have changed the file.
fn shown(text: &str) -> String {
    printable::line(text.as_bytes(), MAX_NAME_CHARS)
}
