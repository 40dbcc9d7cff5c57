//! Recognises the protocol of the first bytes, and the bytes that show it.
//!
//! In: the bytes that a client sent before the answer. They may be anything and may end anywhere.
//! Out: a [`Recognised`]. Never panics and never guesses: a wrong name is worse than
//! [`Protocol::Unknown`].
//!
//! Read in this order: `names` (the list of protocols), [`recognise`] and `ORDER` below, `reading`
//! (helpers that read bytes). The other files have the recognisers by topic. The comment of a
//! recogniser names the document that it follows, with the section, and then what it expects in the
//! bytes, mostly field by field.

mod caches;
mod contents;
mod databases;
mod devices;
mod files;
mod industry;
mod java;
mod mail;
mod messaging;
mod mssql;
mod names;
mod network;
mod peers;
mod proxies;
mod reading;
mod remote;
mod services;
mod telephony;
mod tunnels;
mod web;

use std::ops::Range;

pub use names::Protocol;
use reading::Found;

/// The protocol of the first bytes, the bytes that show it, and what they tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// The protocol.
    pub protocol: Protocol,
    /// The bytes that show the protocol: a magic number, a verb, a header. Empty if no protocol
    /// fits.
    pub evidence: Range<usize>,
    /// One line of at most 120 characters of ASCII, such as `Cookie: mstshash=nmap` or `CONNECT
    /// 198.51.100.7:25`.
    ///
    /// Other bytes are shown as `\x00`. `None` if there is nothing to add, as for HTTP.
    pub detail: Option<String>,
}

/// Recognises one protocol; `None` if the bytes are not of this protocol.
type Recogniser = fn(&[u8]) -> Option<Found>;

/// The recognisers in the order in which they are tried. The first one that recognises the bytes
/// decides:
///
/// 1. Protocols whose first line our lenient HTTP recogniser would also accept.
/// 2. HTTP.
/// 3. Magic numbers.
/// 4. Text that people type.
/// 5. Plausible lengths and known values, the weakest evidence last.
const ORDER: &[(Protocol, Recogniser)] = &[
    (Protocol::Http2, web::http2),
    (Protocol::Rtsp, web::rtsp),
    (Protocol::Sip, web::sip),
    (Protocol::Icap, web::icap),
    (Protocol::HttpResponse, contents::http_response),
    (Protocol::Gemini, web::gemini),
    (Protocol::Finger, services::finger),
    (Protocol::Http, web::http),
    // Magic numbers of three bytes and more.
    (Protocol::Tls, web::tls),
    (Protocol::Dtls, web::dtls),
    (Protocol::Ssh, remote::ssh),
    (Protocol::Proxy, proxies::proxy),
    (Protocol::Rdp, remote::rdp),
    (Protocol::H323, telephony::h323),
    (Protocol::S7comm, industry::s7comm),
    (Protocol::IsoTsap, industry::iso_tsap),
    (Protocol::Smb1, files::smb1),
    (Protocol::Smb2, files::smb2),
    (Protocol::Netbios, files::netbios),
    (Protocol::Elf, contents::elf),
    (Protocol::WindowsProgram, contents::windows_program),
    (Protocol::Zip, contents::zip),
    (Protocol::Ica, remote::ica),
    (Protocol::Levin, peers::levin),
    (Protocol::CheckPoint, tunnels::checkpoint),
    (Protocol::Knx, industry::knx),
    (Protocol::Vnc, remote::vnc),
    (Protocol::X11, remote::x11),
    (Protocol::Adb, remote::adb),
    (Protocol::Jdwp, java::jdwp),
    (Protocol::Rmi, java::rmi),
    (Protocol::JavaSerialized, java::java_serialized),
    (Protocol::T3, java::t3),
    (Protocol::Iiop, java::iiop),
    (Protocol::Ajp, java::ajp),
    (Protocol::FastCgi, web::fastcgi),
    (Protocol::FlashPolicy, web::flash_policy),
    (Protocol::Distcc, remote::distcc),
    (Protocol::Rsync, files::rsync),
    (Protocol::Git, files::git),
    (Protocol::Pjl, files::pjl),
    (Protocol::Ncp, files::ncp),
    (Protocol::Mqtt, messaging::mqtt),
    (Protocol::Amqp, messaging::amqp),
    (Protocol::Nats, messaging::nats),
    (Protocol::OpenWire, messaging::openwire),
    (Protocol::Zmtp, messaging::zmtp),
    (Protocol::Mq, messaging::mq),
    (Protocol::Zabbix, messaging::zabbix),
    (Protocol::Gearman, messaging::gearman),
    (Protocol::Notes, messaging::notes),
    (Protocol::Fix, messaging::fix),
    (Protocol::Nessus, messaging::nessus),
    (Protocol::Xmpp, mail::xmpp),
    (Protocol::Elasticsearch, caches::elasticsearch),
    (Protocol::Bolt, databases::bolt),
    (Protocol::ClickHouse, databases::clickhouse),
    (Protocol::Thrift, databases::thrift),
    (Protocol::Drda, databases::drda),
    (Protocol::Firebird, databases::firebird),
    (Protocol::Db2Das, databases::db2das),
    (Protocol::OpcUa, industry::opcua),
    (Protocol::Fox, industry::fox),
    (Protocol::Fins, industry::fins),
    (Protocol::Proconos, industry::proconos),
    (Protocol::PcWorx, industry::pcworx),
    (Protocol::Codesys, industry::codesys),
    (Protocol::Hl7, industry::hl7),
    (Protocol::Atg, industry::atg),
    (Protocol::BitTorrent, peers::bittorrent),
    (Protocol::Bitcoin, peers::bitcoin),
    (Protocol::Gh0st, peers::gh0st),
    (Protocol::NjRat, peers::njrat),
    (Protocol::Ipmi, network::ipmi),
    (Protocol::Pptp, network::pptp),
    (Protocol::Bgp, network::bgp),
    (Protocol::Stun, network::stun),
    (Protocol::Coap, network::coap),
    (Protocol::MikroTik, devices::mikrotik),
    (Protocol::Winbox, devices::winbox),
    (Protocol::Dahua, devices::dahua),
    (Protocol::Dvrip, devices::dvrip),
    (Protocol::TeamViewer, remote::teamviewer),
    (Protocol::Subversion, files::subversion),
    (Protocol::Iscsi, files::iscsi),
    (Protocol::Hadoop, databases::hadoop),
    (Protocol::RethinkDb, databases::rethinkdb),
    (Protocol::WsDiscovery, web::ws_discovery),
    // Text. Recognisers of whole lines stand before those of single verbs.
    (Protocol::Stratum, peers::stratum),
    (Protocol::JsonRpc, peers::json_rpc),
    (Protocol::Redis, caches::redis),
    (Protocol::Stomp, messaging::stomp),
    (Protocol::Telnet, remote::telnet),
    (Protocol::ZooKeeper, caches::zookeeper),
    (Protocol::Memcached, caches::memcached),
    (Protocol::Tarantool, databases::tarantool),
    (Protocol::TeamSpeak, remote::teamspeak),
    (Protocol::Tinc, network::tinc),
    (Protocol::Syslog, services::syslog),
    (Protocol::Ident, services::ident),
    (Protocol::Nntp, services::nntp),
    (Protocol::ManageSieve, mail::managesieve),
    (Protocol::Irc, mail::irc),
    (Protocol::Pop3, mail::pop3),
    (Protocol::Imap, mail::imap),
    (Protocol::Smtp, mail::smtp),
    (Protocol::Ftp, files::ftp),
    (Protocol::Redis, caches::redis_line),
    (Protocol::Telnet, remote::login),
    // Plausible lengths and known values.
    (Protocol::Ssl2, web::ssl2),
    (Protocol::Mongodb, databases::mongodb),
    (Protocol::Postgres, databases::postgres),
    (Protocol::Mysql, databases::mysql),
    (Protocol::Oracle, databases::oracle),
    (Protocol::Sybase, mssql::sybase),
    (Protocol::Mssql, mssql::mssql),
    (Protocol::Cassandra, databases::cassandra),
    (Protocol::Memcached, caches::memcached_binary),
    (Protocol::Couchbase, caches::couchbase),
    (Protocol::Kerberos, network::kerberos),
    (Protocol::Ldap, network::ldap),
    (Protocol::Snmp, network::snmp),
    (Protocol::Z3950, network::z3950),
    (Protocol::SunRpc, files::sunrpc),
    (Protocol::Msrpc, files::msrpc),
    (Protocol::Isakmp, tunnels::isakmp),
    (Protocol::DoIp, industry::doip),
    (Protocol::Ldp, tunnels::ldp),
    (Protocol::Diameter, telephony::diameter),
    (Protocol::Smpp, telephony::smpp),
    (Protocol::Skinny, telephony::skinny),
    (Protocol::Nrpe, services::nrpe),
    (Protocol::Dicom, industry::dicom),
    (Protocol::Enip, industry::enip),
    (Protocol::Iec104, industry::iec104),
    (Protocol::Dnp3, industry::dnp3),
    (Protocol::Bacnet, industry::bacnet),
    (Protocol::Radmin, remote::radmin),
    (Protocol::HartIp, industry::hart_ip),
    (Protocol::Afp, files::afp),
    (Protocol::Kafka, messaging::kafka),
    (Protocol::Socks4, proxies::socks4),
    (Protocol::Socks5, proxies::socks5),
    (Protocol::OpenVpn, network::openvpn),
    (Protocol::Tor, peers::tor),
    (Protocol::Epmd, messaging::epmd),
    (Protocol::Erlang, messaging::erlang),
    (Protocol::Modbus, industry::modbus),
    (Protocol::Dns, network::dns),
    (Protocol::Ntp, network::ntp),
    (Protocol::Minecraft, peers::minecraft),
    (Protocol::OpenFlow, network::openflow),
    (Protocol::Rtmp, web::rtmp),
    (Protocol::Ethereum, peers::ethereum),
    (Protocol::Rsh, remote::rsh),
    (Protocol::Rlogin, remote::rlogin),
    (Protocol::Lpd, files::lpd),
    (Protocol::Mqtt, messaging::mqtt_ping),
];

/// Returns the protocol of a request, the bytes that show it, and what they tell.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Recognised {
    let known = ORDER
        .iter()
        .find_map(|&(protocol, recogniser)| Some((protocol, recogniser(bytes)?)));
    let Some((protocol, Found { evidence, detail })) = known else {
        return Recognised {
            protocol: Protocol::Unknown,
            evidence: 0..0,
            detail: None,
        };
    };
    // A truncated request can end inside its evidence.
    let end = evidence.end.min(bytes.len());
    Recognised {
        protocol,
        evidence: evidence.start.min(end)..end,
        detail,
    }
}

impl Protocol {
    /// Returns the protocol of a request.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        recognise(bytes).protocol
    }
}

#[cfg(test)]
mod tests;
