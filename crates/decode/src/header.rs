//! Reads what headers say about wrappings: an encoded login, and the codings of the body.
//!
//! In: the value of a header, or a head. Out: the place of a login, and the names of codings.
//! Decodes nothing.

use std::ops::Range;

use forever200_head::{Head, unfolded};

use crate::chain::MAX_DEPTH;
use crate::part::offset;

/// The word before a login in a header.
const SCHEME: &[u8] = b"basic ";

/// Returns the place of the characters behind `Basic`; `None` where there are none.
pub(crate) fn basic(value: &[u8]) -> Option<Range<usize>> {
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let rest = rest.trim_ascii();
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.is_empty() {
        return None;
    }
    let start = offset(value, rest);
    Some(start..start + rest.len())
}

/// Returns the names of a body's codings, the last one first: RFC 9110, 8.4, and RFC 9112, 6.1.
pub(crate) fn codings(head: &Head<'_>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for name in [&b"content-encoding"[..], b"transfer-encoding"] {
        for field in head.fields_named(name) {
            let value = unfolded(head.slice(&field.value));
            for name in value.split(|&byte| byte == b',') {
                let name = name.trim_ascii();
                let is_coding = !name.is_empty() && !name.eq_ignore_ascii_case(b"chunked");
                if is_coding && all.len() < MAX_DEPTH {
                    all.push(name.to_vec());
                }
            }
        }
    }
    all.reverse();
    all
}
