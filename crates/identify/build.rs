//! Prepares the folder `signatures` and the list of crawlers, so that the program reads hardly any
//! of it.
//!
//! In: these files. Out: files in `OUT_DIR`.
//!
//! - `conditions.json` has for each signature a line with its condition
//! - `signatures.json` has for each signature a line with the rest, without examples and siblings
//! - `index.json` has all words that are looked for in requests. It also has for each signature,
//!   in the order of the files, the places of its two lines, the words that it needs, and its
//!   protocols
//! - `extras.json` has the examples and siblings of each signature, by id; only tests and checks
//!   read them
//!
//! Conditions are read by the program's own code. If a signature is wrong, the build fails here; a
//! test says what is wrong with it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the program's own modules, of which little is needed here"
)]

#[path = "src/attack/names.rs"]
mod attack;
#[path = "src/beginning.rs"]
mod beginning;
#[path = "src/condition.rs"]
mod condition;
#[path = "src/files.rs"]
mod files;
#[path = "src/literals.rs"]
mod literals;
#[path = "src/pattern.rs"]
mod pattern;
#[path = "src/program.rs"]
mod program;
#[path = "src/protocol/names.rs"]
mod protocol;
#[path = "src/recent.rs"]
mod recent;
#[path = "src/words.rs"]
mod words;

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::condition::Condition;
use crate::files::FILES;

const SIGNATURES: &str = "signatures";
const CRAWLERS: &str = "data/crawler-user-agents.json";

#[derive(Deserialize)]
struct File {
    signature: Vec<toml::Table>,
}

#[derive(Deserialize)]
struct Crawler {
    pattern: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SIGNATURES}\ncargo::rerun-if-changed={CRAWLERS}");
    let crawlers: Vec<Crawler> = serde_json::from_str(&std::fs::read_to_string(CRAWLERS)?)?;
    let (mut signatures, mut extras) = (Vec::new(), serde_json::Map::new());
    for name in FILES {
        let path = Path::new(SIGNATURES).join(name).with_extension("toml");
        let File { signature: tables } = toml::from_str(&std::fs::read_to_string(path)?)?;
        for mut table in tables {
            let id = table.get("id").and_then(toml::Value::as_str);
            let id = id.ok_or("a signature without an id")?.to_owned();
            let texts = ["examples", "siblings"].map(|name| (name, table.remove(name)));
            let texts = texts
                .into_iter()
                .filter_map(|(name, list)| Some((name, list?)));
            extras.insert(id, json!(texts.collect::<HashMap<_, _>>()));
            signatures.push(signature(table)?);
        }
    }
    let (mut conditions, mut texts, mut indexed) = (String::new(), String::new(), Vec::new());
    let mut words = WordList::default();
    for Known {
        asks,
        says,
        condition,
    } in signatures.into_iter().chain(agents(crawlers))
    {
        let places = [(&mut conditions, asks), (&mut texts, says)].map(|(file, value)| {
            let start = file.len();
            file.push_str(&(value.to_string() + "\n"));
            [start, file.len()]
        });
        let needed = condition.words().map(|needed| words.numbers(needed));
        let speaks: Vec<_> = condition.protocol.iter().map(|it| it.name()).collect();
        indexed.push(json!([places, needed, speaks]));
        for pattern in condition.patterns() {
            words.numbers(pattern.words().unwrap_or_default());
        }
    }
    let index = json!({ "words": words.all, "signatures": indexed });
    let folder = std::env::var("OUT_DIR")?;
    for (name, text) in [
        ("conditions", conditions),
        ("signatures", texts),
        ("index", index.to_string()),
        ("extras", Value::from(extras).to_string()),
    ] {
        std::fs::write(Path::new(&folder).join(name).with_extension("json"), text)?;
    }
    Ok(())
}

/// All words, each once; the number of a word is its place.
#[derive(Default)]
struct WordList {
    all: Vec<String>,
    known: HashMap<String, usize>,
}

impl WordList {
    fn numbers(&mut self, words: Vec<String>) -> Vec<usize> {
        let number = |word: String| {
            *self.known.entry(word).or_insert_with_key(|word| {
                self.all.push(word.clone());
                self.all.len() - 1
            })
        };
        words.into_iter().map(number).collect()
    }
}

/// A signature: its two lines, and its condition as the program reads it.
struct Known {
    asks: Value,
    says: Value,
    condition: Condition,
}

fn signature(mut table: toml::Table) -> Result<Known, Box<dyn Error>> {
    let asks = table.remove("match").ok_or("a signature without a match")?;
    Ok(Known {
        asks: json!({ "match": asks }),
        says: json!({ "signature": table }),
        condition: asks.try_into()?,
    })
}

/// Returns the signatures of the crawlers. Each gets its own id: if two patterns differ only in
/// signs, the second one gets a number.
fn agents(crawlers: Vec<Crawler>) -> impl Iterator<Item = Known> {
    let mut ids: HashMap<String, usize> = HashMap::new();
    crawlers.into_iter().map(move |Crawler { pattern, description, tags }| {
        let slug = slug(&pattern);
        let count = ids.entry(slug.clone()).or_default();
        *count += 1;
        let id = if *count > 1 { format!("agent-{slug}-{count}") } else { format!("agent-{slug}") };
        let agent = json!({ "id": id, "pattern": pattern, "description": description, "tag": tags.first() });
        Known {
            asks: json!({ "agent": pattern }),
            says: json!({ "agent": agent }),
            condition: Condition::user_agent(pattern),
        }
    })
}

fn slug(pattern: &str) -> String {
    let words = pattern
        .split(|char: char| !char.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("-")
}
