//! Checks that a page has only the markup of its template, whatever values were put in.
//!
//! In: HTML. Out: nothing, or a panic. Stricter than any browser: accepts only the elements,
//! attributes and character references of our templates. An attacker must have written anything
//! else.

use forever200_viewer::bytes::printable::is_visible;

const ELEMENTS: &[&str] = &[
    "a", "article", "b", "body", "button", "caption", "code", "dd", "details", "dialog", "div",
    "dl", "dt", "fieldset", "footer", "form", "h1", "h2", "h3", "head", "header", "html", "i",
    "input", "kbd", "label", "legend", "li", "link", "main", "mark", "meta", "nav", "noscript",
    "ol", "option", "p", "path", "pre", "rect", "script", "search", "section", "select", "span",
    "style", "summary", "svg", "table", "tbody", "td", "template", "textarea", "th", "thead",
    "time", "title", "tr", "u", "ul",
];
const ATTRIBUTES: &[&str] = &[
    "action",
    "aria-current",
    "aria-hidden",
    "aria-keyshortcuts",
    "aria-label",
    "aria-labelledby",
    "charset",
    "checked",
    "class",
    "colspan",
    "content",
    "d",
    "data-cursor",
    "data-held",
    "data-ip",
    "data-likeness",
    "data-now",
    "data-oldest",
    "data-ports",
    "datetime",
    "defer",
    "enctype",
    "for",
    "height",
    "hidden",
    "href",
    "http-equiv",
    "id",
    "lang",
    "maxlength",
    "method",
    "name",
    "open",
    "placeholder",
    "preserveAspectRatio",
    "readonly",
    "rel",
    "role",
    "rows",
    "scope",
    "selected",
    "size",
    "spellcheck",
    "src",
    "tabindex",
    "title",
    "type",
    "value",
    "viewBox",
    "width",
    "x",
];
const REFERENCES: &[&str] = &["amp;", "lt;", "gt;", "quot;", "#x27;", "#x2f;", "#96;"];

/// Panics when the page has any markup that no template has.
pub fn check(html: &str) {
    let unseen = html.chars().find(|&char| char != '\n' && !is_visible(char));
    assert_eq!(unseen, None, "invisible in {html}");
    let mut rest = html
        .strip_prefix("<!doctype html>")
        .or_else(|| html.strip_prefix("\n<!doctype html>"))
        .unwrap_or(html);
    while let Some((text, tag)) = rest.split_once('<') {
        check_text(text);
        rest = check_tag(tag);
    }
    check_text(rest);
}

fn check_text(text: &str) {
    for reference in text.split('&').skip(1) {
        assert!(
            REFERENCES.iter().any(|known| reference.starts_with(known)),
            "&{reference:.40}"
        );
    }
}

/// Checks what follows a `<`, and returns what follows the `>`.
fn check_tag(tag: &str) -> &str {
    let (closing, tag) = tag
        .strip_prefix('/')
        .map_or((false, tag), |tag| (true, tag));
    let end = tag
        .find(|char: char| !char.is_ascii_alphanumeric())
        .unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(end);
    assert!(ELEMENTS.contains(&name), "element <{tag:.60}");
    loop {
        if let Some(after) = rest.strip_prefix("/>").or_else(|| rest.strip_prefix('>')) {
            return after;
        }
        let attribute = rest.strip_prefix(' ').filter(|_| !closing);
        let attribute = attribute.unwrap_or_else(|| panic!("<{name} and then {rest:.60}"));
        let end = attribute.find(['=', ' ', '>']).unwrap_or(attribute.len());
        let (attribute, after) = attribute.split_at(end);
        assert!(ATTRIBUTES.contains(&attribute), "<{name} {attribute:.60}");
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.split_once('"'));
        let (value, after) = value.unwrap_or_else(|| panic!("<{name} {attribute}{after:.60}"));
        check_value(name, attribute, value);
        rest = after;
    }
}

fn check_value(element: &str, attribute: &str, value: &str) {
    check_text(value);
    assert!(!value.contains(['<', '>']), "{attribute}={value}");
    let value = value.replace("&#x2f;", "/");
    let leads = match (element, attribute) {
        ("script" | "link", "src" | "href") => {
            value.starts_with("/home/static/") || value == "/home/new.atom"
        }
        (_, "href") => ["/home", "#", "https://"]
            .iter()
            .any(|start| value.starts_with(start)),
        (_, "src") => false,
        _ => true,
    };
    assert!(leads, "<{element} {attribute}={value}");
}
