//! Makes the records of the model, and reads and writes values of memcached.
//!
//! In: numbers of writers and their requests. Out: records that hold these numbers, and the values
//! of keys.

use anyhow::{Context, ensure};
use forever200_ring::ring::{CURSOR_KEY, SILENT_KEY, slot_key};
use forever200_ring::{Record, SLOTS};
use forever200_testkit::Memcached;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Returns a record whose bytes name its writer and its number. Its length depends on the number.
pub(crate) fn record(writer: usize, number: u64) -> Record {
    let filler = "x".repeat((number * 7919 % 1500) as usize);
    let raw = format!("{writer} {number} {filler}");
    Record {
        timestamp: jiff::Timestamp::now(),
        responder: format!("{writer:08x}"),
        ..forever200_testkit::record(0, raw)
    }
}

/// Returns the writer and the number that a record names.
pub(crate) fn identity(found: &Record) -> anyhow::Result<(usize, u64)> {
    let raw = String::from_utf8(found.raw.to_vec())?;
    let mut words = raw.split(' ');
    let mut word = || words.next().context("not a request of a writer");
    let (writer, number) = (word()?.parse()?, word()?.parse()?);
    ensure!(
        found.raw == record(writer, number).raw,
        "request {number} of writer {writer} is not whole"
    );
    Ok((writer, number))
}

/// Reads the slots, the cursor and the number of silent connections.
pub(crate) async fn values(memcached: &Memcached) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let keys = (0..SLOTS)
        .map(slot_key)
        .chain([CURSOR_KEY, SILENT_KEY].map(str::to_owned));
    let mut stream = BufReader::new(TcpStream::connect(memcached.address()).await?);
    stream
        .write_all(format!("get {}\r\n", keys.collect::<Vec<_>>().join(" ")).as_bytes())
        .await?;
    let mut values = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let words: Vec<_> = line.split_whitespace().collect();
        let &["VALUE", key, _, length] = &words[..] else {
            return Ok(values);
        };
        let mut value = vec![0; length.parse::<usize>()? + 2];
        stream.read_exact(&mut value).await?;
        value.truncate(value.len() - 2);
        values.push((key.to_owned(), value));
    }
}

/// Stores a value by the classic text protocol, as any other program could.
pub(crate) async fn set(memcached: &Memcached, key: &str, value: &[u8]) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(memcached.address()).await?);
    let head = format!("set {key} 0 0 {}\r\n", value.len());
    stream
        .write_all(&[head.as_bytes(), value, b"\r\n"].concat())
        .await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    ensure!(answer == "STORED\r\n", "{answer}");
    Ok(())
}
