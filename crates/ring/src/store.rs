//! The handle to memcached: keys, encoding and timeouts live here and nowhere else.
//!
//! In: records and counts. Out: the ring as memcached holds it. Retries nothing and logs nothing:
//! what to do about a memcached that is away is the caller's matter.
//!
//! Protocol: memcached `doc/protocol.txt`, "Meta Commands" (memcached 1.6 or later).

use std::time::Duration;

use jiff::Timestamp;
use memcache::exp::{Arithmetic, AsyncMetaClient, Error, Get, GetResult, Meta, Op, Set, Ttl};
use tokio::sync::OnceCell;

use crate::counts::Counts;
use crate::record::Record;
use crate::ring::{CURSOR_KEY, Ring, SILENT_KEY, SINCE_KEY, SLOTS, slot_key, slot_of};

/// Longest wait for a connection to memcached, and then for one batch of answers. memcached on
/// loopback answers in under a millisecond; one that is stopped or overloaded is found out by this.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most connections that one program opens; further callers wait for one, at most [`TIMEOUT`].
const MAX_STORE_CONNECTIONS: usize = 16;

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
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Newest sequence number; 0 when nothing was ever recorded.
    pub cursor: u64,
    /// Time of the first start.
    pub since: Option<Timestamp>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
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
        Self { address: address.into(), client: OnceCell::new() }
    }

    /// Reads all slots and the counters beside them in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let client = self.client().await?;
        // memcached answers a connection's commands in their order. The cursor comes last, so that
        // no slot can hold a newer record than the cursor says.
        let keys = (0..SLOTS).map(slot_key).chain([SINCE_KEY, SILENT_KEY, CURSOR_KEY].map(str::to_owned));
        let answers = client.run_many(keys.map(|key| Get::new(key).meta(Meta::NONE.cas()))).await;
        let answers: Result<Vec<_>, _> = answers.map_err(|e| self.error(e))?.into_iter().collect();
        Ok(Snapshot::of(&answers.map_err(|e| self.error(e))?))
    }

    /// Reads one record; `None` when it has rolled over, was evicted or never was.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn record(&self, seq: u64) -> Result<Option<Record>, StoreError> {
        let answer = self.client().await?.get(slot_key(slot_of(seq))).send().await;
        let value = answer.map_err(|e| self.error(e))?.value;
        Ok(value.and_then(|value| Record::decode(value).ok()).filter(|record| record.seq == seq))
    }

    /// Reads the newest sequence number; 0 when nothing was ever recorded.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn cursor(&self) -> Result<u64, StoreError> {
        let answer = self.client().await?.get(CURSOR_KEY).send().await;
        Ok(number(&answer.map_err(|e| self.error(e))?).unwrap_or_default())
    }

    /// Moves the cursor on by `count` and returns the newest sequence number; 0 when memcached has no
    /// cursor, which [`put_back`](Self::put_back) mends.
    ///
    /// The `count` numbers up to it are the caller's alone, however many responders there are.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second. It may have moved the cursor
    /// all the same; the numbers are then nobody's, and their slots keep what they had.
    pub async fn advance(&self, count: u64) -> Result<u64, StoreError> {
        let answer = self.client().await?.increment(CURSOR_KEY).delta(count).send().await;
        Ok(answer.map_err(|e| self.error(e))?.value.unwrap_or_default())
    }

    /// Writes numbered records into their slots and adds to the counts, in one round trip.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write; the other
    /// writes may have been done.
    pub async fn write(&self, records: &[Record], more: &Counts) -> Result<(), StoreError> {
        let slots = records.iter().map(|record| Op::Set(slot(record)));
        let counts = more.by_key().filter(|(_, count, _)| *count > 0);
        let counts = counts.map(|(key, count, ttl)| Op::Arithmetic(increment(&key, count, ttl)));
        self.run(slots.chain(counts)).await
    }

    /// Makes memcached hold what `ring`, `cursor`, `counts` and `since` say, where `snapshot` shows
    /// less: the cursor first, then slots that are empty or older. Lowers nothing and overwrites
    /// nothing that has changed since the snapshot.
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
    ) -> Result<(), StoreError> {
        self.raise([(CURSOR_KEY.to_owned(), cursor, 0)]).await?;
        let newer = ring.newest_first().into_iter().filter(|record| {
            let held = snapshot.ring.seq_in(slot_of(record.seq));
            record.seq <= cursor && record.seq + SLOTS > cursor && held < record.seq
        });
        let slots = newer.map(|record| {
            Op::Set(match snapshot.cas.get(slot_of(record.seq) as usize).copied().flatten() {
                Some(cas) => slot(record).compare_cas(cas),
                None => slot(record).add(),
            })
        });
        let since = Set::new(SINCE_KEY, format!("{since:.6}")).ttl(Ttl::NEVER).add();
        self.run(slots.chain([Op::Set(since)])).await?;
        match counts {
            Some(counts) => self.raise(counts.by_key()).await,
            None => Ok(()),
        }
    }

    /// Raises numbers (key, value, seconds to live; 0 for ever) to at least their value.
    async fn raise(&self, least: impl IntoIterator<Item = (String, u64, u32)>) -> Result<(), StoreError> {
        let least: Vec<_> = least.into_iter().collect();
        let reads = least.iter().map(|(key, ..)| Get::new(key).meta(Meta::NONE.cas()));
        let held = self.client().await?.run_many(reads).await.map_err(|e| self.error(e))?;
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
        let answers = self.client().await?.run_batch(operations).await.map_err(|e| self.error(e))?;
        answers.into_iter().try_for_each(|answer| answer.map(drop).map_err(|e| self.error(e)))
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
        self.client.get_or_try_init(connect).await.map_err(|e| self.error(e))
    }

    fn error(&self, source: Error) -> StoreError {
        StoreError { address: self.address.clone(), source }
    }
}

impl Snapshot {
    /// Reads the answers to: every slot, since, silent, cursor.
    fn of(answers: &[GetResult]) -> Self {
        let (slots, rest) = answers.split_at(SLOTS as usize);
        let [since, silent, cursor] = rest else { return Self::default() };
        let mut snapshot = Self {
            since: since.value.as_ref().and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()),
            silent: number(silent).unwrap_or_default(),
            cas: slots.iter().map(|slot| slot.item.cas).collect(),
            ..Self::default()
        };
        // Without a cursor (memcached may evict it like any other item) every record counts.
        let newest = number(cursor).unwrap_or(u64::MAX);
        for (slot, answer) in (0..).zip(slots) {
            let Some(value) = &answer.value else { continue };
            match Record::decode(value.clone()) {
                Ok(record) if slot_of(record.seq) == slot && (1..=newest).contains(&record.seq) => {
                    snapshot.ring.insert(record);
                }
                _ => snapshot.unreadable += 1,
            }
        }
        snapshot.cursor = number(cursor).unwrap_or_else(|| snapshot.ring.newest_seq());
        snapshot
    }
}

fn slot(record: &Record) -> Set {
    Set::new(slot_key(slot_of(record.seq)), record.encode()).ttl(Ttl::NEVER)
}

/// An increment. Makes a missing counter that lives for `ttl` seconds; one that lives for ever (0)
/// is made by [`Store::raise`] alone, as the crate knows no such increment.
fn increment(key: &str, count: u64, ttl: u32) -> Arithmetic {
    let increment = Arithmetic::new(key).delta(count);
    if ttl > 0 { increment.initial(count, ttl) } else { increment }
}

/// A decimal number, `None` for a miss or anything else. memcached pads a number with spaces when
/// it has got shorter.
fn number(answer: &GetResult) -> Option<u64> {
    std::str::from_utf8(answer.value.as_deref()?).ok()?.trim_end().parse().ok()
}
