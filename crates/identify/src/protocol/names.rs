//! The known protocols, and their names.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the protocols once: variant, name in JSON and in addresses, title for people.
macro_rules! protocols {
    ($($variant:ident $name:literal $title:literal,)+) => {
        /// A known protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Protocol {
            $(#[doc = $title] $variant,)+
        }

        impl Protocol {
            /// All protocols, in the order in which a person looks for them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns its name in JSON and in addresses: lower case, digits and hyphens.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Returns its name for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)+
                }
            }
        }
    };
}

protocols! {
    Http "http" "HTTP",
    Tls "tls" "TLS",
    Ssh "ssh" "Secure Shell (SSH)",
    Rdp "rdp" "Remote Desktop (RDP)",
    Smb1 "smb1" "Windows file sharing (SMB 1)",
    Smb2 "smb2" "Windows file sharing (SMB 2 and 3)",
    Telnet "telnet" "Telnet and its log-ins",
    Socks4 "socks4" "SOCKS 4 proxy",
    Socks5 "socks5" "SOCKS 5 proxy",
    Proxy "proxy" "PROXY header",
    Redis "redis" "Redis",
    Mssql "mssql" "Microsoft SQL Server (TDS)",
    Mqtt "mqtt" "MQTT",
    Stratum "stratum" "Mining (Stratum)",
    JsonRpc "json-rpc" "JSON-RPC",
    // The web and what looks like it.
    Http2 "http2" "HTTP/2",
    Ssl2 "ssl2" "Hello of SSL 2.0",
    Dtls "dtls" "TLS for datagrams (DTLS)",
    Rtsp "rtsp" "Streams of cameras (RTSP)",
    Sip "sip" "Telephony (SIP)",
    Icap "icap" "ICAP",
    WsDiscovery "ws-discovery" "Search for devices (WS-Discovery)",
    Rtmp "rtmp" "Streams of Flash (RTMP)",
    FastCgi "fastcgi" "FastCGI",
    FlashPolicy "flash-policy" "Request for a Flash policy",
    Gemini "gemini" "Gemini",
    HttpResponse "http-response" "Response of HTTP",
    // Remote screens and shells.
    Vnc "vnc" "VNC (RFB)",
    X11 "x11" "X Window System",
    Adb "adb" "Android Debug Bridge",
    Radmin "radmin" "Radmin",
    TeamSpeak "teamspeak" "TeamSpeak",
    Rsh "rsh" "Remote shell (rsh)",
    Rlogin "rlogin" "Remote log-in (rlogin)",
    Distcc "distcc" "Distributed compiler (distcc)",
    Ica "ica" "Citrix (ICA)",
    TeamViewer "teamviewer" "TeamViewer",
    // Routers and video recorders of cameras.
    MikroTik "mikrotik" "MikroTik API",
    Winbox "winbox" "MikroTik Winbox",
    Dahua "dahua" "Dahua recorders",
    Dvrip "dvrip" "Xiongmai recorders (DVRIP)",
    // Files and printers.
    Netbios "netbios" "NetBIOS",
    Msrpc "msrpc" "Microsoft RPC",
    SunRpc "sunrpc" "ONC RPC (NFS, portmapper)",
    Afp "afp" "Apple file sharing (AFP)",
    Ncp "ncp" "NetWare (NCP)",
    Ftp "ftp" "FTP",
    Rsync "rsync" "rsync",
    Git "git" "Git",
    Subversion "subversion" "Subversion (svn)",
    Iscsi "iscsi" "Disks over the network (iSCSI)",
    Lpd "lpd" "Printing (LPD)",
    Pjl "pjl" "Printer commands (PJL)",
    Elf "elf" "Program for Linux (ELF)",
    WindowsProgram "windows-program" "Program for Windows",
    Zip "zip" "Archive (zip)",
    // Databases and caches.
    Memcached "memcached" "memcached",
    Couchbase "couchbase" "Couchbase",
    Mongodb "mongodb" "MongoDB",
    Cassandra "cassandra" "Cassandra",
    Mysql "mysql" "MySQL",
    Postgres "postgres" "PostgreSQL",
    Oracle "oracle" "Oracle (TNS)",
    Sybase "sybase" "Sybase (TDS 5)",
    Firebird "firebird" "Firebird",
    Drda "drda" "DB2 (DRDA)",
    Db2Das "db2das" "DB2 administration server",
    Elasticsearch "elasticsearch" "Elasticsearch between nodes",
    ZooKeeper "zookeeper" "ZooKeeper",
    Tarantool "tarantool" "Tarantool",
    Bolt "bolt" "Neo4j (Bolt)",
    ClickHouse "clickhouse" "ClickHouse",
    Thrift "thrift" "Thrift",
    Hadoop "hadoop" "Hadoop",
    RethinkDb "rethinkdb" "RethinkDB",
    // Mail, chat and queues.
    Smtp "smtp" "Mail (SMTP)",
    Pop3 "pop3" "Mail (POP3)",
    Imap "imap" "Mail (IMAP)",
    ManageSieve "managesieve" "Rules for mail (ManageSieve)",
    Nntp "nntp" "News (NNTP)",
    Irc "irc" "Chat (IRC)",
    Xmpp "xmpp" "Chat (XMPP)",
    Amqp "amqp" "AMQP",
    Stomp "stomp" "STOMP",
    Kafka "kafka" "Kafka",
    Nats "nats" "NATS",
    OpenWire "openwire" "ActiveMQ (OpenWire)",
    Zmtp "zmtp" "ZeroMQ (ZMTP)",
    Mq "mq" "IBM MQ",
    Zabbix "zabbix" "Zabbix",
    Nrpe "nrpe" "Nagios (NRPE)",
    Syslog "syslog" "Log lines (syslog)",
    Gearman "gearman" "Gearman",
    Notes "notes" "Lotus Notes",
    Epmd "epmd" "Erlang port mapper",
    Erlang "erlang" "Erlang node",
    Fix "fix" "Trading (FIX)",
    Nessus "nessus" "Nessus",
    // Java.
    Jdwp "jdwp" "Java debugger (JDWP)",
    Rmi "rmi" "Java RMI",
    JavaSerialized "java-serialized" "Java objects",
    T3 "t3" "WebLogic (T3)",
    Iiop "iiop" "CORBA (IIOP)",
    Ajp "ajp" "Tomcat (AJP)",
    // Machines and hospitals.
    Modbus "modbus" "Modbus",
    S7comm "s7comm" "Siemens S7",
    IsoTsap "iso-tsap" "ISO transport (TPKT)",
    Bacnet "bacnet" "Buildings (BACnet)",
    Dnp3 "dnp3" "DNP3",
    Enip "enip" "EtherNet/IP",
    Iec104 "iec104" "IEC 60870-5-104",
    OpcUa "opcua" "OPC UA",
    Fox "fox" "Niagara Fox",
    Fins "fins" "Omron FINS",
    Proconos "proconos" "ProConOS",
    PcWorx "pcworx" "PC Worx",
    Codesys "codesys" "CODESYS",
    HartIp "hart-ip" "HART-IP",
    Atg "atg" "Gauges of fuel tanks (ATG)",
    Dicom "dicom" "Medical images (DICOM)",
    Hl7 "hl7" "Medical records (HL7)",
    DoIp "doip" "Diagnosis of vehicles (DoIP)",
    Knx "knx" "Buildings (KNX)",
    // Peers, games and remote-control malware.
    BitTorrent "bittorrent" "BitTorrent",
    Minecraft "minecraft" "Minecraft",
    Bitcoin "bitcoin" "Bitcoin",
    Ethereum "ethereum" "Ethereum (RLPx)",
    Tor "tor" "Tor",
    Levin "levin" "Monero (Levin)",
    Gh0st "gh0st" "Gh0st RAT",
    NjRat "njrat" "njRAT",
    // The network itself.
    Dns "dns" "DNS",
    Ldap "ldap" "LDAP",
    Kerberos "kerberos" "Kerberos",
    Snmp "snmp" "SNMP",
    Ntp "ntp" "NTP",
    Stun "stun" "STUN",
    Coap "coap" "CoAP",
    Ipmi "ipmi" "IPMI (RMCP)",
    Pptp "pptp" "PPTP",
    OpenVpn "openvpn" "OpenVPN",
    Bgp "bgp" "BGP",
    OpenFlow "openflow" "OpenFlow",
    Tinc "tinc" "tinc",
    Z3950 "z3950" "Z39.50",
    Isakmp "isakmp" "Keys for tunnels (ISAKMP, IKE)",
    Ldp "ldp" "Labels for routes (LDP)",
    CheckPoint "checkpoint" "Check Point firewall",
    Finger "finger" "Finger",
    Ident "ident" "Ident",
    // Telephony.
    Diameter "diameter" "Mobile networks (Diameter)",
    Smpp "smpp" "Short messages (SMPP)",
    H323 "h323" "Video calls (H.323)",
    Skinny "skinny" "Cisco telephones (Skinny)",
    Unknown "unknown" "Unknown",
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL
            .iter()
            .copied()
            .find(|protocol| protocol.name() == name);
        known.ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&name), &"the name of a protocol")
        })
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
