//! How an entry is made of a record.
//!
//! In: a record as it came. Out: an [`Entry`], from which everything that must be hidden has been
//! left out or blanked.

use std::sync::OnceLock;

use bytes::Bytes;
use forever200_decode::{Limits, Part};
use forever200_identify::labels::Description;
use forever200_identify::{Label, Protocol, http, tls};
use forever200_ring::{Ended, Record};

use super::likeness::likeness;
use super::summary::{MAX_SUMMARY_CHARS, source, summary, summary_of_handshake};
use super::{Entry, HttpParts, Sender, is_hello, text};
use crate::bytes::http2;
use crate::reader::actions::actions;
use crate::reader::asked_for::{AskedFor, authority};
use crate::reader::claims::claims;
use crate::reader::describer::Describer;
use crate::reader::excerpt::Excerpt;
use crate::reader::privacy::Shown;
use crate::reader::sensor::Sensor;
use crate::reader::tls_parts::TlsParts;

/// What is looked at of a longer request: as much as is kept of one by default, and describing
/// takes a time that is known.
const MAX_LOOKED_AT_BYTES: usize = 64 * 1024;
/// Most labels that a request is given. Real ones have a handful.
const MAX_LABELS: usize = 64;
/// Stands between decoded parts: in no text.
const SEPARATOR: u8 = 0xff;
/// Where a label was found, in place of what would name something that is hidden.
const UNSAID: &str = "what an encoding hides";
/// The label of a hello where nobody speaks TLS: not right where it was answered.
const TLS_IN_THE_WRONG_PLACE: &str = "protocol-tls";
/// In place of each byte of a name that is hidden.
const BLANK: u8 = b'x';

impl Entry {
    /// Describes a record that appeared in this version of the view.
    #[must_use]
    pub fn new(record: &Record, appeared: u64, describer: &Describer) -> Self {
        let (whole_source, sent) = (record.src_ip, &record.raw);
        // Country and network are those of the whole address, which they do not give away.
        let origin = describer.locations.find(record.src_ip);
        let through = record.tls.as_deref();
        let sent_by = record.sensor.as_deref();
        let sensor = sent_by.and_then(|sent| Sensor::new(sent, &describer.privacy));
        let Shown {
            record,
            src_prefix,
            blanked,
            unfinished,
            claims: masked_claims,
        } = describer.privacy.show(record);
        let looked_at = record
            .raw
            .slice(..record.raw.len().min(MAX_LOOKED_AT_BYTES));
        let mut description = describer
            .labeller
            .describe_once(&looked_at, origin.as_ref());
        // These undo encodings in which privacy finds nothing.
        let names = |text: &str| describer.privacy.is_named_in(whole_source, text);
        description
            .indicators
            .retain(|indicator| !names(&indicator.address));
        description.detail = description.detail.filter(|detail| !names(detail));
        let mut http2 = match description.protocol {
            Protocol::Http2 => http2::requests(&looked_at),
            _ => Vec::new(),
        };
        http2.retain(|request| !names(&request.text()));
        let summary = match (http2.first(), through) {
            (Some(first), _) => first.summary(MAX_SUMMARY_CHARS),
            (None, Some(tls)) if looked_at.is_empty() => {
                description.protocol = Protocol::Tls;
                summary_of_handshake(tls, names)
            }
            (None, _) => summary(&looked_at, &description),
        };
        let searched = in_lower_case(&record.raw);
        let mut actions = actions(&looked_at, &searched, &description);
        // A shell undoes quotes, in which privacy finds nothing.
        actions.retain(|it| !names(&it.command) && !names(&it.sentence()));
        let Description {
            protocol,
            mut labels,
            mut quoted,
            indicators,
            http,
            decoded,
            is_partial,
            ..
        } = description;
        let limits = Limits::DESCRIBED;
        let decoded = describer
            .privacy
            .show_decoded(whole_source, decoded, limits);
        if through.is_some() {
            labels.retain(|label| label.signature.id != TLS_IN_THE_WRONG_PLACE);
        }
        hide_places(&mut labels, &decoded);
        hide_places(&mut quoted, &decoded);
        labels.truncate(MAX_LABELS);
        quoted.truncate(MAX_LABELS);
        let mut tls = match through.filter(|tls| tls.failed.is_none()) {
            Some(through) => Some(TlsParts::ended(through)),
            None => tls_of(&looked_at, http.as_ref()),
        };
        let of_hello = tls.as_ref().filter(|it| is_hello(it, &looked_at));
        let likeness = likeness(&looked_at, http.as_ref(), of_hello);
        let asked_for = authority(http.as_ref(), tls.as_ref()).map(|shown| {
            let asked_for = AskedFor::new(&shown, record.dest_ip);
            let is_blanked = blanked > 0 && !asks_for(sent, &shown);
            if is_blanked || names(&asked_for.name) {
                AskedFor::HIDDEN
            } else {
                asked_for
            }
        });
        let claims = masked_claims.or_else(|| http.as_ref().map(claims));
        if let Some(tls) = &mut tls {
            let told = tls.server_name.iter_mut().chain(&mut tls.alpn);
            for name in told.filter(|name| names(&text(name))) {
                name.fill(BLANK);
            }
        }
        let excerpt = http
            .as_ref()
            .and_then(|http| Excerpt::find(&looked_at, http, &labels));
        let is_cut = looked_at.len() < record.raw.len();
        // Where the head ends in what was looked at, all behind it is the body.
        let http = match http {
            Some(http) if is_cut && !http.behind_head.is_empty() => http::parse(&record.raw),
            http => http,
        };
        Self {
            appeared,
            protocol,
            labels,
            quoted,
            indicators,
            actions,
            http2,
            origin,
            summary,
            excerpt,
            source: source(&record, src_prefix),
            src_prefix,
            blanked,
            incomplete: is_incomplete(&record, http.as_ref()),
            is_looked_at_in_part: is_cut || unfinished || is_partial,
            likeness,
            http: http.map(|http| HttpParts::new(&record.raw, &http)),
            tls,
            tls_failed: through.and_then(|tls| tls.failed.clone()),
            asked_for,
            claims: claims.unwrap_or_default(),
            sensor,
            searched,
            searched_inside: searched_inside(&decoded),
            sender: Sender(whole_source),
            record,
            json: OnceLock::new(),
            row: OnceLock::new(),
            wall_row: OnceLock::new(),
        }
    }
}

impl HttpParts {
    fn new(raw: &Bytes, http: &http::Request<'_>) -> Self {
        Self {
            method: raw.slice_ref(http.method),
            target: raw.slice_ref(http.target),
            body: raw.slice_ref(http.body),
        }
    }
}

/// A label says in which part it was found; not where the part is not shown in the same words.
fn hide_places(labels: &mut [Label], shown: &[Part]) {
    let whats: Vec<_> = shown.iter().map(Part::what).collect();
    for place in labels
        .iter_mut()
        .filter_map(|label| label.found_in.as_mut())
    {
        if !whats.contains(place) {
            UNSAID.clone_into(place);
        }
    }
}

/// All parts in lower case, with a byte between them that is in no text.
fn searched_inside(parts: &[Part]) -> Bytes {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.bytes.len() + 1).sum());
    for part in parts {
        all.extend(part.bytes.iter().map(u8::to_ascii_lowercase));
        all.push(SEPARATOR);
    }
    all.into()
}

fn in_lower_case(raw: &Bytes) -> Bytes {
    if raw.iter().any(u8::is_ascii_uppercase) {
        raw.to_ascii_lowercase().into()
    } else {
        raw.clone()
    }
}

/// Bytes that are not HTTP have no other end than that no more come, or that the client closes; nor
/// has HTTP whose length nothing tells.
fn is_incomplete(record: &Record, http: Option<&http::Request<'_>>) -> bool {
    record.truncated
        || match record.ended {
            Ended::Complete => false,
            Ended::Quiet | Ended::Eof => http.is_some_and(|http| http.unfinished),
            Ended::Limit | Ended::Deadline => true,
        }
}

/// What speaks HTTP has no hello.
fn tls_of(raw: &[u8], http: Option<&http::Request<'_>>) -> Option<TlsParts> {
    if http.is_some() {
        return None;
    }
    tls::parse(raw).map(TlsParts::new)
}

/// Tells whether a request, as it was sent, asks for this.
fn asks_for(sent: &[u8], shown: &[u8]) -> bool {
    let looked_at = &sent[..sent.len().min(MAX_LOOKED_AT_BYTES)];
    let http = http::parse(looked_at);
    let tls = tls_of(looked_at, http.as_ref());
    authority(http.as_ref(), tls.as_ref()).as_deref() == Some(shown)
}
