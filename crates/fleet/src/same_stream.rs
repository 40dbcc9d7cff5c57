//! Whether the stream is the one that a hub has read before: one that is made anew counts from 1
//! again.
//!
//! In: when the stream was made. Out: the newest request that the hub's history had when it first
//! saw this stream: what came behind it says where to go on reading. Kept in a file beside the
//! history, which this program does not write.

use std::path::Path;

use anyhow::Context;

/// Name of the file: when the stream was made, in nanoseconds since 1970, and the request.
const FILE: &str = "fleet-stream";

/// Returns the newest request of the history that did not come from the stream that was made at
/// this time; 0 where that is the first that is seen here. `newest` is the newest of all.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn newest_of_another(folder: &Path, made: i128, newest: u64) -> anyhow::Result<u64> {
    let path = folder.join(FILE);
    let known = std::fs::read_to_string(&path).ok();
    let known = known.as_deref().and_then(read);
    let behind = match known {
        // A history that begins anew may count from 1 again.
        Some((known, behind)) if known == made && behind <= newest => return Ok(behind),
        Some((known, _)) if known != made => newest,
        _ => 0,
    };
    // Whole or not at all: it is renamed when it is written.
    let new = folder.join(format!("{FILE}.new"));
    let written = std::fs::write(&new, format!("{made} {behind}\n"));
    written
        .and_then(|()| std::fs::rename(&new, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(behind)
}

fn read(text: &str) -> Option<(i128, u64)> {
    let (made, behind) = text.trim().split_once(' ')?;
    Some((made.parse().ok()?, behind.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_a_stream_was_made_anew_says_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let seen = |made, newest| newest_of_another(folder.path(), made, newest).unwrap();
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
