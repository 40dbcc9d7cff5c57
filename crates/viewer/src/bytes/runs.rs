//! Finds long runs of one byte, which people would rather see as a count.
//!
//! In: bytes. Out: the runs, and the bytes between them, in order and without a gap.

use std::ops::Range;

/// Shortest run. People can read a shorter one at a glance.
pub const MIN_RUN_BYTES: usize = 32;

/// A part of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Range of the part.
    pub range: Range<usize>,
    /// The byte that is repeated, if the part is a run.
    pub byte: Option<u8>,
}

/// Splits bytes into runs of one byte and the bytes between them, in one pass.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        loop {
            let (byte, end) = run(bytes, at)?;
            let is_long = end - at >= MIN_RUN_BYTES;
            if is_long && at == start {
                at = end;
                return Some(Part {
                    range: start..end,
                    byte: Some(byte),
                });
            }
            if !is_long {
                at = end;
            }
            if is_long || end == bytes.len() {
                return Some(Part {
                    range: start..at,
                    byte: None,
                });
            }
        }
    })
}

/// Returns the byte at this position, and where its run ends.
fn run(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let byte = *rest.first()?;
    let length = rest.iter().take_while(|&&next| next == byte).count();
    Some((byte, at + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: &[u8]) -> Vec<(usize, Option<u8>)> {
        parts(bytes)
            .map(|part| (part.range.len(), part.byte))
            .collect()
    }

    #[test]
    fn long_runs_stand_alone() {
        let zeros = [0; 32];
        assert_eq!(shape(b""), []);
        assert_eq!(shape(b"abc"), [(3, None)]);
        assert_eq!(shape(&zeros[1..]), [(31, None)]);
        assert_eq!(shape(&zeros), [(32, Some(0))]);
        let both = [b"ab", &zeros[..], &[1; 40], b"c"].concat();
        assert_eq!(
            shape(&both),
            [(2, None), (32, Some(0)), (40, Some(1)), (1, None)]
        );
    }

    #[test]
    fn no_byte_is_lost() {
        let mixed = [&[0; 31][..], &[1; 33], b"x", &[2; 100], b"yz"].concat();
        let mut at = 0;
        for part in parts(&mixed) {
            assert_eq!(part.range.start, at);
            at = part.range.end;
        }
        assert_eq!(at, mixed.len());
    }
}
