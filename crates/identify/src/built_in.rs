//! The signatures that come with the program, each read when it is first needed.
//!
//! In: what `build.rs` made of the folder `signatures` and of the list of crawlers. Out: lines, and
//! what they ask for and say. Most are never needed: a request meets the literals of a few dozen,
//! of thousands.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::condition::Condition;
use crate::crawlers::Agent;
use crate::protocol::Protocol;
use crate::signature::Signature;

/// Apart, for a line that is read brings sixteen pages of the file to memory, and most conditions
/// are read in vain.
const CONDITIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/conditions.json"));
const SIGNATURES: &str = include_str!(concat!(env!("OUT_DIR"), "/signatures.json"));
const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/index.json"));

/// A signature that is not read yet: where it is, for to slice it is to look at it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Line {
    condition: (u32, u32),
    signature: (u32, u32),
}

/// What a signature asks for.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Asks {
    Match(Box<Condition>),
    Agent(String),
}

/// What it says.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Known {
    Signature(Box<Signature>),
    Agent(Agent),
}

/// What is known of all of them without reading one.
#[derive(Default, Deserialize)]
pub(crate) struct Index {
    /// What is looked for in requests.
    pub(crate) literals: Vec<String>,
    pub(crate) lines: Vec<Indexed>,
}

/// A line, and when it is tried.
#[derive(Deserialize)]
pub(crate) struct Indexed {
    pub(crate) line: Line,
    /// The numbers of the literals of which one is in every request that its signature applies to;
    /// `None` where there are none.
    pub(crate) anchors: Option<Vec<u32>>,
    /// What such a request speaks; empty where it may be anything.
    pub(crate) protocols: Vec<Protocol>,
}

/// Returns all of them.
pub(crate) fn index() -> Index {
    serde_json::from_str(INDEX).expect("build.rs wrote it")
}

impl Line {
    /// Reads what it asks for.
    pub(crate) fn condition(self) -> Box<Condition> {
        match read(CONDITIONS, self.condition) {
            Asks::Match(condition) => condition,
            Asks::Agent(pattern) => Box::new(Condition::user_agent(pattern)),
        }
    }

    /// Reads what it says; it has no condition, but for that on a user agent.
    pub(crate) fn read(self) -> Signature {
        match read(SIGNATURES, self.signature) {
            Known::Signature(signature) => *signature,
            Known::Agent(agent) => agent.signature(),
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
        let (written, Index { literals, lines }) = (written(), index());
        assert!(lines.len() > written.len());
        for (mut meant, indexed) in written.into_iter().zip(lines) {
            let literal = |number: u32| literals[number as usize].clone();
            let anchors = indexed
                .anchors
                .map(|all| all.into_iter().map(literal).collect());
            let line = indexed.line;
            (meant.examples, meant.siblings, meant.line) = (Vec::new(), Vec::new(), 0);
            let condition = std::mem::take(&mut meant.condition);
            assert_eq!(condition.anchors(), anchors, "{}", meant.id);
            assert_eq!(format!("{condition:?}"), format!("{:?}", line.condition()));
            assert_eq!(format!("{meant:?}"), format!("{:?}", line.read()));
        }
    }
}
