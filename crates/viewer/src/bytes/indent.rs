//! Indents JSON and XML for reading.
//!
//! In: a body. Out: the body with line breaks and indents, or `None` if it is neither JSON nor XML.
//! Changes only white space, so that everything else is shown as it was sent.

use forever200_decode::kind::without_mark;
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};
use serde::de::IgnoredAny;

/// Deepest level. A deeper body is meant as an attack: 64 KiB of `<a>` would become 400 MB of white
/// space.
const MAX_LEVELS: usize = 40;
const INDENT: &str = "  ";
/// Most bytes of the result for each byte of the body. A longer result would be mostly white space.
const MAX_GROWTH: usize = 8;

/// Returns an indented body; `None` if it is neither JSON nor XML, or has more than 40 levels.
#[must_use]
pub fn indent(body: &[u8]) -> Option<Vec<u8>> {
    match without_mark(body).trim_ascii() {
        trimmed @ [b'{' | b'[', ..] => json(trimmed).or_else(|| json_lines(trimmed)),
        trimmed @ [b'<', ..] => xml(trimmed),
        _ => None,
    }
}

fn json(body: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<IgnoredAny>(body).ok()?;
    let mut out = Vec::with_capacity(body.len() * 2);
    let most = most_bytes(body);
    let (mut level, mut in_string, mut escaped) = (0_usize, false, false);
    let mut previous = 0;
    for &byte in body {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'}' | b']' => {
                level -= 1;
                if !matches!(previous, b'{' | b'[') {
                    line(&mut out, level);
                }
            }
            _ if matches!(previous, b'{' | b'[' | b',') => line(&mut out, level),
            _ if previous == b':' => out.push(b' '),
            _ => {}
        }
        if matches!(byte, b'{' | b'[') {
            level += 1;
            if level > MAX_LEVELS || out.len() > most {
                return None;
            }
        }
        in_string = byte == b'"';
        out.push(byte);
        previous = byte;
    }
    Some(out)
}

/// Indents JSON with one value on each line: <https://jsonlines.org>.
fn json_lines(body: &[u8]) -> Option<Vec<u8>> {
    let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let mut out = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push(b'\n');
        }
        let is_object = matches!(line, [b'{' | b'[', ..]);
        out.extend(json(line).filter(|_| is_object)?);
    }
    Some(out).filter(|out| out.len() <= most_bytes(body))
}

/// Returns the most bytes of the result. For a short body, it may be longer in proportion.
fn most_bytes(body: &[u8]) -> usize {
    MAX_GROWTH * body.len() + 4096
}

fn line(out: &mut Vec<u8>, level: usize) {
    out.push(b'\n');
    out.extend_from_slice(INDENT.repeat(level).as_bytes());
}

/// Indents XML. Entities stay as they are: nothing is resolved or fetched.
fn xml(body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::from_reader(body);
    reader.config_mut().trim_text(true);
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', INDENT.len());
    let (mut level, most) = (0_usize, most_bytes(body));
    loop {
        if writer.get_ref().len() > most {
            return None;
        }
        let event = reader.read_event().ok()?;
        match event {
            Event::Eof => return Some(writer.into_inner()),
            Event::Start(_) if level == MAX_LEVELS => return None,
            Event::Start(_) => level += 1,
            Event::End(_) => level -= 1,
            _ => {}
        }
        writer.write_event(event).ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indented(body: &str) -> Option<String> {
        indent(body.as_bytes()).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn json_keeps_everything_but_white_space() {
        let body = r#" {"a":[1.50, -0e1 ,{"b\"}":null}],"a" : {},"c":[ ],"d":"x\\"} "#;
        let expected = r#"{
  "a": [
    1.50,
    -0e1,
    {
      "b\"}": null
    }
  ],
  "a": {},
  "c": [],
  "d": "x\\"
}"#;
        assert_eq!(indented(body).unwrap(), expected);
    }

    #[test]
    fn xml_keeps_its_entities() {
        let body = r#"<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r a='1'><b>&x;</b><c/></r>"#;
        let text = indented(body).unwrap();
        assert!(
            text.contains("\n<r a='1'>\n  <b>")
                && text.contains("&x;")
                && text.contains("\n  <c/>\n</r>"),
            "{text}"
        );
    }

    #[test]
    fn other_bodies_are_none() {
        for body in ["", "a=b", "{", "[1,]", "{'a':1}", "<a></b>", "<a", "true"] {
            assert_eq!(indented(body), None, "{body}");
        }
    }

    #[test]
    fn what_would_be_white_space_most_of_all_is_none() {
        let json = format!(
            "{}{}1{}",
            "[".repeat(39),
            "[1],".repeat(5000),
            "]".repeat(39)
        );
        let xml = format!(
            "{}{}{}",
            "<a>".repeat(39),
            "<b/>".repeat(5000),
            "</a>".repeat(39)
        );
        assert_eq!((indented(&json), indented(&xml)), (None, None));
    }

    #[test]
    fn what_goes_too_deep_is_none() {
        for (open, close) in [("[", "]"), ("<a>", "</a>")] {
            let levels = |count| indented(&(open.repeat(count) + &close.repeat(count))).is_some();
            assert_eq!(
                (levels(40), levels(41), levels(20_000)),
                (true, false, false),
                "{open}"
            );
        }
    }
}
