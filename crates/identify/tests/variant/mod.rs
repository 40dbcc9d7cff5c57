//! Variants of a request: changes that a sender can make and still reach the same goal.
//!
//! In: the request of an example. Out: its variants of one kind; none if the kind does not apply.

mod payload;
mod request;
mod writing;

use forever200_identify::Signature;

pub(crate) use request::Request;
use request::find;

/// A way to change a request.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Makes the variants of an example. The last argument is the signature's condition as text.
    pub(crate) vary: fn(&Request, &Signature, &str) -> Vec<Request>,
    /// The least share of the variants that must keep the label: the measured share, rounded down.
    pub(crate) least: f64,
}

pub(crate) const KINDS: [Kind; 12] = [
    Kind {
        name: "payload",
        vary: payload::vary,
        least: 0.99,
    },
    Kind {
        name: "order of parameters",
        vary: |it, _, _| order_of_parameters(it),
        least: 0.99,
    },
    Kind {
        name: "order of headers",
        vary: |it, _, _| order_of_headers(it),
        least: 1.0,
    },
    Kind {
        name: "case of header names",
        vary: |it, _, _| case_of_names(it),
        least: 1.0,
    },
    Kind {
        name: "case of hex digits",
        vary: |it, _, _| writing::case_of_hex(it),
        least: 1.0,
    },
    Kind {
        name: "case of the path",
        vary: |it, _, _| case_of_path(it),
        least: 1.0,
    },
    Kind {
        name: "host",
        vary: |it, _, condition| host(it, condition),
        least: 1.0,
    },
    Kind {
        name: "one more parameter",
        vary: |it, _, condition| one_more_parameter(it, condition),
        least: 0.99,
    },
    Kind {
        name: "more headers",
        vary: |it, _, condition| more_headers(it, condition),
        least: 0.99,
    },
    Kind {
        name: "encoded letters of the path",
        vary: |it, _, _| writing::encoded_path(it),
        least: 0.99,
    },
    Kind {
        name: "encoded letters of values",
        vary: |it, _, _| writing::encoded_values(it),
        least: 0.99,
    },
    Kind {
        name: "folder",
        vary: |it, signature, _| folder(it, signature),
        least: 0.99,
    },
];

fn order_of_parameters(request: &Request) -> Vec<Request> {
    let (path, query) = request.path_and_query();
    let query = query
        .and_then(reversed)
        .map(|query| request.with_target([path, b"?", &query].concat()));
    let form = request
        .form()
        .and_then(reversed)
        .map(|form| request.with_body(form));
    query.into_iter().chain(form).collect()
}

/// Returns the parameters from the last to the first; `None` if there is only one.
fn reversed(parameters: &[u8]) -> Option<Vec<u8>> {
    let mut list: Vec<_> = parameters.split(|&byte| byte == b'&').collect();
    let are_all_named = list
        .iter()
        .all(|it| find(it, b"=").is_some_and(|at| at > 0) && it.iter().all(u8::is_ascii_graphic));
    if list.len() < 2 || !are_all_named {
        return None;
    }
    list.reverse();
    Some(list.join(&b'&'))
}

fn order_of_headers(request: &Request) -> Vec<Request> {
    let mut headers = request.headers.clone();
    headers.reverse();
    if headers.len() < 2 {
        return Vec::new();
    }
    vec![request.with_headers(headers)]
}

fn case_of_names(request: &Request) -> Vec<Request> {
    if request.headers.is_empty() {
        return Vec::new();
    }
    let with = |change: fn(&[u8]) -> Vec<u8>| {
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (change(name), value.clone()));
        request.with_headers(headers.collect())
    };
    vec![
        with(<[u8]>::to_ascii_lowercase),
        with(<[u8]>::to_ascii_uppercase),
    ]
}

/// Changes the case of the path, for pages of Windows servers, which find them in any case.
fn case_of_path(request: &Request) -> Vec<Request> {
    let (path, query) = request.path_and_query();
    let lowercase = path.to_ascii_lowercase();
    let ends = [&b".asp"[..], b".aspx", b".ashx", b".asmx", b".cfm", b".dll"];
    if !ends.iter().any(|end| lowercase.ends_with(end)) {
        return Vec::new();
    }
    let query = query.map(|query| [b"?", query].concat());
    let with = |path: Vec<u8>| {
        let target = [path, query.clone().unwrap_or_default()].concat();
        request.with_target(target)
    };
    vec![with(path.to_ascii_uppercase()), with(lowercase)]
}

/// Changes the host, unless the condition depends on it.
fn host(request: &Request, condition: &str) -> Vec<Request> {
    let mut headers = request.headers.clone();
    let mut hosts = headers
        .iter_mut()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"host"));
    let Some((_, value)) = hosts.next() else {
        return Vec::new();
    };
    if condition.contains("host") {
        return Vec::new();
    }
    *value = b"Sensor-7.Example.ORG:8080".to_vec();
    vec![request.with_headers(headers)]
}

/// Adds a parameter, unless the condition asks for none.
fn one_more_parameter(request: &Request, condition: &str) -> Vec<Request> {
    let asks_for_none = ["\"equals\": String(\"\")", "\"regex\": String(\".\")"];
    if asks_for_none.iter().any(|none| condition.contains(none)) {
        return Vec::new();
    }
    let sign = match request.path_and_query() {
        (_, Some(b"")) => &b""[..],
        (_, Some(_)) => b"&",
        (_, None) => b"?",
    };
    let mut all = vec![request.with_target([&request.target, sign, b"lang=en"].concat())];
    if let Some(form) = request.form() {
        all.push(request.with_body([b"lang=en&", form].concat()));
    }
    all
}

/// Adds headers of browsers and proxies, without a header whose lack is in the condition.
fn more_headers(request: &Request, condition: &str) -> Vec<Request> {
    let of_browser = if condition.contains("accept-language") {
        ("Pragma", "no-cache")
    } else {
        ("Accept-Language", "en-US,en;q=0.9")
    };
    let more = [of_browser, ("X-Forwarded-For", "203.0.113.7"), ("DNT", "1")];
    let more = more.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let (before, behind) = more.split_at(1);
    vec![request.with_headers([before, &request.headers, behind].concat())]
}

/// Moves the page into a folder, as on a web server with several programs; not for pages of
/// devices.
fn folder(request: &Request, signature: &Signature) -> Vec<Request> {
    let is_program =
        signature.product.is_some() && signature.categories().all(|it| it.name() != "iot");
    let (path, _) = request.path_and_query();
    let is_page = [
        &b".php"[..],
        b".jsp",
        b".aspx",
        b".asmx",
        b".ashx",
        b".action",
        b".do",
    ]
    .iter()
    .any(|end| path.ends_with(end));
    let is_wordpress = find(path, b"/wp-").is_some();
    if !is_program || !is_page && !is_wordpress {
        return Vec::new();
    }
    vec![request.with_target([b"/portal", &request.target[..]].concat())]
}
