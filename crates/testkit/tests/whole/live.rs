//! The event stream, with programs and a thousand pages that read it.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_daemon::raise_file_limit;
use forever200_testkit::events::Events;
use forever200_testkit::process::missing;
use forever200_testkit::{Stack, connect_from, exchange, get_json, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_what_the_list_has() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(&get("/before")).await?;
    stack.until_recorded(1).await?;
    let mut events = Events::open(stack.front(), "/home/events", "").await?;
    stack.send(&get("/new")).await?;
    let event = events.next("request").await?.context("the stream ended")?;
    assert_eq!(event.id, Some(2));
    let list = get_json(stack.front(), "/home/api/requests").await?;
    assert_eq!(
        serde_json::from_str::<Value>(&event.data)?,
        list["requests"][0]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_and_filters() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for (seq, path) in (1..).zip(["/a", "/b", "/c", "/d"]) {
        stack.send(&get(path)).await?;
        stack.until_recorded(seq).await?;
    }
    // The header, which a browser sends when it reconnects, counts more than the address, which
    // stays the same.
    for (path, headers, expected) in [
        ("/home/events", "Last-Event-ID: 2\r\n", vec![3, 4]),
        ("/home/events?after=1", "", vec![2, 3, 4]),
        ("/home/events?after=1", "Last-Event-ID: 3\r\n", vec![4]),
        ("/home/events?after=0&path=/b", "", vec![2]),
        ("/home/events?after=0&q=get%20/c", "", vec![3]),
    ] {
        let mut events = Events::open(stack.front(), path, headers).await?;
        for seq in expected {
            assert_eq!(
                events.next("request").await?.context("the end")?.id,
                Some(seq),
                "{path} {headers}"
            );
        }
    }
    let row = Events::open(stack.front(), "/home/events?format=html&after=3", "")
        .await?
        .next("row")
        .await?;
    assert!(row.context("the end")?.data.starts_with("<tr id=\"r4\""));
    for path in [
        "/home/events?format=xml",
        "/home/events?source=x",
        "/home/events?after=x",
    ] {
        assert_eq!(stack.get(path).await?.status, 400, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_flood_the_newest_is_told_and_a_page_is_told_of_all_that_is_kept() -> anyhow::Result<()>
{
    let stack = Stack::start().await?;
    let all: HashSet<_> = (1..=101).map(Some).collect();
    for (before, path) in [
        (0, "/home/events?format=html"),
        (101, "/home/events?format=html&path=/f"),
    ] {
        let mut page = Events::open(stack.front(), path, "").await?;
        let mut program = Events::open(stack.front(), "/home/events", "").await?;
        let front = stack.front();
        let flood = (1..=101).map(|number| {
            // Long enough to be described in several batches.
            let request = [get(&format!("/f/{number}")), vec![b'x'; 4000]].concat();
            tokio::spawn(async move { exchange(front, &request).await })
        });
        for sent in flood.collect::<Vec<_>>() {
            sent.await??;
        }
        let mut told = HashSet::new();
        while told.len() < 101 {
            let row = page.next("row").await?.context("the page's stream ended")?;
            let number = row.data.strip_prefix("<tr id=\"r");
            let number = number.and_then(|it| it.split_once('"'));
            let number: u64 = number.context("no number")?.0.parse()?;
            told.insert(Some(number - before));
            // A page that reconnects asks for requests after this id, so all up to it must have
            // been sent.
            for up_to in 1..=row.id.context("no id")?.saturating_sub(before) {
                assert!(told.contains(&Some(up_to)), "{up_to} is left out: {path}");
            }
        }
        assert_eq!(told, all, "{path}");
        while program.next("request").await?.context("a stream ended")?.id != Some(before + 101) {}
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_when_counting_begins_anew() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for seq in 1..=3 {
        stack.send(&get("/old")).await?;
        stack.until_recorded(seq).await?;
    }
    let mut events = Events::open(stack.front(), "/home/events?after=0", "").await?;
    stack.supervisorctl(&["stop", "responder", "memcached"])?;
    stack.supervisorctl(&["start", "memcached", "responder"])?;
    until("it answers again", || async {
        stack
            .send(&get("/new"))
            .await
            .ok()
            .filter(|reply| reply == forever200_testkit::RESPONSE)
    })
    .await?;
    events.next("reset").await?.context("the end")?;
    let event = events.next("request").await?.context("the end")?;
    assert_eq!((event.id, event.data.contains("GET /new")), (Some(1), true));
    Ok(())
}

/// Returns how many keys memcached was asked for since its start.
async fn gets(stack: &Stack) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(stack.at(11211)).await?;
    stream.write_all(b"stats\r\nquit\r\n").await?;
    let mut stats = String::new();
    stream.read_to_string(&mut stats).await?;
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("STAT cmd_get "))
        .context("no cmd_get")?;
    Ok(line.trim().parse()?)
}

/// Returns how many keys memcached is asked for in a second.
async fn gets_per_second(stack: &Stack) -> anyhow::Result<f64> {
    let (start, before) = (Instant::now(), gets(stack).await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok((gets(stack).await? - before) as f64 / start.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_cost_memcached_no_more_than_one() -> anyhow::Result<()> {
    raise_file_limit();
    // All watchers come from 127.0.0.1, which has no limit.
    let stack = Stack::start().await?;
    let path = "/home/events?format=html&after=0";
    let mut watchers = vec![Events::open(stack.front(), path, "").await?];
    let one = gets_per_second(&stack).await?;
    while watchers.len() < 1000 {
        watchers.push(Events::open(stack.front(), path, "").await?);
    }
    let thousand = gets_per_second(&stack).await?;
    assert!(
        one > 20.0 && thousand < 1.5 * one,
        "{one:.0} keys a second for one watcher, {thousand:.0} for 1,000"
    );
    // Each watcher gets every event.
    let start = Instant::now();
    stack.send(&get("/seen-by-all")).await?;
    for watcher in &mut watchers {
        let row = watcher.next("row").await?.context("the end")?;
        assert!(row.data.contains("seen-by-all"), "{}", row.data);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    drop(watchers);
    // While nobody watches, the viewer polls memcached twice a second, not twenty times. Each poll
    // asks for some hundred keys: four counters and the slots of a ring that is not full.
    until("memcached is asked less", || async {
        let idle = gets_per_second(&stack).await.ok()?;
        (idle < 600.0).then_some(())
    })
    .await
}

/// By default, nginx buffers a few kB of an answer before it sends them.
#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_an_event_comes_at_once() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let (folder, nginx) = (tempfile::tempdir()?, stack.at(8300));
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", folder.path().display()));
    let configuration = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{ }}
         http {{ access_log off; {paths} server {{ listen {nginx}; location / {{ proxy_pass http://{front}; }} }} }}",
        folder = folder.path().display(),
        paths = paths.concat(),
        front = stack.front(),
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut running = tokio::process::Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .args(["-e", "stderr"])
        .kill_on_drop(true)
        .spawn()
        .context(missing("nginx"))?;
    until("nginx answers", || async {
        get_json(nginx, "/home/health").await.ok()
    })
    .await?;
    let mut events = Events::open(nginx, "/home/events?format=html", "").await?;
    stack.send(&get("/through-nginx")).await?;
    let row = timeout(Duration::from_secs(5), events.next("row"))
        .await??
        .context("the end")?;
    assert!(row.data.contains("through-nginx"), "{}", row.data);
    running.kill().await?;
    Ok(())
}

/// A reload of the page closes a stream and opens the next. haproxy counts a stream in the
/// visitor's limit, 8 here, until it notices the end.
#[tokio::test(flavor = "multi_thread")]
async fn who_closes_a_stream_may_open_the_next_at_once() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_MAX_CONNECTIONS", "400")]).await?;
    for time in 1..=40 {
        let mut stream = connect_from(Ipv4Addr::new(127, 9, 9, 9), stack.front()).await?;
        stream.write_all(&get("/home/events?path=/none")).await?;
        let mut came = Vec::new();
        // Everything is read, so that closing sends a FIN and not a reset.
        while !came.ends_with(b": forever200\n\n\r\n") {
            let read = timeout(Duration::from_secs(5), stream.read_buf(&mut came)).await??;
            ensure!(read > 0, "time {time}: {}", came.escape_ascii());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_hold_up_a_stop() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut events = Events::open(stack.front(), "/home/events", "").await?;
    let start = Instant::now();
    stack.supervisorctl(&["stop", "viewer"])?;
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(events.next("request").await?, None);
    assert!(
        !stack.log().contains("cut off open requests"),
        "{}",
        stack.log()
    );
    Ok(())
}
