//! What can be recognised, in a form that a person can extend: the files of the folder
//! `signatures`.
//!
//! In: the text of such a file. Out: [`Signature`]s, or the line and the reason for which it is
//! refused. signatures/README.md says how it is written.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::condition::Condition;

/// How many published logs [`Signature::usual`] was counted in.
pub const LOGS: u8 = 24;

/// What a request is for; the order is that of weight, the heaviest first.
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
    /// Tries whether it is a proxy.
    ProxyProbe,
    /// Speaks another protocol than HTTP.
    WrongProtocol,
    /// Is after routers, cameras and the like; only beside another category.
    Iot,
    /// Finds out what there is.
    Recon,
    /// Is of an organisation that says who it is.
    ResearchScanner,
    /// Is of a search engine, an AI crawler, a preview.
    Crawler,
    /// Looks whether it is up.
    Monitoring,
    /// What browsers and programs ask for.
    Ordinary,
}

/// How sure a label is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The bytes can hardly be anything else.
    Certain,
    /// The use is typical.
    #[default]
    Likely,
    /// It may be something else.
    Guess,
}

impl Category {
    /// All categories, in order of weight.
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

/// One thing that can be recognised.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Lower-case words with hyphens, of which there is one signature only.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What it is for.
    pub category: Category,
    /// A second category.
    #[serde(default)]
    pub also: Vec<Category>,
    /// The product that it is after.
    pub product: Option<String>,
    /// CVE numbers, the one that is meant first.
    #[serde(default)]
    pub cve: Vec<String>,
    /// When it became known.
    pub year: Option<u16>,
    /// How usual it is: in how many of [`LOGS`] published logs it is.
    pub usual: Option<u8>,
    /// How sure it is.
    #[serde(default)]
    pub confidence: Confidence,
    /// Names a kind of attack, not one weakness.
    #[serde(default)]
    pub generic: bool,
    /// 40 to 400 characters for people who are no specialists.
    pub explanation: String,
    /// Addresses to read more at, by https.
    #[serde(default)]
    pub references: Vec<String>,
    /// Requests that it recognises, as [`example_bytes`](Self::example_bytes) reads them.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Ids of others that name other CVEs and apply to its examples: nothing in such a request
    /// tells which of the weaknesses is meant.
    #[serde(default)]
    pub siblings: Vec<String>,
    /// Empty for the built-in ones, whose conditions the labeller reads apart from them.
    #[serde(default, rename = "match")]
    pub(crate) condition: Condition,
    /// Where it is in its file, from 1; 0 for the built-in ones.
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

/// A file of signatures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    signature: Vec<Spanned<Signature>>,
}

/// Signatures of one file, and whether they stand alone.
#[derive(Debug)]
pub struct Signatures {
    /// In the order of the file.
    pub list: Vec<Signature>,
    /// They stand in place of the built-in ones; otherwise beside them.
    pub replace: bool,
}

impl Signatures {
    /// Reads a file of signatures and checks each, its expressions included.
    ///
    /// # Errors
    /// The text is not TOML, a field is missing, unknown or not as it should be, or an id is there
    /// twice.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let line = |at: usize| {
            text.as_bytes()
                .iter()
                .take(at)
                .filter(|&&byte| byte == b'\n')
                .count()
                + 1
        };
        let file: File = toml::from_str(text).map_err(|error| SignatureError {
            line: line(error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        let place = |signature: Spanned<Signature>| {
            let line = line(signature.span().start);
            Signature {
                line,
                ..signature.into_inner()
            }
        };
        let list: Vec<_> = file.signature.into_iter().map(place).collect();
        let mut ids = HashSet::new();
        for signature in &list {
            let checked = match signature.check() {
                Ok(()) if !ids.insert(&signature.id) => {
                    Err("another signature has this id".to_owned())
                }
                checked => checked,
            };
            checked.map_err(|reason| signature.error(&reason))?;
        }
        Ok(Self {
            list,
            replace: file.replace,
        })
    }
}

impl Signature {
    /// Returns all categories, the main one first.
    pub fn categories(&self) -> impl Iterator<Item = Category> {
        std::iter::once(self.category).chain(self.also.iter().copied())
    }

    /// Tells whether it knows nothing but a user agent, from the list of crawlers.
    #[must_use]
    pub fn is_of_an_agent(&self) -> bool {
        self.condition.is_of_an_agent()
    }

    /// Returns where to read more: the public record of each CVE, then the references.
    pub fn links(&self) -> impl Iterator<Item = String> {
        self.cve
            .iter()
            .map(|cve| cve_record(cve))
            .chain(self.references.iter().cloned())
    }

    /// Returns the bytes of an example: each line feed stands for CR LF, each character up to
    /// U+00FF for that byte, and a head without its blank line gets one.
    #[must_use]
    pub fn example_bytes(example: &str) -> Vec<u8> {
        let latin1 = |char: char| {
            u8::try_from(u32::from(char))
                .map_or_else(|_| char.to_string().into_bytes(), |byte| vec![byte])
        };
        let text: Vec<u8> = example
            .replace('\n', "\r\n")
            .chars()
            .flat_map(latin1)
            .collect();
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
        let is_id = |id: &str| {
            !id.is_empty()
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let is_cve = |cve: &str| {
            cve.strip_prefix("CVE-")
                .and_then(|rest| rest.split_once('-'))
                .is_some_and(|(year, number)| {
                    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                    year.len() == 4
                        && all_digits(year)
                        && (4..=7).contains(&number.len())
                        && all_digits(number)
                })
        };
        if !is_id(&self.id) {
            return Err("id: expected lower-case letters, digits and hyphens".into());
        }
        if !(40..=400).contains(&self.explanation.chars().count()) {
            return Err("explanation: expected 40 to 400 characters".into());
        }
        if self.title.is_empty() || self.title.chars().count() > 80 {
            return Err("title: expected 1 to 80 characters".into());
        }
        if let Some(cve) = self.cve.iter().find(|cve| !is_cve(cve)) {
            return Err(format!(
                "cve: {cve} is not a CVE number such as CVE-2021-44228"
            ));
        }
        if let Some(link) = self
            .references
            .iter()
            .find(|link| !link.starts_with("https://"))
        {
            return Err(format!("references: {link} does not begin with https://"));
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

/// Returns the address of a CVE's public record.
#[must_use]
pub fn cve_record(cve: &str) -> String {
    format!("https://www.cve.org/CVERecord?id={cve}")
}
