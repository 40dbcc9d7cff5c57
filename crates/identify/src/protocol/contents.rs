//! Bytes that are no protocol: a file, or an answer to a question that was never sent.

use super::reading::{Found, found_line, found_with, little, need, words};

/// System V ABI, "ELF Header": magic, 32 or 64 bits, the order of bytes, version 1, a kind of file.
pub(super) fn elf(bytes: &[u8]) -> Option<Found> {
    let [
        0x7f,
        b'E',
        b'L',
        b'F',
        class @ (1 | 2),
        order @ (1 | 2),
        1,
        ..,
    ] = bytes
    else {
        return None;
    };
    let machine = bytes.get(18..20).unwrap_or_default();
    let machine = match (machine, order) {
        ([low, high], 1) | ([high, low], 2) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let name = match machine {
        3 => "x86",
        8 => "MIPS",
        20 | 21 => "PowerPC",
        40 => "ARM",
        62 => "x86-64",
        183 => "AArch64",
        243 => "RISC-V",
        _ => "another processor",
    };
    found_with(7, format!("{} bits, {name}", 32 * u32::from(*class)))
}

/// Microsoft, "PE Format": `MZ`, and `PE` at the place that the header names; or the sentence at
/// the beginning of nearly all programs.
pub(super) fn windows_program(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"MZ"))?;
    let at = little(bytes, 0x3c..0x40)?;
    let is_pe = bytes.get(at..at.checked_add(4)?) == Some(b"PE\0\0");
    let sentence = b"This program cannot be run in DOS mode";
    let beginning = bytes.get(..256).unwrap_or(bytes);
    let has_sentence = beginning.windows(sentence.len()).any(|it| it == sentence);
    need(is_pe || has_sentence)?;
    found_with(2, "program for Windows")
}

/// PKWARE, "APPNOTE", 4.3.7: the header of the first file, with its version and its name.
pub(super) fn zip(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"PK\x03\x04") && little(bytes, 4..6)? & 0xff <= 63)?;
    let length = little(bytes, 26..28)?;
    let name = bytes.get(30..).unwrap_or_default();
    found_with(4, name.get(..length).unwrap_or(name))
}

/// RFC 9112, 4: the first line of a response.
pub(super) fn http_response(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let [version, status, ..] = words.as_slice() else {
        return None;
    };
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1'] = version else {
        return None;
    };
    need(status.len() == 3 && status.iter().all(u8::is_ascii_digit))?;
    found_line(bytes)
}
