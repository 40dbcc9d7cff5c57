//! Finds out whether the stream is the one that a hub has read before. A stream that was made again
//! counts from 1.
//!
//! In: when the stream was made. Out: a number of the hub's history. Requests up to this number
//! came from an earlier stream, so the numbers of their messages mean nothing in this one. The
//! number is stored in a file beside the history, because this program does not write to the
//! history.

use std::path::Path;

use anyhow::Context;

/// Name of the file. It has the time when the stream was made, in nanoseconds since 1970, and the
/// number up to which requests came from an earlier stream.
const FILE: &str = "fleet-stream";

/// Returns the number up to which requests in the history came from an earlier stream; 0 if the hub
/// knows no earlier stream. `created` is when this stream was made, in nanoseconds since 1970.
/// `newest` is the number of the newest request in the history that a sensor sent.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn newest_before(folder: &Path, created: i128, newest: u64) -> anyhow::Result<u64> {
    let path = folder.join(FILE);
    let known = std::fs::read_to_string(&path).ok();
    let known = known.as_deref().and_then(read);
    let before = match known {
        // A history that begins again may count from 1.
        Some((known, before)) if known == created && before <= newest => return Ok(before),
        Some((known, _)) if known != created => newest,
        _ => 0,
    };
    // Written under another name and then renamed, so that the file is never half written.
    let new = folder.join(format!("{FILE}.new"));
    let written = std::fs::write(&new, format!("{created} {before}\n"));
    written
        .and_then(|()| std::fs::rename(&new, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(before)
}

fn read(text: &str) -> Option<(i128, u64)> {
    let (created, before) = text.trim().split_once(' ')?;
    Some((created.parse().ok()?, before.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_a_stream_was_made_anew_says_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let seen = |created, newest| newest_before(folder.path(), created, newest).unwrap();
        assert_eq!(seen(7, 100), 0, "the first one");
        assert_eq!(seen(7, 200), 0);
        assert_eq!(seen(8, 200), 200, "another");
        assert_eq!(seen(8, 300), 200, "that one, after a restart");
        assert_eq!(seen(7, 300), 300);
        assert_eq!(seen(7, 20), 0, "the history began anew");
        std::fs::write(folder.path().join(FILE), "what?").unwrap();
        assert_eq!(seen(7, 300), 0);
    }
}
