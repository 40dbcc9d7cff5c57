//! What visitors of the page can do to each other, and what strangers can do to visitors.
//!
//! Each test prints a row of docs/reliability.md. `make test` runs them for a moment in a debug
//! build. `make faults` runs them for longer in a release build, and then checks the promised times
//! and sizes.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use forever200_testkit::events::Events;
use forever200_testkit::hostile::{Filler, Mob};
use forever200_testkit::load::{Load, STEADY};
use forever200_testkit::process::quantile;
use forever200_testkit::report::{at_length, milliseconds, row};
use forever200_testkit::{Stack, connect_from, exchange_from, get_json, until};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// Promised times for the page: for 99 of 100 times, and for all.
const HOME: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));
/// Promised time for requests of others, 99 of 100.
const ON_TIME: Duration = Duration::from_millis(50);
/// Promised times for the health check, all of them, and for an event, 99 of 100.
const HEALTH: Duration = Duration::from_millis(200);
const EVENT: Duration = Duration::from_millis(500);
/// Most memory that the viewer may take in addition to what it takes when idle, in KiB.
const VIEWER_KIB: u64 = 64 * 1024;
/// Addresses of the visitor, and of the client that fills the ring.
const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 50, 1, 1);
const FILLING: Ipv4Addr = Ipv4Addr::new(127, 50, 2, 1);
/// Lets one test run at a time, because each takes the whole machine.
static ALONE: Mutex<()> = Mutex::const_new(());
/// Longest wait of a hostile client for anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns a request of the greatest length that is kept.
fn long(filler: Filler) -> Vec<u8> {
    match filler {
        Filler::Headers => [b"GET /headers HTTP/1.1\n", &*filler.bytes(65_400), b"\n"].concat(),
        _ => {
            let body = filler.bytes(65_300);
            let head = format!(
                "POST /long HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), &body].concat()
        }
    }
}

/// Fills the ring with requests, one after the other.
async fn fill(stack: &Stack, request: &[u8]) -> anyhow::Result<()> {
    for _ in 0..101 {
        exchange_from(FILLING, stack.front(), request).await?;
    }
    stack_is_full(stack).await
}

/// Waits until the whole ring is described.
async fn stack_is_full(stack: &Stack) -> anyhow::Result<()> {
    let held = async || {
        let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
        (stats["held"] == 101).then_some(())
    };
    until("the ring is full", held).await
}

/// Returns all cases to try; only the first `few` in the short tests.
fn some_of<T>(all: &[T], few: usize) -> &[T] {
    if at_length() { all } else { &all[..few] }
}

/// Returns the address of the hostile client with this number. `of_each` clients share an address.
fn source(number: usize, of_each: usize) -> Ipv4Addr {
    let [high, low] = ((number / of_each) as u16).to_be_bytes();
    Ipv4Addr::new(127, 201, high, low + 1)
}

fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Asks for a page again and again. With `reset`, it resets the connection this long after each
/// request.
async fn asks(
    source: Ipv4Addr,
    front: SocketAddr,
    (method, path): (&str, &str),
    reset: Option<Duration>,
) {
    loop {
        let ask = async {
            let mut stream = connect_from(source, front).await?;
            stream.write_all(&request(method, path)).await?;
            if let Some(after) = reset {
                sleep(after).await;
                stream.set_zero_linger()?;
            } else {
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
            }
            anyhow::Ok(())
        };
        let _ = timeout(PATIENCE, ask).await;
        // The connection may be refused. Wait a little.
        sleep(Duration::from_millis(5)).await;
    }
}

/// Asks for a page, and reads none of it.
async fn never_reads(source: Ipv4Addr, front: SocketAddr, path: &str) {
    loop {
        if let Ok(mut stream) = connect_from(source, front).await {
            let _ = stream.write_all(&request("GET", path)).await;
            let _ = timeout(Duration::from_secs(20), closed(&stream)).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the other side has closed. What came stays unread in the kernel.
async fn closed(stream: &TcpStream) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        sleep(Duration::from_millis(500)).await;
        let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
        let _ = poll(&mut fds, Some(&now));
        if fds[0]
            .revents()
            .intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
        {
            return;
        }
    }
}

/// Sends a request `a_second` times a second.
async fn sends(source: Ipv4Addr, front: SocketAddr, request: Vec<u8>, a_second: f64) {
    let pause = Duration::from_secs_f64(1.0 / a_second);
    loop {
        let start = Instant::now();
        let send = async {
            let mut stream = connect_from(source, front).await?;
            stream.write_all(&request).await?;
            stream.read_to_end(&mut Vec::new()).await?;
            anyhow::Ok(())
        };
        let _ = timeout(PATIENCE, send).await;
        sleep(pause.saturating_sub(start.elapsed())).await;
    }
}

/// Opens a page again and again. Returns the times it took, sorted; a missing answer counts as an
/// hour.
async fn opens(front: SocketAddr, path: &str, pause: Duration) -> Vec<Duration> {
    let (mut times, begun) = (Vec::new(), Instant::now());
    let length = Duration::from_secs(if at_length() { 10 } else { 2 });
    while begun.elapsed() < length {
        let start = Instant::now();
        let request = request("GET", path);
        let asked = exchange_from(VISITOR, front, &request);
        let reply = timeout(Duration::from_secs(15), asked).await;
        let is_there = matches!(reply, Ok(Ok(reply)) if reply.starts_with(b"HTTP/1.1 200 "));
        times.push(if is_there {
            start.elapsed()
        } else {
            Duration::from_secs(3600)
        });
        sleep(pause).await;
    }
    times.sort_unstable();
    times
}

/// Watches the events. Returns how late each of them was, sorted.
async fn lateness(front: SocketAddr) -> anyhow::Result<Vec<Duration>> {
    let mut events = Events::open(front, "/home/events?format=html", "").await?;
    let (mut times, begun) = (Vec::new(), Instant::now());
    let length = Duration::from_secs(if at_length() { 10 } else { 2 });
    while begun.elapsed() < length {
        let row = events.next("row").await?.context("the stream has ended")?;
        let (_, time) = row.data.split_once("title=\"").context("no time")?;
        let (time, _) = time.split_once('"').context("no end of the time")?;
        let late = Timestamp::now().duration_since(time.parse()?);
        times.push(late.try_into().unwrap_or_default());
    }
    times.sort_unstable();
    Ok(times)
}

/// Measures the page, the health check, the events and the answers to others during an attack, and
/// checks the promised limits.
async fn look_on(stack: &Stack, attack: &str, idle: u64) -> anyhow::Result<()> {
    let front = stack.front();
    let load = Load::start(front, "ordinary", STEADY);
    let (home, health, late) = tokio::join!(
        opens(front, "/home", Duration::from_millis(50)),
        opens(front, "/home/health", Duration::from_millis(200)),
        lateness(front),
    );
    let attempts = load.stop().await?;
    let late = late?;
    let memory = stack.peak_memory("viewer")?.saturating_sub(idle);
    let (home_most, home_all) = (quantile(&home, 0.99), quantile(&home, 1.0));
    let (others, health) = (attempts.latency(0.99), quantile(&health, 1.0));
    let late = quantile(&late, 0.99);
    row(
        "visitors",
        &[
            &attack,
            &format!("{} / {}", milliseconds(home_most), milliseconds(home_all)),
            &milliseconds(others),
            &milliseconds(health),
            &milliseconds(late),
            &format!("{} MiB", memory / 1024),
        ],
    );
    // A debug build need not keep the promised times.
    let patience = if at_length() { 1 } else { 20 };
    ensure!(
        attempts.failed() == 0,
        "{} of {} failed",
        attempts.failed(),
        attempts.0.len()
    );
    ensure!(home_most <= HOME.0 * patience, "/home took {home_most:?}");
    ensure!(
        home_all <= HOME.1 * patience,
        "/home took {home_all:?} at worst"
    );
    ensure!(
        others <= ON_TIME * patience,
        "others were answered after {others:?}"
    );
    ensure!(health <= HEALTH * patience, "/home/health took {health:?}");
    ensure!(late <= EVENT * patience, "an event was {late:?} late");
    ensure!(memory <= VIEWER_KIB, "{memory} KiB more than idle");
    Ok(())
}

/// Starts a stack. Returns it, and the memory of its viewer after the page was shown once, in KiB.
async fn start(variables: &[(&str, &str)]) -> anyhow::Result<(Stack, u64)> {
    forever200_daemon::raise_file_limit();
    let stack = Stack::start_with(variables).await?;
    ensure!(stack.get("/home").await?.status == 200);
    let idle = stack.peak_memory("viewer")?;
    Ok((stack, idle))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_asks_for_what_takes_long() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let kinds: &[(&str, (&str, &str), Filler)] = &[
        (
            "/home/requests/101, reset",
            ("GET", "/home/requests/101"),
            Filler::Random,
        ),
        (
            "/home/requests/101",
            ("GET", "/home/requests/101"),
            Filler::Controls,
        ),
        ("HEAD of it", ("HEAD", "/home/requests/101"), Filler::Random),
        (
            "raw=true",
            ("GET", "/home/api/requests?raw=true"),
            Filler::Random,
        ),
        ("export.har", ("GET", "/home/export.har"), Filler::Headers),
        ("export.pcap", ("GET", "/home/export.pcap"), Filler::Random),
        (
            "export.html",
            ("GET", "/home/export.html"),
            Filler::Controls,
        ),
        ("/home/labels", ("GET", "/home/labels"), Filler::Letters),
        (
            "a search",
            ("GET", "/home?q=%01%02%03%04%05%06%07%09"),
            Filler::Controls,
        ),
        (
            "text",
            ("GET", "/home/text?q=xxxxxxxxxxxxxxxxxxxxy"),
            Filler::Letters,
        ),
    ];
    let kinds = some_of(kinds, 2);
    for (name, asked, filler) in kinds.iter().copied() {
        let (stack, idle) = start(&[]).await?;
        fill(&stack, &long(filler)).await?;
        let (front, is_reset) = (stack.front(), name.ends_with("reset"));
        let reset = is_reset.then_some(Duration::from_millis(3));
        let mob = Mob::gather(45, move |_| asks(source(0, 1), front, asked, reset)).await?;
        look_on(&stack, &format!("45 clients of one address: {name}"), idle).await?;
        drop(mob);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_never_read() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let kinds: &[(&str, Filler)] = &[
        ("/home/events?after=0", Filler::Headers),
        ("/home/export.ndjson", Filler::Controls),
        ("/home/api/requests?raw=true", Filler::Headers),
        ("/home/export.har", Filler::Headers),
        ("/home/requests/101", Filler::Controls),
        ("/home", Filler::Controls),
    ];
    let kinds = some_of(kinds, 1);
    let count = if at_length() { 400 } else { 90 };
    for (path, filler) in kinds.iter().copied() {
        let (stack, idle) = start(&[]).await?;
        fill(&stack, &long(filler)).await?;
        let front = stack.front();
        let behave = move |number: usize| never_reads(source(number, 45), front, path);
        let mob = Mob::gather(count, behave).await?;
        // The ring changes all the time.
        let more = long(filler);
        let filling = Mob::gather(4, move |_| sends(FILLING, front, more.clone(), 5.0)).await?;
        look_on(&stack, &format!("{count} never read {path}"), idle).await?;
        drop((mob, filling));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_megabyte() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let (stack, _) = start(&[("FOREVER200_MAX_REQUEST_BYTES", "1000000")]).await?;
    let body = Filler::Random.bytes(990_000);
    let head = format!(
        "POST /mega HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), &body].concat();
    fill(&stack, &request).await?;
    let home = opens(stack.front(), "/home", Duration::from_millis(50)).await;
    let (most, all) = (quantile(&home, 0.99), quantile(&home, 1.0));
    let patience = if at_length() { 1 } else { 10 };
    ensure!(
        most <= HOME.0 * patience && all <= HOME.1 * patience,
        "{most:?}, {all:?}"
    );
    for path in [
        "/home/requests/101",
        "/home/requests/101/raw",
        "/home/export.pcap",
    ] {
        ensure!(stack.get(path).await?.status == 200, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_requests_that_never_end() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&vec![b'a'; 100_000])?;
    let bombs = zlib.finish()?.repeat(14);
    let head = format!(
        "POST /z HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
        bombs.len()
    );
    let bombs = [head.as_bytes(), &bombs].concat();
    let private: &[(&str, &str)] = &[
        ("FOREVER200_MASK_SOURCES", "on"),
        ("FOREVER200_HIDE", "203.0.113.7,honey.example.net"),
    ];
    let kinds: &[(&str, _, Vec<u8>, f64)] = &[
        (
            "64 KiB of noise, 174 a second",
            &[][..],
            long(Filler::Random),
            174.0,
        ),
        ("bombs, masked, 65 a second", private, bombs, 65.0),
        (
            "64 KiB of headers, 174 a second",
            &[][..],
            long(Filler::Headers),
            174.0,
        ),
        (
            "64 KiB of noise, masked",
            private,
            long(Filler::Random),
            174.0,
        ),
    ];
    for (name, variables, request, a_second) in some_of(kinds, 2) {
        let (stack, idle) = start(variables).await?;
        // A debug build takes ten times as long to describe a request.
        let a_second = if at_length() {
            *a_second
        } else {
            a_second / 8.0
        };
        let (front, request, each) = (stack.front(), request.clone(), a_second / 8.0);
        let behave = move |number: usize| sends(source(number, 1), front, request.clone(), each);
        let mob = Mob::gather(8, behave).await?;
        look_on(&stack, name, idle).await?;
        drop(mob);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_with_a_filter() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let queries = ["path=/qq", "q=%00%ffaaaaaaaaaaaaaaaaaaaa", "path=/headers"];
    for query in some_of(&queries, 1) {
        let (stack, idle) = start(&[]).await?;
        let (front, count) = (stack.front(), if at_length() { 400 } else { 90 });
        let path = format!("/home/events?{query}");
        let watch = move |number: usize| {
            let path = path.clone();
            async move { asks(source(number, 45), front, ("GET", &path), None).await }
        };
        let watchers = Mob::gather(count, watch).await?;
        let request = long(Filler::Headers);
        let behave = move |_| sends(FILLING, front, request.clone(), 10.0);
        let mob = Mob::gather(8, behave).await?;
        look_on(
            &stack,
            &format!("{count} watchers, {query}; 80 requests a second"),
            idle,
        )
        .await?;
        drop((watchers, mob));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_for_ten_seconds_is_cut() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let (stack, _) = start(&[]).await?;
    fill(&stack, &long(Filler::Controls)).await?;
    // Connected without haproxy, which has time limits of its own.
    let mut reader = connect_from(VISITOR, stack.at(8080)).await?;
    let (client, start) = (reader.local_addr()?, Instant::now());
    reader
        .write_all(&request("GET", "/home/export.ndjson"))
        .await?;
    sleep(Duration::from_secs(5)).await;
    ensure!(is_open(client)?, "cut at once");
    let closed = async || (!is_open(client).ok()?).then_some(());
    until("the viewer has closed it", closed).await?;
    ensure!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}

/// Tells whether a socket on this machine is still connected to this client (proc(5), net/tcp). The
/// client itself does not learn of the end as long as it reads nothing.
fn is_open(client: SocketAddr) -> anyhow::Result<bool> {
    let SocketAddr::V4(client) = client else {
        bail!("not of IPv4: {client}");
    };
    let ip = u32::from_le_bytes(client.ip().octets());
    let client = format!("{ip:08X}:{:04X}", client.port());
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let of_client = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(&client) && fields.next() == Some("01")
    };
    Ok(table.lines().any(of_client))
}
