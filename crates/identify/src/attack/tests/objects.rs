//! Serialised objects, words of program text, tokens without a signature.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

use crate::attack::{Attack, marker, token};

fn kinds(text: &str) -> Vec<Attack> {
    let mut kinds = Vec::new();
    marker::find(text.to_ascii_lowercase().as_bytes(), 16, |kind, _| {
        kinds.push(kind);
    });
    kinds
}

#[test]
fn a_word_is_found_in_base64_wherever_it_begins() {
    for before in ["", "a", "ab", "abc", "abcd"] {
        for (word, kind) in [
            ("InvokerTransformer", Attack::JavaObject),
            ("clonetransformer", Attack::JavaObject),
            ("_$$ND_FUNC$$_", Attack::NodeObject),
            ("ObjectDataProvider", Attack::DotnetObject),
            ("java.lang.Runtime", Attack::JavaObject),
            ("getRuntime", Attack::JavaObject),
        ] {
            let text = BASE64_STANDARD.encode(format!("{before}{word} and more"));
            assert!(kinds(&text).contains(&kind), "{before}{word}");
        }
    }
}

#[test]
fn what_any_base64_has_is_no_object() {
    for text in [
        r#"{"a":1,"runtime":"nodejs"}"#,
        "Runtime error in line 5",
        "the runtime of a film",
        "\u{1f}\u{8b}",
    ] {
        for before in ["", "a", "ab"] {
            let text = BASE64_STANDARD.encode(format!("{before}{text}"));
            assert_eq!(kinds(&text), [], "{text}");
        }
    }
    // The beginning of any gzip data.
    assert_eq!(kinds("H4sIAAAAAAAAA8tIzcnJVyjPL8pJAQCFEUoNCwAAAA=="), []);
}

#[test]
fn words_of_each_family_are_found() {
    for (text, kind) in [
        ("x=java.io.FilterInputStream", Attack::JavaCode),
        ("<a b=\"java.lang.Runtime\">", Attack::JavaCode),
        ("<a>java.lang.Runtime='x'", Attack::JavaCode),
        ("x=rO0ABXNyABFq", Attack::JavaObject),
        ("AAEAAAD/////AQ", Attack::DotnetObject),
        ("!!python/object/apply:os.system", Attack::PythonObject),
        ("BAhvOkBBY3RpdmU", Attack::PythonObject),
        ("{\"a\":\"_$$ND_FUNC$$_function(){}\"}", Attack::NodeObject),
        ("require('child_process')", Attack::NodeCode),
        ("<?php system(1)", Attack::PhpCode),
        ("$_GET[0]", Attack::PhpCode),
    ] {
        assert!(kinds(text).contains(&kind), "{text}");
    }
    for text in [
        "hello",
        "com.example.java.io",
        "a process",
        "my.java.util.list",
        "<a java.lang.Runtime=\"x\">",
        "<a b=\"c\" java.util.List='x'>",
        "php",
        "cosy system",
        "eyJhbGciOiJIUzI1NiJ9",
    ] {
        assert_eq!(kinds(text), [], "{text}");
    }
}

#[test]
fn tokens_without_a_signature_are_found() {
    let token_of =
        |head: &str| format!("Bearer {}.eyJhIjoxfQ.", BASE64_URL_SAFE_NO_PAD.encode(head));
    for head in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","typ":"JWT"}"#,
        r#"{"typ":"JWT", "alg" : "NONE"}"#,
        r#"{"alg":""}"#,
        r#"{ "alg": "none" }"#,
    ] {
        assert!(token::find(token_of(head).as_bytes()).is_some(), "{head}");
    }
    for head in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"RS256","kid":"none"}"#,
        r#"{"typ":"JWT"}"#,
    ] {
        assert!(token::find(token_of(head).as_bytes()).is_none(), "{head}");
    }
    assert!(token::find(b"eyJ eyJ. eyJa").is_none());
}
