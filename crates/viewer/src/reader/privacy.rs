//! What may be shown of a record, where the page is shown in public.
//!
//! In: a record as memcached has it. Out: the record as everything shows it. Pages, exports,
//! filters and labels are made from the latter alone, so that none of them has to know. Changes no
//! lengths: evidence, offsets and framing stay. What is kept stays whole.
//!
//! Read in this order: this file, `texts` and `addresses` (what is hidden, and where bytes have
//! it), `blank` (blanks it), `layers` (undoes encodings), `decoded` (what the page undoes beyond
//! them), `title` (what was written before anything was hidden).

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

/// What is shown of an address, in bits: of IPv4 a network as small as is announced between
/// providers, of IPv6 what one site is given (RFC 6177).
pub(crate) const V4_PREFIX: u8 = 24;
const V6_PREFIX: u8 = 48;
/// RFC 3056: 2002 and then an IPv4 address, of which no more than of any other is shown.
pub(crate) const V6_OF_V4: u16 = 0x2002;
pub(crate) const V6_OF_V4_PREFIX: u8 = 16 + V4_PREFIX;
/// Where the headers are looked for that claim a source: as much as is described of a request.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What not to show.
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
    /// The record would have taken too much work: what was not looked through is blanked, be it to
    /// be hidden or not.
    pub unfinished: bool,
    /// Where sources are masked, the networks that its head claims it is from: the bytes do not
    /// tell them any more.
    pub claims: Option<Vec<Claim>>,
    /// Whose addresses are hidden in it where sources are masked; shown nowhere.
    pub senders: Senders,
}

/// Whose addresses are hidden in a request where sources are masked: who sent it, and who it claims
/// to be from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Senders(Vec<IpAddr>);

impl Senders {
    /// Adds those of another request that sent the same text.
    pub(crate) fn add(&mut self, other: &Self) {
        for address in &other.0 {
            if !self.0.contains(address) {
                self.0.push(*address);
            }
        }
    }
}

impl From<IpAddr> for Senders {
    /// Somebody who claims nothing.
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
    /// The port and the full address of a masked source are hidden, the address in the bytes as
    /// well, because some clients send it. So are the addresses that a request claims to be from:
    /// behind a proxy for HTTP, one of them is the source. If any text is hidden, the address that
    /// the client connected to is hidden, even if it is none of the texts.
    #[must_use]
    pub fn show(&self, record: &Record) -> Shown {
        let claims = self.mask_sources.then(|| claims_in(&record.raw));
        let mut shown = Shown {
            record: record.clone(),
            src_prefix: None,
            blanked: 0,
            unfinished: false,
            senders: senders(record.src_ip, claims.iter().flatten()),
            claims,
        };
        // It has names, too: what is shown of it is made by the entry.
        shown.record.tls = None;
        shown.record.sensor = None;
        let source = record.src_ip.to_canonical();
        let is_masked = self.mask_sources && !source.is_unspecified();
        if let Some(blanker) = self.blanker(&shown.senders) {
            let blanked = blanker.blank(&record.raw);
            shown.unfinished = blanked.is_unfinished;
            if shown.unfinished {
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

    /// Tells whether a text that was made from what is shown of a record names what is hidden.
    ///
    /// Labels undo encodings that are not undone here, such as those of Log4j, and show what they
    /// found.
    #[must_use]
    pub fn is_named_in(&self, senders: &Senders, text: &str) -> bool {
        // Addresses are shown with `[.]`, so that nobody opens them by mistake.
        let text = text.replace("[.]", ".");
        let blanked = self.blanker(senders).map(|it| it.blank(text.as_bytes()));
        blanked.is_some_and(|blanked| blanked.raw.is_some())
    }

    /// Returns what is shown of a source's address: itself, or its network and the length of that
    /// in bits.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> (IpAddr, Option<u8>) {
        let address = address.to_canonical();
        if !self.mask_sources || address.is_unspecified() {
            return (address, None);
        }
        let (network, prefix) = network(address);
        (network, Some(prefix))
    }

    /// Returns whose addresses are hidden in a request from this source.
    #[must_use]
    pub fn senders(&self, source: IpAddr, raw: &[u8]) -> Senders {
        let claims = self.mask_sources.then(|| claims_in(raw));
        senders(source, claims.iter().flatten())
    }

    /// Cuts claims to their network, and leaves those out that name what is hidden.
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

    /// Tells whether a text names what is hidden, whoever sent it.
    fn is_hidden(&self, text: &str) -> bool {
        let Some(hidden) = self.hidden.texts() else {
            return false;
        };
        let blanker = Blanker::new(Some(hidden), &[]);
        blanker.blank(text.as_bytes()).raw.is_some()
    }

    /// Begins to look through what somebody sent; `None` where nothing of it is to be hidden.
    fn blanker(&self, senders: &Senders) -> Option<Blanker<'_>> {
        let hidden = self.hidden.texts();
        let mut masked = senders.0.clone();
        masked.retain(|it| self.mask_sources && !it.to_canonical().is_unspecified());
        let hides = hidden.is_some() || !masked.is_empty();
        hides.then(|| Blanker::new(hidden, &masked))
    }

    /// Returns a sentence for those who look, on what they do not see; empty when they see all.
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

    /// Says in the log what is not shown, if that is anything.
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
