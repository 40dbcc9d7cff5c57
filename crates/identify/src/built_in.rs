//! The signatures that come with the program, each read when it is first needed.
//!
//! In: what `build.rs` made of the folder `signatures` and of the list of crawlers. Out: lines, and the signatures that they
//! are. Most are never needed: a request meets the literals of a few dozen, of thousands.

use serde::Deserialize;

use crate::crawlers::Agent;
use crate::signature::Signature;

/// Apart, for a line that is read brings sixteen pages of the file to memory.
const ALWAYS: &str = include_str!(concat!(env!("OUT_DIR"), "/always.json"));
const OTHERS: &str = include_str!(concat!(env!("OUT_DIR"), "/others.json"));
const INDEX: &str = include_str!(concat!(env!("OUT_DIR"), "/index.json"));

/// A signature that is not read yet: where it is, for to slice it is to look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    is_always: bool,
    start: u32,
    length: u32,
}

/// What is on a line.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Known {
    Signature(Box<Signature>),
    Agent(Agent),
}

/// Returns all lines, each with the literals of which one is in every request that its signature applies to; `None`
/// where it has to be tried on all.
pub(crate) fn lines() -> Vec<(Line, Option<Vec<String>>)> {
    let index: Vec<(u32, u32, Option<_>)> = serde_json::from_str(INDEX).expect("build.rs wrote it");
    let line = |(start, length, anchors): (u32, u32, Option<_>)| {
        (
            Line {
                is_always: anchors.is_none(),
                start,
                length,
            },
            anchors,
        )
    };
    index.into_iter().map(line).collect()
}

impl Line {
    pub(crate) fn read(self) -> Signature {
        let (file, start) = (
            if self.is_always { ALWAYS } else { OTHERS },
            self.start as usize,
        );
        match serde_json::from_str(&file[start..start + self.length as usize])
            .expect("a test reads every line")
        {
            Known::Signature(signature) => *signature,
            Known::Agent(agent) => agent.signature(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;

    #[test]
    fn the_lines_are_what_the_files_say() {
        let (written, lines) = (written(), lines());
        assert!(lines.len() > written.len());
        for (mut meant, (line, anchors)) in written.into_iter().zip(lines) {
            (meant.examples, meant.siblings, meant.line) = (Vec::new(), Vec::new(), 0);
            assert_eq!(meant.condition.anchors(), anchors, "{}", meant.id);
            assert_eq!(format!("{meant:?}"), format!("{:?}", line.read()));
        }
    }
}
