//! Remote screens and shells.

use super::reading::{
    Found, big, find, found, found_line, found_with, is_graphic, is_number, is_one_of,
    is_only_line, is_text, line, lines, little, need, split_nul, until_nul,
};

const COOKIE: &[u8] = b"Cookie: ";
/// Length of TPKT and of the fixed part of a connection request: RFC 1006, 6 and RFC 905, 13.3.
const CONNECTION_REQUEST_BYTES: usize = 11;
/// Names that bots try at a log-in.
const NAMES: &[&str] = &[
    "root",
    "admin",
    "ubnt",
    "telnetadmin",
    "adm",
    "666666",
    "888888",
    "e8ehome",
    "vstarcam2015",
];
const COMMANDS: &[&str] = &[
    "enable",
    "system",
    "shell",
    "sh",
    "linuxshell",
    "start-shell",
    "bah",
    "development",
    "config terminal",
];
/// Further names that bots try. They are ordinary words too, with which a line of text may begin.
const WORDS: &[&str] = &[
    "support",
    "user",
    "guest",
    "default",
    "supervisor",
    "administrator",
    "tech",
    "service",
    "telnet",
    "operator",
    "mother",
    "daemon",
    "pi",
];
/// Ordinary words that are typical passwords.
const PASSWORDS: &[&str] = &[
    "password", "pass", "admin", "root", "default", "guest", "user", "support", "system",
];
/// Longest name or password of a log-in.
const MAX_LOGIN_BYTES: usize = 40;

/// RFC 4253, 4.2: `SSH-`, version, `-`, software.
pub(super) fn ssh(bytes: &[u8]) -> Option<Found> {
    let rest = bytes.strip_prefix(b"SSH-")?;
    need(rest.first().is_none_or(u8::is_ascii_digit))?;
    found_line(bytes)
}

/// Returns the parameters of a connection request of ISO transport over TCP.
///
/// RFC 1006, 6: version 3, the length; RFC 905, 13.3: the length again (without itself), CR, two
/// references, a class.
pub(super) fn connection_request(bytes: &[u8]) -> Option<&[u8]> {
    let [3, _, high, low, length, 0xe0, ..] = bytes else {
        return None;
    };
    let whole = usize::from(u16::from_be_bytes([*high, *low]));
    let variable = bytes.get(CONNECTION_REQUEST_BYTES..).unwrap_or_default();
    // Some clients send a wrong length; a cookie of RDP is enough.
    (whole == usize::from(*length) + 5 || variable.starts_with(COOKIE)).then_some(variable)
}

/// MS-RDPBCGR, 2.2.1.1: a connection request with a cookie, a negotiation, or nothing more. (Other
/// ISO transport has parameters of RFC 905, 0xc0 and above, in this place.) Or, 2.2.1.3: MCS
/// Connect Initial at the beginning.
pub(super) fn rdp(bytes: &[u8]) -> Option<Found> {
    if matches!(bytes, [3, 0, _, _, 2, 0xf0, 0x80, 0x7f, 0x65, ..]) {
        return found_with(9, "MCS Connect Initial");
    }
    let variable = connection_request(bytes)?;
    if variable.starts_with(COOKIE) {
        let cookie = line(variable);
        return found_with(CONNECTION_REQUEST_BYTES + cookie.len(), cookie);
    }
    match variable {
        [1, _, 8, 0, asked, ..] => found_with(CONNECTION_REQUEST_BYTES + 8, asked_for(*asked)),
        // Printable bytes are the token of a load balancer, a line of text.
        [] | [1, ..] | [b' '..=b'~', ..] => found(CONNECTION_REQUEST_BYTES),
        _ => None,
    }
}

/// MS-RDPBCGR, 2.2.1.1.1: returns the names of the flags of RDP_NEG_REQ.
fn asked_for(flags: u8) -> String {
    let names = [
        (1, "TLS"),
        (2, "CredSSP"),
        (4, "RDSTLS"),
        (8, "CredSSP with early result"),
        (16, "AAD"),
    ];
    let asked: Vec<_> = names
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|&(_, name)| name)
        .collect();
    if asked.is_empty() {
        "asks for standard security".to_owned()
    } else {
        format!("asks for {}", asked.join(", "))
    }
}

/// RFC 6143, 7.1.1: `RFB 003.008`.
pub(super) fn vnc(bytes: &[u8]) -> Option<Found> {
    let (version, _) = bytes.strip_prefix(b"RFB ")?.split_first_chunk::<7>()?;
    need(matches!(version, [a, b, c, b'.', d, e, f] if is_number(&[*a, *b, *c, *d, *e, *f])))?;
    found_line(bytes)
}

/// X Window System Protocol, 8: the byte order, protocol 11.0, and the lengths of the authorisation
/// data.
pub(super) fn x11(bytes: &[u8]) -> Option<Found> {
    let (&[order, _, m1, m0, 0, 0, n1, n0, ..], rest) = bytes.split_first_chunk::<12>()? else {
        return None;
    };
    let name_bytes = match (order, [m1, m0]) {
        (b'B', [0, 11]) => u16::from_be_bytes([n1, n0]),
        (b'l', [11, 0]) => u16::from_le_bytes([n1, n0]),
        _ => return None,
    };
    let name = rest.get(..usize::from(name_bytes)).unwrap_or_default();
    found_with(6, [b"protocol 11.0 ", name].concat().trim_ascii_end())
}

/// Android, `adb/protocol.txt`: a command, and the command with all bits inverted as magic number;
/// or a request to the server on the developer's machine, `000chost:version`.
pub(super) fn adb(bytes: &[u8]) -> Option<Found> {
    let (length, request) = bytes.split_first_chunk::<4>()?;
    if length.iter().all(u8::is_ascii_hexdigit) && request.starts_with(b"host:") {
        return found_with(9, request);
    }
    need(
        [
            b"CNXN", b"AUTH", b"OPEN", b"SYNC", b"WRTE", b"CLSE", b"OKAY", b"STLS",
        ]
        .contains(&length),
    )?;
    match little(bytes, 20..24) {
        Some(magic) => need(magic ^ little(bytes, 0..4)? == 0xffff_ffff)?,
        None => need(length == b"CNXN")?,
    }
    let text = until_nul(bytes.get(24..).unwrap_or_default());
    found_with(
        bytes.len().min(24),
        if is_graphic(text) { text } else { length },
    )
}

/// Radmin 3, as captures show it: 1, a length, the sum of the content's words of four bytes, the
/// content.
pub(super) fn radmin(bytes: &[u8]) -> Option<Found> {
    let content = bytes.get(9..)?;
    need(
        bytes.first() == Some(&1)
            && big(bytes, 1..5)? == content.len()
            && (1..=1024).contains(&content.len()),
    )?;
    let sum = content.chunks(4).fold(0_u32, |sum, word| {
        sum.wrapping_add(
            word.iter()
                .rev()
                .fold(0, |number, &byte| number << 8 | u32::from(byte)),
        )
    });
    need(big(bytes, 5..9)? == usize::try_from(sum).ok()?)?;
    found(9)
}

/// distcc, `doc/protocol-1.txt`: `DIST`, a version in eight hexadecimal digits, the number of
/// arguments.
pub(super) fn distcc(bytes: &[u8]) -> Option<Found> {
    let (version, rest) = bytes.strip_prefix(b"DIST")?.split_first_chunk::<8>()?;
    need(version.iter().all(u8::is_ascii_hexdigit) && rest.starts_with(b"ARGC"))?;
    let arguments = rest
        .get(12..)
        .unwrap_or_default()
        .split(|&byte| byte == b'A');
    // Each argument is `ARGV`, its length in eight digits, and its text.
    let words = arguments.filter_map(|word| word.strip_prefix(b"RGV")?.get(8..));
    found_with(16, words.collect::<Vec<_>>().join(&b" "[..]))
}

/// TeamSpeak 2: the query for the version, which scanners send alone.
pub(super) fn teamspeak(bytes: &[u8]) -> Option<Found> {
    need(is_only_line(bytes, b"ver"))?;
    found(3)
}

/// `rshd(8)` and `rexecd(8)`: a port in digits, the two users (or user and password), the command,
/// each with its NUL.
pub(super) fn rsh(bytes: &[u8]) -> Option<Found> {
    let (port, rest) = split_nul(bytes)?;
    let (local, rest) = split_nul(rest)?;
    let (remote, rest) = split_nul(rest)?;
    let (command, []) = split_nul(rest)? else {
        return None;
    };
    need(is_number(port) && port.len() <= 5 && is_graphic(local) && is_graphic(remote))?;
    need(!command.is_empty() && is_text(command))?;
    found_with(port.len(), [b"user ", remote, b", ", command].concat())
}

/// RFC 1282: a NUL, the two users, the terminal and its speed, each with its NUL.
pub(super) fn rlogin(bytes: &[u8]) -> Option<Found> {
    let (local, rest) = split_nul(bytes.strip_prefix(&[0])?)?;
    let (remote, rest) = split_nul(rest)?;
    let (terminal, []) = split_nul(rest)? else {
        return None;
    };
    let (_, speed) =
        terminal.split_at_checked(terminal.iter().position(|&byte| byte == b'/')? + 1)?;
    need(is_number(speed) && is_graphic(remote) && is_text(local))?;
    found_with(bytes.len(), [b"user ", remote].concat())
}

/// RFC 854: IAC and a request to do or not to do something, for a registered option (RFC 856 and
/// later, up to 49); or IAC, interrupt, IAC, DO TIMING-MARK.
pub(super) fn telnet(bytes: &[u8]) -> Option<Found> {
    need(matches!(
        bytes,
        [0xff, 0xfb..=0xfe, 0..=49 | 0xff, ..] | [0xff, 0xf4, 0xff, ..]
    ))?;
    // A text in UTF-16 begins with ff fe, and each of its letters has a zero byte.
    need(!matches!(
        bytes,
        [0xff, 0xfe, b' '..=b'~' | b'\t' | b'\r' | b'\n', 0, ..]
    ))?;
    let mut asked = Vec::new();
    let mut rest = bytes;
    while let [0xff, verb @ 0xfb..=0xfe, option, more @ ..] = rest {
        let verb = ["WILL", "WONT", "DO", "DONT"]
            .get(usize::from(verb - 0xfb))
            .copied()
            .unwrap_or_default();
        asked.push(format!("{verb} {}", option_name(*option)));
        rest = more;
    }
    if asked.is_empty() {
        return bytes
            .starts_with(&[0xff, 0xf4, 0xff, 0xfd, 6])
            .then(|| found_with(5, "interrupt"))?;
    }
    found_with(bytes.len() - rest.len(), asked.join(", "))
}

/// Returns the name of an option: IANA, "Telnet Options".
fn option_name(option: u8) -> String {
    let known = match option {
        0 => "BINARY",
        1 => "ECHO",
        3 => "SUPPRESS-GO-AHEAD",
        5 => "STATUS",
        24 => "TERMINAL-TYPE",
        31 => "NAWS",
        32 => "TERMINAL-SPEED",
        33 => "FLOW-CONTROL",
        34 => "LINEMODE",
        36 => "ENVIRON",
        39 => "NEW-ENVIRON",
        _ => return option.to_string(),
    };
    known.to_owned()
}

/// Lines that bots send to a telnet server that they expect: a name and a password, two of the
/// commands that open a shell, or BusyBox. Mirai and its variants call BusyBox to find out whether
/// the shell is real.
pub(super) fn login(bytes: &[u8]) -> Option<Found> {
    need(is_text(bytes))?;
    let typed: Vec<&[u8]> = lines(bytes)
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    let shown = typed.join(&b", "[..]);
    // Exploits over HTTP name BusyBox too, and this may be a part of one: a head, or an envelope in
    // XML.
    let is_typed = !bytes.starts_with(b"<") && find(line(bytes), b": ").is_none();
    if let Some(at) = find(bytes, b"/bin/busybox").filter(|_| is_typed) {
        let detail = found_with(0, &shown)?.detail;
        return Some(Found {
            evidence: at..at + b"/bin/busybox".len(),
            detail,
        });
    }
    let (first, second) = (*typed.first()?, *typed.get(1)?);
    let is_name = is_one_of(first, NAMES) || is_one_of(first, WORDS);
    let is_login = is_name
        && is_graphic(second)
        && second.len() <= MAX_LOGIN_BYTES
        && !is_text_of_two_lines(first, second);
    let commands = typed
        .iter()
        .filter(|line| is_one_of(line, COMMANDS))
        .count();
    need(is_login || commands >= 2)?;
    found_with(bytes.trim_ascii_end().len(), shown)
}

/// Tells whether both lines are ordinary words, as in any text, and the second is no typical
/// password.
fn is_text_of_two_lines(first: &[u8], second: &[u8]) -> bool {
    let is_word = second.iter().all(u8::is_ascii_alphabetic);
    is_one_of(first, WORDS)
        && is_word
        && !second.eq_ignore_ascii_case(first)
        && !is_one_of(second, PASSWORDS)
}

/// Citrix ICA, as captures show it: the greeting, which client and server both send.
pub(super) fn ica(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"\x7f\x7fICA\0"))?;
    found(6)
}

/// TeamViewer, as scanners begin it: 17 24, with which each of its messages begins, and a ping.
pub(super) fn teamviewer(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(&[0x17, 0x24, 0x0a, 0x20, 0]))?;
    found(4)
}
