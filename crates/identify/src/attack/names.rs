//! The kinds of attack that a parser recognises, by the names that signatures call them by.
//!
//! In: a name in a signature's `match.attack`. Out: an [`Attack`]. Looks at no request: the
//! program's build reads these names as well.

use serde::Deserialize;

/// Longest literal that stands for a kind of attack: of longer ones, so much is looked for.
const MAX_LITERAL_BYTES: usize = 8;

/// A kind of attack.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// Database commands in a value.
    Sql,
    /// Shell commands in a value.
    Shell,
    /// A way out of a folder, or to a file of the system.
    Path,
    /// Sums and calls between the marks of a template language.
    Template,
    /// Script code for a browser.
    Script,
    /// An address that only the server itself reaches, or a scheme that browsers do not have.
    Address,
    /// A foreign address where the name of a page belongs.
    Include,
    /// A program file that is sent to be stored.
    Upload,
    /// A token that says that it is not signed.
    Token,
    /// An XML entity that is a file or an address.
    Entity,
    /// A stored object of Java.
    JavaObject,
    /// A stored object of .NET.
    DotnetObject,
    /// A stored object of PHP.
    PhpObject,
    /// A stored object of Python or Ruby.
    PythonObject,
    /// A stored object of Node.js, with a function in it.
    NodeObject,
    /// Program text in PHP.
    PhpCode,
    /// Program text in Java, or its class names.
    JavaCode,
    /// Program text in JavaScript, for a server.
    NodeCode,
}

impl Attack {
    /// Returns the literal that stands for the kind where signatures are chosen by literals.
    ///
    /// It begins with a byte that no name or word has. A request that holds it all the same has one
    /// more signature tried on it, which then does not apply.
    pub(crate) fn literal(self) -> String {
        let mut literal = format!("\u{1}{self:?}").to_ascii_lowercase();
        literal.truncate(MAX_LITERAL_BYTES);
        literal
    }
}
