//! What there is to say of a request.
//!
//! In: what was found. Out: a description, with the parts of the request in it.

use forever200_decode::Part;

use super::Label;
use crate::protocol::Protocol;
use crate::{Indicator, http};

/// What a request is.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// The parts of an HTTP request; `None` for other protocols.
    pub http: Option<http::Request<'a>>,
    /// What it speaks.
    pub protocol: Protocol,
    /// What its first bytes say of themselves, on one line of printable ASCII.
    pub detail: Option<String>,
    /// What it is for and who sent it, the most specific first.
    pub labels: Vec<Label>,
    /// Attacks that are in what it quotes and nowhere else. They say nothing of who sent it, if it
    /// is what it says that it is; anybody can say so.
    pub quoted: Vec<Label>,
    /// The addresses that its payload would have the victim fetch or call.
    pub indicators: Vec<Indicator>,
    /// What it hides in an encoding.
    pub decoded: Vec<Part>,
    /// A signature was given up that would have taken too long, and may apply all the same.
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

/// What is said of a request, without the parts of it.
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
    /// About how much memory it takes.
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
