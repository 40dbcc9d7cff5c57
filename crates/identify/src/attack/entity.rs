//! XML entities and includes whose content is a file or an address.
//!
//! In: XML in lower case. Out: the declaration. A DOCTYPE with a public name and the address of the
//! W3C is what every old page begins with, and is none.
//!
//! Rules: XML 1.0 4.2.2 "External Entities"; XInclude 1.0; XSLT 1.0 2.6 "Combining Stylesheets".

use std::ops::Range;

use memchr::memmem;

/// Bytes of a declaration that are looked at.
const MAX_DECLARATION_BYTES: usize = 512;

/// Returns the bytes of a text that declare such an entity.
pub(crate) fn find(text: &[u8]) -> Option<Range<usize>> {
    let declared = |mark: &str, words: &[&str]| {
        let start = memmem::find(text, mark.as_bytes())?;
        let rest = &text[start..text.len().min(start + MAX_DECLARATION_BYTES)];
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        let has_word = |word: &&str| memmem::find(&rest[..end], word.as_bytes()).is_some();
        words.iter().any(has_word).then_some(start..start + end)
    };
    declared(
        "<!entity",
        &[" system", " public", "\tsystem", "\nsystem", " % ", "%"],
    )
    .or_else(|| {
        declared(
            ":include",
            &["href=\"file", "href='file", "href=\"http", "href='http"],
        )
    })
    .or_else(|| declared("<xi:include", &["href"]))
    .or_else(|| {
        declared(
            "<!doctype",
            &["system \"", "system '", "\"file:", "\"http://127", "\"ftp:"],
        )
    })
    .or_else(|| declared("<xsl:include", &["href=\"http", "href=\"file"]))
    .or_else(|| declared("<xsl:import", &["href=\"http", "href=\"file"]))
}
