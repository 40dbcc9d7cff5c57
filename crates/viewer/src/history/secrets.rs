//! Decides what may be shown of a text of the history, which may have been written before anything
//! was hidden.
//!
//! In: rows of kinds and of payloads. Out: what may be shown of a title, and the senders whose
//! addresses are hidden in the texts of a request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use rusqlite::{Connection, Row};

use crate::reader::privacy::{MAX_HEAD_BYTES, Privacy, Senders, Title, TitleShown};

/// Decides which texts of one file may be shown, and reads the rows that decide this.
pub(super) struct Secrets<'a> {
    file: &'a Connection,
    privacy: &'a Privacy,
    /// Senders that a payload names, by its id. Each payload is read once.
    claimed: HashMap<i64, Senders>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(file: &'a Connection, privacy: &'a Privacy) -> Self {
        Self {
            file,
            privacy,
            claimed: HashMap::new(),
        }
    }

    /// Tells what may be shown of the title of the kind with this id. If the kind has a category,
    /// its title is the title of a label, which no client wrote.
    pub(super) fn title(
        &self,
        kind: i64,
        title: &str,
        category: Option<&str>,
    ) -> rusqlite::Result<TitleShown> {
        if category.is_some() || !self.privacy.hides_anything() {
            return Ok(TitleShown::Whole);
        }
        let mut specimen = self.file.prepare_cached(&format!(
            "SELECT source, substr(payload.bytes, 1, {MAX_HEAD_BYTES}), coalesce(tls, '') \
             FROM kind JOIN payload ON payload.id = payload WHERE kind.id = ?1"
        ))?;
        specimen.query_row([kind], |row| self.title_of(row, title))
    }

    fn title_of(&self, specimen: &Row<'_>, title: &str) -> rusqlite::Result<TitleShown> {
        let sender: String = specimen.get(0)?;
        let raw: Vec<u8> = specimen.get(1)?;
        let tls: String = specimen.get(2)?;
        Ok(self.privacy.title(&Title {
            text: title,
            sender: address(&sender),
            raw: &raw,
            tls: &tls,
        }))
    }

    /// Returns the senders whose addresses are hidden in the texts of a request: `sender`, and the
    /// senders that the payload with this id names.
    pub(super) fn senders(&mut self, sender: IpAddr, payload: i64) -> rusqlite::Result<Senders> {
        let mut senders = Senders::from(sender);
        if self.privacy.mask_sources {
            senders.add(self.claimed_by(payload)?);
        }
        Ok(senders)
    }

    fn claimed_by(&mut self, payload: i64) -> rusqlite::Result<&Senders> {
        let new = match self.claimed.entry(payload) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(new) => new,
        };
        let mut query = self.file.prepare_cached(&format!(
            "SELECT substr(bytes, 1, {MAX_HEAD_BYTES}) FROM payload WHERE id = ?1"
        ))?;
        let head: Vec<u8> = query.query_row([payload], |row| row.get(0))?;
        let nobody = Ipv4Addr::UNSPECIFIED.into();
        Ok(new.insert(self.privacy.senders(nobody, &head)))
    }
}

/// Reads an address; returns 0.0.0.0 if the text is none.
pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
