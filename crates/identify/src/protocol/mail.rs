//! Mail and chat.

use super::reading::{
    Found, find, found_line, found_with, is_graphic, is_one_of, is_text, line, lines, need, words,
};

/// RFC 5321, 4.1.1; RFC 2033 for `LHLO`. `STARTTLS` (RFC 3207) is missing because no client begins
/// with it.
pub(super) fn smtp(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (verb, values) = words.split_first()?;
    let is_smtp = match values {
        [] => is_one_of(verb, &["EHLO", "HELO", "LHLO"]),
        [_] if is_one_of(verb, &["EHLO", "HELO", "LHLO"]) => true,
        [method, ..] if is_one_of(verb, &["AUTH"]) => {
            is_one_of(method, &["LOGIN", "PLAIN", "CRAM-MD5", "NTLM"])
        }
        [path, ..] if is_one_of(verb, &["MAIL"]) => path.to_ascii_uppercase().starts_with(b"FROM:"),
        [path, ..] if is_one_of(verb, &["RCPT"]) => path.to_ascii_uppercase().starts_with(b"TO:"),
        _ => false,
    };
    need(is_smtp)?;
    found_line(bytes)
}

/// RFC 1939, 3 and RFC 2449: commands that only POP3 has; or `USER`, which FTP has too, with the
/// name of a mailbox or with commands of POP3 behind it.
pub(super) fn pop3(bytes: &[u8]) -> Option<Found> {
    let first = words(bytes);
    let (verb, values) = first.split_first()?;
    let is_pop3 = match values {
        [] => is_one_of(verb, &["CAPA", "STLS", "UIDL"]),
        [_, _] => is_one_of(verb, &["APOP"]),
        // The name of a mailbox; few users of FTP have one.
        [user] if is_one_of(verb, &["USER"]) && user.contains(&b'@') => true,
        [_] if is_one_of(verb, &["USER"]) => {
            let commands = lines(bytes).skip(1).map(words);
            commands.into_iter().any(|words| {
                words.first().is_some_and(|verb| {
                    is_one_of(verb, &["STAT", "UIDL", "RETR", "DELE", "TOP", "CAPA"])
                })
            })
        }
        _ => false,
    };
    need(is_pop3 && is_text(bytes))?;
    found_line(bytes)
}

/// RFC 9051, 6: a tag and a command. Most commands need a digit in the tag, so that it is no verb
/// of another protocol.
pub(super) fn imap(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (tag, [command, values @ ..]) = words.split_first()? else {
        return None;
    };
    need(tag.len() <= 16 && tag.iter().all(u8::is_ascii_alphanumeric))?;
    let has_digit = tag.iter().any(u8::is_ascii_digit);
    let is_imap = match values {
        [] if has_digit => is_one_of(command, &["NOOP", "LOGOUT", "CAPABILITY", "STARTTLS"]),
        [] => is_one_of(command, &["CAPABILITY"]),
        [_, _] if is_one_of(command, &["LOGIN"]) => has_digit || tag.len() == 1,
        _ => {
            has_digit
                && is_one_of(
                    command,
                    &["AUTHENTICATE", "SELECT", "EXAMINE", "LIST", "ID"],
                )
        }
    };
    need(is_imap)?;
    found_line(bytes)
}

/// RFC 2812, 3.1: `NICK` or `PASS` with `USER` behind it, `USER` with four arguments, or a command
/// that only IRC has. IRCv3, "tls": `STARTTLS` before everything else.
pub(super) fn irc(bytes: &[u8]) -> Option<Found> {
    // Messages between programs (CTCP) stand between two bytes 0x01.
    need(line(bytes).split(|&byte| byte == 1).all(is_text))?;
    let all: Vec<Vec<&[u8]>> = lines(bytes).take(8).map(words).collect();
    let begins =
        |line: &[&[u8]], verb: &str| line.first().is_some_and(|word| is_one_of(word, &[verb]));
    let first = all.first()?;
    let is_irc = match first.as_slice() {
        [verb] if is_one_of(verb, &["STARTTLS"]) => all.iter().skip(1).all(Vec::is_empty),
        [verb, _, mode, _, ..] if is_one_of(verb, &["USER"]) => is_graphic(mode),
        [verb, _] if is_one_of(verb, &["NICK", "PASS"]) => {
            all.iter()
                .skip(1)
                .any(|line| begins(line, "NICK") || (begins(line, "USER") && line.len() > 4))
                || (is_one_of(verb, &["NICK"]) && all.iter().skip(1).all(|line| line.is_empty()))
        }
        [verb, what, ..] if is_one_of(verb, &["CAP"]) => is_one_of(what, &["LS", "REQ", "END"]),
        [verb, channel, ..] if is_one_of(verb, &["JOIN"]) => channel.starts_with(b"#"),
        [verb, _, text, ..] if is_one_of(verb, &["PRIVMSG", "NOTICE"]) => text.starts_with(b":"),
        [verb, to, _, ..] if is_one_of(verb, &["PRIVMSG"]) => to.starts_with(b"#"),
        [verb, nick, mode, ..] if is_one_of(verb, &["MODE"]) => {
            is_graphic(nick) && mode.starts_with(b"+")
        }
        _ => false,
    };
    need(is_irc)?;
    let shown: Vec<&[u8]> = lines(bytes).filter(|line| !line.is_empty()).collect();
    found_with(line(bytes).len(), shown.join(&b", "[..]))
}

/// RFC 5804, 2: commands that only this protocol has, and commands whose arguments are in quotes.
pub(super) fn managesieve(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (verb, values) = words.split_first()?;
    let is_sieve = match values {
        [] => is_one_of(verb, &["CAPABILITY", "LISTSCRIPTS"]),
        [value, ..] => {
            let names = [
                "AUTHENTICATE",
                "GETSCRIPT",
                "SETACTIVE",
                "DELETESCRIPT",
                "CHECKSCRIPT",
                "PUTSCRIPT",
            ];
            is_one_of(verb, &names) && value.starts_with(b"\"")
        }
    };
    need(is_sieve && is_text(line(bytes)))?;
    found_line(bytes)
}

/// RFC 6120, 4.2: the element that opens a stream, with or without an XML declaration.
pub(super) fn xmpp(bytes: &[u8]) -> Option<Found> {
    need(bytes.trim_ascii_start().starts_with(b"<"))?;
    let start = find(bytes, b"<stream:stream")?;
    let element = bytes
        .get(start..)?
        .split_inclusive(|&byte| byte == b'>')
        .next()?;
    let detail = found_with(0, element)?.detail;
    Some(Found {
        evidence: start..start + b"<stream:stream".len(),
        detail,
    })
}
