//! Writes views and entries as files for other programs.
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

    /// Returns the format with this [`name`](Self::name).
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Returns the extension of such a file.
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

/// A function of one request.
pub type ForEntry<T> = Box<dyn Fn(&Entry) -> T + Send + Sync>;

/// A file of many requests, made one request after the other. While a client reads slowly, only one
/// piece of the file is in memory.
pub struct Listing {
    /// The bytes before the first request.
    pub begin: Bytes,
    /// The bytes between two requests.
    pub between: &'static [u8],
    /// The bytes after the last request.
    pub end: Bytes,
    /// Whether the newest request comes first, and not the oldest.
    pub newest_first: bool,
    /// Returns an upper limit for the bytes of a request, before they are made.
    pub most: ForEntry<usize>,
    /// Makes the bytes of a request; `None` for a request that is left out.
    pub one: ForEntry<Option<Bytes>>,
}

impl Listing {
    /// Returns the whole file. The entries must be in its order.
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
