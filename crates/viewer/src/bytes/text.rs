//! Decides whether bytes are text.
//!
//! In: any bytes. Out: yes or no. The page of a request and every line of text use the same rule.

/// Text has at least this many bytes for each byte that is no text. So text in a one-byte encoding
/// is text, and so is a request with a few odd bytes. A TLS hello, the first packet of RDP or SMB,
/// and noise have more of these.
const TEXT_BYTES_FOR_EACH_OTHER: usize = 10;

/// Tells whether bytes are text: at most one byte in ten is invalid UTF-8, or belongs to a control
/// character other than tab and line end.
///
/// Noise is no text, although some of it is valid UTF-8 by chance.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    let others = bytes
        .utf8_chunks()
        .map(|chunk| chunk.invalid().len() + controls(chunk.valid()));
    others.sum::<usize>() <= bytes.len() / TEXT_BYTES_FOR_EACH_OTHER
}

fn controls(text: &str) -> usize {
    text.chars()
        .filter(|char| char.is_control() && !matches!(char, '\t' | '\n' | '\r'))
        .map(char::len_utf8)
        .sum()
}

#[cfg(test)]
mod tests {
    use forever200_testkit::hostile::Filler;

    use super::*;

    #[test]
    fn what_people_write_is_text() {
        for text in [
            "",
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "name=Müller&city=北京 \u{1f600}",
            "Привет, мир",
            "a\tb\n",
            "\u{1f469}\u{200d}\u{1f680}",
        ] {
            assert!(is_text(text.as_bytes()), "{text:?}");
        }
        // ISO 8859-1, and text with one invalid byte.
        assert!(is_text(b"Stra\xdfe in M\xfcnchen, 80331"));
        assert!(is_text(b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"));
    }

    #[test]
    fn what_programs_send_is_none() {
        for bytes in [
            &b"\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie: mstshash=Administr\r\n\x01\x00\x08\x00\x03\x00\x00\x00"[..],
            b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03\x5f\x5e\x5d\x5c\x5b\x5a\x59\x58\x57\x56\x55\x54",
            b"\x00\x00\x00\x2f\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28\x00\x00\x02NT LM 0.12\x00",
            b"G\0E\0T\0 \0/\0",
            b"\0",
            b"\xff",
            // Valid UTF-8, as C1 control characters.
            "\u{85}\u{9b}\u{90}".as_bytes(),
        ] {
            assert!(!is_text(bytes), "{}", bytes.escape_ascii());
        }
        for length in [16, 64, 65_536] {
            assert!(!is_text(&Filler::Random.bytes(length)), "{length}");
        }
    }

    #[test]
    fn one_byte_in_ten_may_be_another() {
        assert!(is_text(b"\x01abcdefghi"));
        assert!(!is_text(b"\x01abcdefgh"));
    }
}
