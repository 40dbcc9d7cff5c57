//! What a command would do, step by step, in words.
//!
//! In: a command line. Out: [`Told`]: sentences without a subject, such as "goes to /tmp", and how
//! sure it is that this is a command at all. A program that is not known here is named where what
//! comes before and after it is.

use super::line::{Call, Join, calls};
use super::{download, powershell, program};
use crate::bytes::printable;

/// Most steps of a command, and what they take together, in characters.
const MAX_STEPS: usize = 16;
const MAX_STEPS_CHARS: usize = 600;
/// Longest name of a file or a host that is repeated, in characters.
const MAX_NAME_CHARS: usize = 60;
/// Commands inside of commands.
const MAX_DEPTH: usize = 3;
/// Programs that run lines.
pub(super) const SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "sh", "source", "zsh"];
/// Programs that start others.
const STARTERS: [&str; 8] = [
    "sudo", "nohup", "exec", "setsid", "env", "then", "do", "time",
];

/// How much a step says for a command, beside what else the bytes could mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// The same words stand in ordinary texts.
    #[default]
    Little,
    /// Hardly anything else is written like that.
    Some,
    /// Nothing else is.
    Much,
}

/// What was told of a command.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) steps: Vec<String>,
    /// What the steps together say for a command: of each 1, 2 or 3.
    pub(super) weight: usize,
    /// Where the last step that was understood ends.
    pub(super) end: usize,
    /// The files that were downloaded, by their names without a path.
    pub(super) fetched: Vec<Vec<u8>>,
    /// What this line prints is run by a shell.
    pub(super) is_run: bool,
    /// Programs that are not known, since the last step.
    unknown: Vec<String>,
    chars: usize,
}

/// One call and what it has to do with its neighbours.
pub(super) struct Around<'a> {
    pub(super) call: &'a Call,
    /// What its output goes to, by a pipe.
    pub(super) next: Option<&'a Call>,
    /// Its input comes by a pipe.
    pub(super) is_fed: bool,
}

/// Tells what a line would do.
pub(super) fn tell(line: &[u8]) -> Told {
    let mut told = Told::default();
    told.line(line, MAX_DEPTH);
    told
}

impl Told {
    /// Goes on with a line. Of one that stands inside another, the end is that of the other.
    pub(super) fn line(&mut self, line: &[u8], depth: usize) {
        if depth == 0 {
            return;
        }
        if powershell::tell(self, line) {
            self.end = line.len();
            return;
        }
        let calls = calls(line);
        let mut at = 0;
        while at < calls.len() && self.steps.len() < MAX_STEPS {
            let steps = self.steps.len();
            let length = 1 + calls[at + 1..]
                .iter()
                .take_while(|call| call.join == Join::Pipe)
                .count();
            let pipe = &calls[at..at + length];
            at += length;
            at += self.pipe(pipe, &calls[at..], depth);
            if self.steps.len() > steps {
                self.end = calls[at - 1].end;
            }
        }
    }

    /// Goes on with calls that are joined by pipes. Returns how many of those behind it were told
    /// with it.
    fn pipe(&mut self, pipe: &[Call], behind: &[Call], depth: usize) -> usize {
        for call in pipe {
            let program = call.words.first().map(|word| name_of(word));
            let is_shell = program.is_some_and(|name| SHELLS.contains(&&*name));
            let before = std::mem::replace(&mut self.is_run, is_shell);
            for line in &call.inner {
                self.line(line, depth - 1);
            }
            self.is_run = before;
        }
        if let Some(step) = download::reverse_shell(pipe) {
            self.say(Weight::Much, step);
            return 0;
        }
        if let Some((step, more)) = program::directories(&pipe[0], behind) {
            self.say(Weight::Little, step);
            return more;
        }
        for (at, call) in pipe.iter().enumerate() {
            let around = Around {
                call,
                next: pipe.get(at + 1),
                is_fed: at > 0,
            };
            let words = started(&call.words);
            self.call(words, &around, depth);
        }
        0
    }

    /// Goes on with a call of a program.
    pub(super) fn call(&mut self, words: &[Vec<u8>], around: &Around<'_>, depth: usize) {
        let Some((program, arguments)) = words.split_first() else {
            return;
        };
        if around.call.is_function {
            return;
        }
        let name = name_of(program);
        let is_told = download::tell(self, &name, arguments, around)
            || program::tell(self, &name, program, arguments, around, depth);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !is_told && name.len() > 1 && program.iter().all(|&byte| is_name(byte)) {
            self.unknown
                .push(format!("calls {}", shown(&words.join(&b' '))));
        }
    }

    /// Adds a step, and those before it that were not understood.
    pub(super) fn say(&mut self, weight: Weight, step: String) {
        let unknown = std::mem::take(&mut self.unknown);
        let before = if self.steps.is_empty() {
            Vec::new()
        } else {
            unknown
        };
        self.weight += weight as usize + 1;
        // Another way to the same, joined by `||`.
        if self.steps.last() == Some(&step) {
            return;
        }
        for step in before.into_iter().chain([step]) {
            self.chars += step.chars().count();
            if self.steps.len() < MAX_STEPS && self.chars <= MAX_STEPS_CHARS {
                self.steps.push(step);
            }
        }
    }

    /// Tells whether a file is one that was downloaded, or all files where one was.
    pub(super) fn has_fetched(&self, file: &[u8]) -> bool {
        let file = base(file);
        let is_any = file == b"*" && !self.fetched.is_empty();
        is_any || self.fetched.iter().any(|fetched| fetched == file)
    }
}

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

/// Returns a name or a text as one printable line, in which no address can be followed.
pub(super) fn shown(name: &[u8]) -> String {
    printable::line(name, MAX_NAME_CHARS).replace("://", "[:]//")
}

/// Leaves out what only starts another program, and variables that are set for it.
fn started(words: &[Vec<u8>]) -> &[Vec<u8>] {
    let is_start = |word: &&Vec<u8>| {
        let is_starter = STARTERS.contains(&&*name_of(word));
        let name = word.split(|&byte| byte == b'=').next().unwrap_or_default();
        let is_variable = name.len() < word.len() && name.iter().all(u8::is_ascii_alphanumeric);
        is_starter || is_variable
    };
    let starts = words.iter().take_while(is_start).count();
    &words[starts..]
}
