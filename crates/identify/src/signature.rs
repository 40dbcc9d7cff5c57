//! Signatures, in a form that a person can extend: the files of the folder `signatures`.
//!
//! In: the text of such a file. Out: [`Signature`]s, or the line at which the file is refused and
//! the reason. signatures/README.md describes the form.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::condition::Condition;

/// Number of published logs in which [`Signature::usual`] was counted.
pub const LOGS: u8 = 24;

/// What a request is for; sorted by weight, the heaviest first.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Uses a weakness.
    Exploit,
    /// Looks for a planted shell, or uses one.
    Webshell,
    /// Asks for keys, passwords, backups.
    Secrets,
    /// Asks for a log-in page, or tries to log in.
    Login,
    /// Tries whether the server is a proxy.
    ProxyProbe,
    /// Speaks another protocol than HTTP.
    WrongProtocol,
    /// Is for routers, cameras and similar devices; only as a further category.
    Iot,
    /// Finds out what the server has.
    Recon,
    /// Comes from an organisation that says who it is.
    ResearchScanner,
    /// Comes from a search engine, an AI crawler, or a service that shows previews.
    Crawler,
    /// Checks whether the server is up.
    Monitoring,
    /// Is what browsers and programs ordinarily ask for.
    Ordinary,
}

/// How sure a label is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The bytes can hardly be anything else.
    Certain,
    /// This is the typical use of such bytes.
    #[default]
    Likely,
    /// It may be something else.
    Guess,
}

impl Category {
    /// All categories, the heaviest first.
    pub const ALL: [Self; 12] = [
        Self::Exploit,
        Self::Webshell,
        Self::Secrets,
        Self::Login,
        Self::ProxyProbe,
        Self::WrongProtocol,
        Self::Iot,
        Self::Recon,
        Self::ResearchScanner,
        Self::Crawler,
        Self::Monitoring,
        Self::Ordinary,
    ];

    /// Returns its name in JSON, addresses and files of signatures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exploit => "exploit",
            Self::Webshell => "webshell",
            Self::Secrets => "secrets",
            Self::Login => "login",
            Self::ProxyProbe => "proxy-probe",
            Self::WrongProtocol => "wrong-protocol",
            Self::Iot => "iot",
            Self::Recon => "recon",
            Self::ResearchScanner => "research-scanner",
            Self::Crawler => "crawler",
            Self::Monitoring => "monitoring",
            Self::Ordinary => "ordinary",
        }
    }
}

impl Confidence {
    /// Returns its name in JSON and files of signatures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
            Self::Guess => "guess",
        }
    }
}

/// A rule that recognises one thing in requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Lower-case words with hyphens; no other signature has the same id.
    pub id: String,
    /// The title of the label, a few words.
    pub title: String,
    /// The main category.
    pub category: Category,
    /// Further categories.
    #[serde(default)]
    pub also: Vec<Category>,
    /// The product that the request is for.
    pub product: Option<String>,
    /// CVE numbers, the main one first.
    #[serde(default)]
    pub cve: Vec<String>,
    /// The year in which it became known.
    pub year: Option<u16>,
    /// How usual it is: the number of published logs, of [`LOGS`], that have it.
    pub usual: Option<u8>,
    /// How sure the label is.
    #[serde(default)]
    pub confidence: Confidence,
    /// True if it names a kind of attack, not one weakness.
    #[serde(default)]
    pub generic: bool,
    /// 40 to 400 characters for people who are no specialists.
    pub explanation: String,
    /// Addresses of pages to read more, by https.
    #[serde(default)]
    pub references: Vec<String>,
    /// Requests to which it applies; [`example_bytes`](Self::example_bytes) returns their bytes.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Ids of signatures that name other CVEs and also apply to its examples: nothing in such a
    /// request tells which of the weaknesses is meant.
    #[serde(default)]
    pub siblings: Vec<String>,
    /// Empty for a built-in signature, whose condition the labeller reads separately.
    #[serde(default, rename = "match")]
    pub(crate) condition: Condition,
    /// Its line in the file, from 1; 0 for a built-in signature.
    #[serde(skip)]
    pub line: usize,
}

/// Why a file of signatures is refused: `line 12: …`.
#[derive(Debug, PartialEq, Eq)]
pub struct SignatureError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for SignatureError {}

/// A file of signatures, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    signature: Vec<Spanned<Signature>>,
}

/// The signatures of one file, and whether they replace the built-in ones.
#[derive(Debug)]
pub struct Signatures {
    /// The signatures, in the order of the file.
    pub list: Vec<Signature>,
    /// True if they replace the built-in signatures; otherwise they are added to them.
    pub replace: bool,
}

impl Signatures {
    /// Reads a file of signatures and checks each, its expressions included.
    ///
    /// # Errors
    /// The text is not TOML, a field is missing, unknown or invalid, or two signatures have the
    /// same id.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let file: File = toml::from_str(text).map_err(|error| SignatureError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        let mut list = Vec::with_capacity(file.signature.len());
        for spanned in file.signature {
            let line = line_of(text, spanned.span().start);
            let signature = spanned.into_inner();
            list.push(Signature { line, ..signature });
        }
        let mut ids = HashSet::new();
        for signature in &list {
            if let Err(reason) = signature.check() {
                return Err(signature.error(&reason));
            }
            if !ids.insert(&signature.id) {
                return Err(signature.error("another signature has this id"));
            }
        }
        Ok(Self {
            list,
            replace: file.replace,
        })
    }
}

/// Returns the line, from 1, that has a place of a text.
fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..text.len().min(at)];
    memchr::memchr_iter(b'\n', before).count() + 1
}

impl Signature {
    /// Returns all categories, the main one first.
    pub fn categories(&self) -> impl Iterator<Item = Category> {
        std::iter::once(self.category).chain(self.also.iter().copied())
    }

    /// Tells whether the signature was made from the list of crawlers and knows only a user agent.
    #[must_use]
    pub fn is_of_an_agent(&self) -> bool {
        self.condition.is_of_an_agent()
    }

    /// Returns the addresses of pages to read more: the public record of each CVE, then the
    /// references.
    pub fn links(&self) -> impl Iterator<Item = String> {
        self.cve
            .iter()
            .map(|cve| cve_record(cve))
            .chain(self.references.iter().cloned())
    }

    /// Returns the bytes of an example: each line feed becomes CR LF, each character up to U+00FF
    /// becomes that byte, and a head without its blank line gets one.
    #[must_use]
    pub fn example_bytes(example: &str) -> Vec<u8> {
        let mut text = Vec::with_capacity(example.len());
        for char in example.chars() {
            match u8::try_from(char) {
                Ok(b'\n') => text.extend_from_slice(b"\r\n"),
                Ok(latin1) => text.push(latin1),
                Err(_) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        let is_head = crate::http::parse(&text).is_some()
            && memchr::memmem::find(&text, b"\r\n\r\n").is_none();
        if is_head {
            [text.trim_ascii_end(), b"\r\n\r\n"].concat()
        } else {
            text
        }
    }

    pub(crate) fn error(&self, reason: &str) -> SignatureError {
        SignatureError {
            line: self.line,
            reason: format!("{}: {reason}", self.id),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if !is_id(&self.id) {
            return Err("id: expected lower-case letters, digits and hyphens".into());
        }
        if !(40..=400).contains(&self.explanation.chars().count()) {
            return Err("explanation: expected 40 to 400 characters".into());
        }
        if self.title.is_empty() || self.title.chars().count() > 80 {
            return Err("title: expected 1 to 80 characters".into());
        }
        for cve in &self.cve {
            if !is_cve(cve) {
                let reason = format!("cve: {cve} is not a CVE number such as CVE-2021-44228");
                return Err(reason);
            }
        }
        for link in &self.references {
            if !link.starts_with("https://") {
                return Err(format!("references: {link} does not begin with https://"));
            }
        }
        if self.usual.is_some_and(|logs| !(1..=LOGS).contains(&logs)) {
            return Err(format!("usual: expected 1 to {LOGS}"));
        }
        if self.condition.is_empty() {
            return Err("match: expected at least one condition".into());
        }
        self.condition.compile()
    }
}

fn is_id(id: &str) -> bool {
    let is_of_id = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !id.is_empty() && id.bytes().all(is_of_id)
}

fn is_cve(cve: &str) -> bool {
    let Some(rest) = cve.strip_prefix("CVE-") else {
        return false;
    };
    let Some((year, number)) = rest.split_once('-') else {
        return false;
    };
    let are_long = year.len() == 4 && (4..=7).contains(&number.len());
    are_long && are_digits(year) && are_digits(number)
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the address of a CVE's public record.
#[must_use]
pub fn cve_record(cve: &str) -> String {
    format!("https://www.cve.org/CVERecord?id={cve}")
}
