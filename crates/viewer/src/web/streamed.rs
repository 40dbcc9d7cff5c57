//! Streams a listing to one visitor. Each piece is made when the visitor reads it.
//!
//! In: a listing, and the numbers of its requests. Out: a body, with gzip if the visitor accepts
//! it. A slow visitor costs the memory of one piece and of these numbers. A request that is gone
//! before its piece is made is left out.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, VARY};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::export::Listing;
use crate::page::filter::Filter;
use crate::reader::Entry;
use crate::web::limits::Visitor;
use crate::web::lookup;
use crate::web::room::{Busy, Taken};
use crate::web::state::Viewer;

/// A piece ends after about this many bytes. It never ends within a request.
const PIECE_BYTES: usize = 64 * 1024;
/// Longest time for reading the requests of one piece. The next piece waits for a turn behind other
/// visitors.
const PIECE_TIME: Duration = Duration::from_millis(100);
/// Memory that a gzip encoder takes.
const ENCODER_BYTES: usize = 320 * 1024;

/// A body that is being sent.
struct Streamed {
    viewer: Arc<Viewer>,
    visitor: Visitor,
    listing: Arc<Listing>,
    next: Next,
    requests: Requests,
    /// A request was already sent.
    has_sent_one: bool,
    wants_gzip: bool,
    encoder: Option<Encoder>,
}

/// The requests that are still to be sent.
pub(super) enum Requests {
    /// By their numbers, in the ring.
    OfRing(VecDeque<u64>),
    /// By their numbers, in the history. Only requests that meet the filter are sent. The room is
    /// for the numbers.
    OfHistory(Arc<Filter>, VecDeque<u64>, #[allow(dead_code)] Taken),
}

enum Next {
    Begin,
    Requests,
    Nothing,
}

/// An encoder, with the room that it takes.
struct Encoder(GzEncoder<Vec<u8>>, #[allow(dead_code)] Taken);

/// Streams a listing of requests of the ring. `entries` have the newest first; the listing may want
/// the oldest first.
pub(super) fn respond(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    listing: Listing,
    entries: &[Arc<Entry>],
) -> Response {
    let mut seqs: VecDeque<_> = entries.iter().map(|entry| entry.record.seq).collect();
    if !listing.newest_first {
        seqs.make_contiguous().reverse();
    }
    stream(viewer, visitor, listing, Requests::OfRing(seqs))
}

/// Streams a listing. `requests` are already in its order.
pub(super) fn stream(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    listing: Listing,
    requests: Requests,
) -> Response {
    let wants_gzip = visitor.takes_gzip;
    let streamed = Streamed {
        viewer,
        visitor,
        listing: Arc::new(listing),
        next: Next::Begin,
        requests,
        has_sent_one: false,
        wants_gzip,
        encoder: None,
    };
    let pieces = futures_util::stream::try_unfold(streamed, async |mut streamed| {
        // The status is already sent, so an error can only break off the body.
        let piece = streamed.piece().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, streamed)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept-encoding"));
    if wants_gzip {
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Requests {
    fn is_empty(&self) -> bool {
        match self {
            Self::OfRing(seqs) | Self::OfHistory(_, seqs, _) => seqs.is_empty(),
        }
    }
}

impl Streamed {
    /// Returns the next piece, which is not empty; `None` after the last one.
    async fn piece(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let (entries, most_bytes) = match self.next {
                Next::Nothing => return Ok(None),
                Next::Begin => (Vec::new(), self.listing.begin.len()),
                Next::Requests => self.next_entries().await?,
            };
            let is_end = matches!(self.next, Next::Requests)
                && entries.is_empty()
                && self.requests.is_empty();
            let piece = self.make(entries, most_bytes, is_end).await?;
            self.next = if is_end {
                Next::Nothing
            } else {
                Next::Requests
            };
            // The encoder may keep all of a piece in its buffer.
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    async fn make(
        &mut self,
        entries: Vec<Arc<Entry>>,
        most_bytes: usize,
        is_end: bool,
    ) -> Result<Bytes, Busy> {
        if self.wants_gzip && self.encoder.is_none() {
            let taken = self.visitor.room(ENCODER_BYTES).await?;
            self.encoder = Some(Encoder(
                GzEncoder::new(Vec::new(), Compression::fast()),
                taken,
            ));
        }
        let (listing, encoder) = (Arc::clone(&self.listing), self.encoder.take());
        let (is_first_piece, mut has_sent_one) =
            (matches!(self.next, Next::Begin), self.has_sent_one);
        let make = move || {
            let mut piece = Vec::new();
            if is_first_piece {
                piece.extend_from_slice(&listing.begin);
            }
            for one in entries.iter().filter_map(|entry| (listing.one)(entry)) {
                if std::mem::replace(&mut has_sent_one, true) {
                    piece.extend_from_slice(listing.between);
                }
                piece.extend_from_slice(&one);
            }
            if is_end {
                piece.extend_from_slice(&listing.end);
            }
            let (piece, encoder) = encoded(piece, encoder, is_end);
            (piece, encoder, has_sent_one)
        };
        let ((piece, encoder, has_sent_one), taken) =
            self.visitor.make_next(most_bytes, make).await?;
        (self.encoder, self.has_sent_one) = (encoder, has_sent_one);
        Ok(taken.hold(piece))
    }

    /// Returns the requests of the next piece, and how many bytes they take at most. There may be
    /// none, although later pieces have some.
    async fn next_entries(&mut self) -> anyhow::Result<(Vec<Arc<Entry>>, usize)> {
        Ok(match &mut self.requests {
            Requests::OfRing(seqs) => {
                let view = self.viewer.reader.newest();
                let read = |seq| Ok(view.find(seq).map(Arc::clone));
                next_of(seqs, &self.listing, read)?
            }
            Requests::OfHistory(filter, seqs, _) => {
                let (mut seqs_of_piece, filter) = (std::mem::take(seqs), Arc::clone(filter));
                let (viewer, listing) = (Arc::clone(&self.viewer), Arc::clone(&self.listing));
                let read = move || {
                    let read = |seq| lookup::entry(&viewer, seq, &filter);
                    let next = next_of(&mut seqs_of_piece, &listing, read);
                    (next, seqs_of_piece)
                };
                let ((next, left), _) = self.visitor.make_next(PIECE_BYTES, read).await?;
                *seqs = left;
                next?
            }
        })
    }
}

/// Takes requests until a piece is long enough, or until `PIECE_TIME` is over, because requests
/// that do not meet the filter take time too. Requests that are gone are left out.
fn next_of(
    seqs: &mut VecDeque<u64>,
    listing: &Listing,
    mut read: impl FnMut(u64) -> anyhow::Result<Option<Arc<Entry>>>,
) -> anyhow::Result<(Vec<Arc<Entry>>, usize)> {
    let (mut entries, mut most_bytes) = (Vec::new(), 0);
    let begun = Instant::now();
    while most_bytes < PIECE_BYTES
        && begun.elapsed() < PIECE_TIME
        && let Some(seq) = seqs.pop_front()
    {
        if let Some(entry) = read(seq)? {
            most_bytes += (listing.most)(&entry);
            entries.push(entry);
        }
    }
    Ok((entries, most_bytes))
}

fn encoded(plain: Vec<u8>, encoder: Option<Encoder>, is_end: bool) -> (Vec<u8>, Option<Encoder>) {
    let takes_all = "a Vec takes all that is written";
    let Some(mut encoder) = encoder else {
        return (plain, None);
    };
    encoder.0.write_all(&plain).expect(takes_all);
    if is_end {
        return (encoder.0.finish().expect(takes_all), None);
    }
    (std::mem::take(encoder.0.get_mut()), Some(encoder))
}
