//! Tests of one connection on paused time: which records it gives, wherever a request is cut.

use std::sync::Arc;

use forever200_head::Framing;
use forever200_ring::Record;
use forever200_testkit::heads::{Case, End, HEADS};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::reading::{MAX_DISCARDED_BYTES, QUIET_TIME, UNFINISHED_TIME, most_held};

/// Time between two segments of one request.
const SEGMENT_GAP: Duration = Duration::from_millis(10);
/// More bytes than any test writes, so that a write never waits for a read.
const PIPE_BYTES: usize = 4 * 1024 * 1024;
const HELLO: &[u8] = b"\x16\x03\x01\x00\x05hello";

/// A connection to a responder without a store.
struct Connection {
    client: DuplexStream,
    serving: JoinHandle<()>,
    shared: Arc<Shared>,
    /// Dropping this sender would end the channel of the signal to stop.
    _stop: watch::Sender<bool>,
}

impl Connection {
    fn open(max_request_bytes: usize) -> Self {
        let shared = Shared {
            proxy_protocol: false,
            max_request_bytes,
            account: Account::new(most_held(max_request_bytes)),
            recorder: Recorder::without_store(),
            hellos: Hellos::default(),
            name: "r".to_owned(),
        };
        Self::open_beside(&Arc::new(shared))
    }

    fn open_beside(shared: &Arc<Shared>) -> Self {
        let (client, mut server) = duplex(PIPE_BYTES);
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::clone(shared);
        let of_task = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            let served = serve(&mut server, Addresses::UNKNOWN, &of_task, stopping).await;
            served.expect("there is no PROXY header to be wrong");
        });
        Self {
            client,
            serving,
            shared,
            _stop: stop,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client
            .write_all(bytes)
            .await
            .expect("the pipe has room");
    }

    /// Reads the answer, and returns how long it took from now.
    async fn answer(&mut self) -> Duration {
        let start = Instant::now();
        let mut reply = vec![0; RESPONSE.len()];
        self.client
            .read_exact(&mut reply)
            .await
            .expect("there is an answer");
        assert_eq!(reply, RESPONSE);
        start.elapsed()
    }

    /// Waits until the responder is done with the connection, and returns what it recorded.
    async fn records(self) -> Vec<Record> {
        self.serving.await.expect("serving ends");
        self.shared.recorder.numbered()
    }
}

/// Sends pieces with a gap between them; returns the time from the last one to the answer, and the
/// records.
async fn exchange(pieces: &[&[u8]]) -> (Duration, Vec<Record>) {
    let mut connection = Connection::open(65_536);
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(SEGMENT_GAP).await;
        }
        connection.send(piece).await;
    }
    let elapsed = connection.answer().await;
    (elapsed, connection.records().await)
}

/// Returns whether the responder closes behind these bytes without reading more.
fn is_over(piece: &[u8]) -> bool {
    let mut framing = Framing::default();
    framing.feed(piece, 0);
    framing.is_whole() && framing.extra() == 0
}

#[tokio::test(start_paused = true)]
async fn every_head_is_kept_whole_wherever_it_is_cut() {
    for Case { bytes, end, .. } in HEADS {
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            if is_over(first) {
                continue;
            }
            let shown = format!("{} cut at {cut}", bytes.escape_ascii());
            let (elapsed, records) = exchange(&[first, second]).await;
            let (time, ended, extra) = match *end {
                End::Whole(0) => (Duration::ZERO, Ended::Complete, 0),
                End::Whole(extra) => (QUIET_TIME, Ended::Complete, extra),
                End::Open => (QUIET_TIME, Ended::Quiet, 0),
                End::Unfinished => (UNFINISHED_TIME, Ended::Quiet, 0),
            };
            let [record] = &records[..] else {
                panic!("{shown}: {records:?}")
            };
            assert_eq!(record.raw, *bytes, "{shown}");
            assert_eq!(
                (record.bytes, record.extra),
                (bytes.len() as u64, extra),
                "{shown}"
            );
            assert_eq!((record.ended, record.truncated), (ended, false), "{shown}");
            // Timers tick in milliseconds.
            let tick = Duration::from_millis(1);
            assert!(
                elapsed >= time && elapsed <= time + tick,
                "{shown}: {elapsed:?}"
            );
        }
    }
}

/// The lengths lie around the room of the first read, and around haproxy's buffer.
#[tokio::test(start_paused = true)]
async fn one_write_is_one_record_whatever_its_length() {
    let heads: [&[u8]; 5] = [
        b"POST /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01",
    ];
    for head in heads {
        for length in [
            1,
            2000,
            2048 - head.len(),
            2049 - head.len(),
            5000,
            20_000,
            60_000,
        ] {
            let request = [head, &vec![b'A'; length]].concat();
            let (_, records) = exchange(&[&request]).await;
            let [record] = &records[..] else {
                panic!("{} {length}", head.escape_ascii())
            };
            assert_eq!(
                record.raw.len(),
                request.len(),
                "{} {length}",
                head.escape_ascii()
            );
            assert_eq!(record.raw, request);
            assert_eq!(
                (record.bytes, record.truncated),
                (request.len() as u64, false)
            );
        }
    }
}

/// The head ends where the room of the first read ends: by framing alone, the request is whole.
#[tokio::test(start_paused = true)]
async fn what_follows_a_full_read_is_read() {
    let start = b"GET /x HTTP/1.1\r\nX: ";
    let end = b"\r\n\r\n";
    let filling = vec![b'a'; FIRST_READ_BYTES - start.len() - end.len()];
    let exact = [&start[..], &filling, end].concat();
    assert_eq!(exact.len(), FIRST_READ_BYTES);
    let (elapsed, records) = exchange(&[&exact]).await;
    assert_eq!(
        (records[0].ended, records[0].raw.len()),
        (Ended::Complete, FIRST_READ_BYTES)
    );
    assert!(elapsed <= Duration::from_millis(1), "{elapsed:?}");
    let more = [&exact[..], b"GET /2 HTTP/1.1\r\n\r\n"].concat();
    let (_, records) = exchange(&[&more]).await;
    assert_eq!((records.len(), &records[0].raw[..]), (1, &more[..]));
    assert_eq!((records[0].ended, records[0].extra), (Ended::Complete, 19));
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_answer_is_a_record_that_names_the_first() {
    for (first, second) in [
        (
            &b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"[..],
            HELLO,
        ),
        (
            b"CONNECT a:80 HTTP/1.1\r\n\r\n",
            b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            b"GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"\x81\x05hello",
        ),
        (
            b"POST /late HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            b"hello",
        ),
        (b"POST /late HTTP/1.1\r\n\r\n", b"hello"),
        (b"EHLO a.example\r\n", b"MAIL FROM:<a@a.example>\r\n"),
        (HELLO, HELLO),
    ] {
        let shown = first.escape_ascii();
        let mut connection = Connection::open(65_536);
        connection.send(first).await;
        connection.answer().await;
        connection.send(second).await;
        let records = connection.records().await;
        let [one, two] = &records[..] else {
            panic!("{shown}: {records:?}")
        };
        assert_eq!((&one.raw[..], one.continues), (first, None), "{shown}");
        assert_eq!(
            (&two.raw[..], two.continues),
            (second, Some(one.seq)),
            "{shown}"
        );
        assert_eq!(
            (two.bytes, two.truncated),
            (second.len() as u64, false),
            "{shown}"
        );
        assert_eq!((two.src_ip, two.via), (one.src_ip, one.via), "{shown}");
    }
}

/// A client that takes the status for a tunnel may take the end of the stream for the tunnel's end.
#[tokio::test(start_paused = true)]
async fn only_a_tunnel_stays_open_behind_its_answer() {
    for (request, stays_open) in [
        (&b"CONNECT a:443 HTTP/1.1\r\n\r\n"[..], true),
        (b"POST / HTTP/1.1\r\n\r\n", false),
    ] {
        let mut connection = Connection::open(65_536);
        connection.send(request).await;
        connection.answer().await;
        let end = timeout(QUIET_TIME, connection.client.read_u8()).await;
        assert_eq!(end.is_err(), stays_open, "{}", request.escape_ascii());
        assert_eq!(connection.records().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_no_more_makes_one_record() {
    for request in [
        &b"CONNECT a:443 HTTP/1.1\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\n\r\n",
        HELLO,
    ] {
        let mut connection = Connection::open(65_536);
        connection.send(request).await;
        connection.answer().await;
        let start = Instant::now();
        assert_eq!(
            connection.records().await.len(),
            1,
            "{}",
            request.escape_ascii()
        );
        assert!(
            start.elapsed() <= DRAIN_TIME + Duration::from_millis(2),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drips_after_the_answer_is_given_up() {
    let mut connection = Connection::open(65_536);
    connection.send(b"CONNECT a:443 HTTP/1.1\r\n\r\n").await;
    connection.answer().await;
    let start = Instant::now();
    let mut client = connection.client;
    let dripping = tokio::spawn(async move {
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(QUIET_TIME / 2).await;
        }
    });
    connection.serving.await.expect("serving ends");
    assert!(
        start.elapsed() <= CONTINUATION_TIME + Duration::from_millis(2),
        "{:?}",
        start.elapsed()
    );
    dripping.abort();
    let records = connection.shared.recorder.numbered();
    assert_eq!((records.len(), records[1].ended), (2, Ended::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_half_close_ends_a_request_and_nothing_more_is_waited_for() {
    for (request, ended) in [
        (&b"GET / HT"[..], Ended::Eof),
        (b"POST / HTTP/1.0\r\n\r\nhello", Ended::Eof),
        (b"GET / HTTP/1.1\r\n\r\nmore", Ended::Complete),
        (HELLO, Ended::Eof),
    ] {
        let mut connection = Connection::open(65_536);
        connection.send(request).await;
        connection
            .client
            .shutdown()
            .await
            .expect("the pipe is open");
        assert_eq!(connection.answer().await, Duration::ZERO);
        let records = connection.records().await;
        assert_eq!((records.len(), &records[0].raw[..]), (1, request));
        assert_eq!(records[0].ended, ended, "{}", request.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn where_little_is_kept_a_request_is_still_whole_at_its_end() {
    let request = [
        &b"POST /x HTTP/1.1\r\nX: "[..],
        &[b'a'; 9000],
        b"\r\nContent-Length: 9000\r\n\r\n",
        &[b'b'; 9000],
    ]
    .concat();
    let mut connection = Connection::open(100);
    connection.send(&request).await;
    assert_eq!(connection.answer().await, Duration::ZERO);
    let records = connection.records().await;
    assert_eq!(records[0].raw, request[..100]);
    assert_eq!(
        (records[0].bytes, records[0].ended),
        (request.len() as u64, Ended::Complete)
    );
    assert!(records[0].truncated);
}

/// Bytes without an end get limited room, and those beyond it are only counted.
#[tokio::test(start_paused = true)]
async fn bytes_without_an_end_are_counted_up_to_a_limit() {
    let of_a_head = b"a".repeat(80_000);
    let headers = b"A: b\r\n".repeat(15_000);
    for bytes in [
        &of_a_head[..],
        &headers,
        &vec![0; 80_000],
        &vec![b'\n'; 80_000],
    ] {
        let request = [b"GET /a HTTP/1.1\r\nX: ", bytes].concat();
        let mut connection = Connection::open(65_536);
        for _ in 0..20 {
            connection.send(&request).await;
        }
        connection.answer().await;
        let records = connection.records().await;
        let record = &records[0];
        assert_eq!(record.raw, request.repeat(20)[..65_536]);
        assert_eq!(
            (record.ended, record.truncated, records.len()),
            (Ended::Limit, true, 1)
        );
        let limit = 65_536 + MAX_DISCARDED_BYTES;
        assert!(
            (limit..limit + 100_000).contains(&record.bytes),
            "{}",
            record.bytes
        );
    }
}

/// Opens connections of one source whose unfinished requests hold all the room of the account.
async fn misbehaving(shared: &Arc<Shared>) -> Vec<Connection> {
    let held = [
        &b"POST /held HTTP/1.1\r\nContent-Length: 65000\r\n\r\n"[..],
        &[b'x'; 40_000],
    ]
    .concat();
    let mut connections = Vec::new();
    for _ in 0..480 {
        let mut connection = Connection::open_beside(shared);
        connection.send(&held).await;
        connections.push(connection);
    }
    tokio::time::sleep(SEGMENT_GAP).await;
    connections
}

/// Returns the record of a request from another source.
async fn record_of_another(shared: &Shared, request: &[u8]) -> Record {
    let addresses = Addresses {
        source: "203.0.113.7:1".parse().unwrap(),
        ..Addresses::UNKNOWN
    };
    let limit = TimeLimit {
        until_first_byte: Instant::now() + DEADLINE,
        until_end: Instant::now() + DEADLINE,
    };
    let (_stop, stopping) = watch::channel(false);
    let mut reading = Reading::new(shared, &addresses, Arrived::nothing(), limit, stopping);
    let (mut client, mut server) = duplex(PIPE_BYTES);
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let ended = reading.run(&mut server).await;
    reading.into_record(&Addresses::UNKNOWN, ended)
}

/// Returns a request of `length` bytes, head and body together.
fn request_of(length: usize) -> Vec<u8> {
    let head = |body: usize| format!("POST /x HTTP/1.1\r\nContent-Length: {body:07}\r\n\r\n");
    let body = length - head(0).len();
    [head(body).as_bytes(), &vec![b'y'; body]].concat()
}

#[tokio::test(start_paused = true)]
async fn nobodys_request_is_cut_because_another_source_misbehaves() {
    for kept in [100, 65_536, 1_000_000] {
        let first = Connection::open(kept);
        let connections = misbehaving(&first.shared).await;
        for length in [100, 2048, 6000, 16_384, 65_535, 65_536, 1_000_000] {
            let request = request_of(length);
            let record = record_of_another(&first.shared, &request).await;
            let shown = format!("{length} of {kept}");
            assert_eq!(record.bytes, length as u64, "{shown}");
            assert_eq!(record.raw.len(), length.min(kept), "{shown}");
            assert_eq!(record.truncated, length > kept, "{shown}");
            assert_eq!(record.ended, Ended::Complete, "{shown}");
        }
        for connection in connections {
            connection.serving.abort();
        }
    }
}

/// A PROXY header of version 2 with facts about TLS.
const THROUGH_TLS: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xcb\0\x71\x07\xc0\0\x02\x01\
    \0\x01\x01\xbb\x20\0\x05\x01\0\0\0\0";

#[tokio::test(start_paused = true)]
async fn tls_without_a_request_is_a_record_that_says_why_there_is_none() {
    for (closes, ended, waited) in [
        (true, Ended::Eof, Duration::ZERO),
        (false, Ended::Deadline, DEADLINE),
    ] {
        let shared = Shared {
            proxy_protocol: true,
            max_request_bytes: 65_536,
            account: Account::new(most_held(65_536)),
            recorder: Recorder::without_store(),
            hellos: Hellos::default(),
            name: "r".to_owned(),
        };
        let mut connection = Connection::open_beside(&Arc::new(shared));
        let start = Instant::now();
        connection.send(THROUGH_TLS).await;
        if closes {
            connection
                .client
                .shutdown()
                .await
                .expect("the pipe is open");
        }
        connection.answer().await;
        assert!(start.elapsed() >= waited, "{:?}", start.elapsed());
        let records = connection.records().await;
        assert_eq!((records.len(), records[0].ended), (1, ended));
        assert!(records[0].raw.is_empty() && records[0].tls.is_some());
    }
}
