//! Programs that download a file.
//!
//! In: a program and its arguments. Out: a step that says what is downloaded from where.

use memchr::memchr;

use super::address::{Address, has_scheme, is_address, is_host, weight_of};
use super::fetch::Fetch;
use super::tell::{Program, Step, Told, Weight};
use super::words::{after, base, shown};

/// Returns the step of a program that downloads; `None` for other programs, or if no address is
/// given.
pub(super) fn step(told: &mut Told, program: &Program<'_>) -> Option<Step> {
    let words = program.arguments;
    match program.name {
        "wget" | "wget2" => busybox_wget(told, words).or_else(|| web(told, program, true)),
        "wd1" => web(told, program, true),
        "curl" | "curl1" | "cd1" => web(told, program, false),
        "tftp" => tftp(told, words),
        "ftpget" => ftpget(told, words),
        "certutil" | "bitsadmin" => windows(told, words),
        _ => None,
    }
}

/// `wget URL -O FILE`, `curl -o FILE URL`.
fn web(told: &mut Told, program: &Program<'_>, is_wget: bool) -> Option<Step> {
    let fetch = Fetch::of(program.arguments, is_wget);
    let url = fetch.url?;
    let weight = weight_of(url);
    let address = Address::of(url);
    let host = &address.host;
    if fetch.sends {
        return Some(Step::new(weight, format!("sends data to {host}")));
    }
    let what = address.page();
    let into = program.kept_output();
    let has_file = fetch.file.is_some() || fetch.keeps_name;
    let to_output = fetch.to_output || !is_wget && !has_file;
    let is_used = is_wget || program.around.next.is_some() || told.is_run;
    if to_output && into.is_none() && !is_used {
        return Some(Step::new(weight, format!("asks {host} for {what}")));
    }
    let file = if to_output { into } else { fetch.file.or(into) };
    let end = memchr(b'?', address.path).unwrap_or(address.path.len());
    let own_name = base(&address.path[..end]);
    let saved = match (file, fetch.folder) {
        (Some(file), _) if base(file) == own_name => String::new(),
        (Some(file), _) => format!(" as {}", shown(file)),
        (None, Some(folder)) => format!(" to {}", shown(folder)),
        (None, None) => String::new(),
    };
    told.downloaded(file.unwrap_or(own_name));
    let text = format!("downloads {what} from {host}{saved}");
    Some(Step::new(weight, text))
}

/// busybox: `wget -g HOST -l LOCAL -r REMOTE`.
fn busybox_wget(told: &mut Told, words: &[Vec<u8>]) -> Option<Step> {
    let host = after(words, b"-g")?;
    if !is_address(host) {
        return None;
    }
    let remote = after(words, b"-r")?;
    let host = Address::of(host).host;
    Some(file(told, remote, &host, after(words, b"-l")))
}

/// `tftp -g -l LOCAL -r REMOTE HOST`, `tftp HOST -c get REMOTE`.
fn tftp(told: &mut Told, words: &[Vec<u8>]) -> Option<Step> {
    let remote = after(words, b"-r").or_else(|| after(words, b"get"))?;
    let is_host = |word: &&Vec<u8>| word.as_slice() != remote && is_address(word);
    let host = Address::of(words.iter().rfind(is_host)?).host;
    let from = format!("{host} by TFTP");
    Some(file(told, remote, &from, after(words, b"-l")))
}

/// busybox: `ftpget -u NAME -p PASSWORD -P PORT HOST LOCAL REMOTE`.
fn ftpget(told: &mut Told, words: &[Vec<u8>]) -> Option<Step> {
    let is_name = |word: &Vec<u8>| is_address(word) && word.contains(&b'.');
    let last = words.iter().rposition(is_name)?;
    let at = words.iter().position(|word| is_host(word)).unwrap_or(last);
    let local = words.get(at + 1)?;
    let remote = words.get(at + 2).unwrap_or(local);
    let from = format!("{} by FTP", Address::of(&words[at]).host);
    Some(file(told, remote, &from, Some(local)))
}

/// `certutil -urlcache -split -f URL FILE`, `bitsadmin /transfer NAME URL FILE`.
fn windows(told: &mut Told, words: &[Vec<u8>]) -> Option<Step> {
    let at = words.iter().position(|word| has_scheme(word))?;
    let file = words.get(at + 1).map(Vec::as_slice);
    Some(url(told, &words[at], file))
}

/// Returns the step of a download from a URL, into `local` or a file with the name in the URL.
pub(super) fn url(told: &mut Told, url: &[u8], local: Option<&[u8]>) -> Step {
    let address = Address::of(url);
    let what = address.page();
    saved(told, address.path, &what, &address.host, local)
}

/// Returns the step of a download of the file `remote` from a host.
fn file(told: &mut Told, remote: &[u8], from: &str, local: Option<&[u8]>) -> Step {
    saved(told, remote, &shown(remote), from, local)
}

fn saved(told: &mut Told, remote: &[u8], what: &str, from: &str, local: Option<&[u8]>) -> Step {
    let mut text = format!("downloads {what} from {from}");
    let local = local.unwrap_or(remote);
    if base(local) != base(remote) {
        text += &format!(" as {}", shown(local));
    }
    told.downloaded(local);
    Step::new(Weight::Much, text)
}
