//! The signatures that come with the program, each of which is read when it is first needed.
//!
//! In: the files that `build.rs` wrote from the folder `signatures` and from the list of crawlers.
//! Out: their conditions and texts. Most signatures are never needed: there are thousands, and a
//! request has the words of a few dozen.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::condition::Condition;
use crate::crawlers::Agent;
use crate::protocol::Protocol;
use crate::signature::Signature;

/// Conditions are kept apart from the texts. To read one line brings sixteen pages of the file into
/// memory, and most conditions that are read are not met.
const CONDITIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/conditions.json"));
const SIGNATURES: &str = include_str!(concat!(env!("OUT_DIR"), "/signatures.json"));
const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/index.json"));

/// A signature that is not read yet: the places of its two lines in `CONDITIONS` and `SIGNATURES`.
/// Kept as offsets, because to slice the text would touch its memory.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct UnreadSignature {
    condition: (u32, u32),
    signature: (u32, u32),
}

/// The condition of a signature: a line of `CONDITIONS`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Asks {
    Match(Box<Condition>),
    Agent(String),
}

/// The texts of a signature: a line of `SIGNATURES`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Says {
    Signature(Box<Signature>),
    Agent(Agent),
}

/// What is known of all signatures before one is read.
#[derive(Default, Deserialize)]
pub(crate) struct Index {
    /// The words that are looked for in requests.
    pub(crate) words: Vec<String>,
    pub(crate) signatures: Vec<Indexed>,
}

/// A signature that is not read yet, and when it is tried.
#[derive(Deserialize)]
pub(crate) struct Indexed {
    pub(crate) signature: UnreadSignature,
    /// Numbers of words. Every request to which the signature applies has at least one of them;
    /// `None` if no word is needed.
    pub(crate) words: Option<Vec<u32>>,
    /// The protocols of such a request; empty if it may be any.
    pub(crate) protocols: Vec<Protocol>,
}

/// Returns the index of all built-in signatures.
pub(crate) fn index() -> Index {
    serde_json::from_str(INDEX).expect("build.rs wrote it")
}

impl UnreadSignature {
    /// Reads the condition of the signature.
    pub(crate) fn condition(self) -> Box<Condition> {
        match read(CONDITIONS, self.condition) {
            Asks::Match(condition) => condition,
            Asks::Agent(pattern) => Box::new(Condition::user_agent(pattern)),
        }
    }

    /// Reads the signature. Its condition is empty, unless it is a condition on the user agent.
    pub(crate) fn read(self) -> Signature {
        match read(SIGNATURES, self.signature) {
            Says::Signature(signature) => *signature,
            Says::Agent(agent) => agent.signature(),
        }
    }
}

fn read<T: DeserializeOwned>(file: &str, (start, end): (u32, u32)) -> T {
    let line = &file[start as usize..end as usize];
    serde_json::from_str(line).expect("a test reads every line")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;

    #[test]
    fn the_lines_are_what_the_files_say() {
        let (
            written,
            Index {
                words: all_words,
                signatures,
            },
        ) = (written(), index());
        assert!(signatures.len() > written.len());
        for (mut meant, indexed) in written.into_iter().zip(signatures) {
            let word = |number: u32| all_words[number as usize].clone();
            let words = indexed.words.map(|all| all.into_iter().map(word).collect());
            let unread = indexed.signature;
            (meant.examples, meant.siblings, meant.line) = (Vec::new(), Vec::new(), 0);
            let condition = std::mem::take(&mut meant.condition);
            assert_eq!(condition.words(), words, "{}", meant.id);
            assert_eq!(
                format!("{condition:?}"),
                format!("{:?}", unread.condition())
            );
            assert_eq!(format!("{meant:?}"), format!("{:?}", unread.read()));
        }
    }
}
