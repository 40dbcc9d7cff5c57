//! Where lines are written to.
//!
//! In: the value of a flag. Out: an open file, which can be reopened.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Lines have addresses and passwords of strangers. The program that collects them must have the
/// same user or group.
const FILE_MODE: u32 = 0o640;

/// Where lines are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of this file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match &*value.to_ascii_lowercase() {
            "off" | "0" | "false" | "" => Ok(Self::Off),
            "stdout" | "-" => Ok(Self::Stdout),
            // Nobody means a file with such a name.
            "on" | "1" | "true" => Err("expected off, stdout or the path of a file"),
            _ => Ok(Self::File(value.into())),
        }
    }
}

/// The file or stream to which lines are appended.
pub(super) struct Output {
    target: Target,
    open: Option<File>,
}

impl Output {
    pub(super) fn new(target: Target) -> Self {
        Self { target, open: None }
    }

    /// Returns the open file; opens it first if necessary.
    pub(super) fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.open {
            Some(file) => Ok(file),
            none => Ok(none.insert(open(&self.target)?)),
        }
    }

    /// Closes the file, which another program may have renamed.
    pub(super) fn close(&mut self) {
        self.open = None;
    }
}

fn open(target: &Target) -> io::Result<File> {
    match target {
        Target::File(path) => {
            let mut options = OpenOptions::new();
            options.create(true).append(true).mode(FILE_MODE);
            let mut file = options.open(path)?;
            if ends_within_a_line(path)? {
                file.write_all(b"\n")?;
            }
            Ok(file)
        }
        // A separate descriptor: Rust's standard output would buffer an incomplete line. With
        // `Off`, no thread is started, so this is never reached.
        Target::Stdout | Target::Off => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
    }
}

/// Tells whether the file's last line has no end, because the program or the machine was killed.
fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let metadata = path.metadata()?;
    // A pipe, for example, has no end that could be read.
    if !metadata.is_file() {
        return Ok(false);
    }
    let Some(last) = metadata.len().checked_sub(1) else {
        return Ok(false);
    };
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_off_stdout_or_a_file() {
        for (value, target) in [
            ("off", Target::Off),
            ("False", Target::Off),
            ("", Target::Off),
            ("STDOUT", Target::Stdout),
            ("-", Target::Stdout),
            ("/var/log/Lines", Target::File("/var/log/Lines".into())),
        ] {
            assert_eq!(value.parse(), Ok(target), "{value}");
        }
        assert!("on".parse::<Target>().is_err());
    }

    #[test]
    fn a_cut_line_is_ended_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut lines = Vec::new();
        for (left, found) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb\n")] {
            std::fs::write(&path, left).unwrap();
            let mut output = Output::new(Target::File(path.clone()));
            output.file().unwrap();
            lines.push((std::fs::read_to_string(&path).unwrap(), found.to_owned()));
        }
        assert!(lines.iter().all(|(is, should)| is == should), "{lines:?}");
        Output::new(Target::File("/dev/null".into()))
            .file()
            .unwrap();
    }
}
