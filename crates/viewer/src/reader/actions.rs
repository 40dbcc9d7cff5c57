//! The command lines of a request, and what they would do.
//!
//! In: a request and what is known of it. Out: actions. This is where a request is taken apart for them, and where most
//! requests, which have none, are told from the others at the price of a few searches.

use forever200_decode::parameters;
use forever200_identify::labels::Description;
use forever200_identify::{Category, http};
use memchr::memmem;

use crate::bytes::form::is_urlencoded;
use crate::bytes::shell::{self, Action, Text};

/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 200;
/// What a request has, as sent, that is worth a look although no label says so.
const WORDS: [&[u8]; 16] = [
    b"wget+",
    b"wget ",
    b"wget%20",
    b"wget$",
    b"curl+",
    b"curl ",
    b"curl%20",
    b"curl$",
    b"tftp",
    b"busybox",
    b"/bin/",
    b"powershell",
    b"certutil",
    b"nslookup",
    b"cmd=",
    b"/dev/tcp",
];

/// Finds the command lines of a request, in what is shown of it. `searched` is all of it in lower case.
pub(super) fn actions(raw: &[u8], searched: &[u8], description: &Description<'_>) -> Vec<Action> {
    let mut categories = description.labels.iter().map(|it| it.signature.category);
    let is_attack = categories.any(|it| matches!(it, Category::Exploit | Category::Webshell));
    let has = |word: &&[u8]| memmem::find(searched, word).is_some();
    let is_worth_it = is_attack || !description.indicators.is_empty();
    if !is_worth_it && !WORDS.iter().any(has) {
        return Vec::new();
    }
    let http = description.http.as_ref();
    let is_form = http.is_some_and(is_form);
    let parameters = http.map(|http| all_parameters(http, is_form));
    let parameters = parameters.unwrap_or_default();
    let values = parameters.iter().flat_map(|(name, value)| {
        // A parameter without a value may be a command itself.
        let is_alone = value.is_empty();
        [
            text(value, Some(name)),
            text(name, is_alone.then_some(&b""[..])),
        ]
    });
    let sent = match http {
        Some(http) => {
            let headers = http.headers.iter().map(|header| {
                let is_command = header.name.eq_ignore_ascii_case(b"cmd");
                text(header.value, is_command.then_some(header.name))
            });
            let headers: Vec<_> = headers.take(MAX_PARAMETERS).collect();
            [headers, vec![text(http.body, None)]].concat()
        }
        None => vec![text(raw, Some(b""))],
    };
    // Of these, the parameters have all.
    let is_told =
        |what: &str| what == "target, URL-decoded" || is_form && what == "body, URL-decoded";
    let hidden = description
        .decoded
        .iter()
        .filter(|part| !is_told(&part.what()));
    let hidden = hidden.map(|part| {
        let is_all = part.what().contains("base64");
        text(&part.bytes, is_all.then_some(&b""[..]))
    });
    shell::actions(values.chain(sent).chain(hidden), is_attack)
}

fn text<'a>(bytes: &'a [u8], name: Option<&'a [u8]>) -> Text<'a> {
    Text { bytes, name }
}

/// A body that says so, or looks like it and says nothing else.
fn is_form(http: &http::Request<'_>) -> bool {
    match http.values(b"content-type").next() {
        Some(first) => is_urlencoded(first),
        None => http.body.contains(&b'=') && !http.body.contains(&b'\n'),
    }
}

/// What stands in the path, in the query, and in a form.
fn all_parameters(http: &http::Request<'_>, is_form: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (path, query) = http.path_and_query();
    let form = if is_form { http.body.trim_ascii() } else { b"" };
    let all = [query, form, path].map(parameters).concat();
    all.into_iter().take(MAX_PARAMETERS).collect()
}
