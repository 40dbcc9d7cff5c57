//! A memcached or a machine in trouble while requests come in. The requests are answered all the
//! same.
//!
//! Each test prints rows of docs/reliability.md. `make test` runs each for a few seconds, `make
//! faults` for as long as that document says.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_testkit::clock::{Clock, HAPROXY_KEEPS_TIME};
use forever200_testkit::load::{Attempts, Load, STEADY};
use forever200_testkit::process::signal;
use forever200_testkit::proxy::{Between, Fault};
use forever200_testkit::report::{self, at_length, milliseconds, row};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Memcached, RESPONSE, Stack, exchange, get_json, until};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// While memcached is in trouble, 99 of 100 requests are answered within this time. The second time
/// is for a debug build whose processors have other work. It is shorter than a reply of the slow
/// memcached, so an answer that waits for memcached is noticed.
const ON_TIME: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));
/// What a reply of the slow memcached takes, with each of these two times.
const SLOW_REPLY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));
/// The ring is right within this time after a fault; the second time is as above.
const RIGHT_AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));
/// An edit that moves supervisord.conf's own memcached to another address, because the test has
/// one.
const ELSEWHERE: (&str, &str, &str) = (
    "supervisord.conf",
    "${FOREVER200_MEMCACHED:-127.0.0.1:11211}",
    "IP:11212",
);
/// The size of memcached in supervisord.conf.
const MEMORY: &str = "-m $((64 + ${FOREVER200_MAX_REQUEST_BYTES:-65536} / 7000))";

fn print(fault: &str, attempts: &Attempts) {
    let (half, most, all) = (
        attempts.latency(0.5),
        attempts.latency(0.99),
        attempts.latency(1.0),
    );
    let times = [half, most, all].map(milliseconds).join(" / ");
    row(
        "trouble",
        &[&fault, &attempts.0.len(), &attempts.failed(), &times],
    );
}

/// Returns the first of two times in a measurement at length, and the second in `make test`.
fn of_this_form((at_length, in_short): (Duration, Duration)) -> Duration {
    if report::at_length() {
        at_length
    } else {
        in_short
    }
}

/// Fails if answers were late.
fn on_time(attempts: &Attempts) -> anyhow::Result<()> {
    let most = of_this_form(ON_TIME);
    let answers = attempts.latency(0.99);
    ensure!(answers < most, "answered after {answers:?}");
    Ok(())
}

fn span(short: u64, long: u64) -> Duration {
    Duration::from_secs(if at_length() { long } else { short })
}

/// Waits until the ring holds the newest of these requests.
async fn right_again(stack: &Stack, attempts: &Attempts) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let right = async || {
        let list = get_json(stack.front(), "/home/api/requests").await.ok()?;
        attempts.are_seen_in(&list).then_some(())
    };
    timeout(of_this_form(RIGHT_AGAIN), until("the ring is right", right))
        .await
        .context("the ring is not right in time")??;
    Ok(start.elapsed())
}

fn total(list: &Value) -> u64 {
    list["total"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memcached_that_stands_still_delays_nobody() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let memcached = stack.pid("memcached")?.context("memcached does not run")?;
    let load = Load::start(stack.front(), "stopped", STEADY);
    sleep(Duration::from_millis(500)).await;
    signal(memcached, Signal::STOP)?;
    sleep(span(4, 30)).await;
    // The page tells about the trouble, and does not keep the visitor waiting.
    let start = Instant::now();
    assert_eq!(stack.get("/home").await?.status, 503);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    signal(memcached, Signal::CONT)?;
    let attempts = load.stop().await?;
    let right = right_again(&stack, &attempts).await?;
    print(
        &format!("memcached stopped for {} s", span(4, 30).as_secs()),
        &attempts,
    );
    row(
        "right again",
        &[&"memcached continued", &milliseconds(right)],
    );
    assert_eq!(attempts.failed(), 0);
    on_time(&attempts)?;
    Ok(())
}

/// Starts a stack that reaches its memcached through a faulty connection.
async fn with_line() -> anyhow::Result<(Stack, Between, Memcached)> {
    let memcached = Memcached::start().await?;
    let line = Between::start(memcached.address()).await?;
    let stack = Stack::start_as(Setup {
        edits: &[ELSEWHERE],
        variables: &[("FOREVER200_MEMCACHED", &line.address())],
        ..Setup::default()
    })
    .await?;
    Ok((stack, line, memcached))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memcached_that_is_slow_or_talks_nonsense_delays_nobody() -> anyhow::Result<()> {
    let (stack, line, _memcached) = with_line().await?;
    let nonsense = |text: &str| Fault::Nonsense(text.repeat(20).into_bytes());
    let reply = of_this_form(SLOW_REPLY);
    let slow = format!("slow: {} a reply", milliseconds(reply));
    for (name, fault) in [
        (&*slow, Fault::Delay(reply)),
        ("dead line: no reply at all", Fault::Delay(Duration::MAX)),
        ("nonsense: bytes", nonsense("\0\u{ff}\r\n")),
        ("nonsense: other replies", nonsense("VA 2 t0\r\nhi\r\n")),
        (
            "nonsense: errors",
            nonsense("SERVER_ERROR out of memory storing object\r\n"),
        ),
        ("nonsense: old numbers", nonsense("VA 1\r\n1\r\n")),
        ("replies cut off", Fault::CutAnswer(3)),
        ("commands cut off", Fault::CutCommand),
    ] {
        let load = Load::start(stack.front(), "line", STEADY);
        sleep(Duration::from_millis(300)).await;
        line.always(Some(fault));
        sleep(span(2, 10)).await;
        line.mend();
        sleep(Duration::from_millis(700)).await;
        let attempts = load.stop().await?;
        let right = right_again(&stack, &attempts)
            .await
            .with_context(|| format!("{name}: {}", stack.log()))?;
        print(
            &format!("memcached {name}, {} s", span(2, 10).as_secs()),
            &attempts,
        );
        row("right again", &[&name, &milliseconds(right)]);
        assert_eq!(attempts.failed(), 0, "{name}");
        on_time(&attempts).with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memcached_keeps_what_it_can() -> anyhow::Result<()> {
    let size = ("supervisord.conf", MEMORY, "-m 2");
    let stack = Stack::start_as(Setup {
        edits: &[size],
        ..Setup::default()
    })
    .await?;
    let big = [
        &b"POST /big HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"[..],
        &vec![b'x'; 60_000],
    ]
    .concat();
    let load = Load::start(stack.front(), "full", STEADY);
    for _ in 0..200 {
        assert_eq!(stack.send(&big).await?, RESPONSE);
    }
    sleep(Duration::from_secs(1)).await;
    let attempts = load.stop().await?;
    let right = right_again(&stack, &attempts).await?;
    print("memcached full", &attempts);
    row("right again", &[&"memcached full", &milliseconds(right)]);
    assert_eq!(attempts.failed(), 0);
    on_time(&attempts)?;
    // Six megabytes do not fit into two, so the oldest requests are missing and the newest are
    // there. memcached is asked, because the viewer keeps what it has read. Nobody else sends now:
    // 101 small requests would take the places of all these.
    for _ in 0..101 {
        assert_eq!(stack.send(&big).await?, RESPONSE);
    }
    until("the newest request is shown", || async {
        let list = get_json(stack.front(), "/home/api/requests").await.ok()?;
        (list["requests"][0]["seq"] == total(&list)).then_some(())
    })
    .await?;
    let held = slots_of_at_least(&stack, 60_000).await?;
    assert!((10..101).contains(&held), "{held}");
    Ok(())
}

/// Returns how many slots hold a value of this many bytes or more. Only the sizes are read.
async fn slots_of_at_least(stack: &Stack, bytes: usize) -> anyhow::Result<usize> {
    let commands: String = (0..101)
        .map(|slot| format!("mg forever200:slot:{slot} s\r\n"))
        .collect();
    let (reply, _) = exchange(stack.at(11211), format!("{commands}quit\r\n").as_bytes()).await?;
    let reply = String::from_utf8(reply)?;
    let sizes = reply.lines().filter_map(|line| line.strip_prefix("HD s"));
    Ok(sizes
        .filter(|size| size.parse().is_ok_and(|size: usize| size >= bytes))
        .count())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_requests_that_are_allowed_fit_101_times() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_MAX_REQUEST_BYTES", "1000000")]).await?;
    let big = [
        &b"POST /big HTTP/1.1\r\nContent-Length: 999900\r\n\r\n"[..],
        &vec![b'x'; 999_900],
    ]
    .concat();
    for _ in 0..150 {
        assert_eq!(stack.send(&big).await?, RESPONSE);
    }
    // Only the sizes are compared, because the page is a lot of work for a debug build.
    let full = until("all slots are full", || async {
        let held = slots_of_at_least(&stack, 999_900).await.ok()?;
        (held == 101).then_some(())
    });
    timeout(Duration::from_secs(20), full)
        .await
        .context("slots are missing")??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memcached_that_comes_back_with_old_data_gets_the_new() -> anyhow::Result<()> {
    // With -e, memcached's memory is a file. When SIGUSR1 stops memcached, the file stays for the
    // next start.
    let folder = tempfile::tempdir_in("/dev/shm").context("/dev/shm is needed, and is missing")?;
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )?;
    let memory = folder.path().join("memory");
    let edits = [
        (
            "supervisord.conf",
            "memcached -U",
            &*format!("memcached -e {} -U", memory.display()),
        ),
        // The file has this size, in MB, from the start. A container's /dev/shm has 64 MB, and
        // memcached needs 39.
        ("supervisord.conf", MEMORY, "-m 48"),
        (
            "supervisord.conf",
            "[program:memcached]",
            "[program:memcached]\nstopsignal=USR1",
        ),
    ];
    let stack = Stack::start_as(Setup {
        edits: &edits,
        ..Setup::default()
    })
    .await?;
    let load = Load::start(stack.front(), "old", STEADY);
    stack.until_recorded(150).await?;
    stack.supervisorctl(&["stop", "memcached"])?;
    let files = [memory.clone(), memory.with_extension("meta")];
    let kept: Vec<_> = files
        .iter()
        .map(std::fs::read)
        .collect::<Result<_, _>>()
        .context("memcached left no memory")?;
    stack.supervisorctl(&["start", "memcached"])?;
    let before = total(&stack.until_recorded(300).await?);
    // As old as possible: what memcached held 150 requests ago.
    stack.supervisorctl(&["stop", "memcached"])?;
    for (file, content) in files.iter().zip(kept) {
        std::fs::write(file, content)?;
    }
    stack.supervisorctl(&["start", "memcached"])?;
    let attempts = load.stop().await?;
    let right = right_again(&stack, &attempts).await?;
    // The list that the test got before may be from before the restart.
    until("the number is as high as before", || async {
        let list = get_json(stack.front(), "/home/api/requests").await.ok()?;
        (total(&list) >= before).then_some(())
    })
    .await?;
    assert_eq!(attempts.failed(), 0);
    print("memcached restarted with old data", &attempts);
    row(
        "right again",
        &[&"memcached restarted with old data", &milliseconds(right)],
    );
    Ok(())
}

/// Sends requests for some seconds, while the programs are made to log.
async fn works_while_logging(stack: &Stack, name: &str) -> anyhow::Result<()> {
    let load = Load::start(stack.front(), name, STEADY);
    sleep(Duration::from_millis(300)).await;
    for program in ["viewer", "memcached"] {
        stack.kill(program).await?;
        stack.until_up().await?;
    }
    let attempts = load.stop().await?;
    let right = right_again(stack, &attempts).await?;
    print(name, &attempts);
    row("right again", &[&name, &milliseconds(right)]);
    ensure!(
        attempts.failed() == 0,
        "{name}: {} failed",
        attempts.failed()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_log_stops_nothing() -> anyhow::Result<()> {
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let stack = Stack::start_as(Setup {
        output: Some(full.into()),
        ..Setup::default()
    })
    .await?;
    works_while_logging(&stack, "disk full under the log").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_stops_nothing() -> anyhow::Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    let stack = Stack::start_as(Setup {
        output: Some(writer.into()),
        ..Setup::default()
    })
    .await?;
    reader.read_exact(&mut [0; 100])?;
    drop(reader);
    works_while_logging(&stack, "log reader gone").await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_256_file_descriptors_it_serves_fewer_at_a_time_and_recovers() -> anyhow::Result<()> {
    let stack = Stack::start_as(Setup {
        before: "ulimit -n 256; ",
        ..Setup::default()
    })
    .await?;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(timeout(Duration::from_secs(1), TcpStream::connect(stack.front())).await);
    }
    drop(idle);
    let start = Instant::now();
    until("it answers", || async {
        stack
            .send(b"GET /x HTTP/1.1\r\n\r\n")
            .await
            .ok()
            .filter(|reply| reply == RESPONSE)
    })
    .await?;
    row(
        "right again",
        &[
            &"256 file descriptors, all taken, then given back",
            &milliseconds(start.elapsed()),
        ],
    );
    let load = Load::start(stack.front(), "files", STEADY);
    sleep(Duration::from_secs(1)).await;
    let attempts = load.stop().await?;
    print("256 file descriptors", &attempts);
    assert_eq!(attempts.failed(), 0);
    right_again(&stack, &attempts).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_an_hour_stops_nothing() -> anyhow::Result<()> {
    let clock = Clock::right()?;
    let stack = Stack::start_as(Setup {
        before: &clock.before(),
        edits: &[HAPROXY_KEEPS_TIME],
        ..Setup::default()
    })
    .await?;
    let hour_of_newest = async || {
        let list = get_json(stack.front(), "/home/api/requests").await?;
        let timestamp = list["requests"][0]["timestamp"]
            .as_str()
            .context("no request")?
            .to_owned();
        anyhow::Ok(timestamp[..13].to_owned())
    };
    let load = Load::start(stack.front(), "clock", STEADY);
    let mut hours = Vec::new();
    for offset in ["+0", "+1h", "-1h", "+0"] {
        clock.set(offset)?;
        let cursor = total(&get_json(stack.front(), "/home/api/requests").await?);
        stack.until_recorded(cursor + 50).await?;
        hours.push(hour_of_newest().await?);
        // Restarts go on, and the requests can be counted.
        stack.kill("viewer").await?;
        stack.until_up().await?;
        let stats = get_json(stack.front(), "/home/api/stats").await?;
        ensure!(stats["last_minute"].as_u64() > Some(0), "{offset}: {stats}");
        assert_eq!(stack.get("/home").await?.status, 200, "{offset}");
    }
    // The hour may end during the test.
    assert!(
        hours[2] < hours[0] && hours[0] < hours[1] && hours[0] <= hours[3],
        "{hours:?}"
    );
    let attempts = load.stop().await?;
    right_again(&stack, &attempts).await?;
    print("clock set by an hour, forward and back", &attempts);
    assert_eq!(attempts.failed(), 0);
    on_time(&attempts)?;
    Ok(())
}
