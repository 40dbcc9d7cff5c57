//! Tests how long all parsers together take for 64 KiB of anything.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::pattern::{Expressions, Search};
use crate::sample::Sample;
use crate::words::Words;
use crate::{attack, http, recognise};

/// The limit with optimisation. Without it, forty times as long is allowed.
const MAX_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 80 } else { 2 });
const MANY: usize = 64 * 1024;

/// Repeats the beginnings of each language as a query, a form, JSON, XML and a cookie.
#[test]
fn a_long_request_of_anything_takes_no_time() {
    let pieces = [
        "'",
        "\"'",
        "/*",
        "/**/",
        "'--",
        "' or ",
        "1 or 1=",
        "union select ",
        "(select ",
        "sleep(",
        ";",
        "`",
        "$(",
        ";a",
        ";'i'd",
        "|/?",
        "${",
        "{{",
        "{{7*7",
        "{{{",
        "<%",
        "@(",
        "*1",
        "<",
        "<a on",
        "onx=",
        "javascript:",
        "j\t",
        "self[",
        "[][",
        "../",
        "..",
        ".",
        "/",
        "://",
        "http://1",
        "a=b&",
        "a=';id&",
        "\\",
        "\\u0041",
        "&lt;",
        "--",
        "x",
        " ",
        "\n",
        "%27",
        "\\\"",
        "eyJ",
        "eyJhbGciOiJub25lIn0.ey",
        "content-disposition: filename=",
        "<!entity",
        "rO0AB",
    ];
    for piece in pieces {
        let text = piece.repeat(MANY / piece.len());
        for (head, tail) in [
            ("GET /?x=", " HTTP/1.1\r\n\r\n"),
            ("GET /", " HTTP/1.1\r\n\r\n"),
            ("POST / HTTP/1.1\r\n\r\nx=", ""),
            ("POST / HTTP/1.1\r\n\r\n[\"", "\"]"),
            ("POST / HTTP/1.1\r\n\r\n<a>", ""),
            ("POST / HTTP/1.1\r\n\r\n--b\r\n", ""),
            ("GET / HTTP/1.1\r\nCookie: a=", "\r\n\r\n"),
        ] {
            let raw = format!("{head}{text}{tail}");
            let took = time_of(raw.as_bytes());
            assert!(took <= MAX_TIME, "{took:?} for {piece:?} behind {head:?}");
        }
    }
}

/// Returns the shortest CPU time of a few runs, because other work uses the processor too.
fn time_of(raw: &[u8]) -> Duration {
    let (recognised, expressions) = (recognise(raw), Expressions::new(1));
    let (http, words) = (http::parse(raw), Words::new(&[""; 0]));
    let once = |_| {
        let search = Search::new(&expressions, &words);
        let sample = Sample::new(raw, &recognised, http.as_ref(), None, search);
        // The forms of the request are not counted: signatures need them as well.
        let _forms = (
            sample.path(),
            sample.query(),
            sample.body(),
            sample.headers(),
            sample.parameters(),
        );
        let start = clock();
        attack::find(&sample);
        clock() - start
    };
    (0..3).map(once).min().unwrap_or_default()
}

fn clock() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Combines pieces of all languages in any order: no parser panics, and the ranges that they find
/// lie within the value.
#[test]
fn pieces_in_any_order_are_read_to_their_end() {
    const PIECES: [&str; 48] = [
        "'",
        "\"",
        "`",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        ";",
        "|",
        "&",
        "$",
        "@",
        "#",
        "--",
        "/*",
        "*/",
        "/*!5",
        "\\",
        "/",
        "..",
        ".",
        ":",
        "://",
        "=",
        "==",
        "%",
        "^",
        "?",
        "!",
        "~",
        "+",
        " ",
        "\n",
        "\0",
        "\u{fffd}",
        "or",
        "union select",
        "on",
        "filename",
        "7*7",
        "0x",
        "wget",
        "system",
        "1e",
    ];
    // A linear congruential generator: Knuth, "The Art of Computer Programming" 2, 3.3.4.
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..20_000 {
        let length = 1 + next(12);
        let text: String = (0..length).map(|_| PIECES[next(PIECES.len())]).collect();
        let value = text.as_bytes();
        let found = [
            attack::sql::find(value),
            attack::shell::find(value, false, false),
            attack::path::find(value, false),
            attack::template::find(value),
            attack::script::find(value, false),
            attack::address::find(value),
            attack::include::find(b"page", value),
            attack::upload::find(value),
            attack::code::find(value),
            attack::entity::find(value),
            attack::token::find(value),
        ];
        for range in found.into_iter().flatten() {
            assert!(
                range.start <= range.end && range.end <= value.len(),
                "{range:?} of {text:?}"
            );
        }
    }
}
