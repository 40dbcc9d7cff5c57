//! Programs that run other commands: shells, busybox, Windows' `cmd`.
//!
//! In: a program and its arguments. Out: the steps of the commands that it runs.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::tell::{Program, SHELLS, Step, Told, Weight};
use super::words::{has_any, is_option, is_path, shown, without_options};

/// Adds the steps of such a program, and returns whether they are known. Returns `None` for other
/// programs.
pub(super) fn tell(told: &mut Told, program: &Program<'_>) -> Option<bool> {
    let is_told = match program.name {
        "busybox" => busybox(told, program),
        "cmd" => cmd(told, program),
        "powershell" | "pwsh" => powershell(told, program),
        name if SHELLS.contains(&name) => shell(told, program),
        _ => return None,
    };
    Some(is_told)
}

/// Adds the steps of busybox. `busybox wget …` is wget. With an unknown name, the sender finds out
/// whether there is a busybox.
fn busybox(told: &mut Told, program: &Program<'_>) -> bool {
    let Some(applet) = program.arguments.first() else {
        return false;
    };
    let before = told.weight;
    told.call(program.arguments, program.around, program.depth);
    if told.weight == before {
        let text = format!("calls {} of busybox", shown(applet));
        told.say(Step::new(Weight::Some, text));
    }
    true
}

/// Adds the steps of `sh FILE`, `sh -c LINE`, or of a shell that reads lines from a pipe.
fn shell(told: &mut Told, program: &Program<'_>) -> bool {
    let words = program.arguments;
    if let Some(at) = words.iter().position(|word| takes_line(word)) {
        return shell_line(told, &words[at + 1..], program.depth);
    }
    let step = match without_options(words).first() {
        Some(file) => shell_file(told, file),
        None => shell_input(told, program),
    };
    told.say_if_known(step)
}

/// Tells whether a command line follows this option: `-c`, `-lc`, and so on.
fn takes_line(word: &[u8]) -> bool {
    is_option(word) && word.ends_with(b"c")
}

/// Adds the steps of the line after `sh -c`.
fn shell_line(told: &mut Told, line: &[Vec<u8>], depth: usize) -> bool {
    if let Some(first) = line.first() {
        let is_output = first.starts_with(b"$(") || first.starts_with(b"`");
        if is_output && !told.fetched.is_empty() {
            told.say(Step::runs_it());
            return true;
        }
    }
    match line {
        [one] => nested_line(told, one, depth),
        // Without quotes, all further words are probably meant.
        all => nested_line(told, &all.join(&b' '), depth),
    }
}

fn shell_file(told: &Told, file: &[u8]) -> Option<Step> {
    // `bash <(curl …)`
    let is_output = file.starts_with(b"(") && !told.fetched.is_empty();
    if told.has_fetched(file) || is_output {
        Some(Step::runs_it())
    } else if is_path(file) {
        Some(Step::new(Weight::Some, format!("runs {}", shown(file))))
    } else {
        None
    }
}

fn shell_input(told: &Told, program: &Program<'_>) -> Option<Step> {
    if program.around.is_fed && !told.fetched.is_empty() {
        Some(Step::runs_it())
    } else if program.around.is_fed {
        Some(Step::new(Weight::Some, "runs what comes out of that"))
    } else if has_any(program.arguments, &[b"-i"]) {
        Some(Step::new(Weight::Little, "starts a shell"))
    } else {
        None
    }
}

/// Adds the steps of Windows' `cmd /c LINE`.
fn cmd(told: &mut Told, program: &Program<'_>) -> bool {
    let words = program.arguments;
    let Some(at) = words.iter().position(|word| is_cmd_switch(word)) else {
        return false;
    };
    nested_line(told, &words[at + 1..].join(&b' '), program.depth)
}

fn is_cmd_switch(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"/c") || word == b"/k"
}

/// Adds the steps of the line that PowerShell runs. After `-enc`, the line is base64 of UTF-16.
fn powershell(told: &mut Told, program: &Program<'_>) -> bool {
    let line = match encoded_line(program.arguments) {
        Some(line) => line,
        None => without_options(program.arguments).join(&b' '),
    };
    nested_line(told, &line, program.depth)
}

fn encoded_line(words: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut options = words.iter();
    let at = options.position(|word| word.to_ascii_lowercase().starts_with(b"-e"))?;
    let mut line = BASE64_STANDARD.decode(words.get(at + 1)?).ok()?;
    line.retain(|&byte| byte != 0);
    Some(line)
}

/// Adds the steps of a line inside a command. Returns whether any of it is known.
fn nested_line(told: &mut Told, line: &[u8], depth: usize) -> bool {
    let before = told.steps.len();
    told.line(line, depth - 1);
    told.steps.len() > before
}
