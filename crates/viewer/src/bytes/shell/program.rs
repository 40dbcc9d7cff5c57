//! Programs that change the machine itself, or ask about it.
//!
//! In: a program and its arguments. Out: steps, if the arguments are those of a command and not
//! ordinary words.

use memchr::{memchr, memmem};

use super::line::{Call, Join};
use super::tell::{Program, Step, Told, Weight};
use super::words::{base, has_any, is_path, name_of, shown, without_options};
use super::{files, nested};

/// Most directories that one step names.
const MAX_DIRECTORIES: usize = 8;

/// The step of `cd`.
pub(super) struct Directories {
    pub(super) step: Step,
    /// How many of the following calls are part of this step.
    pub(super) others: usize,
}

/// Returns the step of `cd`. Several of them, joined by `||`, are one step: they go to the first
/// directory that exists.
pub(super) fn directories(call: &Call, behind: &[Call]) -> Option<Directories> {
    let mut directories = vec![directory(call)?];
    for call in behind {
        if call.join != Join::Or || directories.len() > MAX_DIRECTORIES {
            break;
        }
        let Some(directory) = directory(call) else {
            break;
        };
        directories.push(directory);
    }
    let text = match &directories[..] {
        [one] => format!("goes to {one}"),
        all => format!("goes to the first of {} that is there", all.join(", ")),
    };
    Some(Directories {
        step: Step::new(Weight::Little, text),
        others: directories.len() - 1,
    })
}

/// Returns the directory of one `cd`.
fn directory(call: &Call) -> Option<String> {
    let [program, directory] = &call.words[..] else {
        return None;
    };
    let is_cd = matches!(&*name_of(program), "cd" | "chdir");
    is_cd.then(|| shown(directory))
}

/// Adds the steps of a program. Returns `false` if the program or its arguments are unknown.
pub(super) fn tell(told: &mut Told, program: &Program<'_>) -> bool {
    if let Some(is_told) = nested::tell(told, program) {
        return is_told;
    }
    if matches!(program.name, "echo" | "printf") && program.arguments.is_empty() {
        return true;
    }
    let step = files::step(told, program)
        .or_else(|| step(told, program))
        .or_else(|| by_path(told, program.path));
    told.say_if_known(step)
}

fn step(told: &Told, program: &Program<'_>) -> Option<Step> {
    let words = program.arguments;
    match program.name {
        "python" | "python2" | "python3" | "perl" | "php" | "ruby" => script(told, program),
        "mkfifo" | "mknod" => named(words, "makes a named pipe", Weight::Some),
        "mkdir" => named(words, "makes the directory", Weight::Little),
        "touch" => named(words, "makes the file", Weight::Little),
        "kill" | "pkill" | "killall" => named(words, "ends processes:", Weight::Little),
        "sleep" => sleep(words),
        "ls" | "dir" => Some(list(program)),
        _ => question(program),
    }
}

/// Returns the step of a program that only prints facts about the machine.
fn question(program: &Program<'_>) -> Option<Step> {
    let what = match program.name {
        "id" | "whoami" => "which user it runs as",
        "uname" | "ver" | "systeminfo" | "lscpu" => "what system this is",
        "hostname" => "the name of the machine",
        "pwd" => "which directory it is in",
        "ps" | "tasklist" => "which processes run",
        "ifconfig" | "ipconfig" | "netstat" => "which networks the machine is in",
        _ => return None,
    };
    // In an ordinary sentence, the next words are no options.
    let is_option = |word: &Vec<u8>| word.starts_with(b"-") || word.starts_with(b"/");
    if !program.arguments.iter().all(is_option) {
        return None;
    }
    let text = format!("asks {what}{}", written(program));
    Some(Step::new(Weight::Little, text))
}

fn list(program: &Program<'_>) -> Step {
    let place = match without_options(program.arguments).first() {
        Some(path) => format!("in {}", shown(path)),
        None => "here".to_owned(),
    };
    let text = format!("lists the files {place}{}", written(program));
    Step::new(Weight::Little, text)
}

/// Returns where the output is written to, as the end of a sentence. Returns nothing if the file's
/// name is made by a command.
fn written(program: &Program<'_>) -> String {
    match program.kept_output() {
        Some(file) if !has_command(file) => format!(" and writes that to {}", shown(file)),
        _ => String::new(),
    }
}

fn has_command(word: &[u8]) -> bool {
    memchr(b'`', word).is_some() || memmem::find(word, b"$(").is_some()
}

fn sleep(words: &[Vec<u8>]) -> Option<Step> {
    let seconds = words.first()?;
    if !seconds.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = format!("waits {} s", shown(seconds));
    Some(Step::new(Weight::Little, text))
}

/// Returns the step of a language's interpreter, which runs a line or a file.
fn script(told: &Told, program: &Program<'_>) -> Option<Step> {
    let words = program.arguments;
    if has_any(words, &[b"-c", b"-e", b"-r"]) {
        let text = format!("runs a line of {}", program.name);
        return Some(Step::new(Weight::Some, text));
    }
    let files = without_options(words);
    let file = *files.first()?;
    if told.has_fetched(file) {
        Some(Step::runs_it())
    } else if is_path(file) {
        Some(Step::new(Weight::Some, format!("runs {}", shown(file))))
    } else {
        None
    }
}

/// Returns the step `what` with the first argument that is no option.
fn named(words: &[Vec<u8>], what: &str, weight: Weight) -> Option<Step> {
    let names = without_options(words);
    let name = names.first()?;
    Some(Step::new(weight, format!("{what} {}", shown(name))))
}

/// Returns the step of a program that is called by its path, such as `./jaws`.
fn by_path(told: &Told, program: &[u8]) -> Option<Step> {
    if told.has_fetched(program) {
        return Some(Step::new(Weight::Little, "runs it"));
    }
    let has_path = program.contains(&b'/') && is_path(program);
    if !has_path || base(program).len() < 2 {
        return None;
    }
    let text = format!("runs {}", shown(program));
    Some(Step::new(Weight::Little, text))
}
