//! Tells sensors how many sensors saw a kind. A hub does so only if it is set to.
//!
//! In: questions to the subject of each sensor. Each question is a list of kinds. Out: an answer to
//! the sensor that asked, with the number of sensors that saw each kind, and the number of all
//! sensors. The answer does not name the sensors. A sensor's key allows it to ask only under its
//! own name, and never to answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, Message, Subject};
use forever200_ring::HubCounts;
use forever200_ring::hub_counts::{MAX_KIND_CHARS, is_kind};
use forever200_viewer::history::Ledger;
use futures_util::StreamExt;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::patience::Patience;
use crate::sensor::{ALL_KINDS, Sensor};

/// Most kinds in one question.
pub(crate) const MOST_ASKED: usize = 256;
/// Longest question, in bytes: a name and a newline for each kind.
const MAX_QUESTION_BYTES: usize = MOST_ASKED * (MAX_KIND_CHARS + 1);
/// Time after which the cached numbers of sensors and the counts of questions are cleared.
const PERIOD: Duration = Duration::from_secs(60);
/// Most questions of one sensor that are answered in a [`PERIOD`]: twice as many as our program
/// asks.
const MOST_QUESTIONS: u32 = 64;
/// Most sensors whose questions are answered in a [`PERIOD`].
const MOST_SENSORS: usize = 4096;
/// Most numbers in the cache: a collection has no more kinds.
const MOST_KEPT: usize = 16_384;
/// Kinds that are looked up before other tasks may run.
const KINDS_AT_ONCE: usize = 32;
/// Prefixes of the subjects to which answers may go. The servers use the first where each sensor
/// has an account of its own, and the second where all are in one account. An answer to any other
/// subject would let a sensor write, through the hub, where it may not.
const REPLIES: [&str; 2] = ["_R_.", "_INBOX."];

/// Answers questions for ever. After a failure it starts again, at growing intervals. Nothing else
/// waits for it.
pub(crate) async fn answer(client: &Client, ledger: Ledger) -> Infallible {
    let mut patience = Patience::new("no sensor is told how many saw a kind");
    let mut answers = Answers::new(ledger);
    loop {
        let begun = Instant::now();
        let Err(error) = answers.run(client).await;
        patience.wait(&error, begun.elapsed()).await;
    }
}

/// The cached numbers, and how often each sensor has asked.
struct Answers {
    ledger: Ledger,
    /// How many sensors saw a kind, by the kind's name.
    kept: HashMap<String, u64>,
    questions: HashMap<Sensor, u32>,
    /// When `kept` and `questions` were last cleared.
    since: Instant,
}

impl Answers {
    fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            kept: HashMap::new(),
            questions: HashMap::new(),
            since: Instant::now(),
        }
    }

    async fn run(&mut self, client: &Client) -> anyhow::Result<Infallible> {
        let mut questions = client.subscribe(ALL_KINDS).await?;
        loop {
            let question = questions.next().await;
            let question = question.context("the connection is closed")?;
            let Some(to) = self.admit(&question) else {
                continue;
            };
            let Some(kinds) = asked(&question.payload) else {
                continue;
            };
            let counts = self.count(kinds).await?;
            // A hub without sensors has nothing to say.
            if counts.of > 0 {
                client.publish(to, counts.encode().into()).await?;
            }
        }
    }

    /// Returns the subject to which the answer goes; `None` where the question is not answered.
    fn admit(&mut self, question: &Message) -> Option<Subject> {
        if self.since.elapsed() >= PERIOD {
            self.since = Instant::now();
            self.kept.clear();
            self.questions.clear();
        }
        let sensor = Sensor::of_kinds_subject(&question.subject)?;
        let reply = question.reply.clone()?;
        let may_go_there = REPLIES.iter().any(|prefix| reply.starts_with(prefix));
        let is_known = self.questions.contains_key(&sensor);
        if !may_go_there || !is_known && self.questions.len() >= MOST_SENSORS {
            return None;
        }
        let count = self.questions.entry(sensor).or_default();
        *count += 1;
        (*count <= MOST_QUESTIONS).then_some(reply)
    }

    /// Returns how many sensors saw each of these kinds, and how many sensors there are.
    async fn count(&mut self, kinds: Vec<&str>) -> anyhow::Result<HubCounts> {
        let mut counts = HubCounts::default();
        for some in kinds.chunks(KINDS_AT_ONCE) {
            for &kind in some {
                if let Some(sensors) = self.sensors_of(kind)? {
                    counts.kinds.insert(kind.to_owned(), sensors);
                }
            }
            yield_now().await;
        }
        // Counted after the kinds, so that no kind was seen by more sensors than there are.
        counts.of = self.ledger.sensors()?;
        Ok(counts)
    }

    /// Returns how many sensors saw a kind; `None` where the history does not have the kind.
    /// Unknown names are not cached, so nobody can fill the memory with names.
    fn sensors_of(&mut self, kind: &str) -> anyhow::Result<Option<u64>> {
        if let Some(&sensors) = self.kept.get(kind) {
            return Ok(Some(sensors));
        }
        let sensors = self.ledger.seen_by(kind)?;
        if let Some(sensors) = sensors
            && self.kept.len() < MOST_KEPT
        {
            self.kept.insert(kind.to_owned(), sensors);
        }
        Ok(sensors)
    }
}

/// Reads the names of kinds from a question, which has one in each line; `None` where it is not
/// UTF-8, or longer than any question of our program.
fn asked(body: &[u8]) -> Option<Vec<&str>> {
    if body.len() > MAX_QUESTION_BYTES {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let kinds = text.lines().filter(|line| is_kind(line)).take(MOST_ASKED);
    Some(kinds.collect())
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn question(subject: &str, reply: Option<&str>) -> Message {
        Message {
            subject: subject.into(),
            reply: reply.map(Into::into),
            payload: "dotenv-file".into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_to_the_sensor_that_asks_and_not_too_often() {
        let mut answers = Answers::new(Ledger::new("/nowhere".into()));
        let inbox = Some("_INBOX.one.x");
        for (subject, reply, goes) in [
            ("forever200.one.kinds", inbox, true),
            ("forever200.one.kinds", Some("_R_.abc"), true),
            ("forever200.one.kinds", None, false),
            ("forever200.one.kinds", Some("forever200.two"), false),
            (
                "forever200.one.kinds",
                Some("$JS.API.STREAM.PURGE.x"),
                false,
            ),
            ("forever200.ONE.kinds", inbox, false),
            ("forever200.one", inbox, false),
        ] {
            let answer = answers.admit(&question(subject, reply));
            assert_eq!(answer.is_some(), goes, "{subject} {reply:?}");
        }
        let again = question("forever200.one.kinds", inbox);
        let answered = (0..99).filter_map(|_| answers.admit(&again)).count();
        assert_eq!(answered, MOST_QUESTIONS as usize - 2);
        let other = question("forever200.two.kinds", inbox);
        assert!(answers.admit(&other).is_some());
        for number in 0..MOST_SENSORS {
            answers.admit(&question(&format!("forever200.s{number}.kinds"), inbox));
        }
        assert_eq!(answers.questions.len(), MOST_SENSORS);
        assert!(answers.admit(&other).is_some());
        advance(PERIOD).await;
        assert!(answers.admit(&again).is_some());
        assert_eq!(answers.questions.len(), 1);
    }

    #[test]
    fn a_question_is_a_list_of_kinds_that_is_not_too_long() {
        assert_eq!(asked(b"a\n\nB\n<b>\nc-1"), Some(vec!["a", "c-1"]));
        assert_eq!(asked(b""), Some(vec![]));
        assert_eq!(asked(b"\xff"), None);
        assert_eq!(asked(&vec![b'a'; MAX_QUESTION_BYTES + 1]), None);
        let many = "a\n".repeat(MOST_ASKED + 9);
        assert_eq!(asked(many.as_bytes()).unwrap().len(), MOST_ASKED);
    }
}
