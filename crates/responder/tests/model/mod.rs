//! A model of a ring with several writers: which events happen, and what a reader may then see.
//!
//! In: events. Out: an error as soon as the reader sees what must not be. The model is a list of
//! each writer's requests in their order. It does not know the number of each request. It knows
//! that each request has a number, in that order, and that the newest 101 numbers are in the ring,
//! except for numbers that no request got.

mod event;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{anyhow, ensure};
use forever200_responder::recorder::Recorder;
use forever200_ring::{SLOTS, Snapshot, Store};
use forever200_testkit::{Between, Fault, Memcached};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep};

pub(crate) use self::event::Event;
use self::values::{identity, values};
pub(crate) use self::values::{record, set};

/// Longest wait until all writers have written what they hold.
const SETTLE_TIME: Duration = Duration::from_secs(10);
/// Within this time, a writer without new requests has compared memcached with its memory, which it
/// does once a second.
const COMPARE_TIME: Duration = Duration::from_millis(1500);
/// After this time, every writer gets another request if the last one is not seen. Another writer,
/// which knew newer numbers, may have overwritten it.
const REQUEST_INTERVAL: Duration = Duration::from_millis(300);

/// A writer and its connection to memcached.
pub(crate) struct Writer {
    pub(crate) recorder: Recorder,
    /// Number of this writer among all writers, dead ones included.
    name: usize,
    line: Arc<Between>,
    running: JoinHandle<()>,
    _stop: watch::Sender<bool>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What the model knows about one writer, dead or alive.
#[derive(Debug, Default)]
struct Known {
    /// Number of requests that came to the writer.
    came: u64,
    /// Number of requests that had come at `Model::base`: all older ones are ignored.
    base: u64,
    /// Number of requests that are known to have been written, whatever happens.
    written: u64,
    dead: bool,
}

pub(crate) struct Model {
    pub(crate) memcached: Memcached,
    pub(crate) reader: Store,
    pub(crate) writers: Vec<Writer>,
    known: Vec<Known>,
    saved: Vec<(String, Vec<u8>)>,
    /// The request that each number was seen on.
    seen: HashMap<u64, (usize, u64)>,
    /// Highest cursor that was seen.
    cursor: u64,
    /// The cursor behind which all numbers are known.
    base: u64,
    /// memcached has lost something since the last `settle`.
    lost: bool,
    /// A writer has died, and the next one may have read the ring before the last of its records
    /// was in it.
    crashed: bool,
    /// Whether one writer still knew everything when memcached lost it. If there are several
    /// writers, one that does not know the newest numbers may draw them again before another, which
    /// does, puts the cursor back.
    clean: bool,
}

impl Model {
    /// Starts an empty memcached and `writers` writers.
    pub(crate) async fn start(writers: usize) -> anyhow::Result<Self> {
        let memcached = Memcached::start().await?;
        let reader = Store::new(memcached.address());
        let mut model = Self {
            memcached,
            reader,
            writers: Vec::new(),
            known: Vec::new(),
            saved: Vec::new(),
            seen: HashMap::new(),
            cursor: 0,
            base: 0,
            lost: false,
            crashed: false,
            clean: true,
        };
        for _ in 0..writers {
            let line = Between::start(model.memcached.address()).await?;
            let writer = model.writer(Arc::new(line));
            model.writers.push(writer);
        }
        model.settle().await?;
        Ok(model)
    }

    fn writer(&mut self, line: Arc<Between>) -> Writer {
        self.known.push(Known::default());
        let (recorder, (stop, stopping)) = (Recorder::default(), watch::channel(false));
        let running = tokio::spawn(recorder.clone().run(
            Store::new(line.address()),
            false,
            stopping,
        ));
        Writer {
            recorder,
            name: self.known.len() - 1,
            line,
            running,
            _stop: stop,
        }
    }

    /// Lets an event happen. Checks the ring if the event is a look or settles.
    pub(crate) async fn play(&mut self, event: &Event) -> anyhow::Result<()> {
        let index = |writer: &usize| writer % self.writers.len();
        match event {
            Event::Requests { writer, count } => {
                (0..*count).for_each(|_| self.request(writer % self.writers.len()));
            }
            Event::Fault { writer, fault } => self.writers[index(writer)].line.once(fault.clone()),
            Event::Crash { writer } => self.crash(index(writer)).await,
            Event::Emptied => self.lose(false).await?,
            Event::Saved => self.saved = values(&self.memcached).await?,
            Event::Reverted => self.lose(true).await?,
            Event::Look => self.look().await?,
            Event::Settle => self.settle().await?,
            Event::Compare => {
                self.settle().await?;
                sleep(COMPARE_TIME).await;
                self.crashed = false;
            }
            Event::Rest(millis) => sleep(Duration::from_millis(*millis)).await,
        }
        Ok(())
    }

    fn request(&mut self, writer: usize) {
        let Writer { recorder, name, .. } = &self.writers[writer];
        drop(recorder.record(record(*name, self.known[*name].came)));
        self.known[*name].came += 1;
    }

    async fn crash(&mut self, index: usize) {
        let next = self.writer(Arc::clone(&self.writers[index].line));
        let mut dead = std::mem::replace(&mut self.writers[index], next);
        dead.running.abort();
        let _ = (&mut dead.running).await;
        self.known[dead.name].dead = true;
        (self.crashed, self.clean) = (true, self.clean && !self.lost);
    }

    async fn lose(&mut self, revert: bool) -> anyhow::Result<()> {
        (self.lost, self.clean) = (true, self.clean && !self.crashed && self.writers.len() == 1);
        let cut = |fault: Option<Fault>| {
            self.writers
                .iter()
                .for_each(|writer| writer.line.always(fault.clone()));
        };
        if revert {
            // The writers cannot see memcached before it has its old values.
            cut(Some(Fault::CutCommand));
        }
        self.memcached.restart().await?;
        if revert {
            for (key, value) in &self.saved {
                set(&self.memcached, key, value).await?;
            }
        }
        cut(None);
        Ok(())
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let snapshot = self.reader.snapshot().await?;
        self.check(&snapshot).map(drop)
    }

    /// Checks what must hold at any time, and returns the writer and request of each number.
    fn check(&mut self, snapshot: &Snapshot) -> anyhow::Result<BTreeMap<u64, (usize, u64)>> {
        let mut found = BTreeMap::new();
        for record in snapshot.ring.newest_first() {
            let (seq, (writer, number)) = (record.seq, identity(record)?);
            ensure!(
                number < self.known[writer].came,
                "request {number} of writer {writer} never came"
            );
            ensure!(
                found.values().all(|it| *it != (writer, number)),
                "request {number} of writer {writer} is there twice"
            );
            found.insert(seq, (writer, number));
            let known = self.seen.insert(seq, (writer, number));
            let same = known.is_none_or(|known| known == (writer, number));
            ensure!(
                same || !self.clean,
                "{seq} stood for {known:?}, and stands for {:?}",
                (writer, number)
            );
        }
        if !self.lost {
            ensure!(
                snapshot.unreadable == 0,
                "{} slots hold what is not theirs",
                snapshot.unreadable
            );
            ensure!(
                snapshot.cursor >= self.cursor,
                "the cursor went from {} to {}",
                self.cursor,
                snapshot.cursor
            );
            self.cursor = snapshot.cursor;
        }
        Ok(found)
    }

    /// Ends all faults, gives every writer a turn, and waits until `settled` finds no error. That
    /// may take the second after which a writer without requests compares: a slow writer may have
    /// overwritten the newer records of another.
    async fn settle(&mut self) -> anyhow::Result<()> {
        self.writers.iter().for_each(|writer| writer.line.mend());
        let deadline = Instant::now() + SETTLE_TIME;
        let (mut asked, mut next_request) = (Vec::new(), Instant::now());
        loop {
            let snapshot = self.reader.snapshot().await?;
            let found = self.check(&snapshot)?;
            let all_written = !asked.is_empty()
                && asked
                    .iter()
                    .all(|asked| found.values().any(|it| it == asked));
            let settled = if all_written {
                self.settled(&snapshot, &found)
            } else {
                Err(anyhow!(
                    "{asked:?} are awaited; at {} there are {found:?}",
                    snapshot.cursor
                ))
            };
            match settled {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) if !all_written && Instant::now() >= next_request => {
                    let last = |writer: &Writer| (writer.name, self.known[writer.name].came);
                    asked = self.writers.iter().map(last).collect();
                    (0..self.writers.len()).for_each(|writer| self.request(writer));
                    next_request = Instant::now() + REQUEST_INTERVAL;
                }
                Err(_) => sleep(Duration::from_millis(2)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    fn settled(
        &mut self,
        snapshot: &Snapshot,
        found: &BTreeMap<u64, (usize, u64)>,
    ) -> anyhow::Result<()> {
        let (cursor, newest) = (
            snapshot.cursor,
            self.seen.keys().max().copied().unwrap_or_default(),
        );
        if self.clean {
            ensure!(
                snapshot.unreadable == 0,
                "{} slots hold what is not theirs",
                snapshot.unreadable
            );
            ensure!(
                cursor >= newest,
                "the cursor is at {cursor}, and {newest} was seen"
            );
            self.check_numbers(cursor, found)?;
        } else {
            // Some numbers may have been drawn again. The model takes over what is there now, and
            // drops the saved values: a writer could not distinguish their numbers from its own.
            self.saved.clear();
            (self.base, self.seen) = (cursor, found.iter().map(|(seq, it)| (*seq, *it)).collect());
            self.known
                .iter_mut()
                .for_each(|known| (known.base, known.written) = (known.came, known.came));
        }
        (self.cursor, self.lost, self.clean) = (cursor, false, true);
        Ok(())
    }

    /// Checks the newest 101 numbers: they have each writer's last requests, without a gap and in
    /// their order. A number without a request was drawn in vain.
    fn check_numbers(
        &mut self,
        cursor: u64,
        found: &BTreeMap<u64, (usize, u64)>,
    ) -> anyhow::Result<()> {
        let window = self.base.max(cursor.saturating_sub(SLOTS)) + 1..=cursor;
        let mut held = 0;
        for (name, known) in self.known.iter_mut().enumerate() {
            let of_it = found
                .range(window.clone())
                .filter(|(_, (writer, _))| *writer == name);
            let numbers: Vec<_> = of_it.map(|(_, (_, number))| *number).collect();
            ensure!(
                numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
                "of writer {name} there are {numbers:?}"
            );
            let last = numbers.last().map(|last| last + 1);
            ensure!(
                known.dead || last == Some(known.came),
                "{last:?} of {} of writer {name} are there",
                known.came
            );
            known.written = known.written.max(last.unwrap_or_default());
            held += numbers.len() as u64;
        }
        let written: u64 = self
            .known
            .iter()
            .map(|known| known.written - known.base)
            .sum();
        let (drawn, due) = (cursor - self.base, window.count() as u64);
        ensure!(
            drawn >= written,
            "{written} were written under {drawn} numbers"
        );
        ensure!(
            due - held <= drawn - written,
            "{held} of {due} are there, {} were drawn in vain",
            drawn - written
        );
        Ok(())
    }
}
