//! Programs that read, write and change files.
//!
//! In: a program and its arguments. Out: a step, if the arguments are those of a command and not
//! ordinary words.

use super::tell::{Program, Step, Told, Weight};
use super::words::{has_any, is_path, shown, without_options};

/// Most bytes of a text of `echo` that a step shows.
const MAX_ECHO_BYTES: usize = 48;

/// Returns the step of a program that works with files; `None` for other programs, or if no file is
/// given.
pub(super) fn step(told: &mut Told, program: &Program<'_>) -> Option<Step> {
    let words = program.arguments;
    match program.name {
        "chmod" => chmod(told, words),
        "rm" | "del" | "rmdir" | "unlink" => remove(words),
        "echo" | "printf" => echo(told, program),
        "cat" | "type" | "head" | "tail" | "more" => read(program),
        "mv" | "move" => moved(told, words, "moves"),
        "cp" | "copy" => moved(told, words, "copies"),
        "base64" | "openssl" => decode(words),
        _ => None,
    }
}

fn chmod(told: &Told, words: &[Vec<u8>]) -> Option<Step> {
    let mut words = words.iter().filter(|word| !word.starts_with(b"-R"));
    let mode = words.next()?;
    let file = words.next()?;
    let file = if told.has_fetched(file) {
        "it".to_owned()
    } else {
        shown(file)
    };
    let is_number = mode.len() >= 3 && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let is_odd = is_number && mode.iter().any(|digit| digit & 1 == 1);
    let adds = mode.contains(&b'+');
    // In a form, the plus of `+x` has become a space.
    let adds_x = mode == b"x" || adds && mode.contains(&b'x');
    let text = if is_odd || adds_x {
        format!("makes {file} executable")
    } else if is_number || adds {
        format!("changes who may use {file}")
    } else {
        return None;
    };
    Some(Step::new(Weight::Some, text))
}

fn remove(words: &[Vec<u8>]) -> Option<Step> {
    let mut files = without_options(words);
    files.retain(|word| !word.starts_with(b"/q"));
    if files.is_empty() {
        return None;
    }
    let has_option = words.len() > files.len();
    let weight = if has_option || files.iter().any(|file| is_path(file)) {
        Weight::Some
    } else {
        Weight::Little
    };
    let text = format!("deletes {}", shown(&files.join(&b' ')));
    Some(Step::new(weight, text))
}

fn echo(told: &mut Told, program: &Program<'_>) -> Option<Step> {
    let options: [&[u8]; 4] = [b"-n", b"-e", b"-ne", b"-en"];
    let mut words = program.arguments.to_vec();
    words.retain(|word| !options.contains(&word.as_slice()));
    let text = words.join(&b' ');
    if text.is_empty() {
        return None;
    }
    let mut start = shown(&text[..text.len().min(MAX_ECHO_BYTES)]);
    if text.len() > MAX_ECHO_BYTES {
        start.push('…');
    }
    if program.output().is_some() {
        let file = program.kept_output()?;
        told.downloaded(file);
        let text = format!("writes {start} to {}", shown(file));
        return Some(Step::new(Weight::Some, text));
    }
    let text = if program.around.next.is_some() {
        format!("takes the text {start}")
    } else {
        format!("prints {start}")
    };
    Some(Step::new(Weight::Little, text))
}

fn read(program: &Program<'_>) -> Option<Step> {
    let files = without_options(program.arguments);
    let file = *files.last()?;
    let has_path = file.contains(&b'/') || file.contains(&b'\\');
    if !has_path && !is_path(file) {
        return None;
    }
    let name = shown(file);
    let text = match (program.around.next, program.output()) {
        (None, None) => format!("shows the file {name}"),
        (None, Some(into)) => format!("copies {name} to {}", shown(into)),
        (Some(_), _) => format!("reads the file {name}"),
    };
    Some(Step::new(Weight::Some, text))
}

fn moved(told: &mut Told, words: &[Vec<u8>], verb: &str) -> Option<Step> {
    let [from, to] = without_options(words)[..] else {
        return None;
    };
    if told.has_fetched(from) {
        told.downloaded(to);
    }
    if !is_path(from) && !is_path(to) {
        return None;
    }
    let text = format!("{verb} {} to {}", shown(from), shown(to));
    Some(Step::new(Weight::Little, text))
}

fn decode(words: &[Vec<u8>]) -> Option<Step> {
    if has_any(words, &[b"-d", b"-D", b"-di", b"--decode"]) {
        Some(Step::new(Weight::Some, "decodes it"))
    } else {
        None
    }
}
