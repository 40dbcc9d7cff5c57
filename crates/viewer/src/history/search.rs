//! Searches the file for the requests that a visitor wants.
//!
//! In: conditions on columns, and texts. Out: the records that the caller accepts, the newest
//! first, and the number from which to go on. A search ends when it has enough records, or when its
//! time is over.
//!
//! Each condition becomes a set of rows of `found`, `source`, `way`, `payload` or `sensor`. If one
//! of the sets is small, the indexes lead from its rows to their requests. Otherwise the search
//! goes through the requests one by one.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::{ControlFlow, RangeInclusive};
use std::time::{Duration, Instant};

use forever200_decode::lower;
use forever200_identify::Category;
use forever200_ring::Record;
use ipnet::IpNet;
use jiff::Timestamp;
use memchr::memmem::Finder;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::history::blocks;
use crate::history::questions::Questions;
use crate::history::row::{self, REQUESTS, integer};
use crate::history::row_ids::RowIds;
use crate::history::trigrams;

/// Time after which a search ends with what it has.
const SEARCH_TIME: Duration = Duration::from_millis(300);
/// Time after which a search for numbers alone ends.
const NUMBERS_TIME: Duration = Duration::from_secs(1);
/// Longest time to search all payloads for texts, in addition to [`SEARCH_TIME`] or
/// [`NUMBERS_TIME`].
const TEXT_TIME: Duration = Duration::from_millis(800);
/// How many requests are searched for a text one by one, before all payloads are searched for it.
/// For most texts, these fill a page.
const READ_FIRST: i64 = 2000;
/// Payloads that are read between two looks at the clock.
const ROWS_BETWEEN_LOOKS: usize = 1024;
/// If a set has at most this many rows, the search looks up their requests by index instead of
/// going through all requests.
const MOST_LEADS: usize = 64;
/// How many requests are looked up at a time for each row of such a set.
const LOOKED_UP: usize = 256;

/// A property of a request that a column tells.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// The request has one of these labels.
    Labels(Vec<String>),
    /// One of its labels has this category; `None`: it has no label.
    Category(Option<&'static str>),
    /// It speaks this protocol.
    Protocol(&'static str),
    /// Its kind has this name, which is not a label.
    Kind(String),
    /// Its source is in this network.
    Source(IpNet),
    Country(String),
    Network(u32),
    /// This sensor sent it.
    Sensor(String),
    /// It came to one of these ports.
    Port(RangeInclusive<u16>),
    /// Its TLS client has this fingerprint.
    Ja4(String),
    /// It asks for this name, in upper or lower case. A request whose name is not known matches as
    /// well, because the name may have been hidden.
    Host(String),
}

/// The requests that a visitor wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// All of them must be met.
    pub(crate) conditions: Vec<Condition>,
    /// Every list must match; a list matches if the bytes contain any of its texts, which are in
    /// lower case. The case of ASCII letters is ignored.
    pub(crate) texts: Vec<Vec<Finder<'static>>>,
    /// Only requests from this time on.
    pub(crate) since: Option<Timestamp>,
    /// Only requests before this time.
    pub(crate) until: Option<Timestamp>,
    pub(crate) start: Start,
}

/// A condition on a column of the history.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) column: Column,
    /// The request must not have the property.
    pub(crate) excludes: bool,
}

impl Condition {
    /// Makes the condition that a request has the property.
    pub(crate) fn is(column: Column) -> Self {
        Self {
            column,
            excludes: false,
        }
    }
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the newest request.
    #[default]
    Newest,
    /// At the newest request before this number, and then to older ones.
    Before(u64),
    /// At the oldest request after this number, and then to newer ones.
    After(u64),
}

/// What a search has found.
#[derive(Debug)]
pub(crate) struct Page<T> {
    /// The newest first, in whatever direction the search went.
    pub(crate) items: Vec<T>,
    /// There may be more in the direction of the search, beyond this number; `None` at the end.
    pub(crate) more: Option<u64>,
    /// Not all payloads could be searched for a text in time.
    pub(crate) is_partial: bool,
}

/// The column of a request that references a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    Found,
    Source,
    Payload,
    Way,
    /// Table `sent` has it, and not the row of the request.
    Sensor,
}

/// A set of rows. A request must reference one of them or, with `excludes`, none of them.
#[derive(Debug)]
struct RowSet {
    reference: Reference,
    rows: RowIds,
    excludes: bool,
}

/// The columns of a request on which conditions are checked.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    seq: i64,
    found: i64,
    source: i64,
    payload: i64,
    way: i64,
    /// Microseconds since 1970.
    time: i64,
    /// 0 if the request came to this machine, or if no condition needs the sensor.
    sensor: i64,
}

impl Questions {
    /// Passes the wanted requests to `accept`, and returns what it makes of them. Ends when there
    /// are `most` items, or when `accept` breaks off. Then the next page begins with the request at
    /// which it broke off.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn search<T>(
        &self,
        wanted: &Wanted,
        most: usize,
        accept: impl FnMut(Record) -> ControlFlow<(), Option<T>>,
    ) -> rusqlite::Result<Page<T>> {
        self.ask(|file| Search::new(file, wanted, SEARCH_TIME)?.run(most, accept))
    }

    /// Returns the numbers of the wanted requests, in the order of the search; `None` when there
    /// are more than `most`, or when they cannot be found in time.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn numbers(
        &self,
        wanted: &Wanted,
        most: usize,
    ) -> rusqlite::Result<Option<Vec<u64>>> {
        self.ask(|file| {
            let mut search = Search::new(file, wanted, NUMBERS_TIME)?;
            search.search_payloads()?;
            if search.is_partial {
                return Ok(None);
            }
            let mut numbers = Vec::new();
            let more = search.each(&mut |candidate| {
                if numbers.len() == most {
                    return Ok(ControlFlow::Break(()));
                }
                numbers.push(candidate.seq.unsigned_abs());
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(more.is_none().then_some(numbers))
        })
    }
}

/// A function that gets each request in the order of the search. It breaks off when it has enough.
type Visit<'a> = dyn FnMut(Candidate) -> rusqlite::Result<ControlFlow<()>> + 'a;

/// A search under way.
struct Search<'a> {
    file: &'a Connection,
    is_ascending: bool,
    /// The range of numbers to search, with both ends.
    lowest: i64,
    highest: i64,
    /// The range of times to search, in microseconds since 1970, without its end. Each request is
    /// checked, because numbers are not in the order of times: at a hub requests come late, and
    /// clocks are set.
    since: i64,
    until: i64,
    sets: Vec<RowSet>,
    /// A request must contain one text of each list. Not yet turned into `sets`.
    texts: Vec<Vec<Finder<'static>>>,
    is_partial: bool,
    time: Duration,
    deadline: Instant,
}

impl<'a> Search<'a> {
    fn new(file: &'a Connection, wanted: &Wanted, time: Duration) -> rusqlite::Result<Self> {
        let (mut lowest, mut highest) = blocks::range(file, wanted.since, wanted.until)?;
        match wanted.start {
            Start::Newest => {}
            Start::Before(seq) => highest = highest.min(integer(seq) - 1),
            Start::After(seq) => lowest = lowest.max(integer(seq).saturating_add(1)),
        }
        let mut search = Self {
            file,
            is_ascending: matches!(wanted.start, Start::After(_)),
            lowest,
            highest,
            since: wanted.since.map_or(i64::MIN, Timestamp::as_microsecond),
            until: wanted.until.map_or(i64::MAX, Timestamp::as_microsecond),
            sets: Vec::new(),
            texts: wanted.texts.clone(),
            is_partial: false,
            time,
            deadline: Instant::now(),
        };
        for condition in &wanted.conditions {
            let set = search.rows_of(condition)?;
            search.add(set);
        }
        search.deadline = Instant::now() + time;
        Ok(search)
    }

    /// Adds a set of rows. Sets for the same reference are merged if both exclude or both do not.
    /// So there are at most two for each reference, however many conditions a visitor asks for.
    fn add(&mut self, set: RowSet) {
        let is_same =
            |held: &RowSet| held.reference == set.reference && held.excludes == set.excludes;
        match self.sets.iter_mut().find(|held| is_same(held)) {
            Some(held) if held.excludes => held.rows.unite(&set.rows),
            Some(held) => held.rows.intersect(&set.rows),
            None => self.sets.push(set),
        }
    }

    fn run<T>(
        mut self,
        most: usize,
        mut accept: impl FnMut(Record) -> ControlFlow<(), Option<T>>,
    ) -> rusqlite::Result<Page<T>> {
        let mut items = Vec::new();
        if let Some(rest) = self.split_off_rest()? {
            let more = self.collect(most, &mut items, &mut accept)?;
            if more.is_some() {
                return Ok(self.page(items, more));
            }
            (self.lowest, self.highest) = rest;
            self.search_payloads()?;
        }
        let more = self.collect(most, &mut items, &mut accept)?;
        Ok(self.page(items, more))
    }

    /// Narrows the search to the first [`READ_FIRST`] requests, and returns the lowest and the
    /// highest number of the rest; `None` if there is no rest, or if no text is wanted.
    fn split_off_rest(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        if self.texts.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT seq FROM request WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq {} LIMIT 1 OFFSET ?3",
            self.order_sql()
        );
        let mut statement = self.file.prepare_cached(&sql)?;
        let parameters = [self.lowest, self.highest, READ_FIRST];
        let first_of_rest: Option<i64> = statement
            .query_row(parameters, |row| row.get(0))
            .optional()?;
        Ok(first_of_rest.map(|seq| {
            if self.is_ascending {
                let rest = (seq, self.highest);
                self.highest = seq - 1;
                rest
            } else {
                let rest = (self.lowest, seq);
                self.lowest = seq + 1;
                rest
            }
        }))
    }

    /// Turns the wanted texts into a set of payloads, once for all requests.
    fn search_payloads(&mut self) -> rusqlite::Result<()> {
        let texts = std::mem::take(&mut self.texts);
        if !texts.is_empty() {
            let rows = self.payloads_with(&texts)?;
            self.add(RowSet {
                reference: Reference::Payload,
                rows,
                excludes: false,
            });
        }
        self.deadline = Instant::now() + self.time;
        Ok(())
    }

    /// Adds to `items` what `accept` makes of requests, until there are `most`. Returns the number
    /// of the last request that was checked if it stopped before the end; `None` at the end.
    fn collect<T>(
        &self,
        most: usize,
        items: &mut Vec<T>,
        accept: &mut impl FnMut(Record) -> ControlFlow<(), Option<T>>,
    ) -> rusqlite::Result<Option<i64>> {
        let mut payload = self
            .file
            .prepare_cached("SELECT bytes FROM payload WHERE id = ?1")?;
        let mut record = self
            .file
            .prepare_cached(&format!("{REQUESTS} WHERE seq = ?1"))?;
        let mut lower = Vec::new();
        let mut contains_texts = |candidate: Candidate| -> rusqlite::Result<bool> {
            if self.texts.is_empty() {
                return Ok(true);
            }
            let mut rows = payload.query([candidate.payload])?;
            let Some(row) = rows.next()? else {
                return Ok(false);
            };
            let bytes = row.get_ref(0)?.as_blob()?;
            Ok(contains_all(bytes, &self.texts, &mut lower))
        };
        self.each(&mut |candidate| {
            if items.len() == most {
                return Ok(ControlFlow::Break(()));
            }
            if !contains_texts(candidate)? {
                return Ok(ControlFlow::Continue(()));
            }
            let Some(record) = record.query_row([candidate.seq], row::record).optional()? else {
                return Ok(ControlFlow::Continue(()));
            };
            Ok(accept(record).map_continue(|item| items.extend(item)))
        })
    }

    fn page<T>(&self, mut items: Vec<T>, more: Option<i64>) -> Page<T> {
        if self.is_ascending {
            items.reverse();
        }
        Page {
            items,
            more: more.map(i64::unsigned_abs),
            is_partial: self.is_partial,
        }
    }

    /// Visits each request that meets all conditions, as long as there is time. Returns the number
    /// of the last request that was checked if it stopped before the end; `None` at the end.
    fn each(&self, visit: &mut Visit<'_>) -> rusqlite::Result<Option<i64>> {
        let mut is_first = true;
        let mut visit_if_met = |candidate: Candidate| {
            // One request is checked in any case, so that a search that goes on after it makes
            // progress.
            if !is_first && Instant::now() > self.deadline {
                return Ok(ControlFlow::Break(()));
            }
            is_first = false;
            if self.is_met_by(candidate) {
                return visit(candidate);
            }
            Ok(ControlFlow::Continue(()))
        };
        match self.leads() {
            Some(leads) => self.follow(leads, &mut visit_if_met),
            None => self.go_through(&mut visit_if_met),
        }
    }

    /// Visits all requests one by one. Returns the number of the last request that was checked if
    /// it stopped before the end; `None` at the end.
    fn go_through(&self, visit: &mut Visit<'_>) -> rusqlite::Result<Option<i64>> {
        let sql = format!(
            "SELECT seq, found, source, payload, way, time, {} FROM request WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq {}",
            self.sensor_sql(),
            self.order_sql()
        );
        let mut statement = self.file.prepare_cached(&sql)?;
        let mut rows = statement.query(params![self.lowest, self.highest])?;
        let mut looked_at = self.just_before_the_first();
        while let Some(row) = rows.next()? {
            let candidate = candidate(row)?;
            if visit(candidate)?.is_break() {
                return Ok(Some(looked_at));
            }
            looked_at = candidate.seq;
        }
        Ok(None)
    }

    /// Returns the number just before the first one in the order of the search.
    fn just_before_the_first(&self) -> i64 {
        if self.is_ascending {
            self.lowest.saturating_sub(1)
        } else {
            self.highest.saturating_add(1)
        }
    }

    /// Returns the smallest set of which requests must reference a row; `None` if it has more than
    /// [`MOST_LEADS`] rows, or if there is no such set.
    fn leads(&self) -> Option<&RowSet> {
        let sets = self.sets.iter().filter(|set| !set.excludes);
        sets.min_by_key(|set| set.rows.len())
            .filter(|set| set.rows.len() <= MOST_LEADS)
    }

    /// Looks up the requests of each row in `leads`, a number of them at a time, and visits them in
    /// the order of the search. Returns the number of the last request that was checked if it
    /// stopped before the end; `None` at the end.
    fn follow(&self, leads: &RowSet, visit: &mut Visit<'_>) -> rusqlite::Result<Option<i64>> {
        let (mut lowest, mut highest) = (self.lowest, self.highest);
        let mut looked_at = self.just_before_the_first();
        loop {
            let (candidates, sure_up_to) = self.look_up(leads, lowest, highest)?;
            for candidate in candidates {
                if visit(candidate)?.is_break() {
                    return Ok(Some(looked_at));
                }
                looked_at = candidate.seq;
            }
            let Some(seq) = sure_up_to else {
                return Ok(None);
            };
            looked_at = seq;
            if self.is_ascending {
                lowest = seq.saturating_add(1);
            } else {
                highest = seq - 1;
            }
        }
    }

    /// Returns the next requests that reference one of these rows, in the order of the search. Also
    /// returns the number up to which none of them is missing; `None` if none is missing up to the
    /// end.
    fn look_up(
        &self,
        leads: &RowSet,
        lowest: i64,
        highest: i64,
    ) -> rusqlite::Result<(Vec<Candidate>, Option<i64>)> {
        let (order, sensor) = (self.order_sql(), self.sensor_sql());
        let sql = match leads.reference.column() {
            Some(column) => format!(
                "SELECT seq, found, source, payload, way, time, {sensor} FROM request \
                 WHERE {column} = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq {order} LIMIT ?4"
            ),
            None => format!(
                "SELECT seq, found, source, payload, way, request.time, sensor FROM sent CROSS JOIN request ON seq = sent.request \
                 WHERE sensor = ?1 AND sent.request BETWEEN ?2 AND ?3 ORDER BY sent.request {order} LIMIT ?4"
            ),
        };
        let mut statement = self.file.prepare_cached(&sql)?;
        let mut candidates = Vec::new();
        let mut sure_up_to: Option<i64> = None;
        for lead in leads.rows.iter() {
            let of_one = statement
                .query_map(params![lead, lowest, highest, LOOKED_UP as i64], candidate)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            // This row may have more requests. Up to its last one here, none is missing.
            if of_one.len() == LOOKED_UP
                && let Some(last) = of_one.last()
            {
                sure_up_to = Some(match sure_up_to {
                    None => last.seq,
                    Some(sure) if self.is_ascending => sure.min(last.seq),
                    Some(sure) => sure.max(last.seq),
                });
            }
            candidates.extend(of_one);
        }
        if let Some(sure) = sure_up_to {
            candidates.retain(|it| {
                if self.is_ascending {
                    it.seq <= sure
                } else {
                    it.seq >= sure
                }
            });
        }
        candidates.sort_unstable_by_key(|it| if self.is_ascending { it.seq } else { -it.seq });
        Ok((candidates, sure_up_to))
    }

    /// Returns the SQL for the sensor of a request. It is only a constant if no condition needs the
    /// sensor, because the sensor takes a query of another table for each request.
    fn sensor_sql(&self) -> &'static str {
        if self
            .sets
            .iter()
            .any(|set| set.reference == Reference::Sensor)
        {
            "coalesce((SELECT sensor FROM sent WHERE sent.request = request.seq), 0)"
        } else {
            "0"
        }
    }

    fn order_sql(&self) -> &'static str {
        if self.is_ascending { "ASC" } else { "DESC" }
    }

    fn is_met_by(&self, candidate: Candidate) -> bool {
        if !(self.since..self.until).contains(&candidate.time) {
            return false;
        }
        self.sets.iter().all(|set| {
            let row = match set.reference {
                Reference::Found => candidate.found,
                Reference::Source => candidate.source,
                Reference::Payload => candidate.payload,
                Reference::Way => candidate.way,
                Reference::Sensor => candidate.sensor,
            };
            set.rows.contains(row) != set.excludes
        })
    }

    /// Returns the set of rows for a condition.
    fn rows_of(&self, condition: &Condition) -> rusqlite::Result<RowSet> {
        let (reference, rows) = match &condition.column {
            Column::Kind(kind) => (
                Reference::Payload,
                self.select("payload", "shape = ?1", kind)?,
            ),
            Column::Ja4(ja4) => (
                Reference::Payload,
                self.select("payload", "ja4 = ?1 COLLATE NOCASE", ja4)?,
            ),
            Column::Host(name) => {
                let may_be_it = "host IS NULL OR host = ?1 COLLATE NOCASE";
                (Reference::Payload, self.select("payload", may_be_it, name)?)
            }
            Column::Protocol(name) => (
                Reference::Found,
                self.select("found", "protocol = ?1", name)?,
            ),
            Column::Category(None) => (Reference::Found, self.select("found", "labels = ?1", " ")?),
            Column::Category(Some(name)) if *name == Category::Ordinary.name() => {
                // No other category, as in the filter of the page.
                let alone = format!(" {name} ");
                (
                    Reference::Found,
                    self.select("found", "categories = ?1", alone)?,
                )
            }
            Column::Category(Some(name)) => {
                (Reference::Found, self.spaced("categories", &[*name])?)
            }
            Column::Labels(ids) => {
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                (Reference::Found, self.spaced("labels", &ids)?)
            }
            Column::Country(code) => (
                Reference::Source,
                self.select("source", "country = ?1", code)?,
            ),
            Column::Network(asn) => (Reference::Source, self.select("source", "asn = ?1", asn)?),
            Column::Source(network) => (Reference::Source, self.sources_in(*network)?),
            Column::Sensor(name) => (Reference::Sensor, self.select("sensor", "name = ?1", name)?),
            Column::Port(ports) => (Reference::Way, self.ways_to(ports)?),
        };
        Ok(RowSet {
            reference,
            rows,
            excludes: condition.excludes,
        })
    }

    fn select(
        &self,
        table: &str,
        condition: &str,
        value: impl rusqlite::ToSql,
    ) -> rusqlite::Result<RowIds> {
        let sql = format!("SELECT id FROM {table} WHERE {condition}");
        let mut statement = self.file.prepare_cached(&sql)?;
        statement.query_map([value], |row| row.get(0))?.collect()
    }

    /// Returns the rows of `way` to these ports. A port has several rows, because requests end in
    /// several ways, and each responder has an id.
    fn ways_to(&self, ports: &RangeInclusive<u16>) -> rusqlite::Result<RowIds> {
        let mut statement = self
            .file
            .prepare_cached("SELECT id FROM way WHERE dest_port BETWEEN ?1 AND ?2")?;
        statement
            .query_map([ports.start(), ports.end()], |row| row.get(0))?
            .collect()
    }

    /// Returns the rows of `found` that have one of these words in this column.
    fn spaced(&self, column: &str, words: &[&str]) -> rusqlite::Result<RowIds> {
        let words: HashSet<&str> = words.iter().copied().collect();
        let mut statement = self
            .file
            .prepare_cached(&format!("SELECT id, {column} FROM found"))?;
        let mut rows = statement.query([])?;
        let mut ids = RowIds::default();
        while let Some(row) = rows.next()? {
            let text = row.get_ref(1)?.as_str()?;
            if text.split(' ').any(|word| words.contains(word)) {
                ids.insert(row.get(0)?);
            }
        }
        Ok(ids)
    }

    /// Returns the rows of an address. An IPv4 address may also have come as an IPv6 address,
    /// `::ffff:203.0.113.7`.
    fn addresses(&self, address: IpAddr) -> rusqlite::Result<RowIds> {
        let mut rows = self.select("source", "address = ?1", address.to_string())?;
        if let IpAddr::V4(address) = address {
            let mapped = address.to_ipv6_mapped().to_string();
            rows.unite(&self.select("source", "address = ?1", mapped)?);
        }
        Ok(rows)
    }

    fn sources_in(&self, network: IpNet) -> rusqlite::Result<RowIds> {
        if network.prefix_len() == network.max_prefix_len() {
            return self.addresses(network.addr());
        }
        let mut statement = self.file.prepare_cached("SELECT id, address FROM source")?;
        let mut rows = statement.query([])?;
        let mut ids = RowIds::default();
        while let Some(row) = rows.next()? {
            let address = row.get_ref(1)?.as_str()?.parse();
            if address.is_ok_and(|address: IpAddr| network.contains(&address.to_canonical())) {
                ids.insert(row.get(0)?);
            }
        }
        Ok(ids)
    }

    /// Returns the payloads that contain one text of each list. If the time is over before all are
    /// searched, the newest have been.
    fn payloads_with(&mut self, texts: &[Vec<Finder<'static>>]) -> rusqlite::Result<RowIds> {
        let deadline = Instant::now() + TEXT_TIME;
        let mut statement = self.file.prepare_cached(
            "SELECT id, bytes FROM payload WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC",
        )?;
        let (mut ids, mut lower, mut looked_at) = (RowIds::default(), Vec::new(), 0);
        let end = trigrams::visit_candidates(self.file, texts, |range| {
            if Instant::now() > deadline {
                return Ok(ControlFlow::Break(()));
            }
            let mut rows = statement.query([range.start(), range.end()])?;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                if looked_at % ROWS_BETWEEN_LOOKS == 0 && Instant::now() > deadline {
                    return Ok(ControlFlow::Break(()));
                }
                if contains_all(row.get_ref(1)?.as_blob()?, texts, &mut lower) {
                    ids.insert(row.get(0)?);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.is_partial |= end.is_break();
        Ok(ids)
    }
}

impl Reference {
    /// Returns the column of `request` that references the row; `None` if another table does.
    fn column(self) -> Option<&'static str> {
        match self {
            Self::Found => Some("found"),
            Self::Source => Some("source"),
            Self::Payload => Some("payload"),
            Self::Way => Some("way"),
            Self::Sensor => None,
        }
    }
}

/// Tells whether bytes contain one text of each list, in any case. `lower` is room to work in.
fn contains_all(bytes: &[u8], texts: &[Vec<Finder<'static>>], lower: &mut Vec<u8>) -> bool {
    lower.clear();
    lower::push(lower, bytes);
    let contains = |text: &Finder<'_>| text.find(lower).is_some();
    texts.iter().all(|list| list.iter().any(contains))
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        seq: row.get(0)?,
        found: row.get(1)?,
        source: row.get(2)?,
        payload: row.get(3)?,
        way: row.get(4)?,
        time: row.get(5)?,
        sensor: row.get(6)?,
    })
}

#[cfg(test)]
mod tests;
