//! Lays out the folder `signatures` and the list of crawlers so that the program needs to read hardly any of it.
//!
//! In: their files. Out, in `OUT_DIR`: a line of JSON for each signature, without what only tests and people read, in
//! `always.json` where it has to be tried on every request, or else in `others.json`; and `index.json`, which has for
//! each, in the order of the files, where it is, its length, and the literals without which it need not be read. What
//! tests and people read is in `beside.json`, by ids.
//!
//! It takes the reading of conditions from the program: one reading, in one place. What is wrong with an entry a test
//! says; here the build fails.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "the program's own modules, of which little is needed here"
)]

#[path = "src/attack/names.rs"]
mod attack;
#[path = "src/condition.rs"]
mod condition;
#[path = "src/files.rs"]
mod files;
#[path = "src/literals.rs"]
mod literals;
#[path = "src/pattern.rs"]
mod pattern;
#[path = "src/protocol/names.rs"]
mod protocol;
#[path = "src/recent.rs"]
mod recent;

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
    let (mut signatures, mut beside) = (Vec::new(), serde_json::Map::new());
    for name in FILES {
        let path = Path::new(SIGNATURES).join(name).with_extension("toml");
        let File { signature: entries } = toml::from_str(&std::fs::read_to_string(path)?)?;
        for mut entry in entries {
            let id = entry.get("id").and_then(toml::Value::as_str);
            let id = id.ok_or("a signature without an id")?.to_owned();
            let texts = ["examples", "siblings"].map(|name| (name, entry.remove(name)));
            let texts = texts
                .into_iter()
                .filter_map(|(name, list)| Some((name, list?)));
            beside.insert(id, json!(texts.collect::<HashMap<_, _>>()));
            signatures.push(signature(entry)?);
        }
    }
    let (mut always, mut others, mut index) = (String::new(), String::new(), Vec::new());
    for (line, condition) in signatures.into_iter().chain(agents(crawlers)) {
        let (line, anchors) = (line.to_string() + "\n", condition.anchors());
        let file = if anchors.is_some() {
            &mut others
        } else {
            &mut always
        };
        index.push(json!([file.len(), line.len(), anchors]));
        file.push_str(&line);
    }
    let folder = std::env::var("OUT_DIR")?;
    for (name, text) in [
        ("always", always),
        ("others", others),
        ("index", Value::from(index).to_string()),
        ("beside", Value::from(beside).to_string()),
    ] {
        std::fs::write(Path::new(&folder).join(name).with_extension("json"), text)?;
    }
    Ok(())
}

fn signature(entry: toml::Table) -> Result<(Value, Condition), Box<dyn Error>> {
    let condition = entry
        .get("match")
        .ok_or("a signature without a match")?
        .clone()
        .try_into()?;
    Ok((json!({ "signature": entry }), condition))
}

/// Each has an id of its own, which takes a number where patterns differ in signs only.
fn agents(crawlers: Vec<Crawler>) -> impl Iterator<Item = (Value, Condition)> {
    let mut ids: HashMap<String, usize> = HashMap::new();
    crawlers.into_iter().map(move |Crawler { pattern, description, tags }| {
        let slug = slug(&pattern);
        let count = ids.entry(slug.clone()).or_default();
        *count += 1;
        let id = if *count > 1 { format!("agent-{slug}-{count}") } else { format!("agent-{slug}") };
        let agent = json!({ "id": id, "pattern": pattern, "description": description, "tag": tags.first() });
        (json!({ "agent": agent }), Condition::user_agent(pattern))
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
