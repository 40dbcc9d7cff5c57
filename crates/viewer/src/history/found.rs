//! What the history stores about a request in addition to its bytes, so that a search need not
//! describe the request again.
//!
//! In: a blanked entry. Pages check again (`secrets`), because more may be hidden later. Out: short
//! texts, each of bounded length.

use forever200_identify::Category;

use crate::bytes::printable;
use crate::history::kind::Kind;
use crate::reader::Entry;
use crate::reader::entry::text;

/// Longest text that is written, in characters.
pub(crate) const MAX_CHARS: usize = 200;

/// What was found out about a request.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) protocol: &'static str,
    /// Ids of the labels, with a space before and after each.
    pub(crate) labels: String,
    /// Names of the labels' categories, with a space before and after each.
    pub(crate) categories: String,
    /// Name or address of the host that the request asks for.
    pub(crate) host: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) ja4: Option<String>,
    /// Where the client's address is: the code of the country, and the number and name of the
    /// network.
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) as_name: Option<String>,
}

impl Found {
    /// Takes from an entry what the history stores.
    pub(crate) fn new(entry: &Entry) -> Self {
        let signatures = || entry.labels.iter().map(|label| &label.signature);
        let mut categories: Vec<Category> = signatures().flat_map(|it| it.categories()).collect();
        categories.sort_unstable();
        categories.dedup();
        let origin = entry.origin.as_ref();
        let asked_for = entry.asked_for.as_ref();
        Self {
            kind: Kind::of(entry).clone(),
            protocol: entry.protocol.name(),
            labels: spaced(signatures().map(|it| it.id.as_str())),
            categories: spaced(categories.into_iter().map(Category::name)),
            host: asked_for
                .filter(|it| !it.name.is_empty())
                .map(|it| printable::line(it.name.as_bytes(), MAX_CHARS)),
            user_agent: user_agent(entry),
            ja4: entry
                .tls
                .as_ref()
                .and_then(|tls| tls.ja4().map(str::to_owned)),
            country: origin.and_then(|origin| origin.country.clone()),
            asn: origin.and_then(|origin| origin.asn),
            as_name: origin.and_then(|origin| origin.as_name.clone()),
        }
    }
}

fn user_agent(entry: &Entry) -> Option<String> {
    let request = entry.request()?;
    let value = request.values(b"user-agent").next()?;
    Some(printable::line(text(value).as_bytes(), MAX_CHARS))
}

fn spaced<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from(" ");
    for name in names {
        text.push_str(name);
        text.push(' ');
    }
    text
}
