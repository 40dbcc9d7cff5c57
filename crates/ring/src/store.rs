//! The handle to memcached: its protocol, encoding and timeouts live here and nowhere else.
//!
//! In: records and counts. Out: a [`Snapshot`] of the ring in memcached. Retries nothing and logs
//! nothing: the caller decides what to do when memcached is unreachable.
//!
//! Protocol: memcached `doc/protocol.txt`, "Meta Commands" (memcached 1.6 or later).

mod snapshot;
mod values;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use memcache::exp::{AsyncMetaClient, Error, Get, GetResult, Meta, Op, Set, Ttl};
use tokio::sync::OnceCell;

use crate::alive::{self, Alive};
use crate::counts::{Count, Counts};
use crate::hub_counts::{self, HubCounts};
use crate::record::{MAX_NUMBER, Record};
use crate::ring::{ALIVE_KEY, CURSOR_KEY, FIRST_KEY, HUB_COUNTS_KEY, SILENT_PORTS_KEY, SINCE_KEY};
use crate::ring::{Ring, SLOTS, minute_key, slot_key, slot_of};
use crate::silent::{self, SilentPorts};
use snapshot::VALUES_BESIDE;
use values::{increment, number, ports_in, slot, time};

pub use snapshot::Snapshot;

/// Longest wait for a connection to memcached, and then for one batch of answers. On loopback,
/// memcached answers in under a millisecond, unless it is stopped or overloaded.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most connections that one program opens; further callers wait for one, at most [`TIMEOUT`].
const MAX_STORE_CONNECTIONS: usize = 16;
/// How long the answer of a hub is kept, in seconds. An old answer expires if the hub sends no new
/// one.
const HUB_COUNTS_SECONDS: u32 = 15 * 60;

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

/// What a responder or the viewer knows of the ring, to restore memcached from it.
#[derive(Clone, Copy, Debug)]
pub struct KnownRing<'a> {
    /// Newest sequence number.
    pub cursor: u64,
    /// The records.
    pub ring: &'a Ring,
    /// The counts beside the ring; `None` if memcached has them.
    pub counts: Option<&'a Counts>,
    /// Time of the first start.
    pub since: Timestamp,
    /// Time of the first request.
    pub first: Option<Timestamp>,
}

/// What [`Store::refresh`] reads from memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The cursor and, if it has moved, all that `All` reads.
    Cursor,
    /// All values beside the slots, and the slots that are empty or older than the cursor says.
    All,
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

    /// Reads all slots and the values beside them in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        self.read_slots(&mut snapshot, (0..SLOTS).collect()).await?;
        Ok(snapshot)
    }

    /// Returns a snapshot that is brought up to date: reads the values beside the slots, and then
    /// only the slots that are empty or older than the cursor says. A record never changes once it
    /// has its number. With [`Depth::Cursor`], reads only the cursor if it has not moved.
    ///
    /// The cursor moves before the slots are written. So for some time after it has moved, the
    /// caller should use [`Depth::All`]. Only `All` sees changes of the other values.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn refresh(&self, previous: &Snapshot, depth: Depth) -> Result<Snapshot, StoreError> {
        if depth == Depth::Cursor {
            let cursor = number(&self.get_one(CURSOR_KEY).await?);
            if cursor == Some(previous.cursor) {
                return Ok(previous.clone());
            }
        }
        let mut now = Snapshot {
            cas: previous.cas.clone(),
            ring: previous.ring.clone(),
            ..Snapshot::default()
        };
        self.read_slots(&mut now, Vec::new()).await?;
        // Counting began again, or memcached was emptied: a number may belong to another request
        // now.
        if now.cursor < previous.cursor || now.since != previous.since {
            return self.snapshot().await;
        }
        let lacking = now.lacking_slots();
        if !lacking.is_empty() {
            self.read_slots(&mut now, lacking).await?;
        }
        Ok(now)
    }

    /// Reads the number of requests of each minute (Unix time / 60 s) in a range. Minutes without
    /// requests are left out.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn minutes(
        &self,
        minutes: RangeInclusive<i64>,
    ) -> Result<BTreeMap<i64, u64>, StoreError> {
        let keys = minutes.clone().map(minute_key).collect();
        let answers = self.get(keys).await?;
        let mut counts = BTreeMap::new();
        for (minute, answer) in minutes.zip(&answers) {
            if let Some(count) = number(answer) {
                counts.insert(minute, count);
            }
        }
        Ok(counts)
    }

    /// Reads slots and all values beside them into a snapshot.
    async fn read_slots(&self, snapshot: &mut Snapshot, slots: Vec<u64>) -> Result<(), StoreError> {
        let mut keys: Vec<_> = slots.iter().map(|&slot| slot_key(slot)).collect();
        // memcached answers a connection's commands in their order. The cursor comes last, so that
        // no slot can hold a newer record than the cursor says.
        keys.extend(VALUES_BESIDE.map(str::to_owned));
        let answers = self.get(keys).await?;
        snapshot.take(&slots, &answers);
        Ok(())
    }

    /// Reads values, each with the CAS number to compare when it is written again.
    async fn get(&self, keys: Vec<String>) -> Result<Vec<GetResult>, StoreError> {
        let reads: Vec<_> = keys.into_iter().map(read).collect();
        let answers = self.client().await?.run_many(reads).await;
        let mut values = Vec::new();
        for answer in answers.map_err(|e| self.error(e))? {
            values.push(answer.map_err(|e| self.error(e))?);
        }
        Ok(values)
    }

    async fn get_one(&self, key: &str) -> Result<GetResult, StoreError> {
        let answer = self.client().await?.run(read(key.to_owned())).await;
        answer.map_err(|e| self.error(e))
    }

    /// Reads one record; `None` when it was overwritten, was evicted or never existed.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn record(&self, seq: u64) -> Result<Option<Record>, StoreError> {
        let answer = self.get_one(&slot_key(slot_of(seq))).await?;
        let Some(value) = answer.value else {
            return Ok(None);
        };
        match Record::decode(value) {
            Ok(record) if record.seq == seq => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Reads the newest sequence number; 0 when nothing was ever recorded.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn cursor(&self) -> Result<u64, StoreError> {
        let answer = self.get_one(CURSOR_KEY).await?;
        Ok(number(&answer).unwrap_or_default())
    }

    /// Tells whether memcached has a cursor. One that has just been started has none.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn has_cursor(&self) -> Result<bool, StoreError> {
        let answer = self.get_one(CURSOR_KEY).await?;
        Ok(number(&answer).is_some())
    }

    /// Advances the cursor by `count` and returns the newest sequence number. Returns 0 when
    /// memcached has no valid cursor, which [`put_back`](Self::put_back) repairs.
    ///
    /// No other caller gets the `count` numbers up to it, however many responders there are.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second. It may have advanced the
    /// cursor all the same. Then no caller has these numbers, and their slots keep their records.
    pub async fn advance(&self, count: u64) -> Result<u64, StoreError> {
        let increment = self.client().await?.increment(CURSOR_KEY).delta(count);
        let answer = increment.send().await.map_err(|e| self.error(e))?;
        match answer.value {
            Some(last) if last <= MAX_NUMBER => Ok(last),
            _ => Ok(0),
        }
    }

    /// Writes numbered records into their slots and adds to the counts, in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write; the other
    /// writes may have been done.
    pub async fn write(&self, records: &[Record], more: &Counts) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        for record in records {
            writes.push(Op::Set(slot(record)));
            if record.seq == 1 {
                writes.push(Op::Set(time(FIRST_KEY, record.timestamp)));
            }
        }
        for count in more.by_key() {
            if count.value > 0 {
                writes.push(Op::Arithmetic(increment(&count)));
            }
        }
        self.run(writes).await
    }

    /// Adds to the counts of silent connections by port, to which other responders add as well. If
    /// another responder has changed them meanwhile, writes nothing, and `ports` stay due.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second. It may have taken the counts
    /// all the same. Then they are counted twice.
    pub async fn add_silent_ports(&self, ports: &mut SilentPorts) -> Result<(), StoreError> {
        let answer = self.get_one(SILENT_PORTS_KEY).await?;
        let found = ports_in(&answer);
        let after = ports.put_into(found.as_ref());
        let is_there = found.as_ref() == Some(after.held());
        if !is_there && !after.held().is_empty() {
            let value = silent::encode(after.held());
            let write = Set::new(SILENT_PORTS_KEY, value).ttl(Ttl::NEVER);
            let write = unless_changed(write, answer.item.cas);
            let written = self.client().await?.run(write).await;
            if !written.map_err(|e| self.error(e))?.applied() {
                return Ok(());
            }
        }
        *ports = after;
        Ok(())
    }

    /// Returns the error for a memcached that answers, but whose numbers stay below those given
    /// out.
    #[must_use]
    pub fn too_small_numbers(&self) -> StoreError {
        let source = std::io::Error::other("its numbers stay below those given out");
        self.error(source.into())
    }

    /// Writes which sensors lately reported that they run; replaces what was written before.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused the write.
    pub async fn write_alive(&self, alive: &Alive) -> Result<(), StoreError> {
        let write = Set::new(ALIVE_KEY, alive::encode(alive)).ttl(Ttl::NEVER);
        self.run(vec![Op::Set(write)]).await
    }

    /// Reads which sensors lately reported that they run.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn alive(&self) -> Result<Alive, StoreError> {
        let answer = self.get_one(ALIVE_KEY).await?;
        Ok(answer
            .value
            .as_deref()
            .map(alive::decode)
            .unwrap_or_default())
    }

    /// Writes a hub's counts of kinds; replaces what was written before. They expire after a
    /// quarter of an hour.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused the write.
    pub async fn write_hub_counts(&self, counts: &HubCounts) -> Result<(), StoreError> {
        let write = Set::new(HUB_COUNTS_KEY, counts.encode()).ttl_raw(HUB_COUNTS_SECONDS);
        self.run(vec![Op::Set(write)]).await
    }

    /// Reads a hub's counts of kinds; empty counts where none were written lately.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn hub_counts(&self) -> Result<HubCounts, StoreError> {
        let answer = self.get_one(HUB_COUNTS_KEY).await?;
        let value = answer.value.as_deref();
        let counts = value.and_then(|value| HubCounts::decode(value, hub_counts::MOST_KINDS));
        Ok(counts.unwrap_or_default())
    }

    /// Restores memcached: writes the parts of `known` that `snapshot` lacks. These are missing
    /// times, the counts, the cursor, and then slots that are empty or older. Lowers nothing and
    /// overwrites nothing that has changed since the snapshot.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write; the other
    /// writes may have been done.
    pub async fn put_back(
        &self,
        snapshot: &Snapshot,
        known: KnownRing<'_>,
    ) -> Result<(), StoreError> {
        let mut times = vec![Op::Set(time(SINCE_KEY, known.since))];
        if let Some(first) = known.first {
            times.push(Op::Set(time(FIRST_KEY, first)));
        }
        if snapshot.since.is_none() {
            // A program that waits for the cursor would otherwise write a time of its own.
            self.run(times.clone()).await?;
        }
        // The counts first, then the cursor: programs that add to the counts wait for the cursor.
        // And if this stops half way, the next call finds no cursor, and repeats it.
        if let Some(counts) = known.counts {
            self.raise(counts.by_key()).await?;
        }
        let cursor = Count::kept(CURSOR_KEY, known.cursor);
        self.raise(vec![cursor]).await?;
        let mut writes = Vec::new();
        for record in known.ring.newest_first() {
            let is_in_ring = record.seq <= known.cursor && record.seq + SLOTS > known.cursor;
            let slot_number = slot_of(record.seq);
            if is_in_ring && snapshot.ring.seq_in(slot_number) < record.seq {
                let write = unless_changed(slot(record), snapshot.cas_of(slot_number));
                writes.push(Op::Set(write));
            }
        }
        // `first` may be missing although `since` is there. A time that is there stays.
        writes.extend(times);
        self.run(writes).await
    }

    /// Raises numbers to at least their value.
    async fn raise(&self, counts: Vec<Count>) -> Result<(), StoreError> {
        let keys = counts.iter().map(|it| it.key.clone()).collect();
        let answers = self.get(keys).await?;
        let mut writes = Vec::new();
        for (count, answer) in counts.iter().zip(answers) {
            if number(&answer).is_some_and(|held| held >= count.value) {
                continue;
            }
            let write = Set::new(&count.key, count.value.to_string()).ttl_raw(count.ttl_seconds);
            writes.push(Op::Set(unless_changed(write, answer.item.cas)));
        }
        self.run(writes).await
    }

    /// Runs a batch. A write that did not apply, because of its comparison or `add`, is no error.
    async fn run(&self, operations: Vec<Op>) -> Result<(), StoreError> {
        let answers = self.client().await?.run_batch(operations).await;
        for answer in answers.map_err(|e| self.error(e))? {
            answer.map_err(|e| self.error(e))?;
        }
        Ok(())
    }

    async fn client(&self) -> Result<&AsyncMetaClient, StoreError> {
        let client = self.client.get_or_try_init(|| connect(&self.address)).await;
        client.map_err(|e| self.error(e))
    }

    fn error(&self, source: Error) -> StoreError {
        StoreError {
            address: self.address.clone(),
            source,
        }
    }
}

async fn connect(address: &str) -> Result<AsyncMetaClient, Error> {
    AsyncMetaClient::builder()
        .connect_timeout(Some(TIMEOUT))
        .io_timeout(Some(TIMEOUT))
        .max_connections(Some(MAX_STORE_CONNECTIONS))
        .connect_async(address)
        .await
}

fn read(key: String) -> Get {
    Get::new(key).meta(Meta::NONE.cas())
}

/// Returns a write that does nothing if the value has changed since it was read. `cas` is `None`
/// for a value that was missing.
fn unless_changed(write: Set, cas: Option<u64>) -> Set {
    match cas {
        Some(cas) => write.compare_cas(cas),
        None => write.add(),
    }
}
