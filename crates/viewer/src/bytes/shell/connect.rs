//! Programs that connect to another host, and reverse shells.
//!
//! In: a program and its arguments. Out: a step that names the host.

use memchr::memmem;

use super::address::{Address, is_address, is_host, is_port};
use super::line::Call;
use super::tell::{Program, SHELLS, Step, Told, Weight};
use super::words::{has_any, is_option, name_of, shown};

/// Programs that connect their input and output to another host.
const CONNECTORS: [&str; 4] = ["nc", "ncat", "netcat", "telnet"];
/// A path with which bash opens a connection.
const TCP_DEVICE: &[u8] = b"/dev/tcp/";

/// Returns the step of a program that connects to another host; `None` for other programs, or if no
/// host is given.
pub(super) fn step(told: &mut Told, program: &Program<'_>) -> Option<Step> {
    match program.name {
        name if CONNECTORS.contains(&name) => connection(told, program),
        "nslookup" | "dig" | "host" => look_up(program.arguments),
        "ping" => ping(program.arguments),
        _ => None,
    }
}

fn connection(told: &mut Told, program: &Program<'_>) -> Option<Step> {
    let words = program.arguments;
    let port = words.iter().rfind(|word| is_port(word));
    if words
        .iter()
        .any(|word| is_option(word) && word.contains(&b'l'))
    {
        let text = format!("waits for a connection on port {}", shown(port?));
        return Some(Step::new(Weight::Some, text));
    }
    let host = words.iter().find(|word| is_host(word))?;
    let host = Address::of(host).host;
    let port = shown(port?);
    match program.output() {
        Some(into) if !program.around.is_fed => {
            told.downloaded(into);
            let text = format!("downloads {} from {host} port {port}", shown(into));
            Some(Step::new(Weight::Much, text))
        }
        _ => Some(Step::new(
            Weight::Some,
            format!("connects to {host} port {port}"),
        )),
    }
}

fn look_up(words: &[Vec<u8>]) -> Option<Step> {
    let is_name = |word: &&Vec<u8>| word.contains(&b'.') && is_address(word);
    let name = Address::of(words.iter().find(is_name)?).host;
    Some(Step::new(Weight::Some, format!("looks up the name {name}")))
}

fn ping(words: &[Vec<u8>]) -> Option<Step> {
    let host = words.iter().rfind(|word| is_host(word))?;
    let has_count = has_any(words, &[b"-c", b"-n"]);
    let weight = if has_count {
        Weight::Some
    } else {
        Weight::Little
    };
    let host = Address::of(host).host;
    Some(Step::new(weight, format!("pings {host}")))
}

/// Returns the step of a reverse shell, which reads from and writes to a connection: `bash -i >&
/// /dev/tcp/HOST/PORT`, `nc -e sh HOST PORT`, or both with a named pipe between them.
pub(super) fn reverse_shell(pipe: &[Call]) -> Option<Step> {
    for call in pipe {
        for word in call.words.iter().chain(&call.into) {
            if let Some(at) = memmem::find(word, TCP_DEVICE) {
                let mut parts = word[at + TCP_DEVICE.len()..].split(|&byte| byte == b'/');
                let host = parts.next()?;
                let port = parts.next()?;
                return Some(handed_over(host, port));
            }
        }
    }
    if !pipe.iter().any(names_a_shell) {
        return None;
    }
    let connector = pipe.iter().find(|call| is_connector(call))?;
    let arguments = &connector.words[1..];
    let host = arguments.iter().find(|word| is_host(word))?;
    let port = arguments.iter().rfind(|word| is_port(word))?;
    Some(handed_over(host, port))
}

fn names_a_shell(call: &Call) -> bool {
    let is_shell = |word: &Vec<u8>| SHELLS.contains(&&*name_of(word));
    call.words.iter().any(is_shell)
}

fn is_connector(call: &Call) -> bool {
    match call.words.first() {
        Some(program) => CONNECTORS.contains(&&*name_of(program)),
        None => false,
    }
}

fn handed_over(host: &[u8], port: &[u8]) -> Step {
    let host = Address::of(host).host;
    let text = format!("hands a shell to {host} port {}", shown(port));
    Step::new(Weight::Much, text)
}
