//! What the history's columns can tell of a filter, so that few requests have to be described to be
//! asked the rest.
//!
//! In: a filter. Out: conditions that every matching request meets; some that do not match may meet
//! them too. `conditions` are for columns, `texts` for bytes. Read `column` first: what each test
//! means for a column.

use forever200_identify::Labeller;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use memchr::memmem::Finder;

use super::host::Host;
use super::{Filter, Test};
use crate::history::{Column, Condition, MAX_CHARS, WantedCategory};
use crate::reader::Describer;
use crate::reader::claims::HEADERS_CONTAIN;
use crate::reader::privacy::{V4_PREFIX, V6_OF_V4_PREFIX};

/// With this HTTP/2 begins: RFC 9113, 3.4; in lower case.
const HTTP_2: &str = "pri * http/2.0";

impl Filter {
    /// Returns what columns can tell.
    pub(crate) fn conditions(&self, describer: &Describer) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for term in &self.0 {
            if term.excludes && is_wider(&term.test, describer) {
                continue;
            }
            if let Some(column) = column(&term.test, describer) {
                conditions.push(Condition {
                    column,
                    excludes: term.excludes,
                });
            }
        }
        conditions
    }

    /// Returns lists of texts: of each list, one is in the bytes of a request that meets the filter,
    /// in any case. What contains a wanted text in an encoding alone is left out: docs/api.md says
    /// so.
    pub(crate) fn texts(&self, describer: &Describer) -> Vec<Vec<Finder<'static>>> {
        // Only what must be met: what does not contain a text may hide it in an encoding, and who
        // has such a header may claim another address.
        let included = self.0.iter().filter(|term| !term.excludes);
        included
            .filter_map(|term| texts(&term.test, describer))
            .collect()
    }
}

/// Tells whether a column may hold for more requests than the test: those must not be left out.
fn is_wider(test: &Test, describer: &Describer) -> bool {
    match test {
        // What has no name in the history may have one that was hidden then.
        Test::Host(_) => true,
        // A kind is the first label, and the column any of them.
        Test::Kind(_) => true,
        Test::Source(_) => describer.privacy.mask_sources,
        // The history has what the version that saw a request found, and an older IP database.
        Test::Label(_) | Test::Cve(_) | Test::Category(_) | Test::Protocol(_) => true,
        Test::Country(_) | Test::Network(_) => true,
        _ => false,
    }
}

fn texts(test: &Test, describer: &Describer) -> Option<Vec<Finder<'static>>> {
    match test {
        Test::Claims(_) => Some(HEADERS_CONTAIN.map(finder).into()),
        // What is shown in the place of a hidden text or address is not in the bytes; and that bytes
        // have what is hidden could be told from where a search ends, or that it finds too much.
        _ if describer.privacy.hides_texts() || describer.privacy.mask_sources => None,
        Test::Text(needles) => Some(needles.clone()),
        Test::Method(text) | Test::Path(text) => in_http(text),
        _ => None,
    }
}

/// A text that stands in a request as it is, but in HTTP/2, which compresses it. What is not ASCII
/// may stand there in several ways.
fn in_http(text: &str) -> Option<Vec<Finder<'static>>> {
    let is_plain = !text.is_empty() && text.is_ascii();
    is_plain.then(|| vec![finder(&text.to_ascii_lowercase()), finder(HTTP_2)])
}

fn column(test: &Test, describer: &Describer) -> Option<Column> {
    Some(match test {
        Test::Source(network) if describer.privacy.mask_sources => Column::Source(wide(*network)),
        Test::Source(network) => Column::Source(*network),
        // What is shown of a name is not what the history has.
        Test::Sensor(_) if describer.privacy.hides_texts() => return None,
        Test::Sensor(name) => Column::Sensor(name.clone()),
        Test::Protocol(protocol) => Column::Protocol(protocol.name()),
        Test::Category(WantedCategory::Unrecognised) => Column::Category(None),
        Test::Category(WantedCategory::Labelled(category)) => {
            Column::Category(Some(category.name()))
        }
        Test::Label(id) => Column::Labels(vec![id.clone()]),
        Test::Cve(cve) => Column::Labels(labels_of(&describer.labeller, cve)),
        Test::Kind(kind) => kind_of(kind, &describer.labeller),
        Test::Country(code) => Column::Country(code.to_uppercase()),
        Test::Network(asn) => Column::Network(*asn),
        Test::Port(ports) => Column::Port(ports.clone()),
        Test::Ja4(ja4) => Column::Ja4(ja4.to_lowercase()),
        Test::Host(Host::Name(name)) if is_written_as_it_is(name, describer) => {
            Column::Host(name.clone())
        }
        Test::Text(_)
        | Test::Claims(_)
        | Test::Method(_)
        | Test::Path(_)
        | Test::Host(_)
        | Test::Tls(_)
        | Test::Incomplete
        | Test::Body => {
            return None;
        }
    })
}

/// The history has names cut short. What is shown of a hidden one it has not.
fn is_written_as_it_is(name: &str, describer: &Describer) -> bool {
    !describer.privacy.hides_texts()
        && !describer.privacy.mask_sources
        && name.len() <= MAX_CHARS
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

/// A masked source may be any of its network, which is the widest of IPv6 where that is made of
/// IPv4.
fn wide(network: IpNet) -> IpNet {
    let prefix = network.prefix_len();
    match network {
        IpNet::V4(it) => Ipv4Net::new(it.addr(), prefix.min(V4_PREFIX)).map(IpNet::V4),
        IpNet::V6(it) => Ipv6Net::new(it.addr(), prefix.min(V6_OF_V4_PREFIX)).map(IpNet::V6),
    }
    .unwrap_or(network)
    .trunc()
}

fn labels_of(labeller: &Labeller, cve: &str) -> Vec<String> {
    let has_it = |known: &[String]| known.iter().any(|it| it.eq_ignore_ascii_case(cve));
    labeller
        .signatures()
        .filter(|signature| has_it(&signature.cve))
        .map(|signature| signature.id.clone())
        .collect()
}

/// A kind is its first label, or, where none has its name, a shape.
fn kind_of(kind: &str, labeller: &Labeller) -> Column {
    let is_label = labeller.signatures().any(|signature| signature.id == kind);
    if is_label {
        Column::Labels(vec![kind.to_owned()])
    } else {
        Column::Kind(kind.to_owned())
    }
}
