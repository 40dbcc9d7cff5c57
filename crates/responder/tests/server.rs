//! The responder with real sockets and a real memcached, without haproxy.

use std::time::{Duration, Instant};

use forever200_responder::connection::{CONTINUE, DEADLINE, RESPONSE};
use forever200_responder::reading::{MAX_DISCARDED_BYTES, QUIET_TIME, UNFINISHED_TIME};
use forever200_responder::{Config, Listeners, run};
use forever200_ring::ring::minute_key;
use forever200_ring::{Ended, Record, SLOTS, Snapshot, Store, Via};
use forever200_testkit::{Between, Fault, Memcached, client, exchange, loopback, until};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use running::Responder;

mod running;

const CONFIG: Config = Config {
    proxy_protocol: false,
    max_request_bytes: 65_536,
    max_connections: 100,
    has_history: false,
};
const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nX-Odd:  Two\r\n\r\n";

impl Responder {
    async fn send(&self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(exchange(self.address, bytes).await?.0)
    }
}

/// Waits until `count` requests were recorded.
async fn recorded(store: &Store, count: u64) -> anyhow::Result<Snapshot> {
    until(&format!("{count} requests are recorded"), || async {
        let snapshot = store.snapshot().await.ok()?;
        let newest = snapshot.ring.get(snapshot.cursor).is_some();
        (snapshot.cursor >= count && newest).then_some(snapshot)
    })
    .await
}

/// Returns the number of requests of this minute and the last nine, by memcached's classic
/// protocol.
async fn minutes(memcached: &Memcached) -> anyhow::Result<u64> {
    let now = Timestamp::now().as_second() / 60;
    let keys: Vec<_> = (now - 9..=now).map(minute_key).collect();
    let mut stream = TcpStream::connect(memcached.address()).await?;
    stream
        .write_all(format!("get {}\r\nquit\r\n", keys.join(" ")).as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer
        .lines()
        .filter_map(|line| line.trim().parse::<u64>().ok())
        .sum())
}

/// Starts a responder, sends `bytes` as they are, and returns how long the answer took and the
/// record.
async fn record_of(bytes: &[u8]) -> anyhow::Result<(Duration, Record)> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let start = Instant::now();
    assert_eq!(responder.send(bytes).await?, RESPONSE);
    let elapsed = start.elapsed();
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    Ok((
        elapsed,
        snapshot.ring.get(1).expect("the first is recorded").clone(),
    ))
}

#[tokio::test]
async fn a_request_is_answered_and_recorded_as_it_came() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let (reply, client) = exchange(responder.address, REQUEST).await?;
    assert_eq!(reply, RESPONSE);
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    let record = snapshot.ring.get(1).expect("the first is recorded");
    assert_eq!(record.raw, REQUEST);
    assert_eq!(
        (record.src_ip, record.src_port),
        (client.ip(), client.port())
    );
    assert_eq!(
        (record.dest_ip, record.dest_port),
        (responder.address.ip(), responder.address.port())
    );
    assert_eq!(
        (record.via, record.ended, record.truncated),
        (Via::Peer, Ended::Complete, false)
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_http_is_answered_after_the_quiet_time() -> anyhow::Result<()> {
    let (elapsed, record) = record_of(b"\x16\x03\x01\0\x05hello").await?;
    assert!(
        (QUIET_TIME..UNFINISHED_TIME).contains(&elapsed),
        "{elapsed:?}"
    );
    assert_eq!(
        (record.ended, &record.raw[..]),
        (Ended::Quiet, &b"\x16\x03\x01\0\x05hello"[..])
    );
    Ok(())
}

#[tokio::test]
async fn an_unfinished_request_is_answered_after_the_longer_time() -> anyhow::Result<()> {
    for request in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nshort",
    ] {
        let (elapsed, record) = record_of(request).await?;
        assert!(
            (UNFINISHED_TIME..DEADLINE).contains(&elapsed),
            "{elapsed:?}"
        );
        assert_eq!((record.ended, &record.raw[..]), (Ended::Quiet, request));
    }
    Ok(())
}

#[tokio::test]
async fn a_request_in_two_segments_split_anywhere_is_one_record() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let request = b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    for cut in 1..request.len() {
        let mut stream = TcpStream::connect(responder.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&request[..cut]).await?;
        // The responder has read the first segment, or reads both at once. Either is allowed.
        tokio::task::yield_now().await;
        stream.write_all(&request[cut..]).await?;
        assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    }
    let snapshot = recorded(&Store::new(memcached.address()), request.len() as u64 - 1).await?;
    assert_eq!(snapshot.cursor, request.len() as u64 - 1);
    for record in snapshot.ring.newest_first() {
        assert_eq!(
            (&record.raw[..], record.ended),
            (&request[..], Ended::Complete)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_body_sent_byte_by_byte_is_one_record() -> anyhow::Result<()> {
    for request in [
        &b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /lf HTTP/1.0\nHost: x\n\n",
    ] {
        let memcached = Memcached::start().await?;
        let responder = Responder::start(&memcached.address(), CONFIG).await?;
        let mut stream = TcpStream::connect(responder.address).await?;
        stream.set_nodelay(true)?;
        for byte in request {
            stream.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
        let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
        let record = snapshot.ring.get(1).expect("the first is recorded");
        assert_eq!((&record.raw[..], record.ended), (request, Ended::Complete));
    }
    Ok(())
}

#[tokio::test]
async fn who_expects_100_continue_gets_it_and_sends_its_body() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let mut stream = TcpStream::connect(responder.address).await?;
    let head = b"PUT /f HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head).await?;
    let mut told = vec![0; CONTINUE.len()];
    stream.read_exact(&mut told).await?;
    assert_eq!(told, CONTINUE);
    stream.write_all(b"body").await?;
    assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    assert_eq!(
        snapshot.ring.get(1).expect("recorded").raw,
        [&head[..], b"body"].concat()
    );
    Ok(())
}

#[tokio::test]
async fn a_half_close_ends_a_request_and_still_gets_the_answer() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let mut stream = TcpStream::connect(responder.address).await?;
    stream.write_all(b"GET / HT").await?;
    stream.shutdown().await?;
    assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    let record = snapshot.ring.get(1).expect("recorded");
    assert_eq!(
        (&record.raw[..], record.ended),
        (&b"GET / HT"[..], Ended::Eof)
    );
    Ok(())
}

#[tokio::test]
async fn a_reset_ends_a_request_and_it_is_recorded() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let mut stream = TcpStream::connect(responder.address).await?;
    let request = b"PUT / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(request).await?;
    // `100 Continue` has come, so the responder has read the head. This client does not read it, so
    // that its close resets the connection.
    stream.readable().await?;
    drop(stream);
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    let record = snapshot.ring.get(1).expect("recorded");
    assert_eq!((&record.raw[..], record.ended), (&request[..], Ended::Eof));
    Ok(())
}

#[tokio::test]
async fn of_two_mebibytes_the_prefix_is_kept_and_the_rest_is_counted_up_to_a_limit()
-> anyhow::Result<()> {
    let mut request = b"POST /big HTTP/1.1\r\nContent-Length: 2097152\r\n\r\n".to_vec();
    request.resize(request.len() + 2_097_152, b'x');
    let (_, record) = record_of(&request).await?;
    assert_eq!(record.raw, request[..65_536]);
    assert_eq!((record.truncated, record.ended), (true, Ended::Limit));
    let limit = 65_536 + MAX_DISCARDED_BYTES;
    assert!(
        (limit..limit + 100_000).contains(&record.bytes),
        "{}",
        record.bytes
    );
    Ok(())
}

#[tokio::test]
async fn who_is_still_sending_when_the_answer_comes_is_not_reset() -> anyhow::Result<()> {
    // More bytes than the sockets' buffers hold: the client still sends when the answer comes.
    let mut request = b"POST /huge HTTP/1.1\r\nContent-Length: 33554432\r\n\r\n".to_vec();
    request.resize(request.len() + 33_554_432, b'x');
    let (_, record) = record_of(&request).await?;
    assert_eq!((record.truncated, record.ended), (true, Ended::Limit));
    Ok(())
}

#[tokio::test]
async fn a_body_just_over_the_limit_is_complete_and_truncated() -> anyhow::Result<()> {
    let mut request = b"POST /big HTTP/1.1\r\nContent-Length: 100000\r\n\r\n".to_vec();
    request.resize(request.len() + 100_000, b'x');
    let (_, record) = record_of(&request).await?;
    assert_eq!(
        (record.truncated, record.ended, record.bytes),
        (true, Ended::Complete, request.len() as u64)
    );
    assert_eq!(record.raw, request[..65_536]);
    Ok(())
}

#[tokio::test]
async fn requests_that_many_hold_unfinished_take_bounded_room_and_are_read_to_their_ends()
-> anyhow::Result<()> {
    forever200_daemon::raise_file_limit();
    let memcached = Memcached::start().await?;
    let responder = Responder::start(
        &memcached.address(),
        Config {
            max_connections: 1000,
            ..CONFIG
        },
    )
    .await?;
    let mut request = b"POST /held HTTP/1.1\r\nContent-Length: 65000\r\n\r\n".to_vec();
    request.resize(request.len() + 65_000, b'x');
    let (all_but_one, last) = request.split_at(request.len() - 1);
    // Each of these needs 80 KiB of room: together they need more than twice the room there is.
    let mut held = Vec::new();
    for _ in 0..900 {
        let mut stream = TcpStream::connect(responder.address).await?;
        stream.write_all(all_but_one).await?;
        held.push(stream);
    }
    for stream in &mut held {
        stream.write_all(last).await?;
    }
    for stream in &mut held {
        assert_eq!(client::read_to_end(stream).await?, RESPONSE);
    }
    let store = Store::new(memcached.address());
    let snapshot = recorded(&store, 900).await?;
    let records = snapshot.ring.newest_first();
    let whole = |record: &&&Record| !record.truncated && record.raw == request;
    let cut = |record: &&&Record| {
        record.truncated && !record.raw.is_empty() && request.starts_with(&record.raw)
    };
    assert!(
        records
            .iter()
            .all(|record| record.bytes == request.len() as u64 && record.ended == Ended::Complete)
    );
    assert_eq!(
        records.iter().filter(whole).count() + records.iter().filter(cut).count(),
        101
    );
    assert!(records.iter().filter(cut).count() > 0);
    // Connections that ended have given their room back.
    assert_eq!(responder.send(&request).await?, RESPONSE);
    assert_eq!(
        recorded(&store, 901)
            .await?
            .ring
            .get(901)
            .expect("recorded")
            .raw,
        request
    );
    Ok(())
}

#[tokio::test]
async fn a_client_that_has_its_answer_normally_has_a_record_in_memcached() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let store = Store::new(memcached.address());
    responder.send(REQUEST).await?;
    recorded(&store, 1).await?;
    for seq in 2..200 {
        assert_eq!(responder.send(REQUEST).await?, RESPONSE);
        assert!(store.record(seq).await?.is_some(), "{seq}");
    }
    Ok(())
}

/// If memcached takes longer than answers wait for it, the record comes after the answer.
#[tokio::test]
async fn a_slow_write_does_not_delay_the_answer_and_its_record_comes_later() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let line = Between::start(memcached.address()).await?;
    let responder = Responder::start(&line.address(), CONFIG).await?;
    let store = Store::new(memcached.address());
    responder.send(REQUEST).await?;
    recorded(&store, 1).await?;
    // The store gives up after a second, so this write succeeds.
    line.once(Fault::Delay(Duration::from_millis(900)));
    assert_eq!(responder.send(REQUEST).await?, RESPONSE);
    // The responder writes the slot after an answer of memcached that is still delayed.
    assert!(store.record(2).await?.is_none());
    until("the line was slow", || async {
        (line.happened() == 1).then_some(())
    })
    .await?;
    let snapshot = recorded(&store, 2).await?;
    assert_eq!(snapshot.ring.get(2).expect("the second").raw, REQUEST);
    Ok(())
}

#[tokio::test]
async fn who_drips_for_ever_is_answered_at_the_deadline() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let (mut read, mut write) = TcpStream::connect(responder.address).await?.into_split();
    let start = Instant::now();
    let dripping = tokio::spawn(async move {
        while write.write_all(b"GET /x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut reply = vec![0; RESPONSE.len()];
    read.read_exact(&mut reply).await?;
    dripping.abort();
    assert_eq!(reply, RESPONSE);
    assert!(
        (DEADLINE..DEADLINE * 2).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    let snapshot = recorded(&Store::new(memcached.address()), 1).await?;
    assert_eq!(
        snapshot.ring.get(1).expect("recorded").ended,
        Ended::Deadline
    );
    Ok(())
}

#[tokio::test]
async fn a_connection_without_a_byte_is_counted_and_not_recorded() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(responder.address).await?;
        stream.shutdown().await?;
        assert_eq!(client::read_to_end(&mut stream).await?, b"");
    }
    let store = Store::new(memcached.address());
    until("three are counted", || async {
        (store.snapshot().await.ok()?.silent == 3).then_some(())
    })
    .await?;
    assert_eq!(store.cursor().await?, 0);
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_the_header_names_the_source_and_is_no_part_of_the_request()
-> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let config = Config {
        proxy_protocol: true,
        ..CONFIG
    };
    let responder = Responder::start(&memcached.address(), config).await?;
    // A health check and a missing header are neither answered nor recorded.
    for bytes in [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], REQUEST] {
        // A close with unread bytes resets the connection: an error here, which is no answer.
        assert_eq!(responder.send(bytes).await.unwrap_or_default(), b"");
    }
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50";
    assert_eq!(
        responder.send(&[&header[..], REQUEST].concat()).await?,
        RESPONSE
    );
    assert_eq!(
        responder
            .send(b"PROXY TCP6 ::ffff:198.51.100.9 2001:db8::2 41001 80\r\nhello")
            .await?,
        RESPONSE
    );
    let snapshot = recorded(&Store::new(memcached.address()), 2).await?;
    let [second, first] = snapshot.ring.newest_first()[..] else {
        panic!("two are recorded")
    };
    assert_eq!(
        (first.src_ip.to_string(), first.src_port),
        ("203.0.113.7".to_owned(), 41000)
    );
    assert_eq!(
        (first.dest_ip.to_string(), first.dest_port),
        ("192.0.2.1".to_owned(), 80)
    );
    assert_eq!((first.via, &first.raw[..]), (Via::ProxyV2, REQUEST));
    assert_eq!(
        (second.src_ip.to_string(), second.via),
        ("198.51.100.9".to_owned(), Via::ProxyV1)
    );
    assert_eq!(&second.raw[..], b"hello");
    assert_eq!((snapshot.cursor, snapshot.silent), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("responder.sock");
    let listeners = Listeners {
        tcp: TcpListener::bind("127.0.0.1:0").await?,
        unix: Some(UnixListener::bind(&path)?),
    };
    let store = Store::new(memcached.address());
    let running = tokio::spawn(run(listeners, CONFIG, store, std::future::pending()));
    let mut stream = UnixStream::connect(&path).await?;
    stream.write_all(REQUEST).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    assert_eq!(reply, RESPONSE);
    running.abort();
    Ok(())
}

#[tokio::test]
async fn at_the_connection_limit_further_clients_wait_and_are_served() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(
        &memcached.address(),
        Config {
            max_connections: 1,
            ..CONFIG
        },
    )
    .await?;
    let mut first = TcpStream::connect(responder.address).await?;
    first.write_all(b"GET / HTTP/1.1\r\n").await?;
    let waiting = tokio::spawn(exchange(responder.address, REQUEST));
    first.write_all(b"\r\n").await?;
    assert_eq!(client::read_to_end(&mut first).await?, RESPONSE);
    drop(first);
    assert_eq!(waiting.await??.0, RESPONSE);
    Ok(())
}

#[tokio::test]
async fn while_memcached_is_away_clients_are_answered_at_once_and_nothing_is_lost()
-> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let store = Store::new(memcached.address());
    assert_eq!(
        responder.send(b"GET /before HTTP/1.1\r\n\r\n").await?,
        RESPONSE
    );
    recorded(&store, 1).await?;
    memcached.kill();
    for number in 0..250 {
        let start = Instant::now();
        assert_eq!(
            responder
                .send(format!("GET /away/{number} HTTP/1.1\r\n\r\n").as_bytes())
                .await?,
            RESPONSE
        );
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    }
    memcached.restart().await?;
    let snapshot = recorded(&store, 251).await?;
    assert_eq!(snapshot.cursor, 251);
    let seqs: Vec<_> = snapshot
        .ring
        .newest_first()
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(seqs, (151..=251).rev().collect::<Vec<_>>());
    assert_eq!(
        snapshot.ring.get(251).expect("recorded").raw,
        &b"GET /away/249 HTTP/1.1\r\n\r\n"[..]
    );
    Ok(())
}

#[tokio::test]
async fn a_memcached_that_comes_back_empty_gets_everything_back_without_a_further_request()
-> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let store = Store::new(memcached.address());
    for number in 0..150 {
        responder
            .send(format!("GET /{number} HTTP/1.1\r\n\r\n").as_bytes())
            .await?;
    }
    TcpStream::connect(responder.address)
        .await?
        .shutdown()
        .await?;
    let before = until("all is recorded", || async {
        store
            .snapshot()
            .await
            .ok()
            .filter(|found| found.cursor == 150 && found.silent == 1)
    })
    .await?;
    assert_eq!(minutes(&memcached).await?, 150);
    memcached.restart().await?;
    let after = until("all is back", || async {
        let found = store.snapshot().await.ok()?;
        (minutes(&memcached).await.ok()? == 150
            && found.ring.newest_first().len() as u64 == SLOTS
            && found.silent == 1)
            .then_some(found)
    })
    .await?;
    assert_eq!((after.cursor, after.since), (before.cursor, before.since));
    assert_eq!(after.ring.newest_first(), before.ring.newest_first());
    Ok(())
}

#[tokio::test]
async fn a_memcached_that_stands_still_makes_nobody_wait() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let store = Store::new(memcached.address());
    assert_eq!(responder.send(REQUEST).await?, RESPONSE);
    recorded(&store, 1).await?;
    memcached.pause()?;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(responder.send(REQUEST).await?, RESPONSE);
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
    }
    memcached.resume()?;
    // An increment whose answer was lost leaves numbers without a record, so the cursor may be
    // above 21.
    let snapshot = until("all are recorded", || async {
        store
            .snapshot()
            .await
            .ok()
            .filter(|found| found.ring.newest_first().len() == 21)
    })
    .await?;
    assert!(snapshot.cursor >= 21);
    Ok(())
}

#[tokio::test]
async fn a_restarted_responder_goes_on_where_the_last_one_stopped() -> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    for round in 1..=3 {
        let responder = Responder::start(&memcached.address(), CONFIG).await?;
        responder.send(REQUEST).await?;
        // A stop flushes, so the record is there at once.
        responder.stop().await?;
        assert_eq!(store.snapshot().await?.ring.newest_first().len(), round);
    }
    // A responder also puts back what others have written: it reads the ring before it writes.
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    responder.send(REQUEST).await?;
    let before = recorded(&store, 4).await?;
    memcached.restart().await?;
    let after = recorded(&store, 4).await?;
    assert_eq!(after.ring.newest_first(), before.ring.newest_first());
    Ok(())
}

#[tokio::test]
async fn two_responders_share_one_ring() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responders = [
        Responder::start(&memcached.address(), CONFIG).await?,
        Responder::start(&memcached.address(), CONFIG).await?,
    ];
    let clients: Vec<_> = (0..50)
        .map(|number: usize| {
            let address = responders[number % 2].address;
            tokio::spawn(async move {
                for round in 0..10 {
                    let request = format!("GET /{number}/{round} HTTP/1.1\r\n\r\n");
                    assert_eq!(
                        exchange(address, request.as_bytes()).await.unwrap().0,
                        RESPONSE
                    );
                }
            })
        })
        .collect();
    for client in clients {
        client.await?;
    }
    let store = Store::new(memcached.address());
    let snapshot = until("the last 101 are there", || async {
        let found = store.snapshot().await.ok()?;
        let oldest = found.ring.newest_first().last()?.seq;
        (found.cursor == 500 && oldest == 400).then_some(found)
    })
    .await?;
    let mut writers: Vec<_> = snapshot
        .ring
        .newest_first()
        .iter()
        .map(|record| &record.responder)
        .collect();
    assert_eq!(writers.len() as u64, SLOTS);
    writers.sort();
    writers.dedup();
    assert_eq!(writers.len(), 2);
    Ok(())
}

#[tokio::test]
async fn told_to_stop_it_answers_what_is_in_flight_and_refuses_the_rest() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let responder = Responder::start(&memcached.address(), CONFIG).await?;
    let address = responder.address;
    let mut half = TcpStream::connect(address).await?;
    // `100 Continue` shows that the responder has read the head.
    half.write_all(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await?;
    half.read_exact(&mut [0; CONTINUE.len()]).await?;
    let mut silent = TcpStream::connect(address).await?;
    let start = Instant::now();
    let stopping = tokio::spawn(responder.stop());
    until("it refuses connections", || async {
        TcpStream::connect(address).await.err()
    })
    .await?;
    assert_eq!(
        client::read_to_end(&mut silent).await.unwrap_or_default(),
        b""
    );
    half.write_all(b"body").await?;
    assert_eq!(client::read_to_end(&mut half).await?, RESPONSE);
    drop(half);
    stopping.await??;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(Store::new(memcached.address()).snapshot().await?.cursor, 1);
    Ok(())
}

#[tokio::test]
async fn without_any_memcached_it_still_answers() -> anyhow::Result<()> {
    let responder = Responder::start(&format!("{}:11211", loopback()), CONFIG).await?;
    for _ in 0..10 {
        assert_eq!(responder.send(REQUEST).await?, RESPONSE);
    }
    responder.stop().await
}
