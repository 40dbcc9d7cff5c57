//! Messages that the servers will never take, because they are too long for them.
//!
//! In: what the servers, or the library in their place, say of a message. Out: whether to step over
//! it, and lines in the log. Servers that are away, and a stream that is full, are waited for.

use std::error::Error;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use tracing::warn;

use crate::unsent::Due;

/// Counts what is refused.
#[derive(Default)]
pub(crate) struct Refusals(u64);

impl Refusals {
    /// Counts a message that was refused, and logs the first and each tenfold.
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

/// Tells whether the servers will never take this message, whatever becomes of the stream. One that
/// is full, sealed or without a leader says so by other codes.
pub(crate) fn is_too_long(error: &PublishError) -> bool {
    // This is the limit that the server told when it let us in.
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
