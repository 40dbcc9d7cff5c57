//! Reads the values of conditions, as a visitor writes them.
//!
//! In: the text of a value. Out: the test of an entry, or a sentence that says what was expected.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use forever200_identify::{Category, Protocol};
use forever200_ring::Sent;
use ipnet::IpNet;

use super::UNRECOGNISED;
use super::host::Host;
use super::needles::needles;
use super::query::Field;
use super::term::{Test, Tls};
use crate::history::WantedCategory;

/// The name in a query for the visitor's own address.
const ME: &str = "me";

/// Reads one condition; `None` if all requests meet it.
pub(super) fn test(field: Field, value: &str, visitor: IpAddr) -> Result<Option<Test>, String> {
    let text = value.trim();
    if text.is_empty() && field != Field::Text {
        return Ok(None);
    }
    let test = match field {
        Field::Text => Test::Text(needles(value)),
        Field::Method => Test::Method(text.to_owned()),
        Field::Source => Test::Source(network("source", text, visitor)?),
        Field::Claims => Test::Claims(network("claims", text, visitor)?),
        Field::Sensor => Test::Sensor(sensor(text)?),
        Field::Protocol => Test::Protocol(protocol(text)?),
        Field::Category => Test::Category(category(text)?),
        Field::Label => Test::Label(text.to_owned()),
        Field::Kind => Test::Kind(text.to_owned()),
        Field::Cve => Test::Cve(text.to_owned()),
        Field::Country => Test::Country(text.to_owned()),
        Field::Network => Test::Network(asn(text)?),
        Field::Path => Test::Path(text.to_owned()),
        Field::Host => Test::Host(Host::new(text)),
        Field::Ja4 => Test::Ja4(text.to_owned()),
        Field::Port => Test::Port(ports(text)?),
        Field::Tls => Test::Tls(tls(text)?),
        Field::Incomplete if !switch("incomplete", text)? => return Ok(None),
        Field::Incomplete => Test::Incomplete,
        Field::Body if !switch("body", text)? => return Ok(None),
        Field::Body => Test::Body,
    };
    Ok(Some(test))
}

fn tls(value: &str) -> Result<Tls, String> {
    match &*value.to_ascii_lowercase() {
        "on" | "true" | "1" => Ok(Tls::Decrypted),
        "failed" => Ok(Tls::Failed),
        version @ ("1.0" | "1.1" | "1.2" | "1.3") => Ok(Tls::Version(format!("TLS {version}"))),
        _ => Err("tls: expected on, failed, 1.0, 1.1, 1.2 or 1.3".to_owned()),
    }
}

/// Reads the name of a sensor.
fn sensor(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if Sent::is_name(&name) {
        Ok(name)
    } else {
        Err("sensor: expected a name, 1 to 40 of a-z, 0-9 and -".to_owned())
    }
}

/// Reads a port, or a range of them.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err("port: expected a number, such as 8080, or a range, such as 2300-2399".to_owned()),
    }
}

/// Reads a network. An address, with or without a port, is a network with one address.
/// `::ffff:203.0.113.7` is `203.0.113.7`.
pub(crate) fn network(field: &str, text: &str, visitor: IpAddr) -> Result<IpNet, String> {
    if text.eq_ignore_ascii_case(ME) {
        return Ok(network_of_one(visitor));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(network_of_one(address.ip()));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(network_of_one(ip));
    }
    text.parse()
        .map_err(|_| format!("{field}: expected an address or a network, such as 203.0.113.0/24"))
}

fn network_of_one(ip: IpAddr) -> IpNet {
    ip.to_canonical().into()
}

fn protocol(name: &str) -> Result<Protocol, String> {
    named("protocol", name, Protocol::ALL, Protocol::name)
}

/// Reads the name of a category, or [`UNRECOGNISED`].
pub(crate) fn category(name: &str) -> Result<WantedCategory, String> {
    if name.eq_ignore_ascii_case(UNRECOGNISED) {
        return Ok(WantedCategory::Unrecognised);
    }
    match named("category", name, &Category::ALL, Category::name) {
        Ok(category) => Ok(WantedCategory::Labelled(category)),
        Err(error) => Err(format!("{error}, {UNRECOGNISED}")),
    }
}

/// Finds the value with this name, in upper or lower case.
fn named<T: Copy>(
    field: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T, String> {
    let mut names = Vec::new();
    for &it in all {
        if name_of(it).eq_ignore_ascii_case(name) {
            return Ok(it);
        }
        names.push(name_of(it));
    }
    Err(format!("{field}: expected one of {}", names.join(", ")))
}

/// Reads the number of an autonomous system.
pub(crate) fn asn(number: &str) -> Result<u32, String> {
    let digits = match number.split_at_checked(2) {
        Some(("AS" | "as", digits)) => digits,
        _ => number,
    };
    digits
        .parse()
        .map_err(|_| "as: expected a number, such as AS64496".to_owned())
}

/// Reads a switch of a query: `on`, `1` or `true`, `off`, `0` or `false`, in upper or lower case.
/// An empty value is `off`.
///
/// # Errors
/// The value is none of these; the error is a sentence for the visitor.
pub fn switch(name: &str, value: &str) -> Result<bool, String> {
    match &*value.to_ascii_lowercase() {
        "on" | "true" | "1" => Ok(true),
        "" | "off" | "false" | "0" => Ok(false),
        _ => Err(format!("{name}: expected on or off")),
    }
}
