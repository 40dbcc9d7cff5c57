//! Finds messages that the library cannot read, through the servers' API, and deletes them.
//!
//! In: a subject, and a number in the stream. Out: a stream whose next message after this number
//! can be read. The servers store headers as the sensor sent them. If headers are not valid, the
//! library ends its connection for good, so one message of one sensor would end collecting for all.

use async_nats::Client;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use crate::sensor::STREAM;

/// The servers' answer to a request for a message.
///
/// Protocol: NATS JetStream API, `io.nats.jetstream.api.v1.stream_msg_get_response`.
#[derive(Deserialize)]
struct Answer {
    message: Option<Stored>,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    /// The headers as the sensor sent them, in base64.
    hdrs: Option<String>,
}

/// Most messages that are deleted at once. That takes some seconds, in which nothing is collected.
const MOST_DELETED: u64 = 2000;

/// Deletes unreadable messages of a subject, which may have a wildcard. Looks at the messages after
/// the number `last` until `most_readable` of them could be read, and deletes all others before
/// that, but at most [`MOST_DELETED`]. Returns how many were deleted.
///
/// # Errors
/// The servers do not answer, or not as documented.
pub(crate) async fn delete_next(
    client: &Client,
    subject: &str,
    last: u64,
    most_readable: usize,
) -> anyhow::Result<u64> {
    let (mut deleted, mut read, mut from) = (0, 0, last + 1);
    while read < most_readable && deleted < MOST_DELETED {
        let Some(message) = next(client, subject, from).await? else {
            break;
        };
        let headers = BASE64_STANDARD.decode(message.hdrs.unwrap_or_default())?;
        if can_be_read(&headers) {
            read += 1;
        } else {
            delete(client, message.seq).await?;
            deleted += 1;
        }
        from = message.seq + 1;
    }
    if deleted > 0 {
        warn!(
            subject,
            deleted, "messages whose headers are not valid were deleted"
        );
    }
    Ok(deleted)
}

/// Returns the first message of a subject that has this number in the stream or a higher one.
async fn next(client: &Client, subject: &str, from: u64) -> anyhow::Result<Option<Stored>> {
    let question = json!({ "seq": from, "next_by_subj": subject }).to_string();
    let to = format!("$JS.API.STREAM.MSG.GET.{STREAM}");
    let answer = client.request(to, question.into()).await?;
    let answer: Answer = serde_json::from_slice(&answer.payload)?;
    Ok(answer.message)
}

async fn delete(client: &Client, number: u64) -> anyhow::Result<()> {
    let question = json!({ "seq": number }).to_string();
    let to = format!("$JS.API.STREAM.MSG.DELETE.{STREAM}");
    // If another hub has already deleted it, the answer is an error, which does not matter.
    client.request(to, question.into()).await?;
    Ok(())
}

/// Tells whether the library can read these headers. They are empty, or a line with the version and
/// then names and values. A status of three digits, and words, may follow the version.
fn can_be_read(headers: &[u8]) -> bool {
    if headers.is_empty() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(headers) else {
        return false;
    };
    let Some((version, lines)) = text.split_once("\r\n") else {
        return false;
    };
    let mut lines = lines.split("\r\n").filter(|line| !line.is_empty());
    is_version(version) && lines.all(is_field)
}

/// Tells whether a line has a name of visible ASCII characters, a colon and a value.
fn is_field(line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else {
        return false;
    };
    name.bytes().all(|byte| byte.is_ascii_graphic()) && !value.contains(['\r', '\n'])
}

fn is_version(line: &str) -> bool {
    let Some(status) = line.strip_prefix("NATS/1.0") else {
        return false;
    };
    match status.as_bytes() {
        [] => true,
        [b' ', b'1'..=b'9', a, b, rest @ ..] => {
            let is_number = a.is_ascii_digit() && b.is_ascii_digit();
            is_number && !status.contains(['\r', '\n']) && matches!(rest, [] | [b' ', ..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_version_and_lines_with_a_name() {
        for headers in [
            "",
            "NATS/1.0 100\r\n\r\n",
            "NATS/1.0 408 Request Timeout\r\nX: a\r\n\r\n",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nForever200-Id: a-1-2\r\nX:\r\n\r\n",
        ] {
            assert!(can_be_read(headers.as_bytes()), "{headers:?}");
        }
        for headers in [
            "NATS/1.0 10\r\n\r\n",
            "NATS/1.0 1000\r\n\r\n",
            "NATS/1.0 099\r\n\r\n",
            "NATS/1.0 100 a\nb\r\n\r\n",
            "NATS/1.0100\r\n\r\n",
            "NATS/2.0\r\nX: a\r\n\r\n",
            "NATS/1.0\r\nno name\r\n\r\n",
            "NATS/1.0\r\na name: a\r\n\r\n",
            "NATS/1.0\r\nn\u{e4}me: a\r\n\r\n",
            "NATS/1.0\r\nX: a\rb\r\n\r\n",
            "NATS/1.0\r\nX: a\nb\r\n\r\n",
            "x",
        ] {
            assert!(!can_be_read(headers.as_bytes()), "{headers:?}");
        }
        assert!(!can_be_read(b"NATS/1.0\r\nX: \xff\r\n\r\n"));
    }
}
