//! JSON Web Tokens that say that they are not signed.
//!
//! In: the bytes as sent, because case matters in base64. Out: the range of the head of a token
//! whose `alg` is `none` or empty.
//!
//! Rules: RFC 7519 6 "Unsecured JWTs", RFC 7515 7.1 "JWS Compact Serialization".

use std::ops::Range;

use forever200_decode::base64;
use memchr::memmem;

use crate::slice::first;

/// Longest head of a token that is read; common ones have 36 letters.
const MAX_HEAD_BYTES: usize = 256;
/// Most tokens of one request that are read.
const MAX_TOKENS: usize = 8;
/// How heads begin in base64: `{"`, or `{` and a space.
const HEADS: [&[u8]; 2] = [b"eyJ", b"eyA"];

/// Returns the range of the head of the first unsigned token that is found.
pub(crate) fn find(raw: &[u8]) -> Option<Range<usize>> {
    for head in HEADS {
        for start in memmem::find_iter(raw, head).take(MAX_TOKENS) {
            if let Some(length) = unsigned(first(&raw[start..], MAX_HEAD_BYTES)) {
                return Some(start..start + length);
            }
        }
    }
    None
}

/// Returns the length of the head that begins here, if it is the head of an unsigned token.
fn unsigned(rest: &[u8]) -> Option<usize> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let length = rest.iter().position(|byte| !is_letter(byte))?;
    let is_token = rest[length] == b'.' && rest.get(length + 1..length + 3) == Some(b"ey");
    (is_token && is_unsigned(&rest[..length])).then_some(length)
}

fn is_unsigned(head: &[u8]) -> bool {
    let Some(mut json) = base64::decode(head) else {
        return false;
    };
    json.make_ascii_lowercase();
    json.retain(|byte| !byte.is_ascii_whitespace());
    memmem::find(&json, b"\"alg\":\"none\"").is_some()
        || memmem::find(&json, b"\"alg\":\"\"").is_some()
}
