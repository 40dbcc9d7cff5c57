//! A request and its source, each as one printable line.

use std::net::SocketAddr;

use forever200_identify::labels::Description;
use forever200_ring::{Record, Tls};

use crate::bytes::printable;

/// Longest summary, in characters.
pub(super) const MAX_SUMMARY_CHARS: usize = 200;

/// Returns a request as one printable line: method and target, the detail that was found for
/// another protocol, or the first bytes.
#[must_use]
pub fn summary(raw: &[u8], description: &Description<'_>) -> String {
    match (&description.http, &description.detail) {
        (Some(http), _) => printable::line(
            &[http.method, b" ", http.target].concat(),
            MAX_SUMMARY_CHARS,
        ),
        (_, Some(detail)) => printable::line(detail.as_bytes(), MAX_SUMMARY_CHARS),
        (_, None) => printable::line(raw, MAX_SUMMARY_CHARS),
    }
}

/// Returns a line for a TLS handshake after which no request came.
pub(super) fn summary_of_handshake(tls: &Tls, is_hidden: impl Fn(&str) -> bool) -> String {
    let name = tls.sni.as_ref().filter(|name| !is_hidden(name));
    let said = match (&tls.failed, name) {
        (Some(_), _) => "TLS handshake that failed".to_owned(),
        (None, Some(name)) => format!("TLS handshake for {name}, no request"),
        (None, None) => "TLS handshake, no request".to_owned(),
    };
    printable::line(said.as_bytes(), MAX_SUMMARY_CHARS)
}

pub(super) fn source(record: &Record, prefix: Option<u8>) -> String {
    match (record.src_ip, record.src_port, prefix) {
        (ip, 0, _) if ip.is_unspecified() => "unknown".to_owned(),
        (ip, _, Some(bits)) => format!("{ip}/{bits}"),
        (ip, port, None) => SocketAddr::new(ip, port).to_string(),
    }
}
