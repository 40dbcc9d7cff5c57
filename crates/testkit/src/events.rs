//! A reader of server-sent events.
//!
//! Protocol: HTML Standard, "Parsing an event stream".

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, if it has one.
    pub id: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// An open event stream.
pub struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    /// Opens a stream and reads its head; `headers` are whole lines.
    ///
    /// # Errors
    /// The connection fails, or the status is not 200.
    pub async fn open(address: SocketAddr, path: &str, headers: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        // With HTTP/1.1, the stream would come in chunks.
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n{headers}\r\n").as_bytes())
            .await?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await?.context("no answer")?;
        if !status.contains(" 200 ") {
            bail!("{path}: {status}");
        }
        while !lines
            .next_line()
            .await?
            .context("no end of the head")?
            .is_empty()
        {}
        Ok(Self(lines))
    }

    /// Returns the next event of this name; `None` when the stream has ended.
    ///
    /// # Errors
    /// There is none within 30 seconds.
    pub async fn next(&mut self, name: &str) -> anyhow::Result<Option<Event>> {
        let find = async {
            loop {
                match self.event().await? {
                    Some(event) if event.name != name => {}
                    found => return Ok(found),
                }
            }
        };
        timeout(TIMEOUT, find)
            .await
            .with_context(|| format!("no event {name}"))?
    }

    async fn event(&mut self) -> anyhow::Result<Option<Event>> {
        let mut event = Event::default();
        while let Some(line) = self.0.next_line().await? {
            let (field, value) = line.split_once(": ").unwrap_or((&line, ""));
            match field {
                "" if event != Event::default() => return Ok(Some(event)),
                "id" => event.id = value.parse().ok(),
                "event" => event.name = value.to_owned(),
                "data" => event.data += value,
                _ => {}
            }
        }
        Ok(None)
    }
}
