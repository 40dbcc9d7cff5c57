//! Views and entries to files that other programs read.
//!
//! Each format has a file: `json` (also for the API), `ndjson`, `har`, `pcap`, `html`, `text`,
//! `atom` (the feed) and `blocklist`. `replay` makes a shell command that sends a request again.

use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::Entry;

pub(crate) mod atom;
pub(crate) mod blocklist;
pub mod har;
pub mod html;
pub mod json;
pub mod ndjson;
pub mod pcap;
pub mod replay;
pub mod text;

/// A file of many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Ndjson,
    Har,
    Pcap,
    Html,
}

impl FileFormat {
    const ALL: [Self; 4] = [Self::Ndjson, Self::Har, Self::Pcap, Self::Html];

    /// Finds a format by its [`name`](Self::name).
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Returns how the name of such a file ends.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Har => "har",
            Self::Pcap => "pcap",
            Self::Html => "html",
        }
    }

    /// Returns the media type of such a file.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Har => "application/json",
            Self::Pcap => "application/vnd.tcpdump.pcap",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// What is worked out for one request.
pub type ForEntry<T> = Box<dyn Fn(&Entry) -> T + Send + Sync>;

/// Something to be said about many requests, one after the other: a reader who is slow holds one of
/// them, and not all.
pub struct Listing {
    /// What comes before them.
    pub begin: Bytes,
    /// What comes between two of them.
    pub between: &'static [u8],
    /// What comes after them.
    pub end: Bytes,
    /// The newest comes first, or the oldest.
    pub newest_first: bool,
    /// Returns more bytes than one of them takes, before it is made.
    pub most: ForEntry<usize>,
    /// Makes one; `None` for a request that has no place here.
    pub one: ForEntry<Option<Bytes>>,
}

impl Listing {
    /// Returns all of it, for entries in its order.
    pub fn whole<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) -> Bytes {
        let mut whole = BytesMut::from(&*self.begin);
        let mut is_first = true;
        for one in entries.into_iter().filter_map(|entry| (self.one)(entry)) {
            if !std::mem::take(&mut is_first) {
                whole.put_slice(self.between);
            }
            whole.put(one);
        }
        whole.put_slice(&self.end);
        whole.freeze()
    }
}
