//! Base64, in both of its alphabets: RFC 4648, 4 and 5.
//!
//! In: characters. Out: the bytes that they stand for, and characters for other bytes.

/// Characters that stand for three bytes.
pub const GROUP_CHARS: usize = 4;
/// What stands in the table for a character that is none of base64's.
const NONE: u8 = 64;
/// Six bits, by the character that stands for them.
const SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < NONE {
        table[char_of(value, false) as usize] = value;
        table[char_of(value, true) as usize] = value;
        value += 1;
    }
    table
}

/// Returns the six bits that a character stands for.
pub fn sextet(char: u8) -> Option<u8> {
    let sextet = SEXTETS[usize::from(char)];
    (sextet != NONE).then_some(sextet)
}

/// Returns the character that stands for six bits.
pub const fn char_of(sextet: u8, is_url_safe: bool) -> u8 {
    match sextet & 63 {
        sextet @ 0..26 => b'A' + sextet,
        sextet @ 26..52 => b'a' + sextet - 26,
        sextet @ 52..62 => b'0' + sextet - 52,
        62 if is_url_safe => b'-',
        62 => b'+',
        _ if is_url_safe => b'_',
        _ => b'/',
    }
}

/// Puts the bytes that so many sextets hold behind `bytes`; what is left of bits is dropped.
pub fn extend(bytes: &mut Vec<u8>, sextets: &[u8]) {
    for group in sextets.chunks(GROUP_CHARS) {
        let mut bits = 0;
        for index in 0..GROUP_CHARS {
            bits = bits << 6 | u32::from(group.get(index).copied().unwrap_or(0));
        }
        let whole = group.len() * 6 / 8;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
}

/// Changes one of the bytes that sextets hold.
///
/// The first of two sextets has the upper 6, 4 or 2 bits of a byte, the other one the rest.
pub fn set(sextets: &mut [u8], index: usize, byte: u8) {
    let first = index * 8 / 6;
    // Bits of the byte that are in the second sextet.
    let low_bits = 2 + index % 3 * 2;
    let high_bits = 8 - low_bits;
    let kept = sextets[first] >> high_bits << high_bits;
    sextets[first] = kept | byte >> low_bits;
    let kept = sextets[first + 1] & (63 >> low_bits);
    sextets[first + 1] = kept | (byte << (6 - low_bits)) & 63;
}

/// Decodes characters of one alphabet, padded or not; `None` where they are none.
pub fn decode(run: &[u8]) -> Option<Vec<u8>> {
    let padding = run.iter().rev().take_while(|&&byte| byte == b'=').count();
    let chars = &run[..run.len() - padding];
    let has_one_of = |two: &[u8; 2]| chars.iter().any(|byte| two.contains(byte));
    // One character alone holds no byte.
    if chars.len() % GROUP_CHARS == 1 || has_one_of(b"+/") && has_one_of(b"-_") {
        return None;
    }
    let sextets: Option<Vec<u8>> = chars.iter().map(|&char| sextet(char)).collect();
    let mut bytes = Vec::with_capacity(chars.len() / GROUP_CHARS * 3 + 2);
    extend(&mut bytes, &sextets?);
    Some(bytes)
}
