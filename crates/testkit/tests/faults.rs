//! Programs die while requests come in. The tests measure what fails, for how long, and what is
//! missing afterwards.
//!
//! Each test measures one fault and prints a row of docs/reliability.md. `make test` tries each
//! fault a few times, `make faults` as often as that document says, natively and in the image.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_ring::SLOTS;
use forever200_testkit::container::shell;
use forever200_testkit::load::{Attempt, Attempts, FULL, Load, STEADY};
use forever200_testkit::process::{quantile, signal};
use forever200_testkit::report::{at_length, milliseconds, rounds, row};
use forever200_testkit::stack::{Setup, all_run};
use forever200_testkit::{Container, RESPONSE, Stack, exchange, get, get_json, until};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

/// A request that waits for a restarted program is answered within this.
const GOOD_AGAIN: Duration = Duration::from_secs(1);
/// The ring is right within this after a fault.
const RIGHT_AGAIN: Duration = Duration::from_secs(2);
/// Most rounds that are tried until one can be counted.
const MOST_TRIES: usize = 3;

/// A forever200 that runs natively or in a container.
enum Running {
    Natively(Stack),
    InContainer(Container),
}

impl Running {
    async fn container(options: &str) -> anyhow::Result<Self> {
        let container = Container::run(options)?;
        container.until_healthy().await?;
        Ok(Self::InContainer(container))
    }

    fn front(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Natively(stack) => Ok(stack.front()),
            Self::InContainer(container) => container.address(),
        }
    }

    fn how(&self) -> &'static str {
        match self {
            Self::Natively(_) => "natively",
            Self::InContainer(_) => "image",
        }
    }

    /// Returns the processes of programs. They are asked for before the load starts, because
    /// supervisord takes a moment to answer, and the ring could not hold the requests of that time.
    fn processes(&self, programs: &[&str]) -> anyhow::Result<Vec<u32>> {
        let mut processes = Vec::new();
        for program in programs {
            processes.push(match self {
                Self::Natively(stack) => stack.pid(program)?.context("it does not run")?,
                Self::InContainer(container) => {
                    let pid = container.sh(&format!("supervisorctl pid {program}"))?;
                    pid.trim().parse()?
                }
            });
        }
        Ok(processes)
    }

    /// Kills processes, one right after the other.
    fn kill(&self, processes: &[u32]) -> anyhow::Result<()> {
        match self {
            Self::Natively(_) => processes
                .iter()
                .try_for_each(|&process| signal(process, Signal::KILL)),
            Self::InContainer(container) => {
                let numbers: Vec<_> = processes.iter().map(u32::to_string).collect();
                container
                    .sh(&format!("kill -9 {}", numbers.join(" ")))
                    .map(drop)
            }
        }
    }

    /// Waits until supervisord reports all programs as running. It restarts a program that ends
    /// before that only after a pause.
    async fn until_running(&self) -> anyhow::Result<()> {
        let container = match self {
            Self::Natively(stack) => return stack.until_running().await,
            Self::InContainer(container) => container,
        };
        until("all programs are running", || async {
            let status = container.sh("supervisorctl status").ok()?;
            all_run(&status).then_some(())
        })
        .await
    }

    async fn list(&self) -> anyhow::Result<Value> {
        let front = self.front()?;
        until("the page is there", || async {
            get_json(front, "/home/api/requests").await.ok()
        })
        .await
    }
}

/// The results of all rounds of one fault.
#[derive(Default)]
struct Seen {
    requests: usize,
    failed: usize,
    waits: Vec<Duration>,
    missing: usize,
    twice: usize,
}

impl Seen {
    fn print(&mut self, fault: &str, how: &str) {
        self.waits.sort_unstable();
        let (half, all) = (quantile(&self.waits, 0.5), quantile(&self.waits, 1.0));
        let (rounds, waits) = (
            self.waits.len(),
            format!("{} / {}", milliseconds(half), milliseconds(all)),
        );
        row(
            "kill -9",
            &[
                &fault,
                &how,
                &rounds,
                &self.requests,
                &self.failed,
                &waits,
                &self.missing,
            ],
        );
    }
}

/// Kills programs again and again while a hundred requests a second come in.
async fn killing(running: &Running, programs: &[&str]) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut tries = 0..MOST_TRIES * rounds();
    while seen.waits.len() < rounds() {
        tries
            .next()
            .context("each round is too long for the ring")?;
        running.until_running().await?;
        let before = running.list().await?["total"]
            .as_u64()
            .context("a number")?;
        let processes = running.processes(programs)?;
        // With paths that no earlier round had.
        let load = Load::start(running.front()?, &format!("after{before}"), STEADY);
        sleep(at_random(Duration::from_millis(200))).await;
        running.kill(&processes)?;
        let last = good_again(running.front()?, &format!("/again{before}")).await?;
        let attempts = load.stop().await?;
        let Some((missing, twice)) = missing(running, &attempts, &last, before).await? else {
            let worst = attempts.longest_wait();
            ensure!(worst < GOOD_AGAIN, "good again after {worst:?}");
            continue;
        };
        seen.requests += attempts.0.len();
        seen.failed += attempts.failed();
        seen.waits.push(attempts.longest_wait());
        seen.missing += missing;
        seen.twice += twice;
    }
    Ok(seen)
}

/// Returns a time within `span`, a different one for each call.
fn at_random(span: Duration) -> Duration {
    span.mul_f64(RandomState::new().hash_one(()) as f64 / u64::MAX as f64)
}

/// Waits until ten requests in a row are answered. Returns the path of the last one. A list with
/// this path is from after the fault; a list without it may be from before the fault, and out of
/// date.
async fn good_again(front: SocketAddr, name: &str) -> anyhow::Result<String> {
    let answered = async {
        let (mut number, mut in_a_row) = (0, 0);
        loop {
            let path = format!("{name}/{number}");
            let request = format!("GET {path} HTTP/1.1\r\n\r\n");
            let (reply, _) = exchange(front, request.as_bytes())
                .await
                .unwrap_or_else(|_| (Vec::new(), front));
            in_a_row = if reply == RESPONSE { in_a_row + 1 } else { 0 };
            if in_a_row == 10 {
                return path;
            }
            number += 1;
        }
    };
    timeout(Duration::from_secs(30), answered)
        .await
        .context("it does not answer again")
}

fn target(request: &Value) -> &str {
    request["http"]["target"].as_str().unwrap_or_default()
}

/// Returns how many answered requests the ring lacks, and how many it has twice; `None` where more
/// requests came than the ring holds. On a busy machine, haproxy may take a second to be back.
async fn missing(
    running: &Running,
    attempts: &Attempts,
    last: &str,
    before: u64,
) -> anyhow::Result<Option<(usize, usize)>> {
    let held = async || {
        let list = running.list().await?;
        let recorded = list["total"]
            .as_u64()
            .context("a number")?
            .saturating_sub(before);
        if recorded > SLOTS {
            return Ok(None);
        }
        let mut held: HashMap<String, usize> = HashMap::new();
        for request in list["requests"].as_array().context("a list")? {
            *held.entry(target(request).to_owned()).or_default() += 1;
        }
        anyhow::Ok(Some(held))
    };
    let lacking = |held: &HashMap<String, usize>| {
        let is_lacking = |attempt: &&Attempt| !held.contains_key(&attempt.path);
        attempts.answered().filter(is_lacking).count()
    };
    // The list may be from a moment when a restarted memcached is being filled.
    let filled = async {
        loop {
            let Some(held) = held().await? else {
                break anyhow::Ok(());
            };
            if held.contains_key(last) && lacking(&held) == 0 {
                break Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    if let Ok(filled) = timeout(RIGHT_AGAIN, filled).await {
        filled?;
    }
    let Some(held) = held().await? else {
        return Ok(None);
    };
    let is_twice = |attempt: &&Attempt| held.get(&attempt.path).is_some_and(|&times| times > 1);
    let twice = attempts.0.iter().filter(is_twice).count();
    Ok(Some((lacking(&held), twice)))
}

/// Kills each program, then each pair of programs except memcached and responder, which hold
/// records that are nowhere else.
async fn killing_each_and_every_pair(running: &Running) -> anyhow::Result<()> {
    for programs in [
        &["memcached"][..],
        &["viewer"],
        &["responder"],
        &["haproxy"],
        &["memcached", "viewer"],
        &["memcached", "haproxy"],
        &["viewer", "responder"],
        &["viewer", "haproxy"],
        &["responder", "haproxy"],
    ] {
        let fault = programs.join(" and ");
        let mut seen = killing(running, programs).await.context(fault.clone())?;
        seen.print(&fault, running.how());
        ensure!(seen.missing == 0, "{fault}: {} missing", seen.missing);
        // When a responder dies over a request, haproxy sends the request again. The client is
        // answered, but a record may be there twice.
        let in_hand = STEADY.clients * seen.waits.len();
        ensure!(
            seen.twice
                <= if programs.contains(&"responder") {
                    in_hand
                } else {
                    0
                },
            "{fault}: {} twice",
            seen.twice
        );
        let worst = *seen.waits.last().context("no round")?;
        ensure!(worst < GOOD_AGAIN, "{fault}: good again after {worst:?}");
        if !programs.contains(&"haproxy") && !programs.contains(&"responder") {
            ensure!(
                seen.failed == 0,
                "{fault}: {} of {} failed",
                seen.failed,
                seen.requests
            );
        }
        if programs == ["responder"] {
            ensure!(
                seen.failed <= in_hand,
                "{} of {} failed",
                seen.failed,
                seen.requests
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_no_answered_request_is_missing() -> anyhow::Result<()> {
    killing_each_and_every_pair(&Running::Natively(Stack::start().await?)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: make faults"]
async fn whatever_is_killed_in_the_image_no_answered_request_is_missing() -> anyhow::Result<()> {
    killing_each_and_every_pair(&Running::container("").await?).await
}

/// Kills the one pair that holds all records in memory. What these two held is lost, and nothing
/// else.
#[tokio::test(flavor = "multi_thread")]
async fn when_memcached_and_the_responder_die_at_once_counting_begins_anew() -> anyhow::Result<()> {
    let running = Running::Natively(Stack::start().await?);
    let mut seen = Seen::default();
    for round in 0..rounds() {
        running.until_running().await?;
        let processes = running.processes(&["memcached", "responder"])?;
        let load = Load::start(running.front()?, &format!("round{round}"), STEADY);
        sleep(at_random(Duration::from_millis(200))).await;
        running.kill(&processes)?;
        let last = good_again(running.front()?, &format!("/again{round}")).await?;
        let attempts = load.stop().await?;
        seen.requests += attempts.0.len();
        seen.failed += attempts.failed();
        seen.waits.push(attempts.longest_wait());
        // Requests that came while memcached was away are recorded too.
        let recorded = async || {
            let list = running.list().await.ok()?;
            let held = list["requests"].as_array()?;
            let has_last = held.iter().any(|request| target(request) == last);
            (has_last && held.len() >= 10).then_some(held.len())
        };
        let held = timeout(RIGHT_AGAIN, until("ten are recorded", recorded))
            .await
            .context("ten are not recorded in time")??;
        seen.missing += attempts.answered().count().saturating_sub(held);
    }
    seen.print("memcached and responder", running.how());
    Ok(())
}

/// Waits until the ring holds 101 successive numbers, and the newest of these requests.
async fn whole_ring(stack: &Stack, attempts: &Attempts) -> anyhow::Result<Value> {
    until("the ring is whole", || async {
        let list = get_json(stack.front(), "/home/api/requests").await.ok()?;
        let newest = list["total"].as_u64()?;
        let seqs = list["requests"]
            .as_array()?
            .iter()
            .map(|request| request["seq"].as_u64());
        let is_whole = seqs.eq((newest.checked_sub(100)?..=newest).rev().map(Some));
        (is_whole && attempts.are_seen_in(&list)).then_some(list)
    })
    .await
    .with_context(|| stack.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_full_load_the_ring_is_whole_soon_after_a_death_and_shows_the_same_while_nothing_comes()
-> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut attempts = Attempts::default();
    for program in ["memcached", "viewer", "responder"] {
        let load = Load::start(stack.front(), program, FULL);
        until("there is some load", || async {
            get_json(stack.front(), "/home/api/requests")
                .await
                .ok()
                .filter(|list| list["total"].as_u64() > Some(200))
        })
        .await?;
        stack.kill(program).await?;
        stack.until_up().await?;
        attempts = load.stop().await?;
        let allowed = if program == "responder" {
            FULL.clients
        } else {
            0
        };
        assert!(
            attempts.failed() <= allowed,
            "{program}: {} of {}",
            attempts.failed(),
            attempts.0.len()
        );
        timeout(RIGHT_AGAIN, whole_ring(&stack, &attempts))
            .await
            .context(program)??;
    }
    let before = whole_ring(&stack, &attempts).await?;
    for program in ["memcached", "viewer", "responder"] {
        stack.kill(program).await?;
        stack.until_up().await?;
        let after = whole_ring(&stack, &attempts).await?;
        assert!(
            after == before,
            "{program}: other requests, {} of {}",
            after["total"],
            before["total"]
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_responders_one_can_be_killed() -> anyhow::Result<()> {
    let conf = "supervisord.conf";
    let edits = [
        (
            conf,
            "command=setpriv --pdeathsig KILL forever200-responder --socket fd@0\n",
            "",
        ),
        (
            conf,
            ";command=setpriv --pdeathsig KILL forever200-responder --socket fd@0 --listen 127.0.0.1",
            "command=setpriv --pdeathsig KILL forever200-responder --socket fd@0 --listen IP",
        ),
        (conf, ";process_name=responder_", "process_name=responder_"),
        (conf, ";numprocs", "numprocs"),
    ];
    let running = Running::Natively(
        Stack::start_as(Setup {
            edits: &edits,
            ..Setup::default()
        })
        .await?,
    );
    let mut seen = killing(&running, &["responder:responder_9998"]).await?;
    seen.print("one of two responders", running.how());
    ensure!(seen.missing == 0, "{} missing", seen.missing);
    ensure!(
        seen.failed.max(seen.twice) <= STEADY.clients * rounds(),
        "{} failed, {} twice",
        seen.failed,
        seen.twice
    );
    Ok(())
}

/// Only the records in memcached are lost. No process stays behind that keeps an address or answers
/// in place of a new one.
#[tokio::test(flavor = "multi_thread")]
async fn all_programs_end_with_their_supervisor_and_it_starts_again_at_once() -> anyhow::Result<()>
{
    let mut stack = Stack::start().await?;
    let (mut ended, mut up) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        stack.until_running().await?;
        // haproxy's old worker lives on beside the new one as long as it has a connection.
        let _held = tokio::net::TcpStream::connect(stack.front()).await?;
        stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
        let load = Load::start(stack.front(), "supervisor", STEADY);
        sleep(at_random(Duration::from_millis(500))).await;
        let start = std::time::Instant::now();
        stack.kill_supervisord().await?;
        ended.push(start.elapsed());
        load.stop().await?;
        ensure!(
            !stack.run_path("fatal").exists(),
            "this is no program that cannot be started"
        );
        let start = std::time::Instant::now();
        stack.start_again().await?;
        up.push(start.elapsed());
        assert_eq!(stack.send(b"GET /x HTTP/1.1\r\n\r\n").await?, RESPONSE);
    }
    let [ended, up] = [ended, up].map(|mut times| {
        times.sort_unstable();
        let (half, all) = (quantile(&times, 0.5), quantile(&times, 1.0));
        format!("{} / {}", milliseconds(half), milliseconds(all))
    });
    row(
        "supervisord killed",
        &[&"supervisord", &rounds(), &ended, &up],
    );
    Ok(())
}

/// As for responders on other machines.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_opened_goes_to_the_next_server() -> anyhow::Result<()> {
    let option = "    option redispatch 1\n";
    let and_another = format!("{option}    server gone IP:9 send-proxy-v2\n");
    let stack = Stack::start_as(Setup {
        edits: &[("haproxy/haproxy.cfg", option, &and_another)],
        ..Setup::default()
    })
    .await?;
    let load = Load::start(stack.front(), "next", STEADY);
    stack.until_recorded(100).await?;
    let attempts = load.stop().await?;
    assert_eq!(attempts.failed(), 0);
    let gone = stack.haproxy("show stat responder 4 -1").await?;
    let tried = gone
        .lines()
        .find(|line| line.contains(",gone,"))
        .context("no such server")?;
    // haproxy's management guide, 9.1: field 15 counts retries, and field 16 those that went to
    // another server.
    let redispatched = tried
        .split(',')
        .nth(16)
        .and_then(|count| count.parse().ok());
    assert!(redispatched > Some(10_u64), "{tried}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reloading_haproxy_again_and_again_fails_nothing() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let load = Load::start(stack.front(), "reload", FULL);
    let worker = async || {
        stack
            .haproxy("show info")
            .await
            .ok()
            .filter(|info| info.contains("Pid: "))
    };
    let pid = |info: &str| {
        info.lines()
            .find(|line| line.starts_with("Pid: "))
            .map(str::to_owned)
    };
    for _ in 0..rounds() {
        let old = pid(&until("haproxy says who it is", worker).await?);
        sleep(at_random(Duration::from_millis(200))).await;
        stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
        until("a new worker", async || {
            worker().await.filter(|info| pid(info) != old)
        })
        .await?;
    }
    let attempts = load.stop().await?;
    let latency = [0.5, 0.99, 1.0]
        .map(|share| milliseconds(attempts.latency(share)))
        .join(" / ");
    row(
        "reload",
        &[
            &"haproxy reloaded",
            &rounds(),
            &attempts.0.len(),
            &attempts.failed(),
            &latency,
        ],
    );
    assert_eq!(attempts.failed(), 0, "of {}", attempts.0.len());
    Ok(())
}

/// Checks that no request is answered any more once one was refused, and that the stop was soon
/// over.
fn ends_at_once(what: &str, attempts: &Attempts, took: Duration) -> anyhow::Result<()> {
    let attempts = &attempts.0;
    let first = attempts
        .iter()
        .position(|attempt| !attempt.answered)
        .context("it did not stop")?;
    let answered = |attempts: &[Attempt]| attempts.iter().filter(|it| it.answered).count();
    let later = answered(&attempts[first..]);
    row(
        "stop",
        &[&what, &answered(attempts), &later, &milliseconds(took)],
    );
    // Each of the four clients may still have had one request in flight.
    ensure!(
        later <= FULL.clients,
        "{later} answered after the first refusal"
    );
    ensure!(took < Duration::from_secs(9), "{took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_is_quick_and_orderly() -> anyhow::Result<()> {
    for _ in 0..rounds().min(5) {
        let mut stack = Stack::start().await?;
        let load = Load::start(stack.front(), "stop", FULL);
        stack.until_recorded(200).await?;
        let start = std::time::Instant::now();
        stack.stop().await?;
        let took = start.elapsed();
        let attempts = load.stop().await?;
        ends_at_once("supervisord told to stop", &attempts, took)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: make faults"]
async fn under_full_load_128_mib_are_enough() -> anyhow::Result<()> {
    let container = Container::run("--memory 128m --memory-swap 128m")?;
    container.until_healthy().await?;
    let front = container.address()?;
    let load = Load::start(front, "full", FULL);
    let big = [
        &b"POST /big HTTP/1.1\r\nContent-Length: 65000\r\n\r\n"[..],
        &vec![b'x'; 65_000],
    ]
    .concat();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let big = big.clone();
        senders.spawn(async move {
            loop {
                let _ = exchange(front, &big).await;
            }
        });
    }
    // All connections come from Docker's gateway, so they are one source. These and the page are
    // about as many as one source may have.
    let mut idle = Vec::new();
    for _ in 0..400 {
        let mut stream = tokio::net::TcpStream::connect(front).await?;
        stream
            .write_all(b"POST /idle HTTP/1.1\r\nContent-Length: 65000\r\n\r\n")
            .await?;
        idle.push(stream);
    }
    for _ in 0..20 {
        for path in [
            "/home",
            "/home/export.html",
            "/home/labels",
            "/home/api/requests?raw=true",
        ] {
            ensure!(get(front, path).await?.status == 200, "{path}");
        }
        sleep(Duration::from_millis(if at_length() { 1000 } else { 100 })).await;
    }
    // The file of cgroup v2, of v1, and of a v2 that does not record the peak.
    let memory = container.sh(
        "cd /sys/fs/cgroup; cat memory.peak 2>/dev/null || cat memory/memory.max_usage_in_bytes 2>/dev/null || cat memory.current",
    )?;
    drop((senders, idle));
    let attempts = load.stop().await?;
    let memory = format!("{} MiB", memory.parse::<u64>()? / 1024 / 1024);
    row(
        "image",
        &[
            &"128 MiB, full load",
            &attempts.0.len(),
            &attempts.failed(),
            &milliseconds(attempts.latency(0.99)),
            &memory,
        ],
    );
    assert_eq!(attempts.failed(), 0, "{}", container.logs());
    assert!(
        !container.logs().contains("not expected"),
        "{}",
        container.logs()
    );
    assert_eq!(container.inspect(".State.OOMKilled")?, "false");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: make faults"]
async fn docker_stop_under_load_is_quick_and_orderly() -> anyhow::Result<()> {
    let container = Container::run("")?;
    container.until_healthy().await?;
    let front = container.address()?;
    let load = Load::start(front, "stop", FULL);
    sleep(Duration::from_secs(1)).await;
    let start = std::time::Instant::now();
    shell(&format!("docker stop {}", container.0))?;
    let took = start.elapsed();
    let attempts = load.stop().await?;
    ends_at_once("docker stop", &attempts, took)?;
    assert_eq!(container.inspect(".State.ExitCode")?, "0");
    Ok(())
}
