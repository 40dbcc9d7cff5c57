//! Translates a filter into conditions on the history's columns, so that few requests must be
//! described and checked.
//!
//! In: a filter. Out: conditions that every matching request meets. Requests that do not match may
//! meet them too. `conditions` are for columns, `texts` for bytes. Read `column` first, which says
//! what each test means for a column.

use forever200_identify::Labeller;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use memchr::memmem::Finder;

use super::host::Host;
use super::{Filter, Test};
use crate::history::{Column, Condition, MAX_CHARS, WantedCategory};
use crate::reader::Describer;
use crate::reader::claims::HEADERS_CONTAIN;
use crate::reader::privacy::{V4_PREFIX, V6_OF_V4_PREFIX};

/// The beginning of HTTP/2 (RFC 9113, 3.4), in lower case.
const HTTP_2: &str = "pri * http/2.0";

impl Filter {
    /// Returns the conditions that columns can decide.
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

    /// Returns lists of texts. The bytes of a request that meets the filter contain at least one
    /// text of each list, in upper or lower case. A request that has a wanted text only in an
    /// encoding is left out, as docs/api.md says.
    pub(crate) fn texts(&self, describer: &Describer) -> Vec<Vec<Finder<'static>>> {
        // Conditions that exclude cannot be used here. A request without a text in its bytes may
        // hide the text in an encoding. For `claims`, a request that has one of the claiming
        // headers may claim another address.
        let included = self.0.iter().filter(|term| !term.excludes);
        included
            .filter_map(|term| texts(&term.test, describer))
            .collect()
    }
}

/// Tells whether the condition on a column may hold for more requests than the test does. Such a
/// condition must not exclude, because it would leave out requests that must be shown.
fn is_wider(test: &Test, describer: &Describer) -> bool {
    match test {
        // A request without a name in the history may have a name that was hidden then.
        Test::Host(_) => true,
        // A kind is the first label, but the column finds any label.
        Test::Kind(_) => true,
        Test::Source(_) => describer.privacy.mask_sources,
        // The history has the results of the version and the IP database of that time.
        Test::Label(_) | Test::Cve(_) | Test::Category(_) | Test::Protocol(_) => true,
        Test::Country(_) | Test::Network(_) => true,
        _ => false,
    }
}

fn texts(test: &Test, describer: &Describer) -> Option<Vec<Finder<'static>>> {
    match test {
        Test::Claims(_) => Some(HEADERS_CONTAIN.map(finder).into()),
        // The text that is shown in place of a hidden text or address is not in the bytes. Also,
        // the result of such a search could show a visitor that the bytes contain the hidden text:
        // by the place where the search ends, or because it finds too much.
        _ if describer.privacy.hides_texts() || describer.privacy.mask_sources => None,
        Test::Text(needles) => Some(needles.clone()),
        Test::Method(text) | Test::Path(text) => in_http(text),
        _ => None,
    }
}

/// Returns the text and the beginning of HTTP/2: a request with this text has one of them, because
/// HTTP/2 compresses texts. `None` for a text that is not ASCII, which may be written in several
/// ways.
fn in_http(text: &str) -> Option<Vec<Finder<'static>>> {
    let is_plain = !text.is_empty() && text.is_ascii();
    is_plain.then(|| vec![finder(&text.to_ascii_lowercase()), finder(HTTP_2)])
}

fn column(test: &Test, describer: &Describer) -> Option<Column> {
    Some(match test {
        Test::Source(network) if describer.privacy.mask_sources => Column::Source(wide(*network)),
        Test::Source(network) => Column::Source(*network),
        // The history has the original of a name, not the text that is shown.
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

/// Tells whether the history has this name as it is written here. The history truncates long names.
/// It has the original of a hidden name, not the text that is shown.
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

/// Widens a network to the prefix that is shown of a masked source, because the source may be any
/// address in it. For IPv6, this is the prefix used for addresses made of IPv4, because it is the
/// widest.
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

/// Returns the column for a kind: its first label or, if no label has its name, its shape.
fn kind_of(kind: &str, labeller: &Labeller) -> Column {
    let is_label = labeller.signatures().any(|signature| signature.id == kind);
    if is_label {
        Column::Labels(vec![kind.to_owned()])
    } else {
        Column::Kind(kind.to_owned())
    }
}
