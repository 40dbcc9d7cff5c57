//! The thread that writes lines. Only this thread waits for the program that reads them.
//!
//! In: requests and gaps, through the queue. Out: lines, many in one write. After a failed write,
//! it tries again from the first byte that was not written. So a full disk neither cuts nor doubles
//! a line.

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

/// From this many bytes on, no further line is gathered before a write. A pipe's buffer has this
/// size by default (pipe(7)).
const GATHERED_BYTES: usize = 64 * 1024;
/// Pause after a write that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The thread's nice value: writing gives way to everything else.
const NICENESS: i32 = 10;

/// Starts the thread. It ends when all senders are dropped.
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
    /// How many bytes of memory they count for in the queue.
    bytes: usize,
    requests: u64,
    up_to: u64,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        // If this fails, the thread runs without a nice value.
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
            // After `wrote`: tasks that wait for a flush then read `up_to`.
            drop(gathered.flushes);
        }
    }

    /// Opens the file before the first line: other programs may wait until it exists.
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

    /// Writes the gathered lines, however long that takes.
    fn write(&mut self) {
        let mut written = 0;
        loop {
            if self.state.take_reopen() {
                self.output.close();
                self.open();
                // A partly written line is written again as a whole, into the new file.
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

/// Adds the line of a request. Tells whether that succeeded: after a panic, adds a gap instead, so
/// that only this request has no line.
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

/// Returns the start of the line in which the position `at` is.
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

    /// Panics if the bytes of a request ask for it, as in one test.
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
