//! Names and values of a request: headers, parameters, the parts of a form.
//!
//! In: bytes. Out: pieces of visible text, for at most `MAX_FIELDS` fields.

use forever200_decode::{ContentKind, multipart, parameters};
use forever200_identify::http;
use minijinja::Value;
use serde::Serialize;

use crate::bytes::form::is_said;
use crate::bytes::http2;
use crate::bytes::printable;
use crate::page::visible;

/// Most headers, parameters and the like that are laid out. If there are more, the bytes are easier
/// to read.
const MAX_FIELDS: usize = 500;
/// Most bytes of a value that a link searches for. These distinguish it from other values, and fit
/// into an address.
const MAX_SEARCH_BYTES: usize = 200;

/// Names and values, at most `MAX_FIELDS`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Fields {
    shown: Vec<Field>,
    /// How many are left out.
    more: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Field {
    name: Value,
    value: Value,
    /// The text with which a search finds this value.
    search: String,
}

/// The parts of a multipart body, at most `MAX_FIELDS`.
#[derive(Debug, Serialize)]
pub(super) struct FormParts {
    shown: Vec<FormPart>,
    /// How many are left out.
    more: usize,
}

#[derive(Debug, Serialize)]
struct FormPart {
    field: Field,
    /// The name of the file; empty if the part is no file.
    file_name: Value,
}

impl Fields {
    pub(super) fn new(all: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let more = all.len().saturating_sub(MAX_FIELDS);
        let mut shown = Vec::new();
        for (name, value) in all.into_iter().take(MAX_FIELDS) {
            shown.push(Field::new(name, value));
        }
        Self { shown, more }
    }

    pub(super) fn of_headers(headers: &[http::Header<'_>]) -> Self {
        let mut shown = Vec::new();
        for header in headers.iter().take(MAX_FIELDS) {
            let value = header.plain_value().into_owned();
            shown.push(Field::new(header.name.to_vec(), value));
        }
        Self {
            shown,
            more: headers.len().saturating_sub(MAX_FIELDS),
        }
    }
}

impl Field {
    pub(super) fn new(name: Vec<u8>, value: Vec<u8>) -> Self {
        let search = printable::line(&value[..value.len().min(MAX_SEARCH_BYTES)], usize::MAX);
        Self {
            name: visible::as_sent(name.into()),
            value: visible::as_sent(value.into()),
            search,
        }
    }
}

impl FormParts {
    pub(super) fn new(body: &[u8]) -> Self {
        let all = if ContentKind::is_multipart(body) {
            multipart::fields(body)
        } else {
            Vec::new()
        };
        Self {
            shown: all.iter().take(MAX_FIELDS).map(FormPart::new).collect(),
            more: all.len().saturating_sub(MAX_FIELDS),
        }
    }
}

impl FormPart {
    fn new(part: &multipart::Field<'_>) -> Self {
        let file_name = part.file_name.unwrap_or_default().to_vec();
        Self {
            field: Field::new(part.name.to_vec(), part.value.to_vec()),
            file_name: visible::as_sent(file_name.into()),
        }
    }
}

/// Returns the parameters of a body that is an HTML form. If only the header says that it is one,
/// the body must not have another known format, because curl sends that header with any body.
pub(super) fn form(http: &http::Request<'_>, body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    match ContentKind::of(body) {
        ContentKind::Form => parameters(body.trim_ascii()),
        ContentKind::Text | ContentKind::Binary if is_said(http) => parameters(body.trim_ascii()),
        _ => Vec::new(),
    }
}

/// Returns the names and values of an HTTP/2 request. The fields that replace the request line come
/// first.
pub(super) fn fields_of_http2(request: &http2::Request) -> Vec<(Value, Value)> {
    let mut fields = Vec::new();
    for (name, value) in [
        (":method", &request.method),
        (":path", &request.path),
        (":authority", &request.authority),
    ] {
        if !value.is_empty() {
            fields.push((as_sent(name), as_sent(value)));
        }
    }
    for (name, value) in request.headers.iter().take(MAX_FIELDS) {
        fields.push((as_sent(name), visible::as_sent(value.clone())));
    }
    fields
}

fn as_sent(text: &str) -> Value {
    visible::as_sent(text.to_owned().into())
}
