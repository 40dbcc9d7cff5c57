//! A request as signatures see it: its parts, each as sent and in decoded forms.
//!
//! In: the raw bytes. Out: the forms of each part, made when they are first asked for. Decides
//! nothing.

use std::cell::OnceCell;
use std::ops::Range;

use forever200_decode::{ContentKind, Part};

use crate::attack::Found;
use crate::pattern::Search;
use crate::text::Text;
use crate::{Origin, Recognised, attack, http};

/// Most parameters of one request that are read.
const MAX_PARAMETERS: usize = 512;

/// Most headers of one request that are read one by one: servers refuse more than 100 (Apache) to
/// 2,000 (Node). The text of the whole request has all headers.
const MAX_HEADERS: usize = 512;

/// The forms of a part of a request: as sent, decoded, and for a path resolved. Equal forms are
/// there once.
pub(crate) type Forms = Vec<Text>;

/// A request under examination.
pub(crate) struct Sample<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) recognised: &'a Recognised,
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) http: Option<&'a http::Request<'a>>,
    pub(crate) search: Search<'a>,
    /// If this sample is a decoded part of a request, the sample of that request: it has the
    /// method, the target and the headers.
    outer: Option<&'a Self>,
    method: OnceCell<Forms>,
    path: OnceCell<Forms>,
    query: OnceCell<Forms>,
    target: OnceCell<Forms>,
    body: OnceCell<Forms>,
    request: OnceCell<Forms>,
    headers: OnceCell<Vec<(Vec<u8>, Forms)>>,
    parameters: OnceCell<Vec<(Vec<u8>, Forms)>>,
    attacks: OnceCell<Vec<Found>>,
}

impl<'a> Sample<'a> {
    pub(crate) fn new(
        raw: &'a [u8],
        recognised: &'a Recognised,
        http: Option<&'a http::Request<'a>>,
        origin: Option<&'a Origin>,
        search: Search<'a>,
    ) -> Self {
        Self {
            raw,
            recognised,
            origin,
            http,
            search,
            outer: None,
            method: OnceCell::new(),
            path: OnceCell::new(),
            query: OnceCell::new(),
            target: OnceCell::new(),
            body: OnceCell::new(),
            request: OnceCell::new(),
            headers: OnceCell::new(),
            parameters: OnceCell::new(),
            attacks: OnceCell::new(),
        }
    }

    /// Returns a sample of the same request in which `bytes`, which are from a decoded part,
    /// replace the body and the whole request.
    pub(crate) fn inside<'s>(&'s self, part: &Part, bytes: &[u8]) -> Sample<'s> {
        let text = Text::of_part(bytes, part.place.clone());
        let decoded = text.decoded(true);
        let forms: Forms = [Some(text), decoded].into_iter().flatten().collect();
        let parameters = if part.is_body {
            self.parameters_of(bytes, &part.place)
        } else {
            Vec::new()
        };
        Sample {
            raw: self.raw,
            recognised: self.recognised,
            origin: self.origin,
            http: self.http,
            search: self.search.another(),
            outer: Some(self),
            method: OnceCell::new(),
            path: OnceCell::new(),
            query: OnceCell::new(),
            target: OnceCell::new(),
            body: OnceCell::from(forms.clone()),
            request: OnceCell::from(forms),
            headers: OnceCell::new(),
            parameters: OnceCell::from(parameters),
            attacks: OnceCell::new(),
        }
    }

    fn parameters_of(&self, body: &[u8], place: &Range<usize>) -> Vec<(Vec<u8>, Forms)> {
        let fields = if ContentKind::is_multipart(body) {
            parts(body)
        } else {
            pairs(body)
        };
        let forms = |value: &[u8]| {
            let text = Text::of_part(value, place.clone());
            let decoded = text.decoded(true);
            [Some(text), decoded].into_iter().flatten().collect()
        };
        let fields = fields.into_iter().take(MAX_PARAMETERS);
        fields
            .map(|(key, value)| (name(key), forms(value)))
            .collect()
    }

    /// Returns the forms of all bytes, whatever their protocol.
    pub(crate) fn request(&self) -> &[Text] {
        self.request.get_or_init(|| self.forms(self.raw, false))
    }

    /// Returns the first word of an HTTP request.
    pub(crate) fn method(&self) -> &[Text] {
        if let Some(outer) = self.outer {
            return outer.method();
        }
        let method = || {
            self.http
                .iter()
                .map(|http| self.text(http.method))
                .collect()
        };
        self.method.get_or_init(method)
    }

    /// Returns the forms of the target up to its first `?`.
    pub(crate) fn path(&self) -> &[Text] {
        if let Some(outer) = self.outer {
            return outer.path();
        }
        self.path.get_or_init(|| match &self.http {
            Some(http) => self.path_forms(http.path_and_query().0),
            None => Forms::new(),
        })
    }

    /// Returns the forms of what follows the first `?` of the target.
    pub(crate) fn query(&self) -> &[Text] {
        if let Some(outer) = self.outer {
            return outer.query();
        }
        self.query
            .get_or_init(|| self.part(|http| http.path_and_query().1, true))
    }

    /// Returns the forms of the path with the query.
    pub(crate) fn target(&self) -> &[Text] {
        if let Some(outer) = self.outer {
            return outer.target();
        }
        self.target.get_or_init(|| {
            let Some(http) = &self.http else {
                return Forms::new();
            };
            let raw = self.text(http.target);
            let path = http.path_and_query().0.len();
            let Some(mark) = http.target.get(path..).filter(|rest| !rest.is_empty()) else {
                return self.path().to_vec();
            };
            let mark = self.text(&mark[..1]);
            let query = self
                .query()
                .last()
                .map_or_else(|| mark.clone(), |query| mark.then(query));
            let mut forms = vec![raw];
            for path in self.path() {
                let form = path.then(&query);
                if forms.iter().all(|held| held.bytes != form.bytes) {
                    forms.push(form);
                }
            }
            forms
        })
    }

    /// Returns the forms of what follows the head.
    pub(crate) fn body(&self) -> &[Text] {
        self.body
            .get_or_init(|| self.part(|http| http.behind_head, true))
    }

    /// Returns the values of all headers with this name, which must be in lower case.
    pub(crate) fn header<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [Text]> {
        let is_meant = move |(found, forms): &'s (Vec<u8>, Forms)| {
            (found == name.as_bytes()).then_some(&forms[..])
        };
        self.headers().iter().filter_map(is_meant)
    }

    /// Returns all headers: names in lower case, and values.
    pub(crate) fn headers(&self) -> &[(Vec<u8>, Forms)] {
        if let Some(outer) = self.outer {
            return outer.headers();
        }
        self.headers.get_or_init(|| {
            let headers = self.http.iter().flat_map(|http| &http.headers);
            headers
                .take(MAX_HEADERS)
                .map(|header| {
                    (
                        header.name.to_ascii_lowercase(),
                        self.header_forms(header.value),
                    )
                })
                .collect()
        })
    }

    /// Returns the values of all parameters with this name, which must be in lower case. Parameters
    /// are in the query, or in a form in the body.
    pub(crate) fn parameter<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [Text]> {
        let is_meant = move |(found, forms): &'s (Vec<u8>, Forms)| {
            (found == name.as_bytes()).then_some(&forms[..])
        };
        let outer = self.outer.map(Self::parameters);
        let own = self.parameters();
        own.iter()
            .chain(outer.unwrap_or_default())
            .filter_map(is_meant)
    }

    /// Returns the attacks that the parsers find.
    pub(crate) fn attacks(&self) -> &[Found] {
        self.attacks.get_or_init(|| attack::find(self))
    }

    /// Tells whether the sample is a decoded part of a request.
    pub(crate) fn is_inside(&self) -> bool {
        self.outer.is_some()
    }

    /// Returns the names, in lower case, and the values of the parameters. The sample of a decoded
    /// part has only the parameters of that part.
    pub(crate) fn parameters(&self) -> &[(Vec<u8>, Forms)] {
        self.parameters.get_or_init(|| self.read_parameters())
    }

    fn read_parameters(&self) -> Vec<(Vec<u8>, Forms)> {
        let Some(http) = &self.http else {
            return Vec::new();
        };
        let is_multipart = http.values(b"content-type").any(|kind| {
            kind.to_ascii_lowercase()
                .starts_with(b"multipart/form-data")
        });
        let query = pairs(http.path_and_query().1);
        let body = if is_multipart {
            parts(http.behind_head)
        } else {
            pairs(http.behind_head)
        };
        query
            .into_iter()
            .chain(body)
            .take(MAX_PARAMETERS)
            .map(|(key, value)| (name(key), self.forms(value, true)))
            .collect()
    }

    fn part(&self, of: impl Fn(&http::Request<'a>) -> &'a [u8], is_form: bool) -> Forms {
        self.http
            .as_ref()
            .map_or_else(Forms::new, |http| self.forms(of(http), is_form))
    }

    fn forms(&self, part: &[u8], is_form: bool) -> Forms {
        let raw = self.text(part);
        let decoded = raw.decoded(is_form);
        [Some(raw), decoded].into_iter().flatten().collect()
    }

    /// Returns the forms of a header's value. Each fold becomes one space, as servers read it.
    fn header_forms(&self, value: &[u8]) -> Forms {
        let raw = self.text(value);
        let plain = raw.unfolded().unwrap_or(raw);
        let decoded = plain.decoded(false);
        [Some(plain), decoded].into_iter().flatten().collect()
    }

    fn path_forms(&self, path: &[u8]) -> Forms {
        let mut forms = self.forms(path, false);
        let resolved = forms.last().and_then(Text::resolved);
        forms.extend(resolved);
        forms
    }

    /// Returns a slice of the raw bytes as a text.
    fn text(&self, part: &[u8]) -> Text {
        Text::raw(part, self.offset(part))
    }

    /// Returns the range of the raw bytes that a slice of them covers.
    pub(crate) fn place(&self, part: &[u8]) -> Range<usize> {
        let start = self.offset(part);
        start..start + part.len()
    }

    /// Returns where in the raw bytes a slice of them begins.
    pub(crate) fn offset(&self, part: &[u8]) -> usize {
        if part.is_empty() {
            0
        } else {
            (part.as_ptr() as usize).wrapping_sub(self.raw.as_ptr() as usize)
        }
    }
}

/// Returns the name of a parameter decoded and in lower case, as it is compared.
fn name(name: &[u8]) -> Vec<u8> {
    let name = Text::raw(name, 0);
    name.decoded(true).unwrap_or(name).bytes
}

/// Returns the names and values of `a=b&c=d`.
fn pairs(form: &[u8]) -> Vec<(&[u8], &[u8])> {
    let pairs = form
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .take(MAX_PARAMETERS);
    pairs
        .map(|pair| {
            let equals = pair
                .iter()
                .position(|&byte| byte == b'=')
                .unwrap_or(pair.len());
            (&pair[..equals], pair.get(equals + 1..).unwrap_or_default())
        })
        .collect()
}

/// Returns the names and values of a multipart form (RFC 7578). The boundary is the first line,
/// whatever the head says.
fn parts(body: &[u8]) -> Vec<(&[u8], &[u8])> {
    let boundary = body
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    if boundary.len() < 3 {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut rest = body;
    while let Some(at) = find(rest, boundary)
        && parts.len() < MAX_PARAMETERS
    {
        rest = &rest[at + boundary.len()..];
        let part = &rest[..find(rest, boundary).unwrap_or(rest.len())];
        let Some(blank) = find(part, b"\r\n\r\n") else {
            continue;
        };
        let (head, value) = (&part[..blank], part[blank + 4..].trim_ascii_end());
        if let Some(name) = find(head, b" name=\"").map(|at| &head[at + 7..]) {
            let end = name
                .iter()
                .position(|&byte| byte == b'"')
                .unwrap_or(name.len());
            parts.push((&name[..end], value));
        }
    }
    parts
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Expressions;
    use crate::recognise;
    use crate::words::Words;

    /// Calls `look` with the sample of a request, without any signature.
    fn with_sample<T>(raw: &[u8], look: impl FnOnce(&Sample<'_>) -> T) -> T {
        let (recognised, expressions) = (recognise(raw), Expressions::new(1));
        let words = Words::new(&[""; 0]);
        let search = Search::new(&expressions, &words);
        let http = http::parse(raw);
        look(&Sample::new(raw, &recognised, http.as_ref(), None, search))
    }

    fn values(raw: &[u8], name: &str) -> Vec<String> {
        let plain = |forms: &[Text]| {
            forms
                .last()
                .map(|text| String::from_utf8_lossy(&text.bytes).into_owned())
        };
        with_sample(raw, |sample| {
            sample.parameter(name).filter_map(plain).collect()
        })
    }

    #[test]
    fn parameters_are_found_in_query_and_forms() {
        assert_eq!(
            values(b"GET /?a=1&B%5b%5D=%41+c&a HTTP/1.1\r\n\r\n", "a"),
            ["1", ""]
        );
        assert_eq!(
            values(b"GET /?a=1&B%5b%5D=%41+c HTTP/1.1\r\n\r\n", "b[]"),
            ["a c"]
        );
        assert_eq!(values(b"POST / HTTP/1.1\r\n\r\nx=y&z=%26", "z"), ["&"]);
        let multipart = b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n<?php\r\n--b--\r\n";
        assert_eq!(values(multipart, "f"), ["<?php"]);
    }

    #[test]
    fn every_form_leads_back_to_the_raw_bytes() {
        let raw = b"GET /a/%2e%2e/b?c=%2F HTTP/1.1\r\nX: %24y\r\n\r\n";
        with_sample(raw, |sample| {
            let plain: Vec<&[u8]> = sample.target().iter().map(|text| &*text.bytes).collect();
            assert_eq!(
                plain,
                [
                    &b"/a/%2e%2e/b?c=%2f"[..],
                    b"/a/%2e%2e/b?c=/",
                    b"/a/../b?c=/",
                    b"/b?c=/"
                ]
            );
            for text in &sample.target()[1..] {
                assert_eq!(
                    &raw[text.raw_range(text.bytes.len() - 1..text.bytes.len())],
                    b"%2F"
                );
            }
            let header = sample
                .header("x")
                .next()
                .and_then(|forms| forms.last())
                .unwrap();
            assert_eq!(
                (&*header.bytes, &raw[header.raw_range(0..1)]),
                (&b"$y"[..], &b"%24"[..])
            );
        });
    }
}
