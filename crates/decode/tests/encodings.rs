//! Texts that Python's standard library encodes are found again.

use std::io::Write;
use std::process::{Command, Stdio};

use forever200_decode::{Limits, MAX_PARTS, decode};

/// Number of generated texts.
const TEXTS: usize = 60;
/// Words that the texts are made of. No word has an escape of its own.
const WORDS: [&str; 16] = [
    "wget",
    "http://198.51.100.9/x",
    "-O-",
    "|",
    "sh",
    "<?php",
    "admin",
    "Müller",
    "a=b",
    "\"x\"",
    "1+1",
    "/etc/passwd",
    "&",
    "select",
    ">>>???",
    "{}",
];

/// Returns texts of 3 to 30 words, the same in each run. Each has a character beyond ASCII, without
/// which some encodings change nothing.
fn texts() -> Vec<String> {
    let mut random = 7_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let mut text = || {
        let words: Vec<_> = (0..3 + next(28))
            .map(|_| WORDS[next(WORDS.len())])
            .collect();
        format!("für {}", words.join(" "))
    };
    (0..TEXTS).map(|_| text()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn what_python_encodes_is_found_again() -> Result<(), Box<dyn std::error::Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encodings.py");
    let python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = python.map_err(|error| format!("apt-get install python3: {error}"))?;
    let texts = texts();
    let mut lines = python.stdin.take().ok_or("no pipe")?;
    for text in &texts {
        writeln!(lines, "{text:?}")?;
    }
    drop(lines);
    let output = String::from_utf8(python.wait_with_output()?.stdout)?;
    let encoded: Vec<_> = output
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    assert!(
        encoded.len() >= 20 * TEXTS && encoded.len() % TEXTS == 0,
        "{}",
        encoded.len()
    );
    let share = encoded.len() / TEXTS;
    for (text, encoded) in texts.iter().zip(encoded.chunks(share)) {
        for (name, hex) in encoded {
            let coding = if name.starts_with("deflate") {
                "Content-Encoding: deflate\r\n"
            } else {
                ""
            };
            let head = format!("POST / HTTP/1.1\r\n{coding}\r\n");
            let raw = [head.as_bytes(), &bytes(hex)].concat();
            let parts = decode(&raw, true, Limits::DESCRIBED);
            assert!(parts.len() <= MAX_PARTS);
            // Some encodings leave some texts as they are.
            let mut shown = parts.iter().map(|part| &*part.bytes).chain([&*raw]);
            let is_found = shown.any(|bytes| String::from_utf8_lossy(bytes).contains(&**text));
            let whats: Vec<_> = parts.iter().map(|part| part.what()).collect();
            assert!(
                is_found,
                "{name}: {text} in {}: {whats:?}",
                raw.escape_ascii()
            );
        }
    }
    Ok(())
}
