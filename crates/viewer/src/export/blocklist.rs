//! A blocklist of sources: only addresses, or addresses with reasons.
//!
//! In: options of a visitor, and addresses from the history. Out: plain lines, CSV (RFC 4180), or
//! JSON. They contain no text that a client sent: titles come from labels, names of networks from
//! the database of locations.

use forever200_identify::Category;
use jiff::Timestamp;
use serde::Serialize;

use crate::history::blocklist::{Listed, Reason};
use crate::page::moment::moment;
use crate::rfc3339;

/// The categories that are reasons to block if the visitor names none: the client tries to get
/// something that it should not have. Clients that only find out what is here, or that use another
/// protocol, may be harmless.
const ATTACKS: [Category; 6] = [
    Category::Exploit,
    Category::Webshell,
    Category::Secrets,
    Category::Login,
    Category::ProxyProbe,
    Category::Iot,
];
/// A source that ever sent a request of one of these categories is never listed: it says who it is,
/// and this is believed.
pub(crate) const POLITE: [Category; 3] = [
    Category::ResearchScanner,
    Category::Crawler,
    Category::Monitoring,
];
/// A spreadsheet takes a text that begins with one of these for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The format of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Csv,
    Json,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// The options of a visitor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) categories: Vec<Category>,
    pub(crate) min: u64,
    pub(crate) since: Option<Timestamp>,
}

#[derive(Serialize)]
struct Json<'a> {
    categories: &'a [Category],
    min: u64,
    /// Whether all sources are here. If not, only the sources that were seen last are here.
    complete: bool,
    sources: Vec<JsonSource<'a>>,
}

#[derive(Serialize)]
struct JsonSource<'a> {
    address: String,
    country: Option<&'a str>,
    asn: Option<u32>,
    as_name: Option<&'a str>,
    requests: u64,
    first: String,
    last: String,
    kinds: Vec<JsonReason<'a>>,
}

#[derive(Serialize)]
struct JsonReason<'a> {
    kind: &'a str,
    title: &'a str,
    category: &'a str,
    requests: u64,
    last: String,
}

impl Options {
    /// Reads a query. `category` may occur more than once, and may have several names separated by
    /// commas.
    ///
    /// # Errors
    /// A name or a value is invalid. The error is a sentence for the visitor.
    pub(crate) fn read(query: &str, now: Timestamp) -> Result<Self, String> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|error| error.to_string())?;
        let mut options = Self {
            categories: Vec::new(),
            min: 1,
            since: None,
        };
        for (name, value) in pairs {
            let value = value.trim();
            match name.as_str() {
                _ if value.is_empty() => {}
                "category" => {
                    for name in value.split(',') {
                        options.categories.push(category(name.trim())?);
                    }
                }
                "min" => options.min = min(value)?,
                "since" => {
                    let since = moment(value, now).map_err(|error| format!("since: {error}"))?;
                    options.since = Some(since);
                }
                _ => return Err("unknown parameter".to_owned()),
            }
        }
        if options.categories.is_empty() {
            options.categories = ATTACKS.to_vec();
        }
        options.categories.sort_unstable();
        options.categories.dedup();
        Ok(options)
    }
}

fn category(name: &str) -> Result<Category, String> {
    let mut all = Category::ALL.into_iter();
    let found = all.find(|it| it.name().eq_ignore_ascii_case(name));
    match found {
        Some(category) if POLITE.contains(&category) => Err(format!(
            "category: senders of {} say who they are, and are never listed",
            category.name()
        )),
        Some(category) => Ok(category),
        None => {
            let mut names = Category::ALL.to_vec();
            names.retain(|it| !POLITE.contains(it));
            let names: Vec<_> = names.into_iter().map(Category::name).collect();
            Err(format!("category: expected some of {}", names.join(",")))
        }
    }
}

fn min(value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("min: expected a number from 1".to_owned()),
    }
}

/// Returns a list. It has the same bytes for the same addresses, so that clients that poll can be
/// told that nothing has changed.
pub(crate) fn list(
    listed: &[Listed],
    is_whole: bool,
    options: &Options,
    format: Format,
) -> Vec<u8> {
    match format {
        Format::Text => text(listed).into_bytes(),
        Format::Csv => csv(listed).into_bytes(),
        Format::Json => json(listed, is_whole, options),
    }
}

fn text(listed: &[Listed]) -> String {
    let mut lines = String::new();
    for it in listed {
        lines.push_str(&it.address.to_string());
        lines.push('\n');
    }
    lines
}

fn json(listed: &[Listed], is_whole: bool, options: &Options) -> Vec<u8> {
    let list = Json {
        categories: &options.categories,
        min: options.min,
        complete: is_whole,
        sources: listed.iter().map(JsonSource::new).collect(),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

impl<'a> JsonSource<'a> {
    fn new(listed: &'a Listed) -> Self {
        Self {
            address: listed.address.to_string(),
            country: listed.country.as_deref(),
            asn: listed.asn,
            as_name: listed.as_name.as_deref(),
            requests: listed.requests,
            first: rfc3339::micros(listed.first),
            last: rfc3339::micros(listed.last),
            kinds: listed.reasons.iter().map(JsonReason::new).collect(),
        }
    }
}

impl<'a> JsonReason<'a> {
    fn new(reason: &'a Reason) -> Self {
        Self {
            kind: &reason.kind,
            title: &reason.title,
            category: &reason.category,
            requests: reason.requests,
            last: rfc3339::micros(reason.last),
        }
    }
}

fn csv(listed: &[Listed]) -> String {
    let mut lines = String::from("address,country,asn,as_name,requests,first,last,kinds\r\n");
    for it in listed {
        let mut kinds = Vec::new();
        for reason in &it.reasons {
            kinds.push(format!("{} ({})", reason.kind, reason.requests));
        }
        let fields = [
            it.address.to_string(),
            it.country.clone().unwrap_or_default(),
            it.asn.map(|asn| asn.to_string()).unwrap_or_default(),
            it.as_name.clone().unwrap_or_default(),
            it.requests.to_string(),
            rfc3339::micros(it.first),
            rfc3339::micros(it.last),
            kinds.join("; "),
        ];
        lines.push_str(&fields.map(|text| field(&text)).join(","));
        lines.push_str("\r\n");
    }
    lines
}

/// Quotes a field if necessary, and keeps spreadsheets from reading it as a formula
/// (https://owasp.org/www-community/attacks/CSV_Injection).
fn field(text: &str) -> String {
    let text = if text.starts_with(FORMULA) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains(['"', ',', ';', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Options, String> {
        Options::read(query, "2031-05-04T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_query_says_which_reasons_count() {
        assert_eq!(read("").unwrap().categories, ATTACKS);
        assert_eq!(read("category=&min=").unwrap(), read("").unwrap());
        let options = read("category=iot,Exploit&category=recon&min=3&since=24h").unwrap();
        let expected = Options {
            categories: vec![Category::Exploit, Category::Iot, Category::Recon],
            min: 3,
            since: Some("2031-05-03T00:00:00Z".parse().unwrap()),
        };
        assert_eq!(options, expected);
        for (query, error) in [
            ("category=crawler", "say who they are"),
            ("category=exploit,x", "expected some of exploit,webshell"),
            ("category=unrecognised", "expected some of"),
            ("min=0", "expected a number"),
            ("min=-1", "expected a number"),
            ("since=x", "since: expected a time"),
        ] {
            let found = read(query).unwrap_err();
            assert!(found.contains(error), "{query}: {found}");
        }
    }

    #[test]
    fn no_field_is_a_formula_or_ends_early() {
        for (text, written) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("@x,y", "\"'@x,y\""),
            ("-2", "'-2"),
            ("a \"b\"", "\"a \"\"b\"\"\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("", ""),
        ] {
            assert_eq!(field(text), written);
        }
    }

    #[test]
    fn each_form_has_each_address() {
        let now = Timestamp::UNIX_EPOCH;
        let listed = Listed {
            address: "2600::1".parse().unwrap(),
            country: Some("US".into()),
            asn: Some(64496),
            as_name: Some("=cmd, Inc.".into()),
            requests: 3,
            first: now,
            last: now,
            reasons: vec![Reason {
                kind: "dotenv-file".into(),
                title: "Environment file".into(),
                category: "secrets".into(),
                requests: 3,
                last: now,
            }],
        };
        let made = |format| {
            let list = list(
                std::slice::from_ref(&listed),
                true,
                &read("").unwrap(),
                format,
            );
            String::from_utf8(list).unwrap()
        };
        assert_eq!(made(Format::Text), "2600::1\n");
        let csv = made(Format::Csv);
        let line = csv.lines().nth(1).unwrap();
        assert_eq!(
            line,
            "2600::1,US,64496,\"'=cmd, Inc.\",3,1970-01-01T00:00:00.000000Z,1970-01-01T00:00:00.000000Z,dotenv-file (3)"
        );
        let json: serde_json::Value = serde_json::from_str(&made(Format::Json)).unwrap();
        assert_eq!(json["sources"][0]["kinds"][0]["kind"], "dotenv-file");
        assert_eq!(json["complete"], true);
    }
}
