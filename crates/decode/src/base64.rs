//! Base64, in both of its alphabets: RFC 4648, 4 and 5.
//!
//! In: characters. Out: the bytes that they encode. Also writes other bytes in their place.

/// Characters that encode three bytes.
pub const GROUP_CHARS: usize = 4;
/// Marks in the table a character that is not one of base64.
const NONE: u8 = 64;
/// The six bits that each character encodes.
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

/// Returns the six bits that a character encodes.
pub fn sextet(char: u8) -> Option<u8> {
    let sextet = SEXTETS[usize::from(char)];
    (sextet != NONE).then_some(sextet)
}

/// Returns the character that encodes six bits.
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

/// Appends the bytes that the sextets encode to `bytes`. Bits that make no whole byte are dropped.
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

/// Changes the byte at `index` of those that the sextets encode.
///
/// Each byte lies in two sextets: the first has its upper 6, 4 or 2 bits, the second the rest.
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

/// Decodes characters of one alphabet, padded or not; `None` where they are no base64.
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
