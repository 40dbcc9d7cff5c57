//! The handle to memcached: keys, encoding and timeouts live here and nowhere else.
//!
//! In: records and counts. Out: the ring as memcached holds it. Retries nothing and logs nothing:
//! what to do about a memcached that is away is the caller's matter. Longer than other files, for
//! no other may know memcached.
//!
//! Protocol: memcached `doc/protocol.txt`, "Meta Commands" (memcached 1.6 or later).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use memcache::exp::{Arithmetic, AsyncMetaClient, Error, Get, GetResult, Meta, Op, Set, Ttl};
use tokio::sync::OnceCell;

use crate::counts::Counts;
use crate::record::Record;
use crate::ring::{
    CURSOR_KEY, FIRST_KEY, Ring, SILENT_KEY, SILENT_PORTS_KEY, SINCE_KEY, SLOTS, due_in,
    minute_key, slot_key, slot_of,
};
use crate::silent::{self, ByPort, SilentPorts};

/// Longest wait for a connection to memcached, and then for one batch of answers. memcached on
/// loopback answers in under a millisecond; one that is stopped or overloaded is found out by this.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most connections that one program opens; further callers wait for one, at most [`TIMEOUT`].
const MAX_STORE_CONNECTIONS: usize = 16;
/// Largest number that is ours, 2⁵³ - 1: what JSON carries to any reader unharmed, and 285 years of
/// a million requests a second. A larger one was put there by somebody, and is as good as none.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// memcached did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("memcached at {address}: {source}")]
pub struct StoreError {
    address: String,
    source: Error,
}

/// A handle to the memcached that holds the ring. Cheap to share behind an `Arc`.
pub struct Store {
    address: String,
    client: OnceCell<AsyncMetaClient>,
}

/// The ring as memcached held it during one round trip.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Newest sequence number; 0 when nothing was ever recorded.
    pub cursor: u64,
    /// Time of the first start.
    pub since: Option<Timestamp>,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// Number of these connections by port: of the most frequent ports, at most 64.
    pub silent_ports: ByPort,
    /// The records; empty or evicted slots are misses, which is normal.
    pub ring: Ring,
    /// Number of slots that hold something else than a record that belongs there.
    pub unreadable: usize,
    /// What to compare a slot with, should it be overwritten; `None` for a miss.
    cas: Vec<Option<u64>>,
}

impl Store {
    /// Makes a handle; connects when first used. `address` is `host:port`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            client: OnceCell::new(),
        }
    }

    /// Reads all slots and the counters beside them in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        self.read_slots(&mut snapshot, (0..SLOTS).collect()).await?;
        Ok(snapshot)
    }

    /// Brings a snapshot up to date: reads the counters, and then, where the cursor has moved or a
    /// look at the slots is `thorough`, those slots that lack what the cursor says they hold. A
    /// record never changes once it has its number, so the others need no reading.
    ///
    /// The cursor moves before the slots are written: for some time after it has, looks should be
    /// thorough.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn refresh(&self, held: &Snapshot, thorough: bool) -> Result<Snapshot, StoreError> {
        let mut now = Snapshot {
            cas: held.cas.clone(),
            ring: held.ring.clone(),
            unreadable: held.unreadable,
            ..Snapshot::default()
        };
        self.read_slots(&mut now, Vec::new()).await?;
        // Counting began anew, or memcached was emptied: a number may stand for another request
        // now.
        if now.cursor < held.cursor || now.since != held.since {
            return self.snapshot().await;
        }
        if now.cursor == held.cursor && !thorough {
            return Ok(now);
        }
        let lacks = |&slot: &u64| {
            now.ring.seq_in(slot) == 0 || now.ring.seq_in(slot) < due_in(slot, now.cursor)
        };
        let lacking: Vec<_> = (0..SLOTS).filter(lacks).collect();
        now.unreadable = 0;
        if !lacking.is_empty() {
            self.read_slots(&mut now, lacking).await?;
        }
        Ok(now)
    }

    /// Reads the number of requests of each minute (Unix time / 60 s) in a range; those with none
    /// are left out.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn minutes(
        &self,
        minutes: std::ops::RangeInclusive<i64>,
    ) -> Result<BTreeMap<i64, u64>, StoreError> {
        let answers = self.get(minutes.clone().map(minute_key)).await?;
        Ok(minutes
            .zip(&answers)
            .filter_map(|(minute, answer)| Some((minute, number(answer)?)))
            .collect())
    }

    /// Reads slots and all counters into a snapshot.
    async fn read_slots(&self, snapshot: &mut Snapshot, slots: Vec<u64>) -> Result<(), StoreError> {
        // memcached answers a connection's commands in their order. The cursor comes last, so that
        // no slot can hold a newer record than the cursor says.
        let counters = [
            SINCE_KEY,
            FIRST_KEY,
            SILENT_PORTS_KEY,
            SILENT_KEY,
            CURSOR_KEY,
        ];
        let counters = counters.map(str::to_owned);
        let answers = self
            .get(slots.iter().copied().map(slot_key).chain(counters))
            .await?;
        snapshot.take(&slots, &answers);
        Ok(())
    }

    async fn get(&self, keys: impl Iterator<Item = String>) -> Result<Vec<GetResult>, StoreError> {
        let answers = self
            .client()
            .await?
            .run_many(keys.map(|key| Get::new(key).meta(Meta::NONE.cas())))
            .await;
        answers
            .map_err(|e| self.error(e))?
            .into_iter()
            .map(|answer| answer.map_err(|e| self.error(e)))
            .collect()
    }

    /// Reads one record; `None` when it has rolled over, was evicted or never was.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn record(&self, seq: u64) -> Result<Option<Record>, StoreError> {
        let answer = self
            .client()
            .await?
            .get(slot_key(slot_of(seq)))
            .send()
            .await;
        let value = answer.map_err(|e| self.error(e))?.value;
        Ok(value
            .and_then(|value| Record::decode(value).ok())
            .filter(|record| record.seq == seq))
    }

    /// Reads the newest sequence number; 0 when nothing was ever recorded.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn cursor(&self) -> Result<u64, StoreError> {
        let answer = self.client().await?.get(CURSOR_KEY).send().await;
        Ok(number(&answer.map_err(|e| self.error(e))?).unwrap_or_default())
    }

    /// Tells whether there is a cursor at all: none is in a memcached that has just been started.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn has_cursor(&self) -> Result<bool, StoreError> {
        let answer = self.client().await?.get(CURSOR_KEY).send().await;
        Ok(number(&answer.map_err(|e| self.error(e))?).is_some())
    }

    /// Moves the cursor on by `count` and returns the newest sequence number; 0 when memcached has
    /// no cursor, or none that can be ours, which [`put_back`](Self::put_back) mends.
    ///
    /// The `count` numbers up to it are the caller's alone, however many responders there are.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second. It may have moved the cursor
    /// all the same; the numbers are then nobody's, and their slots keep what they had.
    pub async fn advance(&self, count: u64) -> Result<u64, StoreError> {
        let answer = self
            .client()
            .await?
            .increment(CURSOR_KEY)
            .delta(count)
            .send()
            .await;
        Ok(answer
            .map_err(|e| self.error(e))?
            .value
            .filter(|&last| last <= MAX_NUMBER)
            .unwrap_or_default())
    }

    /// Writes numbered records into their slots and adds to the counts, in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write; the other
    /// writes may have been done.
    pub async fn write(&self, records: &[Record], more: &Counts) -> Result<(), StoreError> {
        let slots = records.iter().map(|record| Op::Set(slot(record)));
        let first = records.iter().find(|record| record.seq == 1);
        let first = first.map(|record| Op::Set(time(FIRST_KEY, record.timestamp)));
        let counts = more.by_key().filter(|(_, count, _)| *count > 0);
        let counts = counts.map(|(key, count, ttl)| Op::Arithmetic(increment(&key, count, ttl)));
        self.run(slots.chain(first).chain(counts)).await
    }

    /// Adds to the counts of silent connections by port, which other responders add to as well.
    /// Where one of them was faster, nothing is written, and `ports` stay due.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second. It may have taken the counts
    /// all the same: then they are counted twice.
    pub async fn add_silent_ports(&self, ports: &mut SilentPorts) -> Result<(), StoreError> {
        let client = self.client().await?;
        let read = client.get(SILENT_PORTS_KEY).meta(Meta::NONE.cas());
        let answer = read.send().await.map_err(|e| self.error(e))?;
        let found = ports_in(&answer);
        let after = ports.put_into(found.as_ref());
        let is_there = found.as_ref() == Some(after.held());
        if !is_there && !after.held().is_empty() {
            let write = Set::new(SILENT_PORTS_KEY, silent::encode(after.held())).ttl(Ttl::NEVER);
            let write = match answer.item.cas {
                Some(cas) => write.compare_cas(cas),
                None => write.add(),
            };
            if !client
                .run(write)
                .await
                .map_err(|e| self.error(e))?
                .applied()
            {
                return Ok(());
            }
        }
        *ports = after;
        Ok(())
    }

    /// Makes memcached hold what `ring`, `cursor`, `counts`, `since` and `first` say, where
    /// `snapshot` shows less: the times where there are none, the cursor, then slots that are empty
    /// or older. Lowers nothing and overwrites nothing that has changed since the snapshot.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write; the other
    /// writes may have been done.
    pub async fn put_back(
        &self,
        snapshot: &Snapshot,
        cursor: u64,
        ring: &Ring,
        counts: Option<&Counts>,
        since: Timestamp,
        first: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let times = || {
            let first = first.map(|first| time(FIRST_KEY, first));
            std::iter::once(time(SINCE_KEY, since)).chain(first)
        };
        if snapshot.since.is_none() {
            // Whoever waits for the cursor would begin with a time of its own.
            self.run(times().map(Op::Set)).await?;
        }
        self.raise([(CURSOR_KEY.to_owned(), cursor, 0)]).await?;
        let newer = ring.newest_first().into_iter().filter(|record| {
            let held = snapshot.ring.seq_in(slot_of(record.seq));
            record.seq <= cursor && record.seq + SLOTS > cursor && held < record.seq
        });
        let slots = newer.map(|record| {
            Op::Set(
                match snapshot
                    .cas
                    .get(slot_of(record.seq) as usize)
                    .copied()
                    .flatten()
                {
                    Some(cas) => slot(record).compare_cas(cas),
                    None => slot(record).add(),
                },
            )
        });
        self.run(slots.chain(times().map(Op::Set))).await?;
        match counts {
            Some(counts) => self.raise(counts.by_key()).await,
            None => Ok(()),
        }
    }

    /// Raises numbers (key, value, seconds to live; 0 for ever) to at least their value.
    async fn raise(
        &self,
        least: impl IntoIterator<Item = (String, u64, u32)>,
    ) -> Result<(), StoreError> {
        let least: Vec<_> = least.into_iter().collect();
        let reads = least
            .iter()
            .map(|(key, ..)| Get::new(key).meta(Meta::NONE.cas()));
        let held = self
            .client()
            .await?
            .run_many(reads)
            .await
            .map_err(|e| self.error(e))?;
        let mut writes = Vec::new();
        for ((key, value, ttl), held) in least.iter().zip(held) {
            let held = held.map_err(|e| self.error(e))?;
            let write = Set::new(key, value.to_string()).ttl_raw(*ttl);
            match held.item.cas {
                _ if number(&held).is_some_and(|held| held >= *value) => {}
                Some(cas) => writes.push(Op::Set(write.compare_cas(cas))),
                None => writes.push(Op::Set(write.add())),
            }
        }
        self.run(writes).await
    }

    /// Runs a batch; that a comparison or an `add` did not apply is no error.
    async fn run(&self, operations: impl IntoIterator<Item = Op>) -> Result<(), StoreError> {
        let answers = self
            .client()
            .await?
            .run_batch(operations)
            .await
            .map_err(|e| self.error(e))?;
        answers
            .into_iter()
            .try_for_each(|answer| answer.map(drop).map_err(|e| self.error(e)))
    }

    async fn client(&self) -> Result<&AsyncMetaClient, StoreError> {
        let connect = || async {
            AsyncMetaClient::builder()
                .connect_timeout(Some(TIMEOUT))
                .io_timeout(Some(TIMEOUT))
                .max_connections(Some(MAX_STORE_CONNECTIONS))
                .connect_async(self.address.as_str())
                .await
        };
        self.client
            .get_or_try_init(connect)
            .await
            .map_err(|e| self.error(e))
    }

    fn error(&self, source: Error) -> StoreError {
        StoreError {
            address: self.address.clone(),
            source,
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        let (cursor, silent, unreadable) = (0, 0, 0);
        let silent_ports = ByPort::new();
        let cas = vec![None; SLOTS as usize];
        Self {
            cursor,
            since: None,
            first: None,
            silent,
            silent_ports,
            ring: Ring::default(),
            unreadable,
            cas,
        }
    }
}

impl Snapshot {
    /// Takes over the answers to: these slots, since, first, silent ports, silent, cursor.
    fn take(&mut self, slots: &[u64], answers: &[GetResult]) {
        let Some((values, [since, first, ports, silent, cursor])) = answers.split_last_chunk()
        else {
            return;
        };
        (self.since, self.first) = (timestamp(since), timestamp(first));
        self.silent = number(silent).unwrap_or_default();
        self.silent_ports = ports_in(ports).unwrap_or_default();
        // Without a cursor (memcached may evict it like any other item) every record counts.
        let newest = number(cursor).unwrap_or(MAX_NUMBER);
        for (&slot, answer) in slots.iter().zip(values) {
            self.cas[slot as usize] = answer.item.cas;
            let Some(value) = &answer.value else { continue };
            match Record::decode(value.clone()) {
                Ok(record) if slot_of(record.seq) == slot && (1..=newest).contains(&record.seq) => {
                    self.ring.insert(record);
                }
                _ => self.unreadable += 1,
            }
        }
        self.cursor = number(cursor).unwrap_or_else(|| self.ring.newest_seq());
    }
}

fn slot(record: &Record) -> Set {
    Set::new(slot_key(slot_of(record.seq)), record.encode()).ttl(Ttl::NEVER)
}

/// An increment. Makes a missing counter that lives for `ttl` seconds; one that lives for ever (0)
/// is made by [`Store::raise`] alone, as the crate knows no such increment.
fn increment(key: &str, count: u64, ttl: u32) -> Arithmetic {
    let increment = Arithmetic::new(key).delta(count);
    if ttl > 0 {
        increment.initial(count, ttl)
    } else {
        increment
    }
}

/// A time that is written once.
fn time(key: &str, time: Timestamp) -> Set {
    Set::new(key, format!("{time:.6}")).ttl(Ttl::NEVER).add()
}

fn timestamp(answer: &GetResult) -> Option<Timestamp> {
    std::str::from_utf8(answer.value.as_deref()?)
        .ok()?
        .parse()
        .ok()
}

/// Counts by port, `None` for a miss or anything else.
fn ports_in(answer: &GetResult) -> Option<ByPort> {
    silent::decode(answer.value.as_deref()?, MAX_NUMBER)
}

/// A decimal number, `None` for a miss or anything else. memcached pads a number with spaces when
/// it has got shorter.
fn number(answer: &GetResult) -> Option<u64> {
    let number = std::str::from_utf8(answer.value.as_deref()?)
        .ok()?
        .trim_end()
        .parse()
        .ok();
    number.filter(|&number| number <= MAX_NUMBER)
}
