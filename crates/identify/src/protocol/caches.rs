//! Caches, and stores in which other programs keep their state.

use std::ops::RangeInclusive;

use super::reading::{
    Found, big, find, found_with, is_number, is_one_of, is_only_line, is_text, line, lines, need,
    until_nul, words,
};

/// Commands of Redis as a line of text, and how many arguments each takes: with so few arguments,
/// the line is no sentence.
const REDIS_COMMANDS: &[(&str, RangeInclusive<usize>)] = &[
    ("INFO", 0..=1),
    ("PING", 0..=0),
    ("COMMAND", 0..=1),
    ("KEYS", 1..=1),
    ("FLUSHALL", 0..=1),
    ("FLUSHDB", 0..=1),
    ("DBSIZE", 0..=0),
    ("SAVE", 0..=0),
    ("BGSAVE", 0..=0),
    ("LASTSAVE", 0..=0),
    ("MONITOR", 0..=0),
    ("RANDOMKEY", 0..=0),
    ("SLAVEOF", 2..=2),
    ("REPLICAOF", 2..=2),
    ("PSYNC", 2..=2),
];
/// Commands of Redis, and their second words.
const REDIS_SUBCOMMANDS: &[(&str, &[&str])] = &[
    ("CONFIG", &["GET", "SET", "REWRITE", "RESETSTAT"]),
    (
        "CLIENT",
        &["LIST", "INFO", "ID", "KILL", "SETNAME", "SETINFO"],
    ),
    ("MODULE", &["LIST", "LOAD", "LOADEX", "UNLOAD"]),
    ("CLUSTER", &["INFO", "NODES", "SLOTS"]),
    ("ACL", &["WHOAMI", "LIST", "CAT", "SETUSER"]),
    ("REPLCONF", &["CAPA", "LISTENING-PORT", "ACK"]),
    ("SLOWLOG", &["GET", "LEN"]),
];
/// Commands of memcached (`memcached/doc/protocol.txt`); all are in lower case.
const MEMCACHED_STORES: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];
const MEMCACHED_WITH_KEY: [&[u8]; 7] = [b"get", b"gets", b"delete", b"gat", b"mg", b"md", b"me"];
const MEMCACHED_ALONE: [&[u8]; 5] = [b"stats", b"version", b"flush_all", b"verbosity", b"mn"];
/// Longest key that has only letters; longer ones are words.
const MAX_PLAIN_KEY_BYTES: usize = 3;
/// ZooKeeper Administrator's Guide, "The Four Letter Words".
const FOUR_LETTER_WORDS: [&[u8]; 16] = [
    b"ruok", b"stat", b"srvr", b"conf", b"cons", b"envi", b"mntr", b"wchs", b"wchc", b"wchp",
    b"dump", b"crst", b"srst", b"isro", b"dirs", b"gtmk",
];

/// Redis serialization protocol specification: an array of bulk strings.
pub(super) fn redis(bytes: &[u8]) -> Option<Found> {
    let count = line(bytes).strip_prefix(b"*")?;
    let size = lines(bytes).nth(1)?.strip_prefix(b"$")?;
    need(is_number(count) && is_number(size))?;
    // Before each string, a line has its length.
    let arguments: Vec<&[u8]> = lines(bytes).skip(1).collect();
    let arguments: Vec<&[u8]> = arguments
        .chunks(2)
        .filter_map(|pair| pair.get(1).copied())
        .collect();
    found_with(
        line(bytes).len(),
        [b"COMMAND: ", arguments.join(&b" "[..]).trim_ascii_end()].concat(),
    )
}

/// Redis protocol specification, "Inline commands": words on a line, in any case.
pub(super) fn redis_line(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (command, values) = words.split_first()?;
    let takes = |(name, count): &(&str, RangeInclusive<usize>)| {
        command.eq_ignore_ascii_case(name.as_bytes()) && count.contains(&values.len())
    };
    let has = |(name, seconds): &(&str, &[&str])| {
        command.eq_ignore_ascii_case(name.as_bytes())
            && values.first().is_some_and(|word| is_one_of(word, seconds))
    };
    // HELLO with a version of the protocol; people type `hello world`.
    let is_hello =
        command.eq_ignore_ascii_case(b"HELLO") && values.first().is_some_and(|it| is_number(it));
    let is_set = *command == b"SET" && (values.len() == 2 || is_quoted(values.get(1..)?));
    let is_auth = command.eq_ignore_ascii_case(b"AUTH") && is_password(values);
    need(
        is_text(bytes)
            && (is_set
                || is_hello
                || is_auth
                || REDIS_COMMANDS.iter().any(takes)
                || REDIS_SUBCOMMANDS.iter().any(has)),
    )?;
    // NATS has an INFO too, with a JSON object behind it.
    need(values.iter().all(|value| !value.starts_with(b"{")))?;
    found_with(command.len(), [b"COMMAND: ", line(bytes)].concat())
}

/// Tells whether the arguments of AUTH are a password, or a user and a password. Two plain words
/// may be a sentence, and one may be an authentication method of a mail protocol. So one of them
/// must be no plain word, or be a typical value of Redis.
fn is_password(values: &[&[u8]]) -> bool {
    let is_plain = |value: &&[u8]| value.iter().all(u8::is_ascii_alphabetic);
    match values {
        [password] => !is_plain(password) || *password == b"foobared",
        [user, password] => *user == b"default" || !is_plain(password),
        _ => false,
    }
}

/// Tells whether the words are one quoted string.
fn is_quoted(words: &[&[u8]]) -> bool {
    let (first, last) = (words.first(), words.last());
    let (first, last) = (
        first.and_then(|it| it.first()),
        last.and_then(|it| it.last()),
    );
    first == last && matches!(first, Some(b'"' | b'\''))
}

/// `memcached/doc/protocol.txt`: a command in lower case with the arguments that it must have; over
/// UDP, eight bytes stand before it.
pub(super) fn memcached(bytes: &[u8]) -> Option<Found> {
    let (start, text) = match bytes {
        [_, _, 0, 0, 0, 1, 0, 0, text @ ..] => (8, text),
        _ => (0, bytes),
    };
    let words = words(text);
    let (command, values) = words.split_first()?;
    let is_memcached = match values {
        [] => MEMCACHED_ALONE.contains(command),
        [_key, numbers @ ..] if MEMCACHED_STORES.contains(command) => {
            let numbers = numbers.strip_suffix(&[&b"noreply"[..]]).unwrap_or(numbers);
            (3..=4).contains(&numbers.len()) && numbers.iter().all(|number| is_number(number))
        }
        [what, ..] if *command == b"stats" => what.iter().all(u8::is_ascii_lowercase),
        [value, ..] if *command == b"flush_all" || *command == b"verbosity" => is_number(value),
        [_key, by] if *command == b"incr" || *command == b"decr" || *command == b"touch" => {
            is_number(by)
        }
        keys => MEMCACHED_WITH_KEY.contains(command) && are_keys(keys),
    };
    need(is_memcached && is_text(line(text)))?;
    found_with(start + command.len(), line(text))
}

/// Tells whether the words are keys and no sentence, as `get something` is: a single key is short,
/// or has a sign or digit; several are not all plain words.
fn are_keys(words: &[&[u8]]) -> bool {
    let is_plain = |word: &&[u8]| word.iter().all(u8::is_ascii_alphabetic);
    match words {
        [key] => !is_plain(key) || key.len() <= MAX_PLAIN_KEY_BYTES,
        _ => !words.iter().all(is_plain),
    }
}

/// memcached, "BinaryProtocolRevamped": 0x80, a command, the length of the body, which covers key
/// and extras, and no data type. Returns the command.
fn binary_command(bytes: &[u8]) -> Option<u8> {
    let (&[0x80, command, ..], body) = bytes.split_first_chunk::<24>()? else {
        return None;
    };
    let (key, extras, total) = (big(bytes, 2..4)?, big(bytes, 4..5)?, big(bytes, 8..12)?);
    (*bytes.get(5)? == 0 && key + extras <= total && total == body.len() && key <= 250)
        .then_some(command)
}

pub(super) fn memcached_binary(bytes: &[u8]) -> Option<Found> {
    let command = binary_command(bytes).filter(|command| *command <= 0x1e)?;
    found_with(24, format!("binary, command {command:#04x}"))
}

/// Couchbase's commands beyond those of memcached: hello, SASL, and all others above 0x1e.
pub(super) fn couchbase(bytes: &[u8]) -> Option<Found> {
    let command = binary_command(bytes).filter(|command| *command > 0x1e)?;
    found_with(24, format!("command {command:#04x}"))
}

/// Elasticsearch, `TcpHeader`: `ES` and the length of what follows.
pub(super) fn elasticsearch(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"ES") && big(bytes, 2..6)? + 6 == bytes.len())?;
    found_with(
        6,
        find(bytes, b"internal:")
            .and_then(|at| bytes.get(at..))
            .map(until_nul)
            .unwrap_or_default(),
    )
}

/// ZooKeeper, "Four Letter Words": one of these words and nothing else; or a `ConnectRequest` with
/// its password of 16 bytes.
pub(super) fn zookeeper(bytes: &[u8]) -> Option<Found> {
    if let Some(word) = FOUR_LETTER_WORDS
        .into_iter()
        .find(|word| is_only_line(bytes, word))
    {
        return found_with(4, word);
    }
    need(
        matches!(big(bytes, 0..4)?, 44 | 45) && big(bytes, 4..8)? == 0 && big(bytes, 28..32)? == 16,
    )?;
    need(bytes.len() >= 48)?;
    found_with(8, "connect")
}
