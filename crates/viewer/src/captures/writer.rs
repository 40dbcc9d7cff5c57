//! The thread that writes lines: nobody else waits for whoever reads them.
//!
//! In: requests and gaps, through the queue. Out: lines, many in one write. What cannot be written
//! is tried again, from the byte at which it ended, so that no line is cut or doubled by a disk
//! that was full.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::captures::line;
use crate::captures::queue::{Item, State};
use crate::captures::target::{Output, Target};

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
                line::add_request(&mut gathered.lines, &entry, self.raw);
                gathered.requests += 1;
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
    use super::*;

    #[test]
    fn a_cut_line_begins_anew_in_the_next_file() {
        assert_eq!(line_start(b"ab\ncd\n", 0), 0);
        assert_eq!(line_start(b"ab\ncd\n", 2), 0);
        assert_eq!(line_start(b"ab\ncd\n", 3), 3);
        assert_eq!(line_start(b"ab\ncd\n", 5), 3);
        assert_eq!(line_start(b"ab\ncd\n", 6), 6);
    }
}
