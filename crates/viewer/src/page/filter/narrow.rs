//! What the history's columns can tell of a filter, so that few requests have to be described to be
//! asked the rest.
//!
//! In: a filter. Out: conditions that all requests meet which meet the filter, and some others may.

use forever200_identify::Labeller;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use memchr::memmem::Finder;

use super::{Filter, Test};
use crate::history::Column;
use crate::reader::Describer;
use crate::reader::claims::HEADERS_CONTAIN;

/// The longest networks that are shown of a masked source, in bits: IPv4, and IPv6 where that is
/// made of IPv4.
const MASKED_V4: u8 = 24;
const MASKED_V6: u8 = 40;

impl Filter {
    /// Returns what columns can tell, and whether it must not be so.
    pub(crate) fn columns(&self, describer: &Describer) -> Vec<(Column, bool)> {
        let mut columns = Vec::new();
        for term in &self.0 {
            // Who has such a header may claim another address.
            if term.excludes && matches!(term.test, Test::Claims(_)) {
                continue;
            }
            let column = column(&term.test, describer);
            columns.extend(column.map(|column| (column, term.excludes)));
        }
        columns
    }
}

fn column(test: &Test, describer: &Describer) -> Option<Column> {
    Some(match test {
        Test::Text(needles) => Column::Text(needles.clone()),
        Test::Claims(_) => Column::Text(HEADERS_CONTAIN.map(finder).into()),
        Test::Source(network) if describer.privacy.mask_sources => Column::Source(wide(*network)),
        Test::Source(network) => Column::Source(*network),
        // What is shown of a name is not what the history has.
        Test::Sensor(_) if describer.privacy.hides_texts() => return None,
        Test::Sensor(name) => Column::Sensor(name.clone()),
        Test::Protocol(protocol) => Column::Protocol(protocol.name()),
        Test::Category(category) => Column::Category(category.map(|it| it.name())),
        Test::Label(id) => Column::Labels(vec![id.clone()]),
        Test::Cve(cve) => Column::Labels(labels_of(&describer.labeller, cve)),
        Test::Kind(kind) => kind_of(kind, &describer.labeller),
        Test::Country(code) => Column::Country(code.to_uppercase()),
        Test::Network(asn) => Column::Network(*asn),
        Test::Port(ports) => Column::Port(ports.clone()),
        Test::Ja4(ja4) => Column::Ja4(ja4.to_lowercase()),
        Test::Method(_)
        | Test::Path(_)
        | Test::Host(_)
        | Test::Tls(_)
        | Test::Incomplete
        | Test::Body => {
            return None;
        }
    })
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

/// A masked source may be any of its network.
fn wide(network: IpNet) -> IpNet {
    let prefix = network.prefix_len();
    match network {
        IpNet::V4(it) => Ipv4Net::new(it.addr(), prefix.min(MASKED_V4)).map(IpNet::V4),
        IpNet::V6(it) => Ipv6Net::new(it.addr(), prefix.min(MASKED_V6)).map(IpNet::V6),
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
