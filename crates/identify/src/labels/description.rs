//! The description of a request.
//!
//! In: the findings. Out: a description, which also has the parts of an HTTP request.

use forever200_decode::Part;

use super::Label;
use crate::protocol::Protocol;
use crate::{Indicator, http};

/// What a request is.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// The parts of an HTTP request; `None` for other protocols.
    pub http: Option<http::Request<'a>>,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// A detail from the first bytes, such as `CONNECT 198.51.100.7:25`; one line of printable
    /// ASCII.
    pub detail: Option<String>,
    /// What the request is for and who sent it, the most specific first.
    pub labels: Vec<Label>,
    /// Attacks that are only in text that the request quotes, such as the commit message in a
    /// webhook. If the request is what it claims to be, they say nothing of its sender; but anybody
    /// can make the claim.
    pub quoted: Vec<Label>,
    /// The addresses that the payload would make the victim fetch or call.
    pub indicators: Vec<Indicator>,
    /// The decoded parts of the request.
    pub decoded: Vec<Part>,
    /// True if a signature was given up because it would have taken too long; it may apply all the
    /// same.
    pub is_partial: bool,
}

impl<'a> Description<'a> {
    pub(super) fn new(findings: &Findings, http: Option<http::Request<'a>>) -> Self {
        let findings = findings.clone();
        Self {
            http,
            protocol: findings.protocol,
            detail: findings.detail,
            labels: findings.labels,
            quoted: findings.quoted,
            indicators: findings.indicators,
            decoded: findings.decoded,
            is_partial: findings.is_partial,
        }
    }
}

/// What was found about a request, without the parsed HTTP head. Findings can be kept longer than
/// the bytes of the request.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    pub(super) protocol: Protocol,
    pub(super) detail: Option<String>,
    pub(super) labels: Vec<Label>,
    pub(super) quoted: Vec<Label>,
    pub(super) indicators: Vec<Indicator>,
    pub(super) decoded: Vec<Part>,
    pub(super) is_partial: bool,
}

impl Findings {
    /// Returns about how many bytes of memory the findings take.
    pub(crate) fn bytes(&self) -> usize {
        let mut bytes = size_of::<Self>();
        for label in self.labels.iter().chain(&self.quoted) {
            bytes += size_of::<Label>() + label.evidence.len() * 16;
        }
        for part in &self.decoded {
            bytes += size_of::<Part>() + part.bytes.len() + part.steps.len() * 32;
        }
        for indicator in &self.indicators {
            bytes += size_of::<Indicator>() + indicator.address.len();
        }
        bytes
    }
}
