//! Reads a word of a command: an option, a path, the name of a program.
//!
//! In: words without quotes. Out: what they are, and how the page shows them.

use memchr::memrchr;

use crate::bytes::printable;

/// Longest name of a file or a host that is shown, in characters.
const MAX_NAME_CHARS: usize = 60;

/// Returns the name of a program without its path, in lower case, without `.exe`.
pub(super) fn name_of(program: &[u8]) -> String {
    let name = base(program).to_ascii_lowercase();
    let name = name.strip_suffix(b".exe").unwrap_or(&name);
    String::from_utf8_lossy(name).into_owned()
}

/// Returns a path without its folders.
pub(super) fn base(path: &[u8]) -> &[u8] {
    let is_slash = |byte: &u8| b"/\\".contains(byte);
    path.rsplit(is_slash).next().unwrap_or_default()
}

/// Returns a name or a text as one printable line, in which `://` is defanged.
pub(super) fn shown(name: &[u8]) -> String {
    printable::line(name, MAX_NAME_CHARS).replace("://", "[:]//")
}

pub(super) fn is_option(word: &[u8]) -> bool {
    word.starts_with(b"-")
}

/// Tells whether one of these options is among the words.
pub(super) fn has_any(words: &[Vec<u8>], options: &[&[u8]]) -> bool {
    words.iter().any(|word| options.contains(&word.as_slice()))
}

/// Returns the words that are no options.
pub(super) fn without_options(words: &[Vec<u8>]) -> Vec<&[u8]> {
    let mut others = Vec::new();
    for word in words {
        if !is_option(word) {
            others.push(word.as_slice());
        }
    }
    others
}

/// Returns the word after an option.
pub(super) fn after<'a>(words: &'a [Vec<u8>], option: &[u8]) -> Option<&'a [u8]> {
    let at = words.iter().position(|word| word == option)?;
    Some(words.get(at + 1)?)
}

/// Tells whether a shell may run this: a path, or a name with an extension.
pub(super) fn is_path(word: &[u8]) -> bool {
    let is_absolute = word.starts_with(b"/") && !word.starts_with(b"//");
    let has_path = is_absolute || word.starts_with(b"./");
    let has_name = word.iter().any(u8::is_ascii_alphanumeric);
    has_name && (has_path || has_ending(word)) && word.iter().all(|&byte| is_of_path(byte))
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-/\\:~${}*%".contains(&byte)
}

fn has_ending(word: &[u8]) -> bool {
    let Some(dot) = memrchr(b'.', word) else {
        return false;
    };
    let ending = &word[dot + 1..];
    let is_short = (1..=4).contains(&ending.len());
    dot > 0 && is_short && ending.iter().all(u8::is_ascii_alphanumeric)
}
