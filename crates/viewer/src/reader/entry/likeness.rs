//! Likeness: a number that is equal for nearly identical requests.

use std::hash::{DefaultHasher, Hash, Hasher};

use forever200_identify::http;

use crate::reader::tls_parts::TlsParts;

/// Requests of other protocols are nearly identical if their first bytes are equal, up to this
/// many.
const ALIKE_BYTES: usize = 16;

/// Returns the same number for requests that are alike.
pub(super) fn likeness(
    raw: &[u8],
    http: Option<&http::Request<'_>>,
    tls: Option<&TlsParts>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(http) = http {
        http.method.hash(&mut hasher);
        for word in http
            .target
            .split(u8::is_ascii_digit)
            .filter(|word| !word.is_empty())
        {
            word.hash(&mut hasher);
        }
    } else if let Some(tls) = tls {
        tls.fingerprint().hash(&mut hasher);
        tls.server_name.hash(&mut hasher);
    } else {
        raw[..raw.len().min(ALIKE_BYTES)].hash(&mut hasher);
    }
    hasher.finish()
}
