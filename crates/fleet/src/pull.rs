//! The messages of a stream, in their order.
//!
//! In: a consumer, whom to read and from where. Out: its messages, whatever their headers say. A
//! stored message may have a status in its headers. The library takes that for a status of the
//! server's own: it passes over the message in silence, or asks for it again without end. Here, a
//! message of the stream is known by the subject for its acknowledgement, which a server alone
//! sets.
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

/// How long the server answers one question for messages.
const PULL_TIME: Duration = Duration::from_secs(5);
/// How long it is silent while it has nothing, before it says that it is there.
const HEARTBEAT_TIME: Duration = Duration::from_millis(2500);
/// A consumer whose server says nothing for this long is gone: killed with it, or, in a cluster of
/// 2.9.10, now and then without a reason that is known.
const SILENT_TIME: Duration = Duration::from_secs(5);
/// Bytes of messages that are asked for at once, about: as many as the last one was long. A
/// thousand sensors that all have long ones to send would fill the memory otherwise.
const BYTES_AHEAD: usize = 64 * 1024;
/// Header in which the server says how many of the messages that were asked for will not come.
const PENDING: &str = "Nats-Pending-Messages";

/// Messages that come, read with [`next`](Self::next).
pub(crate) struct Messages {
    context: jetstream::Context,
    answers: Subscriber,
    /// Subject of the questions.
    questions: String,
    /// Subject of the answers.
    inbox: String,
    /// Messages of one question, at most.
    most: u64,
    /// Messages of the last question.
    batch: u64,
    /// Length of the last message, in bytes.
    length: usize,
    /// Messages that were asked for and have not come yet.
    awaited: u64,
    /// Number at the consumer of the last message.
    last: u64,
}

/// How many messages may have come and not been read, where so many are asked for at once: more are
/// asked for when half of them are here.
pub(crate) const fn most_ahead(max_batch: i64) -> usize {
    max_batch as usize / 2 * 3
}

impl Messages {
    /// Makes a consumer. `max_batch` of its configuration is how many messages are fetched ahead.
    ///
    /// # Errors
    /// The servers do not answer, or there is no such stream any more.
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
            // How long they are is not known yet.
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

    /// Takes what the server says of a question.
    fn take_status(&mut self, answer: &async_nats::Message) -> anyhow::Result<()> {
        match answer.status {
            Some(StatusCode::IDLE_HEARTBEAT) => {}
            // Its time is over, or there is nothing.
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

/// Returns how many messages to ask for, where the last one was so long.
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
