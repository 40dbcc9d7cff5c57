//! Says in words what a command would do, step by step.
//!
//! In: a command line. Out: [`Told`]: sentences without a subject, such as "goes to /tmp", and how
//! sure it is that this is a command. An unknown program is only named if there are known steps
//! before and after it.

use memchr::memchr;

use super::line::{Call, Join, calls};
use super::words::{base, name_of, shown};
use super::{connect, download, powershell, program};

/// Most steps of a command, and most characters of all its steps.
const MAX_STEPS: usize = 16;
const MAX_STEPS_CHARS: usize = 600;
/// Most levels of commands inside commands.
const MAX_DEPTH: usize = 3;
/// Programs that run lines.
pub(super) const SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "sh", "source", "zsh"];
/// Programs that start others.
const STARTERS: [&str; 8] = [
    "sudo", "nohup", "exec", "setsid", "env", "then", "do", "time",
];

/// How strongly a step suggests that the bytes are a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Ordinary texts have the same words.
    #[default]
    Little,
    /// Hardly anything but a command is written like this.
    Some,
    /// Nothing but a command is written like this.
    Much,
}

/// Something that a command would do.
#[derive(Debug)]
pub(super) struct Step {
    weight: Weight,
    text: String,
}

/// The steps of a command line, and the state while they are added.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) steps: Vec<String>,
    /// The sum of the weights of all steps: 1, 2 or 3 for each.
    pub(super) weight: usize,
    /// The position in the line at which the last known step ends.
    pub(super) end: usize,
    /// The names, without paths, of files that were downloaded or written.
    pub(super) fetched: Vec<Vec<u8>>,
    /// A shell runs the output of the present line.
    pub(super) is_run: bool,
    /// Unknown programs since the last step.
    unknown: Vec<String>,
    chars: usize,
}

/// A call, and how it is connected with the calls around it.
pub(super) struct Around<'a> {
    pub(super) call: &'a Call,
    /// The call that reads its output through a pipe.
    pub(super) next: Option<&'a Call>,
    /// Its input comes through a pipe.
    pub(super) is_fed: bool,
}

/// A program that is called.
pub(super) struct Program<'a> {
    /// Its name, without a path, in lower case.
    pub(super) name: &'a str,
    /// The word that names it.
    pub(super) path: &'a [u8],
    pub(super) arguments: &'a [Vec<u8>],
    pub(super) around: &'a Around<'a>,
    /// How many further levels of commands inside commands are read.
    pub(super) depth: usize,
}

impl Step {
    pub(super) fn new(weight: Weight, text: impl Into<String>) -> Self {
        Self {
            weight,
            text: text.into(),
        }
    }

    /// Returns the step that runs a downloaded file.
    pub(super) fn runs_it() -> Self {
        Self::new(Weight::Some, "runs it")
    }
}

impl Program<'_> {
    /// Returns the file to which its output is written.
    pub(super) fn output(&self) -> Option<&[u8]> {
        self.around.call.into.as_deref()
    }

    /// Returns the file to which its output is written, if it is not `/dev/null`.
    pub(super) fn kept_output(&self) -> Option<&[u8]> {
        self.output().filter(|into| *into != b"/dev/null")
    }
}

/// Returns what a line would do.
pub(super) fn tell(line: &[u8]) -> Told {
    let mut told = Told::default();
    told.line(line, MAX_DEPTH);
    told
}

impl Told {
    /// Adds the steps of a line.
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
            let mut end = at + 1;
            while end < calls.len() && calls[end].join == Join::Pipe {
                end += 1;
            }
            let pipe = &calls[at..end];
            at = end + self.pipe(pipe, &calls[end..], depth);
            if self.steps.len() > steps {
                self.end = calls[at - 1].end;
            }
        }
    }

    /// Adds the steps of calls that are joined by pipes. Returns how many calls after them were
    /// part of the same step.
    fn pipe(&mut self, pipe: &[Call], behind: &[Call], depth: usize) -> usize {
        for call in pipe {
            let is_shell = match call.words.first() {
                Some(program) => SHELLS.contains(&&*name_of(program)),
                None => false,
            };
            let before = std::mem::replace(&mut self.is_run, is_shell);
            for line in &call.inner {
                self.line(line, depth - 1);
            }
            self.is_run = before;
        }
        if let Some(step) = connect::reverse_shell(pipe) {
            self.say(step);
            return 0;
        }
        if let Some(directories) = program::directories(&pipe[0], behind) {
            self.say(directories.step);
            return directories.others;
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

    /// Adds the steps of a call.
    pub(super) fn call(&mut self, words: &[Vec<u8>], around: &Around<'_>, depth: usize) {
        let Some((program, arguments)) = words.split_first() else {
            return;
        };
        if around.call.is_function {
            return;
        }
        let name = name_of(program);
        let is_told = self.program(&Program {
            name: &name,
            path: program,
            arguments,
            around,
            depth,
        });
        if !is_told && name.len() > 1 && program.iter().all(|&byte| is_of_name(byte)) {
            let unknown = shown(&words.join(&b' '));
            self.unknown.push(format!("calls {unknown}"));
        }
    }

    /// Adds the steps of a program. Returns `false` if they are unknown.
    fn program(&mut self, program: &Program<'_>) -> bool {
        let step = download::step(self, program).or_else(|| connect::step(self, program));
        self.say_if_known(step) || program::tell(self, program)
    }

    /// Adds a step, if there is one. Returns whether there is.
    pub(super) fn say_if_known(&mut self, step: Option<Step>) -> bool {
        let Some(step) = step else {
            return false;
        };
        self.say(step);
        true
    }

    /// Adds a step and, unless it is the first one, the unknown programs before it.
    pub(super) fn say(&mut self, step: Step) {
        let unknown = std::mem::take(&mut self.unknown);
        let before = if self.steps.is_empty() {
            Vec::new()
        } else {
            unknown
        };
        self.weight += step.weight as usize + 1;
        // Usually another way to do the same, joined by `||`.
        if self.steps.last() == Some(&step.text) {
            return;
        }
        for step in before.into_iter().chain([step.text]) {
            self.chars += step.chars().count();
            if self.steps.len() < MAX_STEPS && self.chars <= MAX_STEPS_CHARS {
                self.steps.push(step);
            }
        }
    }

    /// Remembers a file that was downloaded or written.
    pub(super) fn downloaded(&mut self, file: &[u8]) {
        self.fetched.push(base(file).to_vec());
    }

    /// Tells whether a file was downloaded or written. `*` counts if any file was.
    pub(super) fn has_fetched(&self, file: &[u8]) -> bool {
        let file = base(file);
        let is_any = file == b"*" && !self.fetched.is_empty();
        is_any || self.fetched.iter().any(|fetched| fetched == file)
    }
}

/// Tells whether a byte may be in the name of an unknown program.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)
}

/// Returns the words without programs that only start another one, and without variables that are
/// set for it.
fn started(words: &[Vec<u8>]) -> &[Vec<u8>] {
    let mut rest = words;
    while let Some((first, others)) = rest.split_first() {
        if !STARTERS.contains(&&*name_of(first)) && !sets_variable(first) {
            break;
        }
        rest = others;
    }
    rest
}

/// Tells whether a word sets a variable: `NAME=VALUE`.
fn sets_variable(word: &[u8]) -> bool {
    match memchr(b'=', word) {
        Some(end) => word[..end].iter().all(u8::is_ascii_alphanumeric),
        None => false,
    }
}
