//! A request that can be read, changed and written again.

/// A request of HTTP/1, formatted as most clients do.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    version: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads a request; `None` if its parts, written again, would not give the same bytes.
    pub(crate) fn read(raw: &[u8]) -> Option<Self> {
        let end = find(raw, b"\r\n\r\n")?;
        let mut lines = split(&raw[..end], b"\r\n").into_iter();
        let first: Vec<_> = lines.next()?.split(|&byte| byte == b' ').collect();
        let [method, target, version] = first[..] else {
            return None;
        };
        let header = |line: &[u8]| {
            let at = find(line, b": ")?;
            Some((line[..at].to_vec(), line[at + 2..].to_vec()))
        };
        let read = Self {
            method: method.to_vec(),
            target: target.to_vec(),
            version: version.to_vec(),
            headers: lines.map(header).collect::<Option<_>>()?,
            body: raw[end + 4..].to_vec(),
        };
        let is_http = version.starts_with(b"HTTP/1.") && target.starts_with(b"/");
        (is_http && read.write() == raw).then_some(read)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut raw = [&self.method[..], b" ", &self.target, b" ", &self.version].concat();
        for (name, value) in &self.headers {
            raw.extend([b"\r\n", &name[..], b": ", value].concat());
        }
        raw.extend(b"\r\n\r\n");
        raw.extend(&self.body);
        raw
    }

    pub(crate) fn with_target(&self, target: Vec<u8>) -> Self {
        Self {
            target,
            ..self.clone()
        }
    }

    pub(crate) fn with_body(&self, body: Vec<u8>) -> Self {
        Self {
            body,
            ..self.clone()
        }
    }

    pub(crate) fn with_headers(&self, headers: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self {
            headers,
            ..self.clone()
        }
    }

    pub(crate) fn path_and_query(&self) -> (&[u8], Option<&[u8]>) {
        match find(&self.target, b"?") {
            Some(at) => (&self.target[..at], Some(&self.target[at + 1..])),
            None => (&self.target, None),
        }
    }

    /// Returns the body if the header says that it is a form and it has a `=`.
    pub(crate) fn form(&self) -> Option<&[u8]> {
        let is_form = self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case(b"content-type")
                && value.starts_with(b"application/x-www-form")
        });
        (is_form && self.body.contains(&b'=')).then_some(&self.body)
    }
}

/// Replaces a text at all its places; `None` if it is nowhere.
pub(crate) fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    find(text, from)?;
    Some(split(text, from).join(to))
}

pub(crate) fn split<'a>(mut text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, separator) {
        parts.push(&text[..at]);
        text = &text[at + separator.len()..];
    }
    parts.push(text);
    parts
}

pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}
