//! Sources and kinds as they may be shown: without what must be hidden.

use serde::Serialize;

use crate::bytes::printable::{self, is_visible};
use crate::history::found::MAX_CHARS;
use crate::history::one_source::{CountedTexts, OneSource};
use crate::history::sensors::SeenBy;
use crate::history::sources::{KindOfSource, Source};
use crate::page::pages::Pages;
use crate::reader::privacy::TitleShown;
use crate::rfc3339;

/// Shown in place of a text that must be hidden.
pub(crate) const UNSAID: &str = "something that is not shown";

/// A source, as it may be shown.
#[derive(Debug, Serialize)]
pub(super) struct ShownSource {
    /// An address, or a network.
    pub(super) address: String,
    country: Option<String>,
    country_name: Option<String>,
    asn: Option<u32>,
    as_name: Option<String>,
    requests: u64,
    /// RFC 3339, microseconds.
    pub(super) first: String,
    pub(super) last: String,
    /// How many kinds it sent.
    kinds: u64,
    /// The most telling of these kinds.
    kind: Option<ShownKind>,
    /// How many of the sensors saw it; null if there are no sensors.
    seen_by: Option<SeenBy>,
}

/// A kind, as it may be shown.
#[derive(Debug, Serialize)]
pub(super) struct ShownKind {
    kind: String,
    title: String,
    category: Option<String>,
    requests: u64,
    first: String,
    last: String,
}

/// One source, as it may be shown.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    pub(super) source: ShownSource,
    sent: Vec<ShownKind>,
    /// The fields below are from this many of its last requests.
    looked_at: usize,
    ports: Vec<Counted<u16>>,
    hosts: Vec<Counted<String>>,
    user_agents: Vec<Counted<String>>,
    ja4: Vec<Counted<String>>,
    pub(super) neighbours: Vec<ShownSource>,
    more_neighbours: usize,
}

/// A value, and how often it was sent.
#[derive(Debug, Serialize)]
pub(super) struct Counted<T> {
    value: T,
    requests: u64,
}

impl Pages {
    pub(super) fn whole(&self, one: &OneSource) -> Whole {
        let mut sent = Vec::new();
        for kind in &one.kinds {
            sent.push(self.shown_kind(kind));
        }
        let mut ports = Vec::new();
        for &(value, requests) in &one.ports {
            ports.push(Counted { value, requests });
        }
        Whole {
            source: self.shown(&one.source),
            sent,
            looked_at: one.looked_at,
            ports,
            hosts: self.shown_texts(&one.hosts),
            user_agents: self.shown_texts(&one.user_agents),
            ja4: self.shown_texts(&one.ja4),
            neighbours: self.all_shown(&one.neighbours),
            more_neighbours: one.more_neighbours,
        }
    }

    pub(super) fn all_shown(&self, sources: &[Source]) -> Vec<ShownSource> {
        sources.iter().map(|source| self.shown(source)).collect()
    }

    fn shown(&self, source: &Source) -> ShownSource {
        let address = match source.prefix {
            Some(bits) => format!("{}/{bits}", source.address),
            None => source.address.to_string(),
        };
        ShownSource {
            address,
            country: source.country.as_deref().map(clean),
            country_name: self.country_name(source),
            asn: source.asn,
            as_name: source.as_name.as_deref().map(clean),
            requests: source.requests,
            first: rfc3339::micros(source.first),
            last: rfc3339::micros(source.last),
            kinds: source.kinds,
            kind: source.kind.as_ref().map(|kind| self.shown_kind(kind)),
            seen_by: source.seen_by,
        }
    }

    /// Returns the name of a source's country. The history has only the code, from the time when
    /// the source was first seen. If the country is another now, there is no name.
    fn country_name(&self, source: &Source) -> Option<String> {
        let origin = self.describer.locations.find(source.address)?;
        if origin.country.is_some() && origin.country == source.country {
            origin.country_name
        } else {
            None
        }
    }

    /// Returns a kind as it may be shown. Without a label, its title is the beginning of what a
    /// client sent.
    fn shown_kind(&self, kind: &KindOfSource) -> ShownKind {
        ShownKind {
            kind: clean(&kind.name),
            title: match kind.title_shown {
                TitleShown::Whole => clean(&kind.title),
                TitleShown::Cut | TitleShown::Named => UNSAID.to_owned(),
            },
            category: kind.category.as_deref().map(clean),
            requests: kind.requests,
            first: rfc3339::micros(kind.first),
            last: rfc3339::micros(kind.last),
        }
    }

    /// Returns the texts that may be shown. A text is left out if it names something hidden or the
    /// masked address of one of its senders, or if it may have been truncated in the middle of
    /// that.
    fn shown_texts(&self, counted: &CountedTexts) -> Vec<Counted<String>> {
        let privacy = &self.describer.privacy;
        let mut shown = Vec::new();
        for (text, count) in &counted.texts {
            if !privacy.may_be_cut(text, MAX_CHARS) && !privacy.is_named_in(&count.senders, text) {
                shown.push(Counted {
                    value: clean(text),
                    requests: count.requests,
                });
            }
        }
        shown
    }
}

/// Returns a text of the file as visible text: somebody may have changed the file, so what the page
/// cannot show is escaped again.
fn clean(text: &str) -> String {
    if text.chars().all(is_visible) && text.chars().count() <= MAX_CHARS {
        text.to_owned()
    } else {
        printable::line(text.as_bytes(), MAX_CHARS)
    }
}
