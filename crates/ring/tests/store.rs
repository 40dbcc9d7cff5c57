//! The store with a real memcached.

use std::collections::BTreeMap;

use forever200_ring::{
    ByPort, Counts, Depth, KnownRing, Ring, SLOTS, SilentPorts, Snapshot, Store,
};
use forever200_testkit::{Memcached, record};
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

fn held(cursor: u64, ring: &Ring, since: Timestamp) -> KnownRing<'_> {
    KnownRing {
        cursor,
        ring,
        counts: None,
        since,
        first: None,
    }
}

/// Writes what a responder writes first to an empty memcached.
async fn begin(store: &Store) -> anyhow::Result<()> {
    let ring = Ring::default();
    let counts = Counts::default();
    let held = KnownRing {
        counts: Some(&counts),
        ..held(0, &ring, Timestamp::UNIX_EPOCH)
    };
    Ok(store.put_back(&store.snapshot().await?, held).await?)
}

/// Stores a value by the classic text protocol, as any other program could.
async fn set(memcached: &Memcached, key: &str, value: &[u8]) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(memcached.address()).await?);
    stream
        .write_all(format!("set {key} 0 0 {}\r\n", value.len()).as_bytes())
        .await?;
    stream.write_all(value).await?;
    stream.write_all(b"\r\n").await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    assert_eq!(answer, "STORED\r\n");
    Ok(())
}

#[tokio::test]
async fn what_is_written_is_read() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    assert_eq!(store.advance(2).await?, 2);
    let records = [record(1, "one"), record(2, "two\r\n\0")];
    let counts = Counts {
        silent: 3,
        minutes: [(29_000_000, 2)].into(),
    };
    store.write(&records, &counts).await?;
    store.write(&[], &counts).await?;
    let snapshot = store.snapshot().await?;
    assert_eq!(
        (snapshot.cursor, snapshot.silent, snapshot.unreadable),
        (2, 6, 0)
    );
    assert_eq!(snapshot.since, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(snapshot.ring.newest_first(), [&records[1], &records[0]]);
    assert_eq!(store.record(2).await?, Some(records[1].clone()));
    assert_eq!(store.record(2 + SLOTS).await?, None);
    assert_eq!(store.record(3).await?, None);
    Ok(())
}

#[tokio::test]
async fn the_first_request_and_the_minutes_are_read_back() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    store.advance(1).await?;
    let counts = Counts {
        silent: 0,
        minutes: [(29_000_000, 2), (29_000_002, 5)].into(),
    };
    store.write(&[record(1, "first")], &counts).await?;
    store.advance(1).await?;
    store
        .write(&[record(2, "second")], &Counts::default())
        .await?;
    assert_eq!(store.snapshot().await?.first, Some(record(1, "").timestamp));
    assert_eq!(
        store.minutes(28_999_999..=29_000_002).await?,
        counts.minutes
    );
    assert_eq!(
        store.minutes(29_000_001..=29_000_001).await?,
        BTreeMap::new()
    );
    Ok(())
}

/// Whatever happens between two reads, a refreshed snapshot shows what a new one shows.
#[tokio::test]
async fn a_refreshed_snapshot_is_as_good_as_a_new_one() -> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    // No responder has started yet.
    let mut held = store.refresh(&Snapshot::default(), Depth::All).await?;
    assert_eq!((held.cursor, held.since), (0, None));
    begin(&store).await?;
    held = store.refresh(&held, Depth::All).await?;
    let mut random = 7_u64;
    for step in 0..300_i64 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let count = 1 + (random >> 40) % 30;
        match (random >> 33) % 12 {
            // Counting begins again.
            0 => {
                memcached.restart().await?;
                let began = Timestamp::from_second(step)?;
                let ring = Ring::default();
                let snapshot = store.snapshot().await?;
                store
                    .put_back(&snapshot, self::held(0, &ring, began))
                    .await?;
            }
            // memcached loses everything and gets it back.
            1 => {
                memcached.restart().await?;
                let since = held.since.unwrap_or_default();
                let before = self::held(held.cursor, &held.ring, since);
                store.put_back(&store.snapshot().await?, before).await?;
            }
            // Numbers are drawn and not used.
            2 => drop(store.advance(count).await?),
            3 => {
                set(
                    &memcached,
                    &format!("forever200:slot:{}", random % SLOTS),
                    b"foreign",
                )
                .await?;
            }
            _ => {
                let last = store.advance(count).await?;
                let records: Vec<_> = (last + 1 - count..=last)
                    .map(|seq| record(seq, format!("{step}")))
                    .collect();
                store.write(&records, &Counts::default()).await?;
            }
        }
        if random & 1 == 0 {
            held = store.refresh(&held, Depth::All).await?;
            let new = store.snapshot().await?;
            assert_eq!(
                (held.cursor, held.since, held.silent),
                (new.cursor, new.since, new.silent),
                "step {step}"
            );
            // The snapshot keeps a record that it has read, also where memcached has lost it since.
            let kept: Vec<_> = held
                .ring
                .newest_first()
                .into_iter()
                .filter(|it| new.ring.get(it.seq).is_some())
                .collect();
            assert_eq!(kept, new.ring.newest_first(), "step {step}");
        }
    }
    Ok(())
}

/// Returns how many values memcached was asked for since its start.
async fn reads(memcached: &Memcached) -> anyhow::Result<u64> {
    let mut stream = BufReader::new(TcpStream::connect(memcached.address()).await?);
    stream.write_all(b"stats\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if let Some(count) = line.strip_prefix("STAT cmd_get ") {
            return Ok(count.trim_end().parse()?);
        }
        line.clear();
    }
    anyhow::bail!("no count of reads")
}

#[tokio::test]
async fn a_look_reads_the_cursor_or_all_that_is_missing() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    let late = record(3, "late");
    let last = store.advance(SLOTS).await?;
    for seq in (1..=last).filter(|&seq| seq != late.seq) {
        store
            .write(&[record(seq, "in time")], &Counts::default())
            .await?;
    }
    let mut held = store.refresh(&Snapshot::default(), Depth::All).await?;
    let (counters, slots) = (5, 1);
    for (is_late, depth, expected) in [
        (true, Depth::Cursor, 1),
        (true, Depth::All, counters + counters + slots),
        (false, Depth::Cursor, 1),
        (false, Depth::All, counters + counters + slots),
        (false, Depth::All, counters),
        (false, Depth::Cursor, 1),
    ] {
        if !is_late && held.ring.get(late.seq).is_none() {
            store
                .write(std::slice::from_ref(&late), &Counts::default())
                .await?;
        }
        let before = reads(&memcached).await?;
        held = store.refresh(&held, depth).await?;
        assert_eq!(reads(&memcached).await? - before, expected);
    }
    assert_eq!(held.ring.get(late.seq), Some(&late));
    // If the cursor has moved, or is gone, all else is read at once.
    store.advance(1).await?;
    let newest = record(last + 1, "newest");
    store
        .write(std::slice::from_ref(&newest), &Counts::default())
        .await?;
    held = store.refresh(&held, Depth::Cursor).await?;
    assert_eq!(held.ring.get(newest.seq), Some(&newest));
    set(&memcached, "forever200:cursor", b"").await?;
    set(&memcached, "forever200:silent", b"7").await?;
    held = store.refresh(&held, Depth::Cursor).await?;
    assert_eq!((held.cursor, held.silent), (newest.seq, 7));
    Ok(())
}

#[tokio::test]
async fn what_is_no_record_of_ours_is_counted_and_skipped() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    store.advance(5).await?;
    store
        .write(&[record(5, "ours")], &Counts::default())
        .await?;
    set(&memcached, "forever200:slot:1", b"hello").await?;
    set(
        &memcached,
        "forever200:slot:2",
        &record(3, "another slot's").encode(),
    )
    .await?;
    set(
        &memcached,
        "forever200:slot:6",
        &record(6, "from the future").encode(),
    )
    .await?;
    set(&memcached, "forever200:slot:7", &vec![b'x'; 1_000_000]).await?;
    set(&memcached, "forever200:since", b"yesterday").await?;
    let snapshot = store.snapshot().await?;
    assert_eq!((snapshot.unreadable, snapshot.since), (4, None));
    assert_eq!(snapshot.ring.newest_first(), [&record(5, "ours")]);
    assert_eq!(store.record(1).await?, None);
    Ok(())
}

#[tokio::test]
async fn putting_back_lowers_nothing_and_overwrites_nothing_newer() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    store.advance(300).await?;
    store
        .write(
            &[record(300, "newest")],
            &Counts {
                silent: 9,
                ..Counts::default()
            },
        )
        .await?;
    let mut ring = Ring::default();
    for seq in [150, 199, 200, 250] {
        ring.insert(record(seq, "old"));
    }
    let snapshot = store.snapshot().await?;
    let counts = Counts {
        silent: 4,
        minutes: [(29_000_000, 7)].into(),
    };
    store
        .put_back(
            &snapshot,
            KnownRing {
                counts: Some(&counts),
                ..held(280, &ring, Timestamp::now())
            },
        )
        .await?;
    let after = store.snapshot().await?;
    assert_eq!(
        (after.cursor, after.silent, after.since),
        (300, 9, Some(Timestamp::UNIX_EPOCH))
    );
    // 150 was overwritten in any case; 199 shares its slot with 300.
    let seqs: Vec<_> = after
        .ring
        .newest_first()
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(seqs, [300, 250, 200]);
    Ok(())
}

#[tokio::test]
async fn putting_back_yields_to_whoever_wrote_since_the_snapshot() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    begin(&store).await?;
    store.advance(10).await?;
    store.write(&[record(5, "old")], &Counts::default()).await?;
    let snapshot = store.snapshot().await?;
    let (mut ring, mut newer) = (Ring::default(), Vec::new());
    // The snapshot shows one of these slots as empty, and the other with an older record.
    for (mine, theirs) in [(106, 207), (107, 208)] {
        ring.insert(record(mine, "mine"));
        newer.push(record(theirs, "theirs"));
    }
    store.advance(198).await?;
    store.write(&newer, &Counts::default()).await?;
    store
        .put_back(&snapshot, held(208, &ring, Timestamp::now()))
        .await?;
    let seqs: Vec<_> = store
        .snapshot()
        .await?
        .ring
        .newest_first()
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(seqs, [208, 207]);
    Ok(())
}

/// Text, nothing, a sign, a space before, and numbers at which `incr` begins anew or ours would
/// overflow.
const NO_NUMBERS: [&str; 8] = [
    "many",
    "",
    "   ",
    "-5",
    " 5",
    "1e3",
    "9007199254740992",
    "18446744073709551615",
];

#[tokio::test]
async fn a_cursor_that_is_no_number_of_ours_is_mended() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    for cursor in NO_NUMBERS {
        set(&memcached, "forever200:cursor", cursor.as_bytes()).await?;
        set(&memcached, "forever200:silent", cursor.as_bytes()).await?;
        set(
            &memcached,
            "forever200:slot:1",
            &record(1, "first").encode(),
        )
        .await?;
        assert!(
            store
                .advance(1)
                .await
                .map_or(true, |last| last == 0 || last == 6),
            "{cursor:?}"
        );
        set(&memcached, "forever200:cursor", cursor.as_bytes()).await?;
        let snapshot = store.snapshot().await?;
        // Without a valid cursor, the newest record gives it.
        assert_eq!((snapshot.cursor, snapshot.silent), (1, 0), "{cursor:?}");
        let counts = Counts {
            silent: 3,
            ..Counts::default()
        };
        store
            .put_back(
                &snapshot,
                KnownRing {
                    counts: Some(&counts),
                    ..held(7, &Ring::default(), Timestamp::now())
                },
            )
            .await?;
        assert_eq!(
            (store.advance(1).await?, store.snapshot().await?.silent),
            (8, 3),
            "{cursor:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn trouble_names_the_address() -> anyhow::Result<()> {
    let mut memcached = Memcached::start().await?;
    memcached.kill();
    let error = Store::new(memcached.address())
        .snapshot()
        .await
        .expect_err("it was killed")
        .to_string();
    assert!(
        error.starts_with(&format!("memcached at {}: ", memcached.address())),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn silent_ports_are_added_to_whatever_is_there() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let store = Store::new(memcached.address());
    let mut ports = SilentPorts::default();
    ports.add(&ByPort::from([(22, 2)]));
    store.add_silent_ports(&mut ports).await?;
    assert!(!ports.is_due());
    let key = "forever200:silent_ports";
    for (there, counts) in [
        (r#"{"22":4,"23":1}"#, ByPort::from([(22, 5), (23, 1)])),
        // A value in another format is replaced by the value that was last known.
        ("many", ByPort::from([(22, 6), (23, 1)])),
        (
            r#"{"22":9007199254740992}"#,
            ByPort::from([(22, 7), (23, 1)]),
        ),
        (r#"{"22":-1}"#, ByPort::from([(22, 8), (23, 1)])),
    ] {
        set(&memcached, key, there.as_bytes()).await?;
        ports.add(&ByPort::from([(22, 1)]));
        store.add_silent_ports(&mut ports).await?;
        assert_eq!(store.snapshot().await?.silent_ports, counts, "{there}");
    }
    Ok(())
}
