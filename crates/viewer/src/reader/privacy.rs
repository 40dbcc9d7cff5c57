//! Decides what may be shown of a record, where the page is public.
//!
//! In: a record as memcached has it. Out: the record as it may be shown. Pages, exports, filters
//! and labels are made only from the shown record. Texts that come from decoding, and rows of the
//! history, are checked again (`is_named_in`). Lengths stay the same, so evidence, offsets and
//! framing remain valid. The history keeps the original record.
//!
//! Read in this order: this file, `texts` and `addresses` (what is hidden, and how bytes are
//! searched for it), `blank` (blanks it), `layers` (undoes encodings), `decoded` (parts in other
//! encodings that the page undoes), `title` (titles of kinds, which may have been stored before a
//! text was hidden).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use forever200_identify::http;
use forever200_ring::Record;
use tracing::{debug, info};

use blank::Blanker;
pub use texts::Hidden;
pub(crate) use title::{Title, TitleShown};

use crate::reader::claims::{Claim, claims};

mod addresses;
mod blank;
mod decoded;
mod groups;
mod layer;
mod layers;
mod near;
mod numbers;
mod sextets;
mod texts;
mod title;
mod work;

/// Length of the network that is shown instead of an address, in bits. For IPv4, it is the smallest
/// network that providers announce to each other; for IPv6, the network of one site (RFC 6177).
pub(crate) const V4_PREFIX: u8 = 24;
const V6_PREFIX: u8 = 48;
/// The first group of a 6to4 address (RFC 3056). An IPv4 address follows it; as many of its bits
/// are shown as of other IPv4 addresses.
pub(crate) const V6_OF_V4: u16 = 0x2002;
pub(crate) const V6_OF_V4_PREFIX: u8 = 16 + V4_PREFIX;
/// Longest part of a request that is searched for headers that claim a source. Describing looks at
/// as much.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The settings of what to hide.
#[derive(Clone, Default)]
pub struct Privacy {
    /// Source addresses are cut to their network, and their ports are left out.
    pub mask_sources: bool,
    /// Texts to blank.
    pub hidden: Hidden,
}

/// What may be shown of a record.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The record.
    pub record: Record,
    /// Length of the network that the source address was cut to, in bits; `None` for a whole
    /// address.
    pub src_prefix: Option<u8>,
    /// How many bytes were blanked.
    pub blanked: usize,
    /// The record would have taken too much work. The bytes that were not examined are blanked,
    /// whatever they are.
    pub not_all_examined: bool,
    /// The networks from which the request claims to come, if sources are masked: the claims cannot
    /// be read from the blanked bytes. Else `None`.
    pub claims: Option<Vec<Claim>>,
    /// The addresses that are hidden in the request if sources are masked; shown nowhere.
    pub senders: Senders,
}

/// The addresses that are hidden in a request if sources are masked: its source, and the addresses
/// from which it claims to come.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Senders(Vec<IpAddr>);

impl Senders {
    /// Adds the addresses of another request with the same text.
    pub(crate) fn add(&mut self, other: &Self) {
        for address in &other.0 {
            if !self.0.contains(address) {
                self.0.push(*address);
            }
        }
    }
}

impl From<IpAddr> for Senders {
    /// The source of a request without claims.
    fn from(source: IpAddr) -> Self {
        Self(vec![source])
    }
}

impl fmt::Debug for Senders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Senders")
    }
}

impl Privacy {
    /// Returns what may be shown of a record.
    ///
    /// The port and the full address of a masked source are hidden. The address is also hidden in
    /// the bytes, because some clients send it. The addresses from which a request claims to come
    /// are hidden as well, because one of them may be the real client behind an HTTP proxy.
    /// `src_ip` is changed only if sources are masked, even if the address is one of the hidden
    /// texts. If any text is hidden, the address to which the client connected is hidden too, even
    /// if it is not in the list of texts.
    #[must_use]
    pub fn show(&self, record: &Record) -> Shown {
        let claims = self.mask_sources.then(|| claims_in(&record.raw));
        let mut shown = Shown {
            record: record.clone(),
            src_prefix: None,
            blanked: 0,
            not_all_examined: false,
            senders: senders(record.src_ip, claims.iter().flatten()),
            claims,
        };
        // TLS and sensor also contain names: the entry reads both from the original record, and
        // hides the names.
        shown.record.tls = None;
        shown.record.sensor = None;
        let source = record.src_ip.to_canonical();
        let is_masked = self.mask_sources && !source.is_unspecified();
        if let Some(blanker) = self.blanker(&shown.senders) {
            let blanked = blanker.blank(&record.raw);
            shown.not_all_examined = blanked.is_unfinished;
            if shown.not_all_examined {
                debug!(
                    seq = record.seq,
                    work = blanked.work,
                    "record not searched to its end"
                );
            }
            if let Some(raw) = blanked.raw {
                shown.blanked = blanked.count;
                shown.record.raw = raw.into();
            }
        }
        if is_masked {
            let (network, prefix) = network(source);
            (shown.record.src_ip, shown.src_prefix) = (network, Some(prefix));
        }
        shown.claims = shown.claims.map(|claims| self.shown_claims(claims));
        if self.mask_sources {
            // With the time, a port is enough for a provider to tell which of its customers it was
            // (RFC 6302).
            shown.record.src_port = 0;
        }
        if self.hides_texts() {
            shown.record.dest_ip = match record.dest_ip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
        }
        shown
    }

    /// Tells whether anything is hidden.
    #[must_use]
    pub(crate) fn hides_anything(&self) -> bool {
        self.mask_sources || self.hides_texts()
    }

    /// Tells whether texts are hidden.
    #[must_use]
    pub(crate) fn hides_texts(&self) -> bool {
        self.hidden.texts().is_some()
    }

    /// Tells whether a text that was made from a shown record names something hidden.
    ///
    /// Such a text must be checked because labels and other descriptions undo encodings that
    /// [`show`](Self::show) does not undo, such as those of Log4j.
    #[must_use]
    pub fn is_named_in(&self, senders: &Senders, text: &str) -> bool {
        // Addresses are written with `[.]`, so that nobody opens them by mistake.
        let text = text.replace("[.]", ".");
        let blanked = self.blanker(senders).map(|it| it.blank(text.as_bytes()));
        blanked.is_some_and(|blanked| blanked.raw.is_some())
    }

    /// Returns what is shown of a source's address: the address itself, or its network and the
    /// length of the network in bits.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> (IpAddr, Option<u8>) {
        let address = address.to_canonical();
        if !self.mask_sources || address.is_unspecified() {
            return (address, None);
        }
        let (network, prefix) = network(address);
        (network, Some(prefix))
    }

    /// Returns the addresses to hide in a request from this source.
    #[must_use]
    pub fn senders(&self, source: IpAddr, raw: &[u8]) -> Senders {
        let claims = self.mask_sources.then(|| claims_in(raw));
        senders(source, claims.iter().flatten())
    }

    /// Returns the claims as they may be shown: cut to their network, and without those that name
    /// something hidden.
    fn shown_claims(&self, claims: Vec<Claim>) -> Vec<Claim> {
        let mut shown = Vec::new();
        for claim in claims {
            if self.is_hidden(&claim.address) {
                continue;
            }
            let (ip, prefix) = self.source(claim.ip);
            let claim = Claim::new(claim.header, ip, prefix);
            if !shown.contains(&claim) {
                shown.push(claim);
            }
        }
        shown
    }

    /// Tells whether a text contains one of the hidden texts.
    fn is_hidden(&self, text: &str) -> bool {
        let Some(hidden) = self.hidden.texts() else {
            return false;
        };
        let blanker = Blanker::new(Some(hidden), &[]);
        blanker.blank(text.as_bytes()).raw.is_some()
    }

    /// Returns a blanker for a request with these senders; `None` if nothing must be hidden.
    fn blanker(&self, senders: &Senders) -> Option<Blanker<'_>> {
        let hidden = self.hidden.texts();
        let mut masked = senders.0.clone();
        masked.retain(|it| self.mask_sources && !it.to_canonical().is_unspecified());
        let hides = hidden.is_some() || !masked.is_empty();
        hides.then(|| Blanker::new(hidden, &masked))
    }

    /// Returns a sentence for visitors that says what is not shown; empty if everything is shown.
    #[must_use]
    pub fn notice(&self) -> String {
        let mut parts = Vec::new();
        if self.mask_sources {
            parts.push("source addresses are cut to their network");
        }
        if self.hides_texts() {
            parts.push("texts that name this machine are blanked with x");
        }
        if parts.is_empty() {
            String::new()
        } else {
            format!("Not everything is shown: {}.", parts.join(", "))
        }
    }

    /// Logs what is not shown, if anything is hidden.
    pub fn log(&self) {
        if self.hides_anything() {
            info!(
                mask_sources = self.mask_sources,
                hidden_texts = self.hidden.count(),
                "not everything is shown"
            );
        }
    }
}

fn senders<'a>(source: IpAddr, claims: impl Iterator<Item = &'a Claim>) -> Senders {
    let mut senders = Senders::from(source);
    senders.0.extend(claims.map(|claim| claim.ip));
    senders
}

fn claims_in(raw: &[u8]) -> Vec<Claim> {
    let looked_at = raw.get(..MAX_HEAD_BYTES).unwrap_or(raw);
    http::parse(looked_at)
        .as_ref()
        .map(claims)
        .unwrap_or_default()
}

/// Returns the network of an address, and its length in bits.
pub(crate) fn network(ip: IpAddr) -> (IpAddr, u8) {
    match ip {
        IpAddr::V4(ip) => (
            Ipv4Addr::from_bits(ip.to_bits() & (u32::MAX << (32 - V4_PREFIX))).into(),
            V4_PREFIX,
        ),
        IpAddr::V6(ip) => {
            let prefix = if ip.segments()[0] == V6_OF_V4 {
                V6_OF_V4_PREFIX
            } else {
                V6_PREFIX
            };
            (
                Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - prefix))).into(),
                prefix,
            )
        }
    }
}

#[cfg(test)]
mod tests;
