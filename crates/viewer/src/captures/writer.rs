//! The thread that writes lines: nobody else waits for whoever reads them.
//!
//! In: requests and gaps, through the queue. Out: lines, many in one write. What cannot be written
//! is tried again, from the byte at which it ended, so that no line is cut or doubled by a disk
//! that was full.

use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::error;

use crate::captures::line::{self, Missing, Reason};
use crate::captures::queue::{Item, State};
use crate::captures::target::{Output, Target};
use crate::history::keeper::Gap;
use crate::reader::Entry;

/// Lines are gathered up to this, and one more: as much as a pipe takes by default (pipe(7)).
const GATHERED_BYTES: usize = 64 * 1024;
/// Pause after a write that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Writing gives way to all else.
const NICENESS: i32 = 10;

/// Starts the thread. It ends when the senders have gone.
pub(super) fn start(
    target: Target,
    raw: bool,
    waiting: Receiver<Item>,
    state: Arc<State>,
) -> io::Result<()> {
    let writer = Writer {
        output: Output::new(target),
        raw,
        state,
        gathered: Gathered::default(),
    };
    thread::Builder::new()
        .name("lines".into())
        .spawn(move || writer.run(&waiting))?;
    Ok(())
}

struct Writer {
    output: Output,
    raw: bool,
    state: Arc<State>,
    gathered: Gathered,
}

/// Lines that are written together.
#[derive(Default)]
struct Gathered {
    lines: Vec<u8>,
    /// What they count as in the queue.
    bytes: usize,
    requests: u64,
    up_to: u64,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        // Not being nice is no failure.
        let _ = rustix::process::nice(NICENESS);
        self.open();
        while let Ok(first) = waiting.recv() {
            self.gather(first);
            while self.gathered.lines.len() < GATHERED_BYTES
                && let Ok(next) = waiting.try_recv()
            {
                self.gather(next);
            }
            self.write();
            let gathered = std::mem::take(&mut self.gathered);
            self.state
                .wrote(gathered.bytes, gathered.requests, gathered.up_to);
            // Whoever waits for these asks then up to which number all is written.
            drop(gathered.flushes);
        }
    }

    /// Opens the file before there is something to write: others look whether it is there.
    fn open(&mut self) {
        if let Err(error) = self.output.file() {
            self.state.failed(&error);
        }
    }

    fn gather(&mut self, item: Item) {
        let gathered = &mut self.gathered;
        gathered.bytes += item.bytes();
        match item {
            Item::Request(entry) => {
                if add_or_catch(&mut gathered.lines, &entry, self.raw) {
                    gathered.requests += 1;
                } else {
                    self.state.count_dropped();
                }
                gathered.up_to = gathered.up_to.max(entry.record.seq);
            }
            Item::Gap(missing) => {
                line::add_gap(&mut gathered.lines, &missing);
                gathered.up_to = gathered.up_to.max(missing.gap.last);
            }
            Item::Wake => {}
            Item::Flush(done) => gathered.flushes.push(done),
        }
    }

    /// Writes what is gathered, however long that takes.
    fn write(&mut self) {
        let mut written = 0;
        loop {
            if self.state.take_reopen() {
                self.output.close();
                self.open();
                // The line that was cut goes into the next file as a whole.
                written = line_start(&self.gathered.lines, written);
            }
            let rest = self.gathered.lines.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            match write_some(&mut self.output, rest) {
                Ok(bytes) => {
                    written += bytes;
                    self.state.works();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state.failed(&error);
                    thread::sleep(RETRY_DELAY);
                }
            }
        }
    }
}

/// Adds the line of a request. Where that panics, one request has no line, and all others have
/// theirs; tells whether it has one.
fn add_or_catch(lines: &mut Vec<u8>, entry: &Entry, raw: bool) -> bool {
    let begin = lines.len();
    let added = catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        tests::panic_if_asked(entry);
        line::add_request(lines, entry, raw);
    }));
    if added.is_ok() {
        return true;
    }
    lines.truncate(begin);
    let seq = entry.record.seq;
    error!(seq, "the line of a request cannot be made");
    let gap = Gap::of_one(seq, Timestamp::now());
    let reason = Reason::NoLine;
    line::add_gap(lines, &Missing { reason, gap });
    false
}

fn write_some(output: &mut Output, rest: &[u8]) -> io::Result<usize> {
    match output.file()?.write(rest)? {
        0 => Err(ErrorKind::WriteZero.into()),
        bytes => Ok(bytes),
    }
}

/// Returns where the line begins in which `at` is.
fn line_start(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    let last = before.iter().rposition(|&byte| byte == b'\n');
    last.map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::captures::Captures;
    use crate::captures::queue::Offers;
    use crate::reader::entry::tests::{entry, record};
    use crate::reader::once::Event;

    const PANICS: &[u8] = b"a test that asks for a panic";

    /// Panics where a test has asked for it by the bytes of a request.
    pub(super) fn panic_if_asked(entry: &Entry) {
        assert!(entry.record.raw != PANICS, "as a test has asked");
    }

    #[tokio::test]
    async fn a_panic_costs_one_line_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let target = Target::File(path.clone());
        let captures = Captures::start(target, false).unwrap().unwrap();
        let mut offers = Offers::new(captures.clone());
        for (seq, raw) in (1..).zip([&b"one"[..], PANICS, b"three"]) {
            let mut record = record(raw);
            record.seq = seq;
            offers.offer(&Event::Request(Arc::new(entry(record))));
        }
        captures.flush().await;
        let lines = fs::read_to_string(path).unwrap();
        let told: Vec<_> = lines
            .lines()
            .map(|line| line.contains("\"reason\":\"no_line\",\"requests\":1,\"first_seq\":2"))
            .collect();
        assert_eq!(told, [false, true, false], "{lines}");
        let counted = captures.counted();
        assert_eq!((counted.written, counted.dropped), (2, 1));
        assert_eq!((counted.waiting_bytes, captures.up_to()), (0, 3));
    }

    #[test]
    fn a_cut_line_begins_anew_in_the_next_file() {
        assert_eq!(line_start(b"ab\ncd\n", 0), 0);
        assert_eq!(line_start(b"ab\ncd\n", 2), 0);
        assert_eq!(line_start(b"ab\ncd\n", 3), 3);
        assert_eq!(line_start(b"ab\ncd\n", 5), 3);
        assert_eq!(line_start(b"ab\ncd\n", 6), 6);
    }
}
