//! Messages that the library cannot read: found by the servers' API, and deleted.
//!
//! In: where each sensor is. Out: a stream in which the next message of each can be read. The
//! servers keep headers as they came, and where these are not valid, the library ends its
//! connection for good: one message of one sensor would end collecting for all.

use async_nats::Client;
use async_nats::jetstream;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use crate::sensor::{STREAM, Sensor};

/// What the servers say to who asks for a message.
///
/// Protocol: NATS JetStream API, `io.nats.jetstream.api.v1.stream_msg_get_response`.
#[derive(Deserialize)]
struct Answer {
    message: Option<Stored>,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    /// The headers as they came, in base64.
    hdrs: Option<String>,
}

/// Deletes the next message of a sensor behind this number in the stream, where it cannot be read.
///
/// # Errors
/// The servers do not answer, or not as is documented.
pub(crate) async fn delete_next(client: &Client, sensor: &Sensor, last: u64) -> anyhow::Result<()> {
    let question = json!({ "seq": last + 1, "next_by_subj": sensor.subject() }).to_string();
    let subject = format!("$JS.API.STREAM.MSG.GET.{STREAM}");
    let answer = client.request(subject, question.into()).await?;
    let answer: Answer = serde_json::from_slice(&answer.payload)?;
    let Some(message) = answer.message else {
        return Ok(());
    };
    let headers = BASE64_STANDARD.decode(message.hdrs.unwrap_or_default())?;
    if !can_be_read(&headers) {
        let stream = jetstream::new(client.clone()).get_stream(STREAM).await?;
        stream.delete_message(message.seq).await?;
        warn!(%sensor, number = message.seq, "a message whose headers are not valid was deleted");
    }
    Ok(())
}

/// Tells whether these are no headers, or those of a message that is no answer: a line with the
/// version alone, then names and values.
fn can_be_read(headers: &[u8]) -> bool {
    if headers.is_empty() {
        return true;
    }
    let Ok(text) = std::str::from_utf8(headers) else {
        return false;
    };
    let Some(lines) = text.strip_prefix("NATS/1.0\r\n") else {
        return false;
    };
    lines
        .split("\r\n")
        .filter(|line| !line.is_empty())
        .all(|line| line.contains(':') && !line.contains(['\r', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_version_and_lines_with_a_name() {
        for headers in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nForever200-Id: a-1-2\r\nX:\r\n\r\n",
        ] {
            assert!(can_be_read(headers.as_bytes()), "{headers:?}");
        }
        for headers in [
            "NATS/1.0 100\r\n\r\n",
            "NATS/2.0\r\nX: a\r\n\r\n",
            "NATS/1.0\r\nno name\r\n\r\n",
            "NATS/1.0\r\nX: a\rb\r\n\r\n",
            "NATS/1.0\r\nX: a\nb\r\n\r\n",
            "x",
        ] {
            assert!(!can_be_read(headers.as_bytes()), "{headers:?}");
        }
        assert!(!can_be_read(b"NATS/1.0\r\nX: \xff\r\n\r\n"));
    }
}
