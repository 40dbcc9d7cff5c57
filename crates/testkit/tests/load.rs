//! Thousands of hostile clients, while ordinary clients send requests and a visitor opens the page.
//!
//! Each test prints rows of docs/reliability.md. `make test` runs them with a few hundred
//! connections in a debug build. `make faults` runs them with thousands in a release build, and
//! then checks the promised times.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_testkit::hostile::{Filler, Mob};
use forever200_testkit::load::{Load, STEADY};
use forever200_testkit::process::{missing, quantile};
use forever200_testkit::report::{at_length, milliseconds, row};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Stack, connect_from, exchange_from};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

/// 99 of 100 requests are answered within this time.
const ON_TIME: Duration = Duration::from_millis(50);
/// The page opens within this time.
const PAGE_OPENS: Duration = Duration::from_millis(200);
/// Connections that one source may have, by haproxy.cfg.
const PER_SOURCE: usize = 500;
/// Most memory that a connection may take in all programs together, in KiB, without the memory that
/// all connections share.
const PER_CONNECTION_KIB: u64 = 12;
/// Memory that all connections may share, in KiB: for requests that are being read, for 101 records
/// of 64 KiB in three programs, and for the page made from them.
const ALL_TOGETHER_KIB: u64 = 64 * 1024;
/// Address of the visitor who opens the page.
const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 50, 1, 1);

/// How a hostile client behaves.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Silent,
    ByteASecond,
    HalfAHead,
    EndlessHead,
    EndlessBody,
    SlowBodyToThePage,
    HeldLine,
    HeldBody,
    NeverReads,
    NeverReadsThePage,
    NeverReadsEvents,
    ComesAndGoes,
    LongRequests,
}

impl Bad {
    /// Behaves so until the connection is closed, again and again.
    async fn behave(self, source: Ipv4Addr, front: SocketAddr, filler: Filler) {
        loop {
            let _ = self.once(source, front, filler).await;
            // The connection was refused or closed. Wait a little, because there are thousands of
            // these clients.
            sleep(Duration::from_millis(
                if matches!(self, Self::ComesAndGoes | Self::LongRequests) {
                    50
                } else {
                    1000
                },
            ))
            .await;
        }
    }

    async fn once(self, source: Ipv4Addr, front: SocketAddr, filler: Filler) -> anyhow::Result<()> {
        let mut stream = connect_from(source, front).await?;
        match self {
            Self::Silent => {}
            Self::ByteASecond => {
                return trickle(&mut stream, b"GET /slow HTTP/1.1\r\n", &filler.bytes(1)).await;
            }
            Self::HalfAHead => {
                stream
                    .write_all(b"GET /half HTTP/1.1\r\nHost: x\r\n")
                    .await?;
            }
            Self::EndlessHead => {
                return trickle(&mut stream, b"GET /head HTTP/1.1\r\n", &filler.bytes(21)).await;
            }
            Self::EndlessBody => {
                return trickle(
                    &mut stream,
                    b"POST /body HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
                    &filler.bytes(1000),
                )
                .await;
            }
            Self::SlowBodyToThePage => {
                return trickle(
                    &mut stream,
                    b"POST /home HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
                    &filler.bytes(1),
                )
                .await;
            }
            Self::HeldLine => {
                stream.write_all(b"GET /line HTTP/1.1\r\nX: ").await?;
                stream.write_all(&[b'a'; 66_000]).await?;
            }
            Self::HeldBody => {
                stream
                    .write_all(b"POST /held HTTP/1.1\r\nContent-Length: 65000\r\n\r\n")
                    .await?;
                stream.write_all(&filler.bytes(64_000)).await?;
            }
            Self::NeverReads => stream.write_all(b"GET /never HTTP/1.1\r\n\r\n").await?,
            Self::NeverReadsThePage => {
                stream
                    .write_all(b"GET /home/export.html HTTP/1.1\r\nHost: x\r\n\r\n")
                    .await?;
            }
            Self::NeverReadsEvents => {
                stream
                    .write_all(b"GET /home/events HTTP/1.1\r\nHost: x\r\n\r\n")
                    .await?;
            }
            Self::ComesAndGoes => return Ok(()),
            Self::LongRequests => {
                stream
                    .write_all(b"POST /long HTTP/1.1\r\nContent-Length: 65000\r\n\r\n")
                    .await?;
                stream.write_all(&filler.bytes(65_000)).await?;
                stream.read_to_end(&mut Vec::new()).await?;
                return Ok(());
            }
        }
        // Reads nothing, but notices when the connection is closed.
        loop {
            sleep(Duration::from_secs(1)).await;
            if is_closed(&stream) {
                return Ok(());
            }
        }
    }
}

/// Sends `beginning`, and then `more` every second.
async fn trickle(stream: &mut TcpStream, beginning: &[u8], more: &[u8]) -> anyhow::Result<()> {
    stream.write_all(beginning).await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        stream.write_all(more).await?;
    }
}

/// Tells whether the other side has closed (proc(5), tcp states).
fn is_closed(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    let _ = poll(
        &mut fds,
        Some(&rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    );
    fds[0]
        .revents()
        .intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
}

/// Opens the page again and again, and returns how long it took each time.
async fn open_page(front: SocketAddr) -> Vec<Duration> {
    let (mut times, end) = (
        Vec::new(),
        Instant::now() + Duration::from_secs(if at_length() { 5 } else { 1 }),
    );
    while Instant::now() < end {
        let start = Instant::now();
        let page = exchange_from(
            VISITOR,
            front,
            b"GET /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
        let opened = page.is_ok_and(|page| page.starts_with(b"HTTP/1.1 200 "));
        times.push(if opened {
            start.elapsed()
        } else {
            Duration::MAX
        });
        sleep(Duration::from_millis(100)).await;
    }
    times.sort_unstable();
    times
}

/// Sends ordinary requests and opens the page while hostile clients are there, and checks the
/// times. Returns the memory of all programs at that time, in KiB.
async fn measure(stack: &Stack, cells: &[&dyn Display], before: u64) -> anyhow::Result<u64> {
    let load = Load::start(stack.front(), "ordinary", STEADY);
    let pages = open_page(stack.front()).await;
    let attempts = load.stop().await?;
    let memory = stack.memory();
    let (answers, page) = (attempts.latency(0.99), quantile(&pages, 1.0));
    let (times, sizes) = (
        [answers, page].map(milliseconds),
        format!("{} / {}", before / 1024, memory / 1024),
    );
    row(
        "abuse",
        &[
            cells,
            &[
                &attempts.0.len(),
                &attempts.failed(),
                &times[0],
                &times[1],
                &sizes,
            ],
        ]
        .concat(),
    );
    ensure!(
        attempts.failed() == 0,
        "{} of {} failed",
        attempts.failed(),
        attempts.0.len()
    );
    // A debug build beside other tests need not keep the promised times.
    let patience = if at_length() { 1 } else { 20 };
    ensure!(answers < ON_TIME * patience, "answered after {answers:?}");
    ensure!(page < PAGE_OPENS * patience, "/home took {page:?}");
    Ok(memory)
}

async fn while_there_are(bad: Bad, count: usize, sources: usize) -> anyhow::Result<()> {
    forever200_daemon::raise_file_limit();
    let stack = Stack::start().await?;
    let before = stack.memory();
    let bound = before + ALL_TOGETHER_KIB + count as u64 * PER_CONNECTION_KIB;
    // The programs keep memory for later, so a second wave must not take more.
    for wave in 1..=2 {
        let front = stack.front();
        let behave = move |number: usize| {
            let [_, high, low, _] = ((number % sources) as u32 * 256).to_be_bytes();
            bad.behave(
                Ipv4Addr::new(127, 200 + high, low, 9),
                front,
                Filler::of(number),
            )
        };
        let mob = Mob::gather(count, behave).await?;
        let memory = measure(
            &stack,
            &[&format!("{bad:?}, wave {wave}"), &count, &sources],
            before,
        )
        .await?;
        drop(mob);
        ensure!(
            memory < bound,
            "wave {wave} takes {memory} KiB of {bound}, {before} before"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slowhttptest_in_its_four_modes() -> anyhow::Result<()> {
    // slowhttptest cannot choose its own address, and 127.0.0.1 has no limit of connections.
    let stack = Stack::start_as(Setup {
        edits: &[("haproxy/haproxy.cfg", "src 127.0.0.1 ::1", "src ::1")],
        ..Setup::default()
    })
    .await?;
    let before = stack.memory();
    let count = if at_length() { 2000 } else { 200 }.to_string();
    for (path, mode) in [
        ("/x", "-H"),
        ("/x", "-B"),
        ("/home", "-H"),
        ("/home", "-B"),
        ("/home", "-R"),
        ("/home", "-X"),
    ] {
        let url = format!("http://{}{path}", stack.front());
        let mut slow = Command::new("nice")
            .args([
                "slowhttptest",
                mode,
                "-c",
                &count,
                "-r",
                "1000",
                "-i",
                "1",
                "-l",
                "60",
                "-u",
                &url,
            ])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context(missing("slowhttptest"))?;
        sleep(Duration::from_secs(1)).await;
        let ended = slow.try_wait()?;
        // slowhttptest gives up on a server that does not serve ranges.
        ensure!(
            ended.is_none_or(|ended| ended.success() && mode == "-R"),
            "slowhttptest: {ended:?}"
        );
        let memory = measure(
            &stack,
            &[&format!("slowhttptest {mode} {path}"), &count, &1],
            before,
        )
        .await?;
        let _ = slow.kill().await;
        ensure!(
            memory < before + ALL_TOGETHER_KIB + PER_SOURCE as u64 * PER_CONNECTION_KIB,
            "{memory} KiB"
        );
    }
    Ok(())
}

fn many() -> usize {
    if at_length() { 7000 } else { 300 }
}

macro_rules! abuse {
    ($($name:ident: $bad:ident, $count:expr, $sources:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> anyhow::Result<()> {
            while_there_are(Bad::$bad, $count, $sources).await
        }
    )*};
}

abuse! {
    thousands_that_say_nothing: Silent, many(), many();
    thousands_that_send_a_byte_a_second: ByteASecond, many(), many();
    thousands_with_half_a_head: HalfAHead, many(), many();
    thousands_with_a_head_without_end: EndlessHead, many(), many();
    thousands_with_a_body_without_end: EndlessBody, many(), many();
    thousands_that_hold_a_line_without_end: HeldLine, (many() * 2 / 7).max(400), 5;
    one_source_that_holds_all_the_room: HeldBody, 480, 1;
    thousands_that_hold_a_body: HeldBody, many(), many();
    thousands_that_send_the_page_a_slow_body: SlowBodyToThePage, many() / 4, many();
    thousands_that_never_read_the_answer: NeverReads, many(), many();
    hundreds_that_never_read_the_page: NeverReadsThePage, many() / 14, many();
    a_thousand_watchers_that_never_read: NeverReadsEvents, many() / 7, many();
    a_flood_of_connections: ComesAndGoes, many() / 14, many();
    requests_of_64_kib_by_the_thousand: LongRequests, 8, 8;
    one_source_that_wants_all_connections: HalfAHead, many().max(PER_SOURCE + 100), 1;
}
