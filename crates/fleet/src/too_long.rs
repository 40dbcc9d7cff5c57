//! Messages that the servers will never take, because they are too long.
//!
//! In: the error for a message, from the servers or from the library. Out: whether to skip the
//! message, and lines in the log. A message is not skipped if the servers are away, or if the
//! stream is full: then the publisher waits.

use std::error::Error;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use tracing::warn;

use crate::unsent::Due;

/// Counts the messages that were too long.
#[derive(Default)]
pub(crate) struct TooLong(u64);

impl TooLong {
    /// Counts a message that was refused, and logs the first, the tenth, the hundredth, and so on.
    pub(crate) fn add(&mut self, message: &Due, error: PublishError) {
        self.0 += 1;
        let refused = self.0;
        if refused == 10_u64.pow(refused.ilog10()) {
            let (seq, bytes) = (message.seq, message.body.len());
            let error = format!("{:#}", anyhow::Error::new(error));
            warn!(
                seq,
                bytes, refused, error, "a request is too long for the servers, and is not sent"
            );
        }
    }
}

/// Tells whether the servers will never take this message. A stream that is full, sealed or without
/// a leader has other error codes.
pub(crate) fn is_too_long(error: &PublishError) -> bool {
    // The library compares with the limit that the server told when the connection was made.
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return true;
    }
    let said = error
        .source()
        .and_then(|source| source.downcast_ref::<jetstream::Error>())
        .map(jetstream::Error::error_code);
    matches!(
        said,
        Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM)
    )
}
