//! Programs that act on the machine itself.
//!
//! In: a program and its arguments. Out: steps, where they are such that this is a command and no
//! ordinary words.

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::prelude::BASE64_STANDARD;

use super::line::{Call, Join};
use super::tell::{Around, SHELLS, Told, Weight, base, name_of, shown};

/// Most directories that one step names.
const MAX_DIRECTORIES: usize = 8;
/// Longest text that `echo` writes, as it is repeated, in bytes.
const MAX_ECHO_BYTES: usize = 48;
const DECODER: GeneralPurpose = BASE64_STANDARD;

/// Tells of `cd`: where several are joined by `||`, of the first that is there. Returns how many of
/// those behind it are told with it.
pub(super) fn directories(call: &Call, behind: &[Call]) -> Option<(String, usize)> {
    let target = |call: &Call| match &call.words[..] {
        [cd, directory] if matches!(&*name_of(cd), "cd" | "chdir") => Some(shown(directory)),
        _ => None,
    };
    let mut directories = vec![target(call)?];
    let others = behind.iter().take_while(|call| call.join == Join::Or);
    directories.extend(others.map_while(target).take(MAX_DIRECTORIES));
    let more = directories.len() - 1;
    let step = match &directories[..] {
        [one] => format!("goes to {one}"),
        all => format!("goes to the first of {} that is there", all.join(", ")),
    };
    Some((step, more))
}

/// Tells what a program would do; `false` where it is not known, or its arguments are not.
pub(super) fn tell(
    told: &mut Told,
    name: &str,
    program: &[u8],
    words: &[Vec<u8>],
    around: &Around<'_>,
    depth: usize,
) -> bool {
    let said = match name {
        "busybox" => return busybox(told, words, around, depth),
        _ if SHELLS.contains(&name) => return shell(told, words, around, depth),
        "cmd" => return cmd(told, words, depth),
        "powershell" | "pwsh" => return powershell(told, words, depth),
        "chmod" => chmod(told, words),
        "rm" | "del" | "rmdir" | "unlink" => remove(words),
        "echo" | "printf" if words.is_empty() => return true,
        "echo" | "printf" => echo(told, words, around),
        "cat" | "type" | "head" | "tail" | "more" => read(words, around),
        "base64" | "openssl" => decoded(words),
        "python" | "python2" | "python3" | "perl" | "php" | "ruby" => script(told, words, name),
        "mkfifo" | "mknod" => named(words, "makes a named pipe", Weight::Some),
        "mkdir" => named(words, "makes the directory", Weight::Little),
        "touch" => named(words, "makes the file", Weight::Little),
        "kill" | "pkill" | "killall" => named(words, "ends processes:", Weight::Little),
        "mv" | "cp" | "copy" | "move" => moved(told, name, words),
        "sleep" => words
            .first()
            .filter(|word| word.iter().all(u8::is_ascii_digit))
            .map(|word| (Weight::Little, format!("waits {} s", shown(word)))),
        _ => asked(name, words).map(|step| (Weight::Little, step + &written(around))),
    };
    let said = said.or_else(|| file(told, program));
    said.map(|(weight, step)| told.say(weight, step)).is_some()
}

type Step = Option<(Weight, String)>;

/// Programs that only tell something.
fn asked(name: &str, words: &[Vec<u8>]) -> Option<String> {
    let what = match name {
        "id" | "whoami" => "which user it runs as",
        "uname" | "ver" | "systeminfo" | "lscpu" => "what system this is",
        "hostname" => "the name of the machine",
        "pwd" => "which directory it is in",
        "ps" | "tasklist" => "which processes run",
        "ifconfig" | "ipconfig" | "netstat" => "which networks the machine is in",
        "ls" | "dir" => {
            let path = words.iter().find(|word| word.first() != Some(&b'-'));
            let path = path.map_or_else(|| "here".to_owned(), |path| format!("in {}", shown(path)));
            return Some(format!("lists the files {path}"));
        }
        _ => return None,
    };
    // Words of a sentence are no options.
    let is_option = |word: &Vec<u8>| word.first().is_some_and(|first| b"-/".contains(first));
    words.iter().all(is_option).then(|| format!("asks {what}"))
}

/// Where its output goes, if that is a file whose name stands there, and no command that makes it.
fn written(around: &Around<'_>) -> String {
    let into = around.call.into.as_deref();
    let is_command = |into: &[u8]| into.contains(&b'`') || into.windows(2).any(|it| it == b"$(");
    let into = into.filter(|into| *into != b"/dev/null" && !is_command(into));
    into.map_or_else(String::new, |into| {
        format!(" and writes that to {}", shown(into))
    })
}

/// `busybox wget …` is wget; a name that no busybox has shows whether there is one.
fn busybox(told: &mut Told, words: &[Vec<u8>], around: &Around<'_>, depth: usize) -> bool {
    let Some(applet) = words.first() else {
        return false;
    };
    let before = told.weight;
    told.call(words, around, depth);
    if told.weight == before {
        told.say(Weight::Some, format!("calls {} of busybox", shown(applet)));
    }
    true
}

/// `sh FILE`, `sh -c LINE`, or lines that come by a pipe.
fn shell(told: &mut Told, words: &[Vec<u8>], around: &Around<'_>, depth: usize) -> bool {
    let is_command = |word: &Vec<u8>| word.starts_with(b"-") && word.ends_with(b"c");
    if let Some(at) = words.iter().position(is_command) {
        let before = told.steps.len();
        let printed = |word: &Vec<u8>| word.starts_with(b"$(") || word.starts_with(b"`");
        if words.get(at + 1).is_some_and(printed) && !told.fetched.is_empty() {
            told.say(Weight::Some, "runs it".to_owned());
            return true;
        }
        // Without quotes, all that follows is meant.
        let line = match &words[at + 1..] {
            [one] => one.clone(),
            all => all.join(&b' '),
        };
        told.line(&line, depth - 1);
        return told.steps.len() > before;
    }
    let is_file = |word: &&Vec<u8>| !word.starts_with(b"-");
    match words.iter().find(is_file) {
        Some(file) if told.has_fetched(file) => told.say(Weight::Some, "runs it".to_owned()),
        // `bash <(curl …)`
        Some(file) if file.starts_with(b"(") && !told.fetched.is_empty() => {
            told.say(Weight::Some, "runs it".to_owned());
        }
        Some(file) if is_path(file) => told.say(Weight::Some, format!("runs {}", shown(file))),
        Some(_) => return false,
        None if around.is_fed && !told.fetched.is_empty() => {
            told.say(Weight::Some, "runs it".to_owned());
        }
        None if around.is_fed => told.say(Weight::Some, "runs what comes out of that".to_owned()),
        None if words.iter().any(|word| word == b"-i") => {
            told.say(Weight::Little, "starts a shell".to_owned());
        }
        None => return false,
    }
    true
}

/// Something that a shell may run: a path, or a name with an ending.
fn is_path(word: &[u8]) -> bool {
    let is_of_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/\\:~${}*%".contains(byte);
    let is_ending = |at: usize| {
        let ending = word.get(at + 1..).unwrap_or_default();
        at > 0 && (1..=4).contains(&ending.len()) && ending.iter().all(u8::is_ascii_alphanumeric)
    };
    let dot = word.iter().rposition(|&byte| byte == b'.');
    let has_path = word.starts_with(b"/") && !word.starts_with(b"//") || word.starts_with(b"./");
    let has_name = word.iter().any(u8::is_ascii_alphanumeric);
    has_name && word.iter().all(is_of_path) && (has_path || dot.is_some_and(is_ending))
}

/// Windows: `cmd /c LINE`.
fn cmd(told: &mut Told, words: &[Vec<u8>], depth: usize) -> bool {
    let is_command = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"/c") || word == b"/k";
    let Some(at) = words.iter().position(is_command) else {
        return false;
    };
    let before = told.steps.len();
    told.line(&words[at + 1..].join(&b' '), depth - 1);
    told.steps.len() > before
}

/// `powershell -enc BASE64` of UTF-16; other ways are told by the whole line.
fn powershell(told: &mut Told, words: &[Vec<u8>], depth: usize) -> bool {
    let is_encoded = |word: &Vec<u8>| word.to_ascii_lowercase().starts_with(b"-e");
    let before = told.steps.len();
    let encoded = words.iter().position(is_encoded);
    let encoded = encoded.and_then(|at| words.get(at + 1));
    match encoded.and_then(|word| DECODER.decode(word).ok()) {
        Some(bytes) => {
            let plain: Vec<u8> = bytes.into_iter().filter(|&byte| byte != 0).collect();
            told.line(&plain, depth - 1);
        }
        None => {
            let is_line = |word: &&Vec<u8>| !word.starts_with(b"-");
            let line: Vec<_> = words.iter().filter(is_line).cloned().collect();
            told.line(&line.join(&b' '), depth - 1);
        }
    }
    told.steps.len() > before
}

fn chmod(told: &Told, words: &[Vec<u8>]) -> Step {
    let mut words = words.iter().filter(|word| !word.starts_with(b"-R"));
    let (mode, file) = (words.next()?, words.next()?);
    let is_number = mode.len() >= 3 && mode.iter().all(|byte| (b'0'..=b'7').contains(byte));
    let is_odd = is_number && mode.iter().any(|digit| digit & 1 == 1);
    let file = match told.has_fetched(file) {
        true => "it".to_owned(),
        false => shown(file),
    };
    // In a form, a plus is a space.
    let is_plus = mode == b"x";
    if is_odd || is_plus || mode.contains(&b'x') && mode.contains(&b'+') {
        Some((Weight::Some, format!("makes {file} executable")))
    } else if is_number || mode.contains(&b'+') {
        Some((Weight::Some, format!("changes who may use {file}")))
    } else {
        None
    }
}

fn remove(words: &[Vec<u8>]) -> Step {
    let is_file = |word: &&Vec<u8>| !word.starts_with(b"-") && !word.starts_with(b"/q");
    let files: Vec<_> = words.iter().filter(is_file).cloned().collect();
    let is_clear = words.len() > files.len() || files.iter().any(|file| is_path(file));
    let weight = if is_clear {
        Weight::Some
    } else {
        Weight::Little
    };
    (!files.is_empty()).then(|| (weight, format!("deletes {}", shown(&files.join(&b' ')))))
}

fn echo(told: &mut Told, words: &[Vec<u8>], around: &Around<'_>) -> Step {
    let is_text = |word: &&Vec<u8>| !matches!(&***word, b"-n" | b"-e" | b"-ne" | b"-en");
    let text: Vec<_> = words.iter().filter(is_text).cloned().collect();
    let text = text.join(&b' ');
    let start = shown(&text[..text.len().min(MAX_ECHO_BYTES)]);
    let more = if text.len() > MAX_ECHO_BYTES {
        "…"
    } else {
        ""
    };
    match around.call.into.as_deref() {
        _ if text.is_empty() => None,
        Some(b"/dev/null") => None,
        Some(file) => {
            told.fetched.push(base(file).to_vec());
            Some((
                Weight::Some,
                format!("writes {start}{more} to {}", shown(file)),
            ))
        }
        None if around.next.is_some() => {
            Some((Weight::Little, format!("takes the text {start}{more}")))
        }
        None => Some((Weight::Little, format!("prints {start}{more}"))),
    }
}

fn read(words: &[Vec<u8>], around: &Around<'_>) -> Step {
    let file = words.iter().rfind(|word| !word.starts_with(b"-"))?;
    let is_clear = file.iter().any(|byte| b"/\\".contains(byte)) || is_path(file);
    let step = match (around.next, around.call.into.as_deref()) {
        (None, None) => format!("shows the file {}", shown(file)),
        (None, Some(into)) => format!("copies {} to {}", shown(file), shown(into)),
        (Some(_), _) => format!("reads the file {}", shown(file)),
    };
    is_clear.then_some((Weight::Some, step))
}

fn decoded(words: &[Vec<u8>]) -> Step {
    let undoes = |word: &Vec<u8>| matches!(&**word, b"-d" | b"-D" | b"-di" | b"--decode");
    let undoes = words.iter().any(undoes);
    undoes.then(|| (Weight::Some, "decodes it".to_owned()))
}

/// A line of another language, or a file of it.
fn script(told: &Told, words: &[Vec<u8>], name: &str) -> Step {
    let is_line = |word: &Vec<u8>| matches!(&**word, b"-c" | b"-e" | b"-r");
    if words.iter().any(is_line) {
        return Some((Weight::Some, format!("runs a line of {name}")));
    }
    let file = words.iter().find(|word| !word.starts_with(b"-"))?;
    if told.has_fetched(file) {
        return Some((Weight::Some, "runs it".to_owned()));
    }
    is_path(file).then(|| (Weight::Some, format!("runs {}", shown(file))))
}

fn named(words: &[Vec<u8>], what: &str, weight: Weight) -> Step {
    let is_option = |word: &&Vec<u8>| !word.starts_with(b"-");
    let name = words.iter().find(is_option)?;
    Some((weight, format!("{what} {}", shown(name))))
}

fn moved(told: &mut Told, name: &str, words: &[Vec<u8>]) -> Step {
    let is_file = |word: &&Vec<u8>| !word.starts_with(b"-");
    let files: Vec<_> = words.iter().filter(is_file).collect();
    let [from, to] = files[..] else {
        return None;
    };
    if told.has_fetched(from) {
        told.fetched.push(base(to).to_vec());
    }
    let verb = if name.starts_with('m') {
        "moves"
    } else {
        "copies"
    };
    let is_clear = is_path(from) || is_path(to);
    let step = format!("{verb} {} to {}", shown(from), shown(to));
    is_clear.then_some((Weight::Little, step))
}

/// A program by its path, such as `./jaws`.
fn file(told: &Told, program: &[u8]) -> Step {
    let is_fetched = told.has_fetched(program);
    let has_path = program.contains(&b'/') && is_path(program);
    if !(is_fetched || has_path && base(program).len() > 1) {
        return None;
    }
    let what = if is_fetched {
        "it".to_owned()
    } else {
        shown(program)
    };
    Some((Weight::Little, format!("runs {what}")))
}
