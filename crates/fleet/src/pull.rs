//! The messages of a stream, in their order.
//!
//! In: the configuration of a consumer. Out: its messages, whatever is in their headers. A stored
//! message may have a status in its headers. The library mistakes that for a status from the
//! server, and then either skips the message silently or asks for it again without end. This module
//! recognises a message of the stream by its reply subject, which only a server sets.
//!
//! Protocol: NATS ADR-13, pull subscribe internals.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use async_nats::{StatusCode, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::sensor::STREAM;

/// How long the server answers one request for messages.
const PULL_TIME: Duration = Duration::from_secs(5);
/// How long the server is silent while it has no messages, before it sends a heartbeat.
const HEARTBEAT_TIME: Duration = Duration::from_millis(2500);
/// After this time without a message or heartbeat, the consumer is gone. Its server was killed; in
/// a cluster of nats-server 2.9.10, it sometimes happens without a known reason.
const SILENT_TIME: Duration = Duration::from_secs(5);
/// About how many bytes of messages are asked for at once. The length of the last message is the
/// estimate for each. Without this limit, a thousand sensors with long messages would fill the
/// memory.
const BYTES_AHEAD: usize = 64 * 1024;
/// Header with the number of messages that were asked for and will not come.
const PENDING: &str = "Nats-Pending-Messages";

/// The messages of a consumer, read with [`next`](Self::next).
pub(crate) struct Messages {
    context: jetstream::Context,
    answers: Subscriber,
    /// Subject of the requests for messages.
    questions: String,
    /// Subject to which the messages come.
    inbox: String,
    /// Most messages in one request.
    most: u64,
    /// Messages in the last request.
    batch: u64,
    /// Length of the last message, in bytes.
    length: usize,
    /// Messages that were asked for and have not come yet.
    awaited: u64,
    /// Number that the consumer gave the last message.
    last: u64,
}

/// Returns the most messages that may be received but not read, if at most `max_batch` are asked
/// for at once. It is more than `max_batch`, because more are asked for when half of them have
/// come.
pub(crate) const fn most_ahead(max_batch: i64) -> usize {
    max_batch as usize / 2 * 3
}

impl Messages {
    /// Makes a consumer. `max_batch` in `config` is the most messages in one request.
    ///
    /// # Errors
    /// The servers do not answer, or the stream is gone.
    pub(crate) async fn open(
        context: &jetstream::Context,
        stream: &Stream,
        config: OrderedConfig,
    ) -> anyhow::Result<Self> {
        let most = config.max_batch.max(1).unsigned_abs();
        let consumer = stream.create_consumer(config).await?;
        let name = &consumer.cached_info().name;
        let client = context.client();
        let inbox = client.new_inbox();
        Ok(Self {
            answers: client.subscribe(inbox.clone()).await?,
            context: context.clone(),
            questions: format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}"),
            inbox,
            most,
            // The length of the messages is not known yet.
            batch: 1,
            length: BYTES_AHEAD,
            awaited: 0,
            last: 0,
        })
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The consumer or its server is gone, or a message was lost on the way.
    pub(crate) async fn next(&mut self) -> anyhow::Result<jetstream::Message> {
        loop {
            if self.awaited <= self.batch / 2 {
                self.ask().await?;
            }
            let answer = timeout(SILENT_TIME, self.answers.next()).await;
            let answer = answer.context("the server of the consumer does not answer")?;
            let answer = answer.context("the connection is closed")?;
            if answer.reply.is_none() {
                self.take_status(&answer)?;
                continue;
            }
            let message = jetstream::Message {
                message: answer,
                context: self.context.clone(),
            };
            let info = message.info().map_err(anyhow::Error::from_boxed)?;
            let number = info.consumer_sequence;
            ensure!(number == self.last + 1, "a message was lost on the way");
            self.last = number;
            self.length = message.length;
            self.awaited = self.awaited.saturating_sub(1);
            return Ok(message);
        }
    }

    /// Asks for the next batch of messages.
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.batch = batch(self.most, self.length);
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let question = json!({
            "batch": self.batch,
            "expires": nanoseconds(PULL_TIME),
            "idle_heartbeat": nanoseconds(HEARTBEAT_TIME),
        })
        .to_string();
        let (to, inbox) = (self.questions.clone(), self.inbox.clone());
        let client = self.context.client();
        client
            .publish_with_reply(to, inbox, question.into())
            .await?;
        self.awaited += self.batch;
        Ok(())
    }

    /// Reads a status that the server sends for a request.
    fn take_status(&mut self, answer: &async_nats::Message) -> anyhow::Result<()> {
        match answer.status {
            Some(StatusCode::IDLE_HEARTBEAT) => {}
            // The time of the request is over, or there are no messages.
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => {
                let headers = answer.headers.as_ref();
                let pending = headers.and_then(|headers| headers.get(PENDING));
                let pending = pending.and_then(|number| number.as_str().parse().ok());
                self.awaited = self.awaited.saturating_sub(pending.unwrap_or(self.batch));
            }
            status => bail!(
                "the consumer is gone: {status:?} {}",
                answer.description.as_deref().unwrap_or_default()
            ),
        }
        Ok(())
    }
}

/// Returns how many messages to ask for. `length` is the length of the last message, in bytes.
fn batch(most: u64, length: usize) -> u64 {
    let fit = (BYTES_AHEAD / length.max(1)) as u64;
    fit.clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_asked_for_where_they_are_long() {
        for (length, asked) in [
            (0, 8),
            (500, 8),
            (16 * 1024, 4),
            (BYTES_AHEAD, 1),
            (1 << 20, 1),
        ] {
            assert_eq!(batch(8, length), asked, "{length}");
        }
    }
}
