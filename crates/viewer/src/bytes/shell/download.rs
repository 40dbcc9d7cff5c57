//! Programs that talk to others: downloads, and shells that somebody elsewhere holds.
//!
//! In: a program and its arguments. Out: steps. Hosts are defanged, as the page shows every address
//! of a payload.

use super::line::Call;
use super::tell::{Around, SHELLS, Told, Weight, base, name_of, shown};

/// Options whose value may look like an address that is fetched.
const WITH_VALUE: [&[u8]; 8] = [
    b"-A",
    b"-H",
    b"-U",
    b"-e",
    b"-u",
    b"--header",
    b"--referer",
    b"--user-agent",
];
/// The same, of curl alone.
const WITH_VALUE_OF_CURL: [&[u8]; 4] = [b"-b", b"-x", b"--cookie", b"--proxy"];
/// Options with which curl sends something.
const SENDS: [&[u8]; 8] = [
    b"-d",
    b"-F",
    b"-T",
    b"--data",
    b"--data-binary",
    b"--data-raw",
    b"--data-urlencode",
    b"--form",
];

/// What is fetched, and where to.
#[derive(Default)]
struct Fetch<'a> {
    url: Option<&'a [u8]>,
    file: Option<&'a [u8]>,
    folder: Option<&'a [u8]>,
    to_output: bool,
    keeps_name: bool,
    sends: bool,
}

/// Tells what a program would do that talks to others; `false` where it is none, or does not say
/// with whom.
pub(super) fn tell(told: &mut Told, name: &str, words: &[Vec<u8>], around: &Around<'_>) -> bool {
    let said = match name {
        "wget" | "wget2" => busybox_wget(told, words).or_else(|| web(told, words, around, true)),
        "curl" | "cd1" | "wd1" | "curl1" => web(told, words, around, name.starts_with('w')),
        "tftp" => tftp(told, words),
        "ftpget" => ftpget(told, words),
        "certutil" | "bitsadmin" => windows(told, words),
        "nc" | "ncat" | "netcat" | "telnet" => connection(told, words, around),
        "nslookup" | "dig" | "host" => look_up(told, words),
        "ping" => ping(told, words),
        _ => None,
    };
    said.is_some()
}

/// `wget URL -O FILE`, `curl -o FILE URL`.
fn web(told: &mut Told, words: &[Vec<u8>], around: &Around<'_>, is_wget: bool) -> Option<()> {
    let fetch = Fetch::of(words, is_wget);
    let url = fetch.url?;
    let weight = weight_of(url);
    let (host, path) = parts(url);
    let into = around
        .call
        .into
        .as_deref()
        .filter(|into| *into != b"/dev/null");
    let to_output = fetch.to_output || !is_wget && fetch.file.is_none() && !fetch.keeps_name;
    if fetch.sends {
        told.say(weight, format!("sends data to {host}"));
        return Some(());
    }
    let what = if path.is_empty() {
        "the page".to_owned()
    } else {
        shown(path)
    };
    let is_used = is_wget || around.next.is_some() || told.is_run;
    if to_output && into.is_none() && !is_used {
        told.say(weight, format!("asks {host} for {what}"));
        return Some(());
    }
    let own_name = base(path.split(|&byte| byte == b'?').next().unwrap_or_default());
    let file = fetch.file.filter(|_| !to_output).or(into);
    let folder = fetch.folder.filter(|_| file.is_none());
    let saved = match (file, folder) {
        (Some(file), _) if base(file) != own_name => format!(" as {}", shown(file)),
        (_, Some(folder)) => format!(" to {}", shown(folder)),
        _ => String::new(),
    };
    told.fetched.push(base(file.unwrap_or(own_name)).to_vec());
    told.say(weight, format!("downloads {what} from {host}{saved}"));
    Some(())
}

impl<'a> Fetch<'a> {
    fn of(words: &'a [Vec<u8>], is_wget: bool) -> Self {
        let mut fetch = Self::default();
        let mut words = words.iter().map(Vec::as_slice);
        while let Some(word) = words.next() {
            if word.first() != Some(&b'-') {
                fetch.url = fetch.url.or(Some(word).filter(|word| is_address(word)));
            } else {
                fetch.option(word, &mut words, is_wget);
            }
        }
        fetch
    }

    fn option(
        &mut self,
        word: &'a [u8],
        words: &mut impl Iterator<Item = &'a [u8]>,
        is_wget: bool,
    ) {
        let letters = word.get(1..).filter(|word| !word.starts_with(b"-"));
        let letters = letters.unwrap_or_default();
        let output = if is_wget { b'O' } else { b'o' };
        let has_value = WITH_VALUE.contains(&word)
            || !is_wget && (WITH_VALUE_OF_CURL.contains(&word) || SENDS.contains(&word));
        self.sends |= !is_wget && SENDS.contains(&word);
        if has_value {
            words.next();
        } else if is_wget && word == b"-P" {
            self.folder = words.next();
        } else if word.starts_with(b"--output") {
            let at = word.iter().position(|&byte| byte == b'=');
            let value = at.and_then(|at| word.get(at + 1..));
            self.set_file(value.or_else(|| words.next()));
        } else if let Some(at) = letters.iter().position(|&byte| byte == output) {
            let rest = letters.get(at + 1..).filter(|rest| !rest.is_empty());
            self.set_file(rest.or_else(|| words.next()));
        } else if !is_wget && letters.contains(&b'O') {
            self.keeps_name = true;
        }
    }

    fn set_file(&mut self, file: Option<&'a [u8]>) {
        match file {
            Some(b"-") => self.to_output = true,
            Some(file) if is_address(file) && has_scheme(file) => {
                self.to_output = true;
                self.url = self.url.or(Some(file));
            }
            file => self.file = file,
        }
    }
}

/// busybox: `wget -g HOST -l LOCAL -r REMOTE`.
fn busybox_wget(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let host = after(words, b"-g").filter(|host| is_address(host))?;
    let (remote, local) = (after(words, b"-r")?, after(words, b"-l"));
    fetched(told, remote, host, local, "");
    Some(())
}

/// `tftp -g -l LOCAL -r REMOTE HOST`, `tftp HOST -c get REMOTE`.
fn tftp(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let remote = after(words, b"-r").or_else(|| after(words, b"get"))?;
    let is_host = |word: &&Vec<u8>| word.as_slice() != remote && is_address(word);
    let host = words.iter().rfind(is_host)?;
    fetched(told, remote, host, after(words, b"-l"), " by TFTP");
    Some(())
}

/// busybox: `ftpget -u NAME -p PASSWORD -P PORT HOST LOCAL REMOTE`.
fn ftpget(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let at = words
        .iter()
        .rposition(|word| is_address(word) && word.contains(&b'.'))?;
    let at = words.iter().position(|word| is_host(word)).unwrap_or(at);
    let (host, files) = words[at..].split_first()?;
    let local = files.first()?;
    let remote = files.get(1).unwrap_or(local);
    fetched(told, remote, host, Some(local), " by FTP");
    Some(())
}

/// `certutil -urlcache -split -f URL FILE`, `bitsadmin /transfer NAME URL FILE`.
fn windows(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let at = words.iter().position(|word| has_scheme(word))?;
    save(told, &words[at], words.get(at + 1).map(Vec::as_slice));
    Some(())
}

/// Tells of a download by its address.
pub(super) fn save(told: &mut Told, url: &[u8], file: Option<&[u8]>) {
    let (host, path) = parts(url);
    let what = if path.is_empty() {
        "the page".to_owned()
    } else {
        shown(path)
    };
    let saved = file.filter(|file| base(file) != base(path));
    let saved = saved.map(|file| format!(" as {}", shown(file)));
    told.fetched.push(base(file.unwrap_or(path)).to_vec());
    let step = format!("downloads {what} from {host}{}", saved.unwrap_or_default());
    told.say(Weight::Much, step);
}

fn fetched(told: &mut Told, remote: &[u8], host: &[u8], local: Option<&[u8]>, how: &str) {
    let (host, _) = parts(host);
    let saved = local.filter(|local| base(local) != base(remote));
    let saved = saved.map(|local| format!(" as {}", shown(local)));
    told.fetched.push(base(local.unwrap_or(remote)).to_vec());
    let (what, saved) = (shown(remote), saved.unwrap_or_default());
    told.say(
        Weight::Much,
        format!("downloads {what} from {host}{how}{saved}"),
    );
}

fn connection(told: &mut Told, words: &[Vec<u8>], around: &Around<'_>) -> Option<()> {
    let is_option = |word: &&Vec<u8>| word.first() == Some(&b'-');
    let listens = words
        .iter()
        .filter(is_option)
        .any(|word| word.contains(&b'l'));
    let port = words.iter().rfind(|word| is_port(word));
    if listens {
        told.say(
            Weight::Some,
            format!("waits for a connection on port {}", shown(port?)),
        );
        return Some(());
    }
    let host = words.iter().find(|word| is_host(word))?;
    let (host, port) = (parts(host).0, shown(port?));
    if let Some(into) = around.call.into.as_deref().filter(|_| !around.is_fed) {
        told.fetched.push(base(into).to_vec());
        told.say(
            Weight::Much,
            format!("downloads {} from {host} port {port}", shown(into)),
        );
    } else {
        told.say(Weight::Some, format!("connects to {host} port {port}"));
    }
    Some(())
}

fn look_up(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let is_name = |word: &&Vec<u8>| word.contains(&b'.') && is_address(word);
    let (name, _) = parts(words.iter().find(is_name)?);
    told.say(Weight::Some, format!("looks up the name {name}"));
    Some(())
}

fn ping(told: &mut Told, words: &[Vec<u8>]) -> Option<()> {
    let host = words.iter().rfind(|word| is_host(word))?;
    let has_count = words.iter().any(|word| matches!(&**word, b"-c" | b"-n"));
    let weight = if has_count {
        Weight::Some
    } else {
        Weight::Little
    };
    told.say(weight, format!("pings {}", parts(host).0));
    Some(())
}

/// A shell whose input and output are a connection: `bash -i >& /dev/tcp/HOST/PORT`, `nc -e sh HOST
/// PORT`, or both with a named pipe between.
pub(super) fn reverse_shell(pipe: &[Call]) -> Option<String> {
    let words = pipe
        .iter()
        .flat_map(|call| call.words.iter().chain(&call.into));
    for word in words {
        let at = word.windows(9).position(|window| window == b"/dev/tcp/");
        if let Some(at) = at {
            let mut parts = word[at + 9..].split(|&byte| byte == b'/');
            let (host, port) = (parts.next()?, parts.next()?);
            return Some(handed_over(host, port));
        }
    }
    let is_shell = |word: &Vec<u8>| SHELLS.contains(&&*name_of(word));
    let is_nc = |call: &&Call| {
        let name = call.words.first().map(|word| name_of(word));
        name.is_some_and(|name| matches!(&*name, "nc" | "ncat" | "netcat" | "telnet"))
    };
    let nc = pipe.iter().find(is_nc)?;
    let has_shell = pipe.iter().any(|call| call.words.iter().any(is_shell));
    let host = nc.words.iter().skip(1).find(|word| is_host(word))?;
    let port = nc.words.iter().rfind(|word| is_port(word))?;
    has_shell.then(|| handed_over(host, port))
}

fn handed_over(host: &[u8], port: &[u8]) -> String {
    let host = parts(host).0;
    format!("hands a shell to {host} port {}", shown(port))
}

fn after<'a>(words: &'a [Vec<u8>], option: &[u8]) -> Option<&'a [u8]> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).map(Vec::as_slice)
}

fn is_port(word: &[u8]) -> bool {
    (1..=5).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

fn has_scheme(word: &[u8]) -> bool {
    word.windows(3).any(|window| window == b"://")
}

/// An address, or a name with a dot in it.
fn is_host(word: &[u8]) -> bool {
    word.contains(&b'.') && !word.contains(&b'/') && is_address(word)
}

/// What a program takes for an address: a scheme, or a name with a dot before any path.
pub(super) fn is_address(word: &[u8]) -> bool {
    let host = word
        .split(|byte| b"/?".contains(byte))
        .next()
        .unwrap_or_default();
    let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]@$`(){}".contains(byte);
    let is_named = host.contains(&b'.') && !host.starts_with(b".") && host.len() > 3;
    has_scheme(word) || is_named && host.iter().all(is_of_host)
}

/// A name alone may be any word with a dot in it.
fn weight_of(url: &[u8]) -> Weight {
    let host = url.split(|&byte| byte == b'/').next().unwrap_or_default();
    let mut host = host.iter();
    if has_scheme(url) || host.all(|byte| byte.is_ascii_digit() || b".:".contains(byte)) {
        Weight::Much
    } else {
        Weight::Some
    }
}

/// Splits an address into its host, defanged, with the scheme where that is not usual, and its
/// path.
pub(super) fn parts(url: &[u8]) -> (String, &[u8]) {
    let scheme = url.windows(3).position(|window| window == b"://");
    let (scheme, rest) = match scheme {
        Some(at) => (&url[..at], &url[at + 3..]),
        None => (&b""[..], url),
    };
    let end = rest
        .iter()
        .position(|byte| b"/?".contains(byte))
        .unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = shown(host).replace('.', "[.]");
    let by = match &*scheme.to_ascii_lowercase() {
        b"ftp" => " by FTP",
        b"tftp" => " by TFTP",
        _ => "",
    };
    (
        format!("{host}{by}"),
        path.strip_prefix(b"/").unwrap_or(path),
    )
}
