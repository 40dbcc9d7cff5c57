//! Reads the bytes of a request that a visitor pastes: as text from a screen, hexadecimal, base64,
//! or a line of an access log.
//!
//! In: text. Out: the bytes and how they were written, or why the text is no request. Keeps
//! nothing.

use serde::Serialize;

use forever200_decode::base64;

use crate::bytes::access_log;

/// Most bytes of a request that is explained: as many as are kept of a request by default, and as
/// many as are described.
pub const MAX_BYTES: usize = 64 * 1024;
/// A shorter run of base64 characters is a word, such as a command of a protocol.
const MIN_BASE64_CHARS: usize = 12;
/// Number of digits of the offset at the start of a dump's line: 8 for `xxd` and `hexdump -C`, 4
/// for tcpdump.
const OFFSET_DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

/// In this page's dumps: separates the length of a run from its byte.
pub(super) const FOLDED: &str = " × ";

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Writing {
    /// Plain text.
    Text,
    /// Two hexadecimal digits for each byte, in a row, as escapes, or as a dump.
    Hex,
    /// RFC 4648, either alphabet, padded or not.
    Base64,
    /// One line of a web server's access log.
    Log,
}

/// Why the given text is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The text is empty.
    #[error("Nothing was given: paste a request or choose a file.")]
    Empty,
    /// The text has too many bytes.
    #[error("This is too long. At most {MAX_BYTES} bytes are explained.")]
    TooLong,
    /// A character, or the number of them, is wrong.
    #[error("This is not hex: two digits for each byte, with spaces or as a dump.")]
    NoHex,
    /// `hexdump` left lines out.
    #[error("This dump leaves out lines (there is a line with *). hexdump -vC prints all of them.")]
    Gap,
    /// A character, or the number of them, is wrong.
    #[error("This is not base64.")]
    NoBase64,
    /// The text is something else, or has more than one line.
    #[error("This is not one line of an access log, in the common or the combined format.")]
    NoLog,
}

impl Writing {
    /// Returns the writing with this name; `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "hex" => Some(Self::Hex),
            "base64" => Some(Self::Base64),
            "log" => Some(Self::Log),
            _ => None,
        }
    }

    /// Guesses how a text is written.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        if matches!(hex(text), Ok(_) | Err(Unreadable::TooLong)) {
            Self::Hex
        } else if base64_chars(text).len() >= MIN_BASE64_CHARS && from_base64(text).is_ok() {
            Self::Base64
        } else if access_log::request(text).is_some() {
            Self::Log
        } else {
            Self::Text
        }
    }
}

/// Returns the bytes of a pasted text.
///
/// # Errors
/// The text is empty, too long, or not written in this way.
pub fn read(text: &[u8], writing: Writing) -> Result<Vec<u8>, Unreadable> {
    let bytes = match writing {
        Writing::Text => with_line_ends(text),
        Writing::Hex => hex(text)?,
        Writing::Base64 => from_base64(text)?,
        Writing::Log => access_log::request(text).ok_or(Unreadable::NoLog)?,
    };
    bounded(bytes)
}

/// Returns the bytes unchanged if their number is valid.
///
/// # Errors
/// There are no bytes, or too many.
pub fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
    match bytes.len() {
        0 => Err(Unreadable::Empty),
        1..=MAX_BYTES => Ok(bytes),
        _ => Err(Unreadable::TooLong),
    }
}

/// Decodes base64 as in a form or a link. Spaces and line ends are ignored.
///
/// # Errors
/// The text is no base64.
pub fn from_base64(text: &[u8]) -> Result<Vec<u8>, Unreadable> {
    base64::decode(&base64_chars(text)).ok_or(Unreadable::NoBase64)
}

fn base64_chars(text: &[u8]) -> Vec<u8> {
    let mut chars = text.to_vec();
    chars.retain(|byte| !byte.is_ascii_whitespace());
    chars
}

/// Reads pairs of hexadecimal digits: `4745`, `47 45`, `\x47\x45`, or what `hexdump -C`, `xxd` and
/// this page's dump show.
fn hex(text: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let mut is_dump = false;
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if is_dump && line == b"*" {
            return Err(Unreadable::Gap);
        }
        match dump_line(line) {
            Some(columns) => {
                is_dump = true;
                if !take_folded(columns, &mut bytes)? {
                    pairs(columns, &mut bytes)?;
                }
            }
            // The last line of `hexdump -C` has only an offset.
            None if is_dump && line.iter().all(u8::is_ascii_hexdigit) => {}
            None => pairs(line, &mut bytes)?,
        }
    }
    if bytes.is_empty() {
        Err(Unreadable::NoHex)
    } else {
        Ok(bytes)
    }
}

/// Returns the part of a dump's line that has the bytes: between the offset and the characters.
fn dump_line(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"0x").unwrap_or(line);
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let digits = digits.count();
    let behind = line.get(digits..)?;
    let columns = match behind.strip_prefix(b":") {
        // xxd, tcpdump: two spaces before the characters, one between the bytes.
        Some(columns) => {
            let columns = columns.trim_ascii_start();
            let end = columns.windows(2).position(|two| two == b"  ");
            &columns[..end.unwrap_or(columns.len())]
        }
        // hexdump: two spaces before the bytes, and a bar before the characters.
        None => {
            let columns = behind.strip_prefix(b"  ")?;
            let end = columns.iter().position(|&byte| byte == b'|');
            &columns[..end.unwrap_or(columns.len())]
        }
    };
    OFFSET_DIGITS.contains(&digits).then_some(columns)
}

/// Reads a line such as `192 × 00`, with which this page's dump shortens several lines of one byte.
/// Returns whether it is such a line.
fn take_folded(columns: &[u8], bytes: &mut Vec<u8>) -> Result<bool, Unreadable> {
    let text = std::str::from_utf8(columns).unwrap_or_default();
    let Some((count, byte)) = text.trim().split_once(FOLDED) else {
        return Ok(false);
    };
    let count: usize = count.parse().map_err(|_| Unreadable::NoHex)?;
    if count > MAX_BYTES.saturating_sub(bytes.len()) {
        return Err(Unreadable::TooLong);
    }
    let start = bytes.len();
    pairs(byte.as_bytes(), bytes)?;
    let [byte] = bytes[start..] else {
        return Err(Unreadable::NoHex);
    };
    bytes.resize(start + count, byte);
    Ok(true)
}

fn pairs(columns: &[u8], bytes: &mut Vec<u8>) -> Result<(), Unreadable> {
    for word in columns.split(u8::is_ascii_whitespace) {
        let mut rest = word;
        while !rest.is_empty() {
            rest = rest.strip_prefix(br"\x").unwrap_or(rest);
            let Some((&[high, low], behind)) = rest.split_first_chunk() else {
                return Err(Unreadable::NoHex);
            };
            let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                return Err(Unreadable::NoHex);
            };
            // Two digits are one byte.
            bytes.push((high << 4 | low) as u8);
            rest = behind;
        }
    }
    Ok(())
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

/// Returns text with its probable original line ends.
///
/// Screens do not show CR, and forms put a CR before every LF (HTML, "constructing entry lists").
/// So the head of a request that looks like HTTP gets CR LF. Its body gets CR LF if it then has the
/// length that the head announces, else LF.
fn with_line_ends(text: &[u8]) -> Vec<u8> {
    if !looks_like_http(text) {
        return text.to_vec();
    }
    let plain = replaced(text, b"\r\n", b"\n");
    let end = plain.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => plain.split_at(end + 2),
        None => (&plain[..], &b""[..]),
    };
    let mut sent = replaced(head, b"\n", b"\r\n");
    let with_crs = replaced(body, b"\n", b"\r\n");
    if announced_length(head) == Some(with_crs.len()) {
        sent.extend(with_crs);
    } else {
        sent.extend(body);
    }
    sent
}

/// Tells whether the first line looks like a request line with a version.
fn looks_like_http(text: &[u8]) -> bool {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii_end();
    let mut words = line.rsplit(|&byte| byte == b' ');
    let version = words.next().unwrap_or_default();
    version.starts_with(b"HTTP/1.") && line.first().is_some_and(u8::is_ascii_uppercase)
}

/// Returns the value of `Content-Length`.
fn announced_length(head: &[u8]) -> Option<usize> {
    let mut lines = head.rsplit(|&byte| byte == b'\n');
    lines.find_map(length_of_line)
}

fn length_of_line(line: &[u8]) -> Option<usize> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    if !name.eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    let value = std::str::from_utf8(value.get(1..)?).ok()?;
    value.trim().parse().ok()
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        match rest.strip_prefix(from) {
            Some(behind) => {
                replaced.extend_from_slice(to);
                rest = behind;
            }
            None => {
                replaced.push(first);
                rest = &rest[1..];
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::hex::dump;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    #[test]
    fn every_way_of_writing_is_found_out() {
        for (text, writing) in [
            ("474554202f20485454502f312e310d0a0d0a", Writing::Hex),
            (
                "47 45 54 20 2F 20 48 54 54 50 2f 31\n2e 31 0d 0a 0d 0a\r\n",
                Writing::Hex,
            ),
            (
                r"\x47\x45\x54\x20\x2f\x20\x48\x54\x54\x50\x2f\x31\x2e\x31\x0d\x0a\x0d\x0a",
                Writing::Hex,
            ),
            (
                "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
                 00000010  0d 0a                                             |..|\n00000012\n",
                Writing::Hex,
            ),
            (
                "00000000: 4745 5420 2f20 4854 5450 2f31 2e31 0d0a  GET / HTTP/1.1..\n\
                 00000010: 0d0a                                     ..\n",
                Writing::Hex,
            ),
            ("R0VUIC8gSFRUUC8xLjENCg0K", Writing::Base64),
            ("R0VUIC8gSFRUUC8x\r\nLjENCg0K\r\n", Writing::Base64),
            ("GET / HTTP/1.1\n\n", Writing::Text),
            (
                "192.0.2.1 - - [28/Nov/2026:01:02:03 +0000] \"GET / HTTP/1.1\" 200 5\n",
                Writing::Log,
            ),
        ] {
            assert_eq!(Writing::of(text.as_bytes()), writing, "{text}");
            assert_eq!(read(text.as_bytes(), writing).unwrap(), REQUEST, "{text}");
        }
        for text in ["QUIT", "GET /x", "\x16\x03\x01", "", "EHLO a.example\r\n"] {
            assert_eq!(Writing::of(text.as_bytes()), Writing::Text, "{text}");
        }
    }

    #[test]
    fn a_dump_of_the_page_is_read() {
        let all: Vec<u8> = (0..=255).collect();
        let long = [0; MAX_BYTES];
        for bytes in [
            &[&[b'x'; 20][..], &[b'A'; 64], b"\r\n"].concat()[..],
            &[&all[..], &[0; 500], &[0xff; 48]].concat(),
            &long,
        ] {
            let dump: String = dump(bytes, &[]).map(|piece| piece.text).collect();
            assert_eq!(Writing::of(dump.as_bytes()), Writing::Hex, "{dump:.200}");
            assert_eq!(read(dump.as_bytes(), Writing::Hex).unwrap(), bytes);
        }
        for (line, why) in [
            ("00000000  99999999999999 × 41", Unreadable::TooLong),
            ("00000000  99999999999999999999 × 41", Unreadable::NoHex),
            ("00000000  64 × 4", Unreadable::NoHex),
            ("00000000  64 × 41 41", Unreadable::NoHex),
            ("00000000  0 × 41", Unreadable::NoHex),
            ("00000000  x × 41", Unreadable::NoHex),
        ] {
            assert_eq!(read(line.as_bytes(), Writing::Hex), Err(why), "{line}");
        }
        let line = "00000000  60000 × 41\n".repeat(2);
        assert_eq!(
            read(line.as_bytes(), Writing::Hex),
            Err(Unreadable::TooLong)
        );
    }

    #[test]
    fn line_ends_are_those_that_were_sent() {
        let text = |text: &str| {
            let read = read(text.as_bytes(), Writing::Text).unwrap();
            String::from_utf8(read).unwrap()
        };
        let head = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
        let shown = head.replace("\r\n", "\n");
        assert_eq!(text(&format!("{shown}a\nb")), format!("{head}a\nb"));
        // As a browser sends it in a form.
        assert_eq!(text(&format!("{head}a\r\nb")), format!("{head}a\nb"));
        let longer = head.replace('3', "4");
        assert_eq!(text(&format!("{longer}a\r\nb")), format!("{longer}a\r\nb"));
        for other in ["EHLO a\n", "EHLO a\r\n", "a\n\nb", "GET /\n"] {
            assert_eq!(text(other), other);
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let long = "41".repeat(MAX_BYTES + 1);
        let gap = "00000000  41 41  |AA|\n*\n00000020\n";
        for (text, writing, why) in [
            ("", Writing::Text, Unreadable::Empty),
            ("", Writing::Base64, Unreadable::Empty),
            ("", Writing::Hex, Unreadable::NoHex),
            ("474", Writing::Hex, Unreadable::NoHex),
            ("4g", Writing::Hex, Unreadable::NoHex),
            (r"\x4", Writing::Hex, Unreadable::NoHex),
            (gap, Writing::Hex, Unreadable::Gap),
            ("a", Writing::Base64, Unreadable::NoBase64),
            ("ab+_", Writing::Base64, Unreadable::NoBase64),
            (&long, Writing::Hex, Unreadable::TooLong),
        ] {
            assert_eq!(read(text.as_bytes(), writing), Err(why), "{text:.20}");
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        let alphabet = b"\\x 0fF:|*\n\r=+-_g\"[]2\xff\0";
        let mut state = 1_u32;
        for length in 0..2000 {
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                alphabet[(state >> 16) as usize % alphabet.len()]
            };
            let text: Vec<u8> = (0..length % 40).map(|_| next()).collect();
            for writing in [Writing::Text, Writing::Hex, Writing::Base64, Writing::Log] {
                let _ = read(&text, writing);
            }
            let _ = Writing::of(&text);
        }
    }
}
