//! The name of a command, as a shell reads it.
//!
//! In: the bytes from where a command may begin. Out: its name, without quotes, escapes, empty
//! variables and its path; and whether the bytes behind it are what a command has there.

use super::place::Place;
use super::words::{COMMANDS, COUNTING, REACHING, SENTENCES, TOOLS, WORDS};
use crate::slice::{equals_one, run, starts_with_one};

/// Longest name of a command with its path.
const MAX_NAME_BYTES: usize = 48;

/// The name of a command, without its path and the signs that hide it.
pub(super) struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    from: usize,
    to: usize,
    /// Number of bytes that the name takes in the value.
    pub(super) length: usize,
    pub(super) has_tricks: bool,
    pub(super) has_path: bool,
}

impl Name {
    pub(super) fn read(rest: &[u8]) -> Self {
        let mut name = Self {
            bytes: [0; MAX_NAME_BYTES],
            from: 0,
            to: 0,
            length: 0,
            has_tricks: false,
            has_path: false,
        };
        while name.to < MAX_NAME_BYTES
            && let Some(step) = name.step(&rest[name.length..])
        {
            name.length += step;
        }
        name
    }

    /// Reads one letter of the name, or something that a shell drops.
    fn step(&mut self, rest: &[u8]) -> Option<usize> {
        let is_letter = |at: usize| rest.get(at).is_some_and(u8::is_ascii_alphanumeric);
        match *rest {
            [byte @ (b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'), ..] => {
                self.push(byte);
                Some(1)
            }
            [b'/', ..] => {
                (self.from, self.has_path) = (self.to, true);
                Some(1)
            }
            [a @ (b'\'' | b'"' | b'`'), b, ..] if a == b && self.to > 0 && is_letter(2) => {
                self.trick(2)
            }
            [b'\'' | b'"', ..] if self.is_split(rest) => self.trick(1),
            [b'\\' | b'^', ..] if is_letter(1) => self.trick(1),
            // Empty variables ($@, $1, $u and the like), and commands that print nothing.
            [
                b'$',
                b'@' | b'*' | b'-' | b'_' | b'!' | b'?' | b'$' | b'0'..=b'9' | b'u',
                ..,
            ] if self.to > 0 => self.trick(2),
            [b'$' | b'>' | b'<', b'(', b')', ..] if self.to > 0 => self.trick(3),
            [b'{', b'}', ..] | [b'`', b'`', ..] if self.to > 0 => self.trick(2),
            [b'?', ..] if self.has_path => {
                self.push(b'?');
                self.has_tricks = true;
                Some(1)
            }
            _ => None,
        }
    }

    /// Tells whether a quote stands within a name: `w'g'et`, `"c"at`.
    fn is_split(&self, rest: &[u8]) -> bool {
        let letters = run(&rest[1..], u8::is_ascii_alphanumeric);
        let is_closed = rest.get(letters + 1) == Some(&rest[0]);
        let goes_on = rest.get(letters + 2).is_some_and(u8::is_ascii_alphanumeric);
        let is_inside = self.has_tricks && letters == 0;
        letters <= 10 && is_closed && letters > 0 && (goes_on || self.to > self.from || letters > 2)
            || self.has_tricks && rest.get(1).is_some_and(u8::is_ascii_alphanumeric)
            || is_inside && is_end(&rest[1..])
    }

    fn trick(&mut self, length: usize) -> Option<usize> {
        self.has_tricks = true;
        Some(length)
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.to) {
            *place = byte;
            self.to += 1;
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    pub(super) fn is_command(&self) -> bool {
        COMMANDS.iter().any(|known| self.is(known))
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_command() || WORDS.iter().any(|known| self.is(known))
    }

    /// Tells whether this is a known name. `?` in a path is any letter, if at least one other
    /// letter is given.
    fn is(&self, known: &str) -> bool {
        let text = self.text();
        if text.len() != known.len() {
            return false;
        }
        let mut has_letter = false;
        for (mine, theirs) in text.iter().zip(known.as_bytes()) {
            if *mine != b'?' {
                has_letter = true;
                if mine != theirs {
                    return false;
                }
            }
        }
        has_letter
    }

    /// Tells whether the name is a command, by the bytes that follow it and by its place.
    pub(super) fn is_run(&self, rest: &[u8], place: &Place) -> bool {
        if !self.is_known() {
            return false;
        }
        let is_at_end = is_end(rest);
        if self.has_tricks || self.has_path {
            return is_at_end || b"$%{\"'+".contains(&rest[0]);
        }
        let argument = rest.trim_ascii_start();
        let has_gap = argument.len() < rest.len();
        let ends = argument
            .first()
            .is_none_or(|byte| b";|&`)<>#\"'\n,}".contains(byte));
        let is_given = has_gap && self.takes(argument, place);
        if place.is_substitution {
            return is_at_end && (ends || self.is_command() || is_given);
        }
        if place.is_in_brace && rest.starts_with(b",") {
            return self.takes(&rest[1..], place);
        }
        let is_alone = ends && is_at_end && self.stands_alone(place);
        if !self.is_command() {
            return is_alone || is_given;
        }
        if place.is_apart() {
            let is_wrapper = has_gap && Self::read(argument).is_command();
            return is_alone || is_given || is_wrapper || has_gap && is_dotted(argument);
        }
        is_alone || is_at_end && !ends && has_gap || b"$%{".contains(rest.first().unwrap_or(&b' '))
    }

    /// Tells whether the name, without an argument, is a command in this place, and not a word of a
    /// sentence, a list or a heading.
    fn stands_alone(&self, place: &Place) -> bool {
        let is_sentence = place.is_apart() && equals_one(self.text(), &SENTENCES);
        let is_listed = place.is_behind_word && equals_one(self.text(), &TOOLS);
        let is_heading = place.is_heading && !self.is_command();
        !is_sentence && !is_listed && !is_heading
    }

    /// Tells whether the argument is one that commands have and sentences do not.
    fn takes(&self, argument: &[u8], place: &Place) -> bool {
        if place.is_line && !self.is_command() {
            return is_option(argument) || matches!(argument, [b'/' | b'$', ..]);
        }
        if argument.first().is_some_and(u8::is_ascii_digit) {
            let is_echo = !place.is_apart() && matches!(self.text(), b"echo" | b"printf");
            return place.is_substitution
                || is_echo
                || equals_one(self.text(), &COUNTING)
                || self.reaches(argument);
        }
        is_argument(argument) || self.reaches(argument)
    }

    fn reaches(&self, argument: &[u8]) -> bool {
        equals_one(self.text(), &REACHING) && is_dotted(argument)
    }
}

/// Tells whether the argument is an option, a path, a variable or an address.
fn is_argument(argument: &[u8]) -> bool {
    match *argument {
        _ if is_option(argument) => true,
        [b'/' | b'$' | b'~' | b'*' | b'`', ..] => true,
        [b'.', b'/' | b'.', ..] => true,
        [b'c', b':', b'/' | b'\\', ..] => true,
        _ => starts_with_one(argument, &["http:", "https:", "etc/"]),
    }
}

fn is_option(argument: &[u8]) -> bool {
    matches!(argument, [b'-', b'a'..=b'z' | b'0'..=b'9' | b'-', ..])
}

/// Tells whether a word begins here that has a dot in it, as names of files and machines have.
fn is_dotted(argument: &[u8]) -> bool {
    let length = run(argument, |byte| {
        byte.is_ascii_alphanumeric() || b".-_".contains(byte)
    });
    let word = &argument[..length];
    word.windows(3).any(|three| {
        three[1] == b'.' && three[0].is_ascii_alphanumeric() && three[2].is_ascii_alphanumeric()
    })
}

/// Tells whether the name ends here: nothing follows, or a space or sign that ends a name.
pub(super) fn is_end(rest: &[u8]) -> bool {
    rest.first()
        .is_none_or(|byte| b" \t\r\n;|&`)<>,}+".contains(byte))
}
