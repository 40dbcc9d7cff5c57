//! Values in memcached that are not ours: the viewer counts them, and shows the rest.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use forever200_identify::Labeller;
use forever200_ring::{Counts, KnownRing, Ring, SLOTS, Store};
use forever200_testkit::{Memcached, Response, get, get_json, loopback, record, until};
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::web::{self, Hosts};
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// All addresses that read the whole ring.
const ADDRESSES: [&str; 12] = [
    "/home",
    "/home?q=ours&incomplete=on",
    "/home?view=wall",
    "/home/labels",
    "/home/text",
    "/home/api/requests?raw=true",
    "/home/api/stats",
    "/home/export.ndjson",
    "/home/export.har",
    "/home/export.pcap",
    "/home/export.html",
    "/home/health",
];
/// Longest value that memcached takes with a key of ours. By default an item has at most 1 MiB,
/// with its head.
const LONGEST_VALUE_BYTES: usize = 1024 * 1024 - 200;

/// A memcached in which a test stores anything, and a viewer of it in this process.
struct Viewed {
    memcached: Memcached,
    viewer: SocketAddr,
}

impl Viewed {
    /// Starts with one record, number 5.
    async fn start() -> anyhow::Result<Self> {
        let memcached = Memcached::start().await?;
        let store = Store::new(memcached.address());
        let nothing = store.snapshot().await?;
        store
            .put_back(
                &nothing,
                KnownRing {
                    cursor: 5,
                    ring: &Ring::default(),
                    counts: None,
                    since: Timestamp::UNIX_EPOCH,
                    first: None,
                },
            )
            .await?;
        store
            .write(
                &[record(5, b"GET /ours HTTP/1.1\r\n\r\n")],
                &Counts::default(),
            )
            .await?;
        let listener = TcpListener::bind((loopback(), 0)).await?;
        let viewer = listener.local_addr()?;
        let describer = Describer {
            labeller: Arc::new(Labeller::built_in()),
            locations: Locations::default(),
            privacy: Privacy::default(),
        };
        tokio::spawn(web::run(
            listener,
            store,
            describer,
            None,
            None,
            Hosts::default(),
            std::future::pending(),
        ));
        Ok(Self { memcached, viewer })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        get(self.viewer, path).await
    }

    /// Stores a value as a stranger would, and waits until the viewer has read it.
    async fn set(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.store(key, value).await?;
        self.until_read().await
    }

    async fn store(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        // A full memcached may refuse a value, because it cannot evict an item while that is being
        // read.
        let stored = async || {
            self.try_set(key, value)
                .await
                .ok()
                .filter(|answer| answer == "STORED\r\n")
        };
        until(&format!("{key}, {} bytes, is stored", value.len()), stored).await?;
        Ok(())
    }

    /// Sends one `set` of the classic text protocol. Returns the answer.
    async fn try_set(&self, key: &str, value: &[u8]) -> anyhow::Result<String> {
        let mut stream = BufReader::new(TcpStream::connect(self.memcached.address()).await?);
        let head = format!("set forever200:{key} 0 0 {}\r\n", value.len());
        stream
            .write_all(&[head.as_bytes(), value, b"\r\n"].concat())
            .await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        Ok(answer)
    }

    /// Waits until the ring was read again. It waits for two looks, because one may have begun
    /// before.
    async fn until_read(&self) -> anyhow::Result<()> {
        let looks = async || {
            let health = get_json(self.viewer, "/home/health").await.ok()?;
            health["looks"].as_u64()
        };
        let before = looks().await.context("healthy")?;
        until("the ring is read", async || {
            looks().await.filter(|&looks| looks >= before + 2)
        })
        .await?;
        Ok(())
    }

    /// Checks that all addresses answer, show these numbers, and say that `skipped` slots hold
    /// something else.
    #[track_caller]
    fn shows(&self, seqs: &[u64], skipped: usize) -> impl Future<Output = anyhow::Result<()>> {
        let at = std::panic::Location::caller();
        async move {
            for path in ADDRESSES {
                let response = self.get(path).await?;
                assert_eq!(response.status, 200, "{at}: {path}: {}", response.text());
            }
            let list = get_json(self.viewer, "/home/api/requests").await?;
            let held: Vec<_> = list["requests"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| it["seq"].as_u64())
                .collect();
            assert_eq!(
                held,
                seqs.iter().copied().map(Some).collect::<Vec<_>>(),
                "{at}"
            );
            let (page, text) = (
                self.get("/home").await?.text(),
                self.get("/home/text").await?.text(),
            );
            let says = format!(
                "{skipped} of 101 slots hold something that is not a request of forever200."
            );
            assert_eq!(page.contains(&says), skipped > 0, "{at}: {page}");
            assert_eq!(page.matches(r#"<tr id="r"#).count(), seqs.len(), "{at}");
            assert!(
                text.contains(&format!("{} shown", seqs.len())),
                "{at}: {text}"
            );
            Ok(())
        }
    }
}

/// Returns the value of a record whose line of JSON was changed.
fn value(seq: u64, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut line = serde_json::to_value(record(seq, b"abc")).expect("a record is JSON");
    change(&mut line);
    format!("{line}\nabc").into_bytes()
}

#[tokio::test]
async fn what_is_no_record_is_counted_and_the_rest_is_shown() -> anyhow::Result<()> {
    let viewed = Viewed::start().await?;
    viewed.shows(&[5], 0).await?;
    let noise: Vec<u8> = (0..5000_u32)
        .map(|it| (it.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let without = |name: &str| {
        value(1, |line| {
            drop(line.as_object_mut().map(|line| line.remove(name)));
        })
    };
    let fields = serde_json::to_value(record(1, b""))?;
    let foreign = [
        noise,
        b"<script>alert(1)</script>\n<b>".to_vec(),
        b"{}\n".to_vec(),
        b"\n".to_vec(),
        vec![b'{'; 5000],
        value(1, |line| line["bytes"] = 2.into()),
        value(1, |line| line["bytes"] = u64::MAX.into()),
        value(1, |line| line["seq"] = 2.into()),
        value(1, |line| line["seq"] = (-1).into()),
        value(1, |line| line["seq"] = 0.into()),
        value(1, |line| line["seq"] = u64::MAX.into()),
        // The next number of this slot, which no responder has taken yet.
        value(1, |line| line["seq"] = (1 + SLOTS).into()),
        value(1, |line| line["via"] = "pigeon".into()),
        value(1, |line| line["timestamp"] = "9999-12-31T23:59:59Z".into()),
        value(1, |line| line["src_ip"] = "203.0.113".into()),
        vec![0; LONGEST_VALUE_BYTES],
        [record(1, b"").encode(), vec![b'x'; 1_000_000]].concat(),
    ];
    let fields = fields
        .as_object()
        .into_iter()
        .flatten()
        // A record without `extra` is valid, because older responders do not write it.
        .filter(|(name, _)| *name != "extra")
        .map(|(name, _)| without(name));
    for value in foreign.into_iter().chain(fields) {
        viewed.set("slot:1", &value).await?;
        viewed.shows(&[5], 1).await?;
        let response = viewed.get("/home/requests/1").await?;
        assert_eq!(
            response.status,
            404,
            "{}",
            value[..value.len().min(100)].escape_ascii()
        );
    }
    // Records with a number that no responder has taken, each in a slot that was empty.
    viewed.set("slot:0", &value(0, |_| ())).await?;
    viewed.set("slot:100", &value(u64::MAX, |_| ())).await?;
    viewed.shows(&[5], 3).await
}

#[tokio::test]
async fn a_record_of_a_later_version_or_of_any_length_is_shown() -> anyhow::Result<()> {
    let viewed = Viewed::start().await?;
    viewed
        .set(
            "slot:1",
            &value(1, |line| {
                line["mood"] = serde_json::json!({ "<b>": ["good"] });
            }),
        )
        .await?;
    let times = ["-009999-01-02T01:59:59Z", "9999-12-30T22:00:00.999999999Z"];
    for (seq, time) in (2..).zip(times) {
        viewed
            .set(
                &format!("slot:{seq}"),
                &value(seq, |line| line["timestamp"] = time.into()),
            )
            .await?;
    }
    let longest = [
        &b"POST / HTTP/1.1\r\n\r\n"[..],
        &vec![b'<'; LONGEST_VALUE_BYTES - 400],
    ]
    .concat();
    viewed.set("slot:4", &record(4, &longest).encode()).await?;
    viewed.shows(&[5, 4, 3, 2, 1], 0).await?;
    for seq in 1..=5 {
        for path in ["", "/raw", "/pcap"] {
            assert_eq!(
                viewed
                    .get(&format!("/home/requests/{seq}{path}"))
                    .await?
                    .status,
                200,
                "{seq}{path}"
            );
        }
    }
    assert_eq!(viewed.get("/home/requests/4/raw").await?.body, longest);
    Ok(())
}

/// The values are more than memcached can hold. An evicted value is a miss.
#[tokio::test]
async fn slots_full_of_long_values_break_nothing() -> anyhow::Result<()> {
    let viewed = Viewed::start().await?;
    for slot in (0..SLOTS).filter(|&slot| slot != 5) {
        viewed
            .store(&format!("slot:{slot}"), &vec![b'x'; 900_000])
            .await?;
    }
    viewed.until_read().await?;
    for path in ADDRESSES {
        assert_eq!(viewed.get(path).await?.status, 200, "{path}");
    }
    let stats = get_json(viewed.viewer, "/home/api/stats").await?;
    assert!(
        stats["unreadable"].as_u64().is_some_and(|count| count > 20),
        "{stats}"
    );
    Ok(())
}

#[tokio::test]
async fn counters_that_are_no_numbers_break_nothing() -> anyhow::Result<()> {
    let viewed = Viewed::start().await?;
    let minute = format!("minute:{}", Timestamp::now().as_second() / 60);
    for number in [
        "",
        "many",
        "-1",
        " 5",
        "   ",
        "1e9",
        "\0",
        "9007199254740992",
        "18446744073709551615",
    ] {
        for key in ["cursor", "silent", "since", "first", &minute] {
            viewed.set(key, number.as_bytes()).await?;
        }
        viewed.shows(&[5], 0).await?;
        let list = get_json(viewed.viewer, "/home/api/requests").await?;
        assert_eq!(
            (&list["total"], &list["silent"], &list["since"]),
            (&5.into(), &0.into(), &Value::Null),
            "{number:?}"
        );
    }
    for time in ["-009999-01-02T01:59:59Z", "9999-12-30T22:00:00.999999999Z"] {
        viewed.set("since", time.as_bytes()).await?;
        viewed.shows(&[5], 0).await?;
        viewed.set("first", time.as_bytes()).await?;
        viewed.shows(&[5], 0).await?;
    }
    Ok(())
}
