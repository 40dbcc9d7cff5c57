//! The kinds of attack that parsers recognise, with their names in signatures.
//!
//! In: a name in the `match.attack` of a signature. Out: an [`Attack`]. Looks at no request, so
//! that `build.rs` can use it too.

use serde::Deserialize;

/// Longest literal of a kind; longer ones are cut.
const MAX_LITERAL_BYTES: usize = 8;

/// A kind of attack.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// Database commands in a value.
    Sql,
    /// Shell commands in a value.
    Shell,
    /// Steps out of a folder, or the path of a system file.
    Path,
    /// Calculations and calls between the marks of a template language.
    Template,
    /// Script code for a browser.
    Script,
    /// An address that only the server itself can reach, or a scheme that browsers do not know.
    Address,
    /// A foreign address in place of the name of a page.
    Include,
    /// The upload of a program file.
    Upload,
    /// A token that says that it is not signed.
    Token,
    /// An XML entity that loads a file or an address.
    Entity,
    /// A serialised Java object.
    JavaObject,
    /// A serialised .NET object.
    DotnetObject,
    /// A serialised PHP object.
    PhpObject,
    /// A serialised Python or Ruby object.
    PythonObject,
    /// A serialised Node.js object with a function in it.
    NodeObject,
    /// Program text in PHP.
    PhpCode,
    /// Program text in Java, or its class names.
    JavaCode,
    /// Program text in JavaScript, for a server.
    NodeCode,
}

impl Attack {
    /// Returns a literal for this kind: signatures are chosen by literals, and this one counts as
    /// seen when a parser finds the kind.
    ///
    /// It begins with a byte that no name or word has. If a request contains it by chance, one more
    /// signature is tried, and does not apply.
    pub(crate) fn literal(self) -> String {
        let mut literal = format!("\u{1}{self:?}").to_ascii_lowercase();
        literal.truncate(MAX_LITERAL_BYTES);
        literal
    }
}
