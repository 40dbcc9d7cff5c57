//! Variants that encode the same bytes in another way, which servers undo.

use super::request::{Request, find};

/// Changes the case of hexadecimal digits: `%2f` becomes `%2F`.
pub(crate) fn case_of_hex(request: &Request) -> Vec<Request> {
    let target = swapped(&request.target);
    let body = match request.form() {
        Some(form) => swapped(form),
        None => request.body.clone(),
    };
    if target == request.target && body == request.body {
        return Vec::new();
    }
    vec![request.with_target(target).with_body(body)]
}

fn swapped(text: &[u8]) -> Vec<u8> {
    let mut swapped = text.to_vec();
    for at in 0..text.len() {
        let is_hex = |back: usize| at >= back && text[at - back] == b'%';
        let byte = text[at];
        if byte.is_ascii_hexdigit() && (is_hex(1) || is_hex(2) && text[at - 1].is_ascii_hexdigit())
        {
            swapped[at] = if byte.is_ascii_lowercase() {
                byte.to_ascii_uppercase()
            } else {
                byte.to_ascii_lowercase()
            };
        }
    }
    swapped
}

/// Writes every third letter of the path in percent-encoding.
pub(crate) fn encoded_path(request: &Request) -> Vec<Request> {
    let (path, query) = request.path_and_query();
    let mut target = encoded(path);
    if target == path {
        return Vec::new();
    }
    if let Some(query) = query {
        target.extend([b"?", query].concat());
    }
    vec![request.with_target(target)]
}

/// Writes every third letter of the values, in the query and in a form, in percent-encoding.
pub(crate) fn encoded_values(request: &Request) -> Vec<Request> {
    let values = |parameters: &[u8]| {
        let list = parameters.split(|&byte| byte == b'&');
        let list = list.map(|it| match find(it, b"=") {
            Some(at) => [&it[..=at], &encoded(&it[at + 1..])].concat(),
            None => it.to_vec(),
        });
        list.collect::<Vec<_>>().join(&b'&')
    };
    let mut all = Vec::new();
    if let (path, Some(query)) = request.path_and_query() {
        all.push(request.with_target([path, b"?", &values(query)].concat()));
    }
    if let Some(form) = request.form() {
        all.push(request.with_body(values(form)));
    }
    all.retain(|varied| varied.target != request.target || varied.body != request.body);
    all
}

fn encoded(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    let (mut letters, mut hex) = (0, 0);
    for &byte in text {
        // The digits behind a percent sign are already a code.
        if byte == b'%' {
            hex = 3;
        }
        let is_free = hex == 0 && byte.is_ascii_alphabetic();
        letters += usize::from(is_free);
        if is_free && letters % 3 == 1 {
            encoded.extend(format!("%{byte:02x}").into_bytes());
        } else {
            encoded.push(byte);
        }
        hex = usize::saturating_sub(hex, 1);
    }
    encoded
}
