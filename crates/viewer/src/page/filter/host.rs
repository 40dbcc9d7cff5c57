//! The condition on the name that a request asks for.

use std::net::Ipv4Addr;

use crate::reader::asked_for::{AskedFor, NameKind};

/// The word in a query for an address of any kind.
const ADDRESS: &str = "address";
/// The word in a query for requests that ask for nothing.
const NONE: &str = "none";

/// The names that meet the condition.
#[derive(Clone, Debug)]
pub(super) enum Host {
    /// The request asks for no name.
    None,
    /// Any address: this machine's own or another.
    Address,
    /// All names of one kind.
    Kind(NameKind),
    /// This name.
    Name(String),
    /// This domain and all names below it.
    Domain(String),
}

impl Host {
    /// Reads a condition. A name that is the same as one of the words of conditions is written with
    /// a dot at its end, as in `none.`
    pub(super) fn new(value: &str) -> Self {
        let word = value.to_ascii_lowercase();
        let kind = NameKind::ALL.into_iter().find(|kind| kind.name() == word);
        match (&*word, kind, word.strip_prefix('.')) {
            (NONE, _, _) => Self::None,
            (ADDRESS, _, _) => Self::Address,
            (_, Some(kind), _) => Self::Kind(kind),
            (_, None, Some(domain)) => Self::Domain(read(domain)),
            (_, None, None) => Self::Name(read(value)),
        }
    }

    /// Tells whether the name that a request asks for meets the condition.
    pub(super) fn is_asked_for(&self, asked_for: Option<&AskedFor>) -> bool {
        let Some(asked_for) = asked_for else {
            return matches!(self, Self::None);
        };
        let AskedFor { kind, name } = asked_for;
        match self {
            Self::None => false,
            Self::Address => matches!(kind, NameKind::OwnAddress | NameKind::OtherAddress),
            Self::Kind(wanted) => wanted == kind,
            Self::Name(wanted) => *kind != NameKind::Hidden && name.eq_ignore_ascii_case(wanted),
            Self::Domain(domain) => {
                let below = name.strip_suffix(&**domain);
                let is_it = below.is_some_and(|below| below.is_empty() || below.ends_with('.'));
                *kind == NameKind::Name && is_it
            }
        }
    }
}

/// Returns the value with which a query asks for a name: the name, with a dot at its end if it is
/// the same as one of these words.
pub(crate) fn host_value(name: &str) -> String {
    match Host::new(name) {
        Host::Name(_) => name.to_owned(),
        _ => format!("{name}."),
    }
}

/// Reads a name in the same way as the names in requests, so that it may be written in the same
/// ways.
fn read(name: &str) -> String {
    AskedFor::new(name.as_bytes(), Ipv4Addr::UNSPECIFIED.into()).name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_a_request_asks_for_can_be_asked_for() {
        let dest = [192, 0, 2, 1].into();
        let mut names = vec!["example.com", "none", "address", "192.0.2.2", "a b"];
        names.extend(NameKind::ALL.map(NameKind::name));
        for name in names {
            let asked_for = AskedFor::new(name.as_bytes(), dest);
            let host = Host::new(&host_value(&asked_for.name));
            assert!(host.is_asked_for(Some(&asked_for)), "{name}");
            let other = AskedFor::new(b"other.example", dest);
            assert!(!host.is_asked_for(Some(&other)), "{name}");
            assert!(!host.is_asked_for(None), "{name}");
        }
    }

    #[test]
    fn a_name_its_domain_and_its_kind_are_asked_for() {
        let dest = [192, 0, 2, 1].into();
        let asks = |host: &str, asked_for: &str| {
            let asked_for = AskedFor::new(asked_for.as_bytes(), dest);
            Host::new(host).is_asked_for(Some(&asked_for))
        };
        for (host, asked_for) in [
            ("example.com", "Example.com:80"),
            ("EXAMPLE.com.", "example.com"),
            (".example.com", "a.b.example.com"),
            (".Example.com", "example.com"),
            ("name", "example.com"),
            ("none.", "none"),
            ("address.", "address"),
            ("address", "192.0.2.1"),
            ("address", "localhost"),
            ("address", "192.0.2.2"),
            ("own-address", "192.0.2.1:80"),
            ("Other-Address", "192.0.2.2"),
            ("192.0.2.2", "192.0.514"),
            ("192.0.2.1", "[::ffff:192.0.2.1]"),
            ("localhost", "localhost"),
            ("odd", "a b"),
            ("A B", "a b"),
        ] {
            assert!(asks(host, asked_for), "{host}: {asked_for}");
        }
        for (host, asked_for) in [
            ("example.com", "a.example.com"),
            (".example.com", "badexample.com"),
            (".example.com", "example.com.evil.example"),
            (".", "example.com"),
            (".0.2.2", "192.0.2.2"),
            ("name", "192.0.2.1"),
            ("none", "none"),
            ("none", "192.0.2.1"),
            ("address", "example.com"),
            ("own-address", "192.0.2.2"),
            ("hidden", "a"),
        ] {
            assert!(!asks(host, asked_for), "{host}: {asked_for}");
        }
        assert!(Host::new("none").is_asked_for(None));
        assert!(!Host::new("name").is_asked_for(None));
        assert!(Host::new("hidden").is_asked_for(Some(&AskedFor::HIDDEN)));
        for host in ["", "name", "address", ".", "x"] {
            assert!(
                !Host::new(host).is_asked_for(Some(&AskedFor::HIDDEN)),
                "{host}"
            );
        }
    }
}
