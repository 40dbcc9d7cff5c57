//! Decompresses gzip (RFC 1952) and zlib (RFC 1950).
//!
//! In: bytes that may begin a stream. Out: its content; of a stream that is cut or damaged, what
//! comes before that place.

use std::io::Read;

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

/// Length of a gzip header without optional fields.
const GZIP_HEADER_BYTES: usize = 10;
/// Flags of a gzip header for its optional fields: RFC 1952, 2.3.1.
const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;

/// The content of a stream.
pub struct Inflated {
    /// How the stream was decompressed, for a person.
    pub how: &'static str,
    /// Its bytes, up to the limit.
    pub bytes: Vec<u8>,
    /// The stream is whole, and nothing stands beside it.
    pub is_all: bool,
    /// Where the stream ends, if it is whole and its content stays below the limit.
    pub end: Option<usize>,
}

/// Returns where the compressed data begin behind a header; `None` where no stream can begin.
///
/// Starts no decompressor. Bytes for which this returns `None` decompress to nothing.
pub fn begins(bytes: &[u8]) -> Option<usize> {
    let start = match bytes {
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => 2,
        [0x1f, 0x8b, 8, ..] => gzip_header(bytes)?,
        _ => return None,
    };
    // RFC 1951, 3.2.3: the lowest bit says whether the first block is the last one; the next two
    // are its type.
    match bytes.get(start)? >> 1 & 3 {
        0 => {
            let lengths: [u8; 4] = bytes.get(start + 1..start + 5)?.try_into().ok()?;
            let is_stored = lengths[0] == !lengths[2] && lengths[1] == !lengths[3];
            is_stored.then_some(start)
        }
        3 => None,
        _ => Some(start),
    }
}

/// Returns the length of the header of a gzip stream; `None` where the end of the header is
/// missing.
fn gzip_header(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(3)?;
    let mut at = GZIP_HEADER_BYTES;
    if flags & HAS_EXTRA != 0 {
        let length: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        at += 2 + usize::from(u16::from_le_bytes(length));
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            at += memchr::memchr(0, bytes.get(at..)?)? + 1;
        }
    }
    if flags & HAS_CRC != 0 {
        at += 2;
    }
    Some(at)
}

/// Decompresses to at most `max_bytes`; `None` where nothing comes out.
pub fn inflate(bytes: &[u8], max_bytes: usize) -> Option<Inflated> {
    let start = begins(bytes)?;
    let mut inner = Vec::new();
    let limit = max_bytes as u64;
    // `inner` keeps what could be read before an error.
    let (how, is_whole, rest) = if bytes.starts_with(&[0x78]) {
        let mut decoder = ZlibDecoder::new(bytes).take(limit);
        let read = decoder.read_to_end(&mut inner);
        let is_whole = read.is_ok() && inner.len() < max_bytes;
        ("inflated", is_whole, decoder.into_inner().into_inner())
    } else {
        let mut decoder = MultiGzDecoder::new(bytes).take(limit);
        let read = decoder.read_to_end(&mut inner);
        let is_whole = read.is_ok() && inner.len() < max_bytes;
        ("gunzipped", is_whole, decoder.into_inner().into_inner())
    };
    // A longer header has optional fields, such as a name or a comment.
    let is_plain = start <= GZIP_HEADER_BYTES;
    (!inner.is_empty()).then_some(Inflated {
        how,
        bytes: inner,
        is_all: is_plain && is_whole && rest.is_empty(),
        end: is_whole.then(|| bytes.len() - rest.len()),
    })
}
