//! Content codings: gzip, deflate, br and zstd (RFC 9110, 8.4; RFC 7932; RFC 8878).
//!
//! In: bytes, and the name of their coding if a header has it. Out: their content, up to a limit
//! and up to the first error. gzip, zlib and Zstandard are recognised by their magic number. Raw
//! deflate and Brotli have none, and their decoders find something in any bytes, so these two need
//! the name.

use std::io::Read as _;
use std::panic::catch_unwind;

use brotli_decompressor::Decompressor;
use flate2::bufread::DeflateDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::inflate::inflate;
use crate::kind::is_text;

/// A zlib stream that is cut, and whose window is not 32 KiB, counts only if it gives at least so
/// many bytes of text.
const MIN_TEXT_BYTES: usize = 16;
/// Bytes that the Brotli decoder reads at a time.
const BROTLI_BUFFER_BYTES: usize = 4096;
/// Longest window of Zstandard: RFC 9659 allows no longer one in HTTP.
const MAX_WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// The content of coded bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// How the coding was undone, for a person.
    pub(crate) how: &'static str,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The content replaces all of the bytes: they need not be kept beside it.
    pub(crate) is_all: bool,
}

/// The bytes that could be read from a stream.
struct Read {
    bytes: Vec<u8>,
    /// The stream came to its end.
    is_whole: bool,
    /// No bytes are left behind the stream.
    is_used_up: bool,
}

impl Opened {
    fn new(how: &'static str, read: Read) -> Option<Self> {
        (!read.bytes.is_empty()).then_some(Self {
            how,
            bytes: read.bytes,
            is_all: read.is_whole && read.is_used_up,
        })
    }
}

/// Tells by the first two bytes whether a coding with a magic number may begin here.
#[must_use]
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    match bytes {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, ..] => true,
        [method, flags, ..] => is_zlib(*method, *flags),
        _ => false,
    }
}

/// Undoes the coding that the first bytes show; returns at most `max_bytes`.
#[must_use]
pub(crate) fn by_magic(bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    match bytes {
        [0x1f, 0x8b, ..] | [0x78, ..] => {
            let inflated = inflate(bytes, max_bytes)?;
            Some(Opened {
                how: inflated.how,
                bytes: inflated.bytes,
                is_all: inflated.is_all,
            })
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd(bytes, max_bytes),
        _ => small_zlib(bytes, max_bytes),
    }
}

/// Undoes the coding that the first bytes show or, if they show none, the coding that a header
/// names; returns at most `max_bytes`. The name may be in upper or lower case.
#[must_use]
pub(crate) fn by_name(name: &[u8], bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    if let Some(opened) = by_magic(bytes, max_bytes) {
        return Some(opened);
    }
    match &*name.to_ascii_lowercase() {
        b"deflate" => raw_deflate(bytes, max_bytes),
        b"br" => brotli(bytes, max_bytes),
        _ => None,
    }
}

/// Tells whether these two bytes are a header of zlib, for any window: RFC 1950, 2.2.
fn is_zlib(method: u8, flags: u8) -> bool {
    let has_dictionary = flags & 0x20 != 0;
    let header = u16::from_be_bytes([method, flags]);
    method & 0x0f == 8 && method >> 4 <= 7 && header.is_multiple_of(31) && !has_dictionary
}

/// Decompresses a zlib stream whose window is not 32 KiB. Text may begin like such a stream.
fn small_zlib(bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    let [method, flags, stream @ ..] = bytes else {
        return None;
    };
    if !is_zlib(*method, *flags) {
        return None;
    }
    // The checksum behind the stream is not checked, so these bytes never count as all used up.
    let mut read = deflated(stream, max_bytes);
    read.is_used_up = false;
    let is_long_text = read.bytes.len() >= MIN_TEXT_BYTES && is_text(&read.bytes);
    let is_stream = read.is_whole || read.bytes.len() == max_bytes || is_long_text;
    Opened::new("inflated", read).filter(|_| is_stream)
}

fn raw_deflate(bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    let read = deflated(bytes, max_bytes);
    let is_stream = read.is_whole || read.bytes.len() == max_bytes || is_text(&read.bytes);
    Opened::new("inflated", read).filter(|_| is_stream)
}

fn deflated(bytes: &[u8], max_bytes: usize) -> Read {
    let mut inner = Vec::new();
    let mut decoder = DeflateDecoder::new(bytes).take(max_bytes as u64);
    let is_sound = decoder.read_to_end(&mut inner).is_ok();
    Read {
        is_whole: is_sound && inner.len() < max_bytes,
        bytes: inner,
        is_used_up: decoder.into_inner().into_inner().is_empty(),
    }
}

fn brotli(bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    // Windows of up to a gigabyte are an extension, not in RFC 7932, 9.1.
    if bytes.first().is_some_and(|first| first & 0x7f == 0x11) {
        return None;
    }
    let mut inner = Vec::new();
    let mut decoder = Decompressor::new(bytes, BROTLI_BUFFER_BYTES).take(max_bytes as u64);
    let is_sound = decoder.read_to_end(&mut inner).is_ok();
    let is_stream = is_sound || is_text(&inner);
    // The decoder does not tell how much of the last piece it used.
    let read = Read {
        is_whole: is_sound && inner.len() < max_bytes,
        bytes: inner,
        is_used_up: false,
    };
    Opened::new("Brotli decompressed", read).filter(|_| is_stream)
}

fn zstd(bytes: &[u8], max_bytes: usize) -> Option<Opened> {
    if window(bytes)? > MAX_WINDOW_BYTES {
        return None;
    }
    // `ruzstd` panics where one of its assumptions fails. A frame that causes this counts as none.
    let read = catch_unwind(|| {
        let (mut rest, mut inner) = (bytes, Vec::new());
        let decoder = StreamingDecoder::new(&mut rest).ok()?;
        let read = decoder.take(max_bytes as u64).read_to_end(&mut inner);
        Some(Read {
            is_whole: read.is_ok() && inner.len() < max_bytes,
            bytes: inner,
            is_used_up: rest.is_empty(),
        })
    });
    Opened::new("Zstandard decompressed", read.ok().flatten()?)
}

/// Returns the length of a frame's window: RFC 8878, 3.1.1.1.
fn window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.get(4)?;
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = *frame.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let start = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = 1 << (descriptor >> 6);
    let mut size = [0; 8];
    size[..length].copy_from_slice(frame.get(start..start + length)?);
    Some(u64::from_le_bytes(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand bytes 0x07: as a raw deflate stream, zlib with a window of 4 KiB, Brotli,
    /// Zstandard.
    const STREAMS: [(&str, &[u8]); 4] = [
        ("deflate", b"\x63\x67\x1f\x05\xa3\x60\x14\x0c\x77\x00\x00"),
        (
            "",
            b"\x48\xc7\x63\x67\x1f\x05\xa3\x60\x14\x0c\x77\x00\x00\x7c\x8f\x1b\x59",
        ),
        ("br", b"\x1b\xe7\x03\xf8\x25\x0e\xa2\xb1\x40\x20\x34"),
        (
            "",
            b"\x28\xb5\x2f\xfd\x60\xe8\x02\x4d\x00\x00\x10\x07\x07\x01\x00\xe3\x2b\x80\x05",
        ),
    ];

    #[test]
    fn a_stream_that_is_cut_at_the_limit_is_not_whole() {
        for (name, stream) in STREAMS {
            let whole = by_name(name.as_bytes(), stream, 4096).unwrap();
            assert_eq!(whole.bytes, [7; 1000], "{name}");
            for max_bytes in [1, 999] {
                let cut = by_name(name.as_bytes(), stream, max_bytes).unwrap();
                assert_eq!(cut.bytes, vec![7; max_bytes], "{name}");
                assert!(!cut.is_all, "{name}");
            }
        }
    }

    #[test]
    fn only_a_stream_that_is_used_up_is_all() {
        let (name, deflate) = STREAMS[0];
        let more = [deflate, b"more"].concat();
        let is_all = |bytes: &[u8]| by_name(name.as_bytes(), bytes, 4096).unwrap().is_all;
        assert!(is_all(deflate));
        assert!(!is_all(&more));
        let (_, zstd) = STREAMS[3];
        assert!(by_magic(zstd, 4096).unwrap().is_all);
    }
}
