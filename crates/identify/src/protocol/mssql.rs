//! Microsoft SQL Server and Sybase, which use TDS.

use super::reading::{Found, big, found_with, is_graphic, is_text, latin_of_utf16, little, need};

/// MS-TDS, 2.2.3.1: a type of packet, its status, its length, a window of zero; the rest depends on
/// the type.
pub(super) fn mssql(bytes: &[u8]) -> Option<Found> {
    let (&[kind, status, high, low, _, _, _, 0], content) = bytes.split_first_chunk::<8>()? else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    need(status <= 0x1f && length > 8)?;
    let detail = match kind {
        // 2.2.6.5: options; the first is VERSION (0), with the place of its value.
        0x12 => {
            need(content.first() == Some(&0) && (6..=96).contains(&big(content, 1..3)?))?;
            prelogin(content)
        }
        // 2.2.6.4: the length of the record, and a version of TDS from 7.0 to 7.4.
        0x10 => {
            need(little(content, 0..4)? + 8 >= length && (0x70..=0x74).contains(content.get(7)?))?;
            login7(content).unwrap_or_else(|| b"log-in".to_vec())
        }
        // 2.2.6.7: text in UTF-16, which may follow headers of 22 bytes.
        1 => {
            need(length == bytes.len() && content.len().is_multiple_of(2))?;
            let text = if little(content, 0..4)? == 22 {
                content.get(22..)?
            } else {
                content
            };
            latin_of_utf16(text).filter(|text| is_text(text))?
        }
        // The log-in before TDS 7 (FreeTDS, `login.c`): names of 30 bytes, each followed by its
        // length.
        2 => old_login(length, content)?,
        _ => return None,
    };
    found_with(8, detail)
}

fn prelogin(content: &[u8]) -> Vec<u8> {
    let version = big(content, 1..3).and_then(|at| content.get(at..at + 4));
    let version = version
        .and_then(|version| <[u8; 4]>::try_from(version).ok())
        .unwrap_or_default();
    format!(
        "pre-login, client {}.{}.{}",
        version[0],
        version[1],
        u16::from_be_bytes([version[2], version[3]])
    )
    .into()
}

fn login7(content: &[u8]) -> Option<Vec<u8>> {
    let (at, chars) = (little(content, 40..42)?, little(content, 42..44)?);
    let user = latin_of_utf16(content.get(at..at + 2 * chars)?)?;
    Some([b"log-in as ", user.as_slice()].concat())
}

fn old_login(length: usize, content: &[u8]) -> Option<Vec<u8>> {
    let (user, user_bytes) = (content.get(31..61)?, usize::from(*content.get(61)?));
    let user = user.get(..user_bytes)?;
    need(length == 512 && is_graphic(user) && *content.get(30)? <= 30)?;
    Some([b"log-in as ", user].concat())
}

/// TDS 5.0, "Login record": the log-in of Sybase, which has its version at a fixed place.
pub(super) fn sybase(bytes: &[u8]) -> Option<Found> {
    let (&[2, 0 | 1, _, _, _, _, _, 0], content) = bytes.split_first_chunk::<8>()? else {
        return None;
    };
    need(content.get(458..462)? == [5, 0, 0, 0])?;
    let user = content.get(31..61)?.get(..usize::from(*content.get(61)?))?;
    need(is_graphic(user))?;
    found_with(8, [b"log-in as ", user].concat())
}
