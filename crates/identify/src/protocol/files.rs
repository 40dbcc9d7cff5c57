//! Files, printers, and the remote procedure calls that they use.

use super::reading::{
    Found, big, find, found, found_line, found_with, is_graphic, is_one_of, is_text, line, lines,
    little, need, until_nul, words,
};

/// Verbs of FTP that no other protocol has, or begins with: RFC 959, 2228, 2389 and 2428.
const FTP_VERBS: &[&str] = &[
    "SYST", "FEAT", "PASV", "EPSV", "PWD", "XPWD", "MLSD", "PBSZ", "CDUP", "REIN", "ACCT",
];
/// The command NEGOTIATE: MS-SMB2, 2.2.3.
const SMB2_NEGOTIATE: usize = 0;
/// The command SMB_COM_NEGOTIATE: MS-CIFS, 2.2.4.52.
const SMB1_NEGOTIATE: u8 = 0x72;

/// Returns an SMB message and its place: it is behind the length of RFC 1002, 4.3.1 or MS-SMB2,
/// 2.1; some clients leave the length out.
fn smb<'a>(bytes: &'a [u8], magic: &[u8]) -> Option<(usize, &'a [u8])> {
    if bytes.starts_with(magic) {
        return Some((0, bytes));
    }
    let message = bytes.strip_prefix(&[0]).and_then(|rest| rest.get(3..))?;
    message.starts_with(magic).then_some((4, message))
}

/// MS-CIFS, 2.2.3.1: 0xff and `SMB`. A negotiation lists the dialects that the client knows.
pub(super) fn smb1(bytes: &[u8]) -> Option<Found> {
    let (start, message) = smb(bytes, b"\xffSMB")?;
    let command = message.get(4).copied();
    if command != Some(SMB1_NEGOTIATE) {
        return found_with(
            start + 5,
            command
                .map(|command| format!("command {command:#04x}"))
                .unwrap_or_default(),
        );
    }
    // A header of 32 bytes, no parameters, and the number of bytes come first. Each dialect is 2,
    // its name, NUL.
    let names = message
        .get(35..)
        .unwrap_or_default()
        .split(|&byte| byte == 0);
    let dialects: Vec<&[u8]> = names
        .filter_map(|name| name.strip_prefix(&[2]))
        .filter(|name| !name.is_empty())
        .collect();
    found_with(start + 5, dialects.join(&b", "[..]))
}

/// MS-SMB2, 2.2.1: 0xfe and `SMB`; 2.2.41 and 2.2.42: encrypted and compressed messages. A
/// negotiation lists the dialects that the client knows.
pub(super) fn smb2(bytes: &[u8]) -> Option<Found> {
    if let Some((start, _)) = smb(bytes, b"\xfdSMB").or_else(|| smb(bytes, b"\xfcSMB")) {
        return found_with(start + 4, "encrypted or compressed");
    }
    let (start, message) = smb(bytes, b"\xfeSMB")?;
    match little(message, 12..14) {
        Some(SMB2_NEGOTIATE) => found_with(start + 14, smb2_dialects(message)),
        Some(command) => found_with(start + 14, format!("command {command}")),
        None => found(start + 4),
    }
}

fn smb2_dialects(message: &[u8]) -> String {
    let count = little(message, 66..68).unwrap_or_default();
    let numbers = message
        .get(100..)
        .unwrap_or_default()
        .chunks_exact(2)
        .take(count);
    let names = numbers.filter_map(|number| {
        let [low, high] = number.try_into().ok()?;
        let version = format!("{high}.{}", low >> 4);
        Some(if low & 0xf == 0 {
            format!("SMB {version}")
        } else {
            format!("SMB {version}.{}", low & 0xf)
        })
    });
    names.collect::<Vec<_>>().join(", ")
}

/// RFC 1002, 4.3.2: a request for a session, with the called name in 32 letters; 4.2.17: a request
/// for all names of a host.
pub(super) fn netbios(bytes: &[u8]) -> Option<Found> {
    let all_names = b" CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0!\0\x01";
    if bytes
        .get(12..)
        .is_some_and(|rest| rest.starts_with(all_names))
    {
        return found_with(12 + all_names.len(), "asks for all names");
    }
    let letters = bytes.strip_prefix(&[0x81, 0, 0, 0x44, 0x20])?.get(..32)?;
    need(letters.iter().all(|letter| (b'A'..=b'P').contains(letter)))?;
    // RFC 1001, 14.1: each letter is half a byte.
    let pairs = letters
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let name: Vec<u8> = pairs
        .map(|[high, low]| (high - b'A') << 4 | (low - b'A'))
        .collect();
    found_with(37, [b"for ", name.trim_ascii_end()].concat())
}

/// C706, 12.6.3: version 5.0 or 5.1, bind or request, little-endian integers, the length of the
/// fragment.
pub(super) fn msrpc(bytes: &[u8]) -> Option<Found> {
    let [5, 0 | 1, kind @ (0 | 0x0b), _, 0x10, 0, 0, 0, ..] = bytes else {
        return None;
    };
    need(little(bytes, 8..10)? >= 16 && little(bytes, 8..10)? <= bytes.len())?;
    found_with(10, if *kind == 0 { "request" } else { "bind" })
}

/// RFC 5531, 9 and 11: the record mark (not in datagrams), a number, CALL, version 2, the program.
pub(super) fn sunrpc(bytes: &[u8]) -> Option<Found> {
    let start = if bytes.first()? & 0x80 != 0 && big(bytes, 1..4)? + 4 == bytes.len() {
        4
    } else {
        0
    };
    let call = bytes.get(start..)?;
    let (program, version) = (big(call, 12..16)?, big(call, 16..20)?);
    need(
        big(call, 4..8)? == 0
            && big(call, 8..12)? == 2
            && (100_000..0x6000_0000).contains(&program),
    )?;
    let name = match program {
        100_000 => ", portmapper",
        100_003 => ", NFS",
        100_005 => ", mount",
        _ => "",
    };
    found_with(
        start + 16,
        format!("program {program}{name}, version {version}"),
    )
}

/// Apple, "AppleTalk Filing Protocol", DSI: a request (0), DSIGetStatus or DSIOpenSession, the
/// length of the rest.
pub(super) fn afp(bytes: &[u8]) -> Option<Found> {
    let [0, kind @ (3 | 4), _, _, 0, 0, 0, 0, ..] = bytes else {
        return None;
    };
    need(bytes.get(12..16)? == [0; 4] && big(bytes, 8..12)? + 16 == bytes.len())?;
    found_with(
        16,
        if *kind == 3 {
            "asks for the status"
        } else {
            "opens a session"
        },
    )
}

/// NetWare Core Protocol over TCP: `DmdT` and the length of the whole message.
pub(super) fn ncp(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"DmdT") && big(bytes, 4..8)? == bytes.len())?;
    found(8)
}

/// RFC 959, 4.1. `USER` alone may also be POP3, whose recogniser stands earlier in `ORDER` and
/// looks for more of POP3.
pub(super) fn ftp(bytes: &[u8]) -> Option<Found> {
    need(is_text(bytes))?;
    let words = words(bytes);
    let (verb, values) = words.split_first()?;
    let is_ftp = match values {
        [] => is_one_of(verb, FTP_VERBS),
        [_] if is_one_of(verb, &["USER"]) => true,
        [value] if is_one_of(verb, &["AUTH"]) => {
            is_one_of(value, &["TLS", "SSL", "TLS-C", "GSSAPI"])
        }
        [value] if is_one_of(verb, &["TYPE"]) => is_one_of(value, &["A", "I", "E"]),
        [value] if is_one_of(verb, &["PORT"]) => value.split(|&byte| byte == b',').count() == 6,
        [value, ..] if is_one_of(verb, &["SITE"]) => {
            is_one_of(value, &["CPFR", "CPTO", "CHMOD", "EXEC", "HELP", "UMASK"])
        }
        [value, ..] if is_one_of(verb, &["OPTS"]) => is_one_of(value, &["UTF8", "MLST"]),
        _ => false,
    };
    need(is_ftp)?;
    let user = is_one_of(verb, &["USER"]).then(|| [b"user ", values.concat().as_slice()].concat());
    found_with(verb.len(), user.unwrap_or_else(|| line(bytes).to_vec()))
}

/// rsync, `clientserver.c`: the greeting, which client and server both send, with a version.
pub(super) fn rsync(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"@RSYNCD:"))?;
    found_line(bytes)
}

/// Git, `gitprotocol-pack(5)`, "Git Transport": a length in four hexadecimal digits, the command,
/// the path, NUL.
pub(super) fn git(bytes: &[u8]) -> Option<Found> {
    let (length, command) = bytes.split_first_chunk::<4>()?;
    let verbs: [&[u8]; 3] = [
        b"git-upload-pack ",
        b"git-receive-pack ",
        b"git-upload-archive ",
    ];
    let verb = verbs.into_iter().find(|verb| command.starts_with(verb))?;
    need(length.iter().all(u8::is_ascii_hexdigit))?;
    found_with(4 + verb.len(), until_nul(command))
}

/// RFC 1179, 5: a number from 1 to 5, the name of a queue, further words, and a line feed.
pub(super) fn lpd(bytes: &[u8]) -> Option<Found> {
    let (&command @ 1..=5, rest) = bytes.split_first()? else {
        return None;
    };
    let line = rest.strip_suffix(b"\n")?;
    let mut words = line.split(|&byte| byte == b' ');
    let queue = words.next()?;
    need(
        queue.len() >= 2
            && queue
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte)),
    )?;
    need(words.all(|word| word.is_empty() || is_graphic(word)))?;
    let what = [
        "print",
        "receive",
        "short list of",
        "long list of",
        "remove from",
    ]
    .get(usize::from(command) - 1)?;
    found_with(bytes.len(), [what.as_bytes(), b" ", queue].concat())
}

/// HP, "Printer Job Language Technical Reference": the universal exit sequence, or `@PJL` at the
/// beginning.
pub(super) fn pjl(bytes: &[u8]) -> Option<Found> {
    let exit = b"\x1b%-12345X";
    need(bytes.starts_with(exit) || bytes.starts_with(b"@PJL"))?;
    let command = lines(bytes).find_map(|line| find(line, b"@PJL").and_then(|at| line.get(at..)));
    found_with(
        if bytes.starts_with(exit) {
            exit.len()
        } else {
            4
        },
        command.unwrap_or_default(),
    )
}

/// Subversion, `libsvn_ra_svn/protocol`: version 2 and the list of the client's capabilities.
pub(super) fn subversion(bytes: &[u8]) -> Option<Found> {
    let start = b"( 2 ( edit-pipeline ";
    need(bytes.starts_with(start))?;
    found_with(start.len(), line(bytes))
}

/// RFC 7143, 11.12: an immediate log-in (0x43), version 0, a head of 48 bytes without additions;
/// the first key behind it is the name of the initiator.
pub(super) fn iscsi(bytes: &[u8]) -> Option<Found> {
    let keys = bytes.get(48..)?;
    need(matches!(bytes, [0x43, _, 0, 0, 0, ..]) && keys.starts_with(b"InitiatorName="))?;
    found_with(48, until_nul(keys))
}
