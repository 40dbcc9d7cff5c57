//! Describes a record: makes its entry.
//!
//! In: a record that is not blanked. Out: an [`Entry`] in which everything that must be hidden is
//! blanked or left out.

use std::net::IpAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use forever200_decode::{Limits, Part, lower};
use forever200_identify::labels::Description;
use forever200_identify::{Label, Protocol, http, tls};
use forever200_ring::{Ended, Record, Tls};

use super::likeness::likeness;
use super::summary::{MAX_SUMMARY_CHARS, source, summary, summary_of_handshake};
use super::{Entry, HttpParts, is_hello, text};
use crate::bytes::http2;
use crate::bytes::shell::Action;
use crate::reader::actions::actions;
use crate::reader::asked_for::{AskedFor, authority};
use crate::reader::claims::claims as claims_of;
use crate::reader::describer::Describer;
use crate::reader::excerpt::Excerpt;
use crate::reader::privacy::{MAX_HEAD_BYTES, Privacy, Senders, Shown};
use crate::reader::sensor::Sensor;
use crate::reader::tls_parts::TlsParts;

/// Longest beginning of a request that is described, so that the time of describing is bounded. By
/// default, no more of a request is kept. No address is shown that privacy has not looked for.
const MAX_LOOKED_AT_BYTES: usize = MAX_HEAD_BYTES;
/// Most labels that a request is given. Real ones have a handful.
const MAX_LABELS: usize = 64;
/// Separates decoded parts. This byte is in no text.
const SEPARATOR: u8 = 0xff;
/// Replaces the place where a label was found, if the place would name something hidden.
const UNSAID: &str = "what an encoding hides";
/// The label of a hello that was sent to a port without TLS. It is wrong where haproxy answered the
/// hello.
const TLS_IN_THE_WRONG_PLACE: &str = "protocol-tls";
/// Replaces each byte of a hidden name.
const BLANK: u8 = b'x';

impl Entry {
    /// Describes the record `original`, which is not blanked. `appeared` is the version of the view
    /// in which it first appears.
    #[must_use]
    pub fn new(original: &Record, appeared: u64, describer: &Describer) -> Self {
        let privacy = &describer.privacy;
        let outer_tls = original.tls.as_deref();
        // Looked up with the whole address, which country and network do not give away.
        let origin = describer.locations.find(original.src_ip);
        let Shown {
            record,
            src_prefix,
            blanked,
            not_all_examined,
            claims: masked_claims,
            senders,
        } = privacy.show(original);
        let secrets = Secrets { privacy, senders };
        let looked_at = beginning(&record.raw);
        let mut description = describer
            .labeller
            .describe_once(&looked_at, origin.as_ref());
        secrets.leave_out(&mut description);
        let http2 = secrets.http2(description.protocol, &looked_at);
        let summary = match (http2.first(), outer_tls) {
            (Some(first), _) => first.summary(MAX_SUMMARY_CHARS),
            (None, Some(tls)) if looked_at.is_empty() => {
                description.protocol = Protocol::Tls;
                summary_of_handshake(tls, |name| secrets.are_in(name))
            }
            (None, _) => summary(&looked_at, &description),
        };
        let searched = in_lower_case(&record.raw);
        let actions = secrets.actions(&looked_at, &searched, &description);
        let decoded =
            privacy.show_decoded(&secrets.senders, description.decoded, Limits::DESCRIBED);
        let mut labels = description.labels;
        if outer_tls.is_some() {
            labels.retain(|label| label.signature.id != TLS_IN_THE_WRONG_PLACE);
        }
        let labels = shown_labels(labels, &decoded);
        let http = description.http;
        let mut tls = tls_parts(outer_tls, &looked_at, http.as_ref());
        let hello = tls.as_ref().filter(|tls| is_hello(tls, &looked_at));
        let likeness = likeness(&looked_at, http.as_ref(), hello);
        let asked_for = authority(http.as_ref(), tls.as_ref()).map(|authority| {
            if blanked > 0 && !asks_for(&original.raw, &authority) {
                return AskedFor::HIDDEN;
            }
            secrets.asked_for(&authority, record.dest_ip)
        });
        if let Some(tls) = &mut tls {
            secrets.blank(tls);
        }
        let claims = match (masked_claims, &http) {
            (Some(masked), _) => masked,
            (None, Some(http)) => claims_of(http),
            (None, None) => Vec::new(),
        };
        let excerpt = http
            .as_ref()
            .and_then(|http| Excerpt::find(&looked_at, http, &labels));
        let is_cut = looked_at.len() < record.raw.len();
        // If the head ends within the part that was described, all the rest is the body.
        let http = match http {
            Some(http) if is_cut && !http.behind_head.is_empty() => http::parse(&record.raw),
            http => http,
        };
        let sensor = original.sensor.as_deref();
        Self {
            appeared,
            protocol: description.protocol,
            labels,
            quoted: shown_labels(description.quoted, &decoded),
            indicators: description.indicators,
            actions,
            http2,
            origin,
            summary,
            excerpt,
            source: source(&record, src_prefix),
            src_prefix,
            blanked,
            incomplete: is_incomplete(&record, http.as_ref()),
            is_looked_at_in_part: is_cut || not_all_examined || description.is_partial,
            likeness,
            http: http.map(|http| HttpParts::new(&record.raw, &http)),
            tls,
            tls_failed: outer_tls.and_then(|tls| tls.failed.clone()),
            asked_for,
            claims,
            sensor: sensor.and_then(|sent_by| Sensor::new(sent_by, privacy)),
            searched,
            searched_inside: searched_inside(&decoded),
            senders: secrets.senders,
            record,
            json: OnceLock::new(),
            row: OnceLock::new(),
            wall_row: OnceLock::new(),
            kind: OnceLock::new(),
        }
    }
}

/// What the description of a request must not name. Describing also undoes encodings and quotation
/// marks that [`Privacy::show`] does not undo.
struct Secrets<'a> {
    privacy: &'a Privacy,
    senders: Senders,
}

impl Secrets<'_> {
    fn are_in(&self, text: &str) -> bool {
        self.privacy.is_named_in(&self.senders, text)
    }

    fn leave_out(&self, description: &mut Description<'_>) {
        description
            .indicators
            .retain(|indicator| !self.are_in(&indicator.address));
        description.detail.take_if(|detail| self.are_in(detail));
    }

    fn http2(&self, protocol: Protocol, raw: &[u8]) -> Vec<http2::Request> {
        if protocol != Protocol::Http2 {
            return Vec::new();
        }
        let mut requests = http2::requests(raw);
        requests.retain(|request| !self.are_in(&request.text()));
        requests
    }

    fn actions(&self, raw: &Bytes, searched: &Bytes, description: &Description<'_>) -> Vec<Action> {
        let mut actions = actions(raw, searched, description);
        actions.retain(|it| !self.are_in(&it.command) && !self.are_in(&it.sentence()));
        actions
    }

    fn asked_for(&self, authority: &[u8], dest: IpAddr) -> AskedFor {
        let asked_for = AskedFor::new(authority, dest);
        if self.are_in(&asked_for.name) {
            AskedFor::HIDDEN
        } else {
            asked_for
        }
    }

    /// Blanks the names in a TLS hello that must be hidden.
    fn blank(&self, tls: &mut TlsParts) {
        for name in tls.server_name.iter_mut().chain(&mut tls.alpn) {
            if self.are_in(&text(name)) {
                name.fill(BLANK);
            }
        }
    }
}

fn beginning(raw: &Bytes) -> Bytes {
    raw.slice(..raw.len().min(MAX_LOOKED_AT_BYTES))
}

/// Returns the parts of the TLS connection that haproxy terminated, or else of the hello that the
/// request is.
fn tls_parts(
    outer_tls: Option<&Tls>,
    raw: &[u8],
    http: Option<&http::Request<'_>>,
) -> Option<TlsParts> {
    match outer_tls {
        Some(tls) if tls.failed.is_none() => Some(TlsParts::ended(tls)),
        _ => tls_of(raw, http),
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

/// Returns the labels as they may be shown. A label names the part in which it was found; where
/// that part is not shown under this name, [`UNSAID`] replaces it.
fn shown_labels(mut labels: Vec<Label>, shown: &[Part]) -> Vec<Label> {
    let whats: Vec<_> = shown.iter().map(Part::what).collect();
    labels.truncate(MAX_LABELS);
    for label in &mut labels {
        if let Some(place) = &mut label.found_in
            && !whats.contains(place)
        {
            UNSAID.clone_into(place);
        }
    }
    labels
}

/// Joins all parts in lower case, with [`SEPARATOR`] after each.
fn searched_inside(parts: &[Part]) -> Bytes {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.bytes.len() + 1).sum());
    for part in parts {
        lower::push(&mut all, &part.bytes);
        all.push(SEPARATOR);
    }
    all.into()
}

fn in_lower_case(raw: &Bytes) -> Bytes {
    if raw.iter().any(u8::is_ascii_uppercase) {
        lower::lower(raw).into()
    } else {
        raw.clone()
    }
}

/// Tells whether the client sent, or announced, more than the record has. Bytes that are not HTTP,
/// and HTTP without a length, end when the client sends no more or closes: this counts as complete.
fn is_incomplete(record: &Record, http: Option<&http::Request<'_>>) -> bool {
    record.truncated
        || match record.ended {
            Ended::Complete => false,
            Ended::Quiet | Ended::Eof => http.is_some_and(|http| http.unfinished),
            // A handshake without a request is complete.
            Ended::Limit | Ended::Deadline => record.bytes > 0,
        }
}

/// Parses the TLS hello that the bytes are; `None` for HTTP.
fn tls_of(raw: &[u8], http: Option<&http::Request<'_>>) -> Option<TlsParts> {
    if http.is_some() {
        return None;
    }
    tls::parse(raw).map(TlsParts::new)
}

/// Tells whether the original bytes of a request ask for the same name as what is shown of it.
fn asks_for(original: &[u8], shown: &[u8]) -> bool {
    let looked_at = &original[..original.len().min(MAX_LOOKED_AT_BYTES)];
    let http = http::parse(looked_at);
    let tls = tls_of(looked_at, http.as_ref());
    authority(http.as_ref(), tls.as_ref()).as_deref() == Some(shown)
}
