//! Samples whose lengths and padding are easier to compute than to write.

use super::Sample;

pub(super) fn samples() -> Vec<Sample> {
    [databases(), others(), telephony(), files_and_tunnels()].concat()
}

fn zeros(count: usize) -> Vec<u8> {
    vec![0; count]
}

fn utf16(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|byte| [byte, 0]).collect()
}

fn databases() -> Vec<Sample> {
    let smb2 = [
        &b"\0\0\0\x68\xfeSMB\x40\0"[..],
        &zeros(58),
        &b"\x24\0\x02\0"[..],
        &zeros(32),
        b"\x02\x02\x11\x03",
    ]
    .concat();
    let prelogin = b"\x12\x01\0\x14\0\0\0\0\0\0\x06\0\x06\xff\x0b\0\x0c\x38\0\0".to_vec();
    let login7 = &b"\x10\x01\0\x6a\0\0\x01\0\x62\0\0\0\x04\0\0\x74"[..];
    let login7 = [
        login7,
        &zeros(32),
        b"\x5e\0\x02\0",
        &zeros(50),
        &utf16("sa"),
    ]
    .concat();
    let batch = [&b"\x01\x01\0\x18\0\0\x01\0"[..], &utf16("SELECT 1")].concat();
    let login4 = [
        &b"\x02\0\x02\0\0\0\x02\0"[..],
        &zeros(31),
        b"sa",
        &zeros(28),
        b"\x02",
    ]
    .concat();
    let mysql = [
        &b"\x24\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21"[..],
        &zeros(23),
        b"root",
    ]
    .concat();
    let zookeeper = [
        &b"\0\0\0\x2c"[..],
        &zeros(24),
        &b"\0\0\0\x10"[..],
        &zeros(16),
    ]
    .concat();
    let spring = [
        &b"\0\0\0\x30\x1f"[..],
        &zeros(9),
        b"org.springframework.context.support.X\0",
    ]
    .concat();
    vec![
        ("smb2", smb2, "SMB 2.0.2, SMB 3.1.1"),
        ("mssql", prelogin, "pre-login, client 11.0.3128"),
        ("mssql", login7, "log-in as sa"),
        ("mssql", batch, "SELECT 1"),
        ("mssql", login4, "log-in as sa"),
        ("mysql", mysql, "log-in as root"),
        ("zookeeper", zookeeper, "connect"),
        (
            "openwire",
            spring,
            "org.springframework.context.support.X\\x00",
        ),
    ]
}

fn others() -> Vec<Sample> {
    let tls_auth = [
        &b"\0\x2a\x38abcdefgh"[..],
        &[7; 20],
        b"\0\0\0\x01\x5e\x3e\x7b\x98",
        &zeros(5),
    ]
    .concat();
    let tls_crypt = [
        &b"\0\x36\x38abcdefgh"[..],
        b"\0\0\0\x01\x5e\x3e\x7b\x98",
        &[7; 37],
    ]
    .concat();
    let ssl2 = [
        &b"\x80\x1c\x01\0\x02\0\x03\0\0\0\x10\x01\0\x80"[..],
        &[7; 16],
    ]
    .concat();
    let fastcgi = [
        &b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0\x01\x04\0\x01"[..],
        b"\x0f\x04SCRIPT_FILENAME/a.x",
    ]
    .concat();
    let dicom = [
        &b"\x01\0\0\0\0\xcd\0\x01\0\0ANY-SCP         ECHOSCU         "[..],
        &zeros(32),
    ]
    .concat();
    let enip = [&b"\x63\0\0\0"[..], &zeros(20)].concat();
    let ntp = [
        &b"\xe3\0\x04\xfa\0\x01\0\0\0\x01\0\0"[..],
        &zeros(28),
        &[7; 8],
    ]
    .concat();
    let rlpx = [&b"\x01\xab\x04"[..], &[9; 426]].concat();
    let ffmpeg = [&b"\x03\0\0\0\0\x09\0\x7c\x02"[..], &[0x55; 1528]].concat();
    let rtmp = [&b"\x03\0\0\0\x01\0\0\0\0"[..], &[9; 1528]].concat();
    let bittorrent = [
        &b"\x13BitTorrent protocol"[..],
        &zeros(28),
        b"-qB4650-0123456789ab",
    ]
    .concat();
    vec![
        ("openvpn", tls_auth, "reset, with tls-auth"),
        ("openvpn", tls_crypt, "reset, with tls-crypt"),
        ("ssl2", ssl2, "ClientHello of SSL 2.0, up to SSL 2.0"),
        ("fastcgi", fastcgi, "/a.x"),
        ("dicom", dicom, "to ANY-SCP from ECHOSCU"),
        ("enip", enip, "ListIdentity"),
        ("ntp", ntp, "client, version 4"),
        ("ethereum", rlpx, "handshake of RLPx"),
        ("rtmp", rtmp, ""),
        ("rtmp", ffmpeg, ""),
        ("bittorrent", bittorrent, "peer -qB4650-0123456789ab"),
    ]
}

fn telephony() -> Vec<Sample> {
    let diameter = [
        &b"\x01\0\0\x1c\x80\0\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\x02"[..],
        &zeros(8),
    ]
    .concat();
    let bind = [
        &b"\0\0\0\x1d\0\0\0\x09\0\0\0\0\0\0\0\x01smppclient\0"[..],
        b"\0\x34",
    ]
    .concat();
    let enquire = b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\x01".to_vec();
    let h323 = b"\x03\0\0\x0c\x08\x02\0\x01\x05\x04\x03\x88".to_vec();
    let skinny = [
        &b"\x34\0\0\0\0\0\0\0\x01\0\0\0SEP001122334455\0"[..],
        &zeros(32),
    ]
    .concat();
    vec![
        ("diameter", diameter, "Capabilities-Exchange"),
        ("smpp", bind, "bind_transceiver smppclient"),
        ("smpp", enquire, "enquire_link"),
        ("h323", h323, "SETUP"),
        ("skinny", skinny, "registers SEP001122334455"),
    ]
}

fn files_and_tunnels() -> Vec<Sample> {
    let elf = [&b"\x7fELF\x01\x01\x01"[..], &zeros(9), b"\x02\0\x28\0"].concat();
    let mips = [&b"\x7fELF\x01\x02\x01"[..], &zeros(9), b"\0\x02\0\x08"].concat();
    let exe = [&b"MZ"[..], &zeros(58), b"\x40\0\0\0PE\0\0"].concat();
    let zip = [&b"PK\x03\x04\x14\0"[..], &zeros(20), b"\x05\0\0\0a.txtx"].concat();
    let isakmp = [
        &b"\x11\x22\x33\x44\x55\x66\x77\x88"[..],
        &zeros(8),
        b"\x01\x10\x02\0",
        &zeros(4),
        b"\0\0\0\x1e\0\0",
    ]
    .concat();
    let without_cookie = [&zeros(8)[..], b"\x01\x10\x02\0\0\0\0\0\0\0\0\x1e\0\0"].concat();
    let over_tcp = [&b"IKETCP\0\x24\0\0\0\0"[..], &isakmp].concat();
    let ldp = b"\0\x01\0\x16\xc0\0\x02\x01\0\0\x02\0\0\x0c\0\0\0\x01\0\0\0\0\0\0\0\0".to_vec();
    let levin = [
        &b"\x01\x21\x01\x01\x01\x01\x01\x01"[..],
        &zeros(8),
        b"\x01\xe9\x03\0\0",
        &zeros(12),
    ]
    .concat();
    let nrpe = [
        &b"\0\x02\0\x01\x12\x34\x56\x78\0\x02_NRPE_CHECK"[..],
        &zeros(1015),
    ]
    .concat();
    let mut sybase = [&b"\x02\0\x02\0\0\0\0\0"[..], &zeros(504)].concat();
    sybase[39..41].copy_from_slice(b"sa");
    sybase[69] = 2;
    sybase[466] = 5;
    let knx = b"\x06\x10\x02\x01\0\x0e\x08\x01\0\0\0\0\0\0".to_vec();
    let modbus = b"\0\x01\0\0\0\x05\x0a\x2b\x0e\x03\x01\0\0\0\0\0\x05\x0a\x2b\x0e\x03\x01".to_vec();
    let question = b"\0\x11\0\0\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
    let dns = [&question[..], question].concat();
    vec![
        ("elf", elf, "32 bits, ARM"),
        ("elf", mips, "32 bits, MIPS"),
        ("windows-program", exe, "program for Windows"),
        ("zip", zip, "a.txt"),
        ("isakmp", isakmp, "IKE version 1, main mode"),
        ("isakmp", without_cookie, "IKE version 1, main mode"),
        ("isakmp", over_tcp, "IKE version 1, main mode"),
        ("ldp", ldp, "opens a session, from 192.0.2.1"),
        ("levin", levin, "handshake"),
        ("nrpe", nrpe, "asks for _NRPE_CHECK"),
        ("sybase", sybase, "log-in as sa"),
        ("knx", knx, "search"),
        ("modbus", modbus, "unit 10, read identification"),
        ("dns", dns, ". NS"),
        ("ica", b"\x7f\x7fICA\0".to_vec(), ""),
        (
            "checkpoint",
            b"\x51\0\0\0\0\0\0\x21".to_vec(),
            "asks for its name",
        ),
        (
            "doip",
            b"\x02\xfd\0\x05\0\0\0\x07\x0e\x80\0\0\0\0\0".to_vec(),
            "activates routing",
        ),
    ]
}
