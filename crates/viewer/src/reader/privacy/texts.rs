//! A text to hide, in the ways that senders write it.
//!
//! In: addresses and names. Out: byte strings to look for, and what to put in their place. Encodings are undone
//! elsewhere: see `blank`.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What stands for a byte of a hidden text.
pub(super) const FILLER: u8 = b'x';
/// Shorter texts are in everything.
const MIN_TEXT_BYTES: usize = 4;
/// Longer ones are no names: RFC 1035, 2.3.4.
const MAX_TEXT_BYTES: usize = 255;
/// More than one machine has names and addresses.
const MAX_TEXTS: usize = 64;
/// Octets of zero that make an address in four bytes too like a length or a count.
const MANY_ZEROS: usize = 2;

/// The texts that an operator wants hidden, as `--hide` lists them.
#[derive(Clone, Default)]
pub struct Hidden {
    texts: Option<Arc<Texts>>,
    count: usize,
}

impl Hidden {
    pub(super) fn texts(&self) -> Option<&Texts> {
        self.texts.as_deref()
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl FromStr for Hidden {
    type Err = String;

    /// Reads texts between commas; nothing at all hides nothing.
    fn from_str(list: &str) -> Result<Self, String> {
        if list.trim().is_empty() {
            return Ok(Self::default());
        }
        let texts: Vec<_> = list.split(',').map(str::trim).collect();
        for text in &texts {
            if !(MIN_TEXT_BYTES..=MAX_TEXT_BYTES).contains(&text.len()) {
                return Err(format!(
                    "expected texts of {MIN_TEXT_BYTES} to {MAX_TEXT_BYTES} bytes, not {text:?}"
                ));
            }
        }
        if texts.len() > MAX_TEXTS {
            return Err(format!(
                "expected at most {MAX_TEXTS} texts, not {}",
                texts.len()
            ));
        }
        let forms = texts.iter().flat_map(|text| match text.parse() {
            Ok(address) => of_address(address),
            Err(_) => of_text(text),
        });
        Ok(Self {
            texts: Some(Arc::new(Texts::new(forms.collect(), None))),
            count: texts.len(),
        })
    }
}

/// Finds texts in any of their forms, in any case (ASCII).
pub(super) struct Texts {
    finder: AhoCorasick,
    /// By the number of the form: as long as what is found.
    fillers: Vec<Vec<u8>>,
}

/// What to look for, and what to put there.
struct Form {
    find: Vec<u8>,
    put: Vec<u8>,
}

impl Texts {
    /// Takes an address.
    pub(super) fn of_address(address: IpAddr) -> Self {
        // The kind that is built in no time: there is one for each record.
        Self::new(of_address(address), Some(AhoCorasickKind::NoncontiguousNFA))
    }

    fn new(forms: Vec<Form>, kind: Option<AhoCorasickKind>) -> Self {
        let (find, fillers): (Vec<_>, Vec<_>) =
            forms.into_iter().map(|form| (form.find, form.put)).unzip();
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(kind)
            .build(find);
        Self {
            finder: finder.expect("a few thousand short forms fit"),
            fillers,
        }
    }

    /// Blanks the texts in `bytes`, as they are; tells whether there were any.
    pub(super) fn blank(&self, bytes: &mut [u8]) -> bool {
        let found: Vec<_> = self.finder.find_iter(&*bytes).collect();
        for found in &found {
            bytes[found.range()].copy_from_slice(&self.fillers[found.pattern().as_usize()]);
        }
        !found.is_empty()
    }
}

/// A text as it is, as a name in a DNS message (RFC 1035, 3.1: a length instead of each dot), and in UTF-16,
/// whose bytes have a NUL between them in either order.
fn of_text(text: &str) -> Vec<Form> {
    let joined = |parts: Vec<&[u8]>, between: &dyn Fn(&[u8]) -> u8| {
        let (mut find, mut put) = (Vec::new(), Vec::new());
        for (index, part) in parts.into_iter().enumerate() {
            let between = (index > 0).then(|| between(part));
            find.extend(between.into_iter().chain(part.iter().copied()));
            // What is between stays: it is the same for other texts.
            put.extend(between.into_iter().chain(part.iter().map(|_| FILLER)));
        }
        Form { find, put }
    };
    let bytes = text.as_bytes();
    let labels: Vec<_> = bytes.split(|&byte| byte == b'.').collect();
    let mut forms = vec![
        joined(vec![bytes], &|_| 0),
        joined(bytes.chunks(1).collect(), &|_| 0),
    ];
    if labels.len() > 1 {
        forms.push(joined(labels, &|label| label.len() as u8));
    }
    forms
}

/// An address in the ways that it is written, and as its bytes on the wire, in whose place are zeros.
fn of_address(address: IpAddr) -> Vec<Form> {
    let address = address.to_canonical();
    let (texts, wire) = match address {
        IpAddr::V4(ip) => {
            let octets = ip.octets();
            let in_dots = |octets: [String; 4]| octets.join(".");
            let reversed = in_dots(
                [octets[3], octets[2], octets[1], octets[0]].map(|octet| octet.to_string()),
            );
            let texts = vec![
                ip.to_string(),
                ip.to_string().replace('.', "-"),
                ip.to_string().replace('.', "_"),
                // As in in-addr.arpa, and as providers name their customers.
                reversed.replace('.', "-"),
                reversed,
                // As inet_aton reads them, which filters against SSRF often do not.
                in_dots(octets.map(|octet| format!("0x{octet:x}"))),
                in_dots(octets.map(|octet| format!("0x{octet:02x}"))),
                in_dots(octets.map(|octet| {
                    if octet == 0 {
                        "0".to_owned()
                    } else {
                        format!("0{octet:o}")
                    }
                })),
                in_dots(octets.map(|octet| format!("{octet:04o}"))),
                ip.to_bits().to_string(),
                format!("{:08x}", ip.to_bits()),
                // RFC 4291, 2.5.5.2, without dots: ::ffff:cb00:7107.
                format!("ffff:{:x}:{:x}", ip.to_bits() >> 16, ip.to_bits() & 0xffff),
            ];
            let wire = octets.iter().filter(|&&octet| octet == 0).count() < MANY_ZEROS;
            (texts, wire.then(|| octets.to_vec()))
        }
        IpAddr::V6(ip) => {
            let groups = ip.segments();
            let whole = groups.map(|group| format!("{group:04x}")).join(":");
            let nibbles: Vec<_> = whole
                .chars()
                .rev()
                .filter(|&char| char != ':')
                .map(String::from)
                .collect();
            let short = groups.map(|group| format!("{group:x}")).join(":");
            let texts = vec![
                ip.to_string(),
                ip.to_string().replace(':', "-"),
                short,
                nibbles.join("."),
                whole,
            ];
            (texts, Some(ip.octets().to_vec()))
        }
    };
    let wire = wire.map(|find| Form {
        put: vec![0; find.len()],
        find,
    });
    texts
        .iter()
        .flat_map(|text| of_text(text))
        .chain(wire)
        .collect()
}
