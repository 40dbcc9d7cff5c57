//! Finds requests by their number, and their neighbours: first in the ring, then in the history.
//!
//! In: a number. Out: an entry, as it may be shown. A request in the ring is found at once; the
//! history is read on a visitor's turn.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use ipnet::IpNet;
use tracing::warn;

use crate::history::{Column, Condition, Questions, Start, Wanted};
use crate::page::filter::Filter;
use crate::page::pages::Neighbours;
use crate::reader::{Describer, Entry, View};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::state::Viewer;

/// Most other requests of the same source on the page of a request of the history.
const MOST_OTHERS: usize = 20;

/// Finds a request, in the ring or in the history.
///
/// # Errors
/// Neither has it, or the history cannot be read.
pub(super) async fn find(
    viewer: &Arc<Viewer>,
    visitor: &Visitor,
    view: &View,
    seq: u64,
) -> Result<Arc<Entry>, Failure> {
    if let Some(entry) = view.find(seq) {
        return Ok(Arc::clone(entry));
    }
    if viewer.history.is_none() {
        return Err(Failure::RolledOver(seq));
    }
    let pages = Arc::clone(&viewer.pages);
    let read = move |questions: &Questions| {
        let record = questions.record(seq)?;
        let entry = record.map(|record| Arc::new(Entry::new(&record, 0, pages.describer())));
        entry.ok_or(Failure::NotKept(seq))
    };
    Ok(viewer.ask_history(visitor, 0, read).await?.0)
}

/// Reads a request of the history; `None` if it is gone, or does not meet the filter. To be called
/// on a visitor's turn, because it reads the disk.
///
/// # Errors
/// The history cannot be read.
pub(super) fn entry(
    viewer: &Viewer,
    seq: u64,
    filter: &Filter,
) -> anyhow::Result<Option<Arc<Entry>>> {
    let Some(history) = &viewer.history else {
        return Ok(None);
    };
    let record = history.questions().record(seq)?;
    let entry = record.map(|record| Entry::new(&record, 0, viewer.pages.describer()));
    Ok(entry.filter(|entry| filter.matches(entry)).map(Arc::new))
}

/// Returns the neighbours of a request: the next newer and older that meet the filter, its
/// continuation, and others of its source. To be called on a visitor's turn, because it may read
/// the history.
pub(super) fn neighbours(
    viewer: &Viewer,
    view: &View,
    entry: &Entry,
    filter: &Filter,
) -> Neighbours {
    let mut neighbours = in_view(view, entry, filter);
    if let Some(history) = &viewer.history {
        let asked = Around {
            questions: history.questions(),
            describer: viewer.pages.describer(),
            entry,
            filter,
        };
        // The page is useful without neighbours.
        if let Err(error) = asked.complete(&mut neighbours, view) {
            warn!(%error, "no neighbours from the history");
        }
    }
    neighbours
}

fn in_view(view: &View, entry: &Entry, filter: &Filter) -> Neighbours {
    let seq = entry.record.seq;
    let mut neighbours = Neighbours {
        in_ring: view.find(seq).is_some(),
        ..Neighbours::default()
    };
    // The newest first.
    for other in view.entries.iter().filter(|it| it.record.seq != seq) {
        let number = other.record.seq;
        if filter.matches(other) {
            if number > seq {
                neighbours.newer = Some(number);
            } else if neighbours.older.is_none() {
                neighbours.older = Some(number);
            }
        }
        if other.record.continues == Some(seq) {
            neighbours.continued_by = Some(number);
        }
        if entry.source_ip().is_some() && other.source_ip() == entry.source_ip() {
            neighbours.others.push(Arc::clone(other));
        }
    }
    neighbours
}

/// Finds the neighbours of a request in the history.
struct Around<'a> {
    questions: &'a Questions,
    describer: &'a Describer,
    entry: &'a Entry,
    filter: &'a Filter,
}

impl Around<'_> {
    fn complete(&self, neighbours: &mut Neighbours, view: &View) -> rusqlite::Result<()> {
        let seq = self.entry.record.seq;
        if neighbours.older.is_none() {
            neighbours.older = self.next(Start::Before(seq))?;
        }
        if neighbours.in_ring {
            return Ok(());
        }
        // In the history there may be requests between this one and the oldest of the ring.
        if seq < view.oldest() {
            neighbours.newer = self.next(Start::After(seq))?.or(neighbours.newer);
        }
        neighbours.continued_by = self.questions.continued_by(seq)?;
        if neighbours.others.is_empty() {
            neighbours.others = self.others()?;
        }
        Ok(())
    }

    /// Returns the number of the nearest request in one direction that meets the filter.
    fn next(&self, start: Start) -> rusqlite::Result<Option<u64>> {
        let wanted = Wanted {
            conditions: self.filter.conditions(self.describer),
            texts: self.filter.texts(self.describer),
            start,
            ..Wanted::default()
        };
        let page = self.questions.search(&wanted, 1, |record| {
            let entry = Entry::new(&record, 0, self.describer);
            ControlFlow::Continue(self.filter.matches(&entry).then_some(record.seq))
        })?;
        Ok(page.items.first().copied())
    }

    /// Returns other requests of the same source. If addresses are masked, the source is the
    /// network that is shown.
    fn others(&self) -> rusqlite::Result<Vec<Arc<Entry>>> {
        let Some(source) = self.entry.source_ip() else {
            return Ok(Vec::new());
        };
        let wanted = Wanted {
            conditions: vec![Condition::is(Column::Source(self.network_of(source)))],
            ..Wanted::default()
        };
        let seq = self.entry.record.seq;
        let page = self.questions.search(&wanted, MOST_OTHERS, |record| {
            let other = || Arc::new(Entry::new(&record, 0, self.describer));
            ControlFlow::Continue((record.seq != seq).then(other))
        })?;
        Ok(page.items)
    }

    fn network_of(&self, source: IpAddr) -> IpNet {
        let whole = IpNet::from(source.to_canonical());
        let cut = self
            .entry
            .src_prefix
            .map(|bits| IpNet::new(whole.addr(), bits));
        cut.and_then(Result::ok).unwrap_or(whole)
    }
}
