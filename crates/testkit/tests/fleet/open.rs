//! A NATS server without keys and TLS, for messages that are written by hand, as no library writes
//! them, and for streams and limits that a test sets.

use anyhow::ensure;
use async_nats::jetstream;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use forever200_fleet::message::{self, Position};
use forever200_fleet::sensor::Sensor;
use forever200_ring::Record;
use forever200_testkit::{Nats, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::{Site, sensor};

/// A server that lets everybody in.
pub(super) struct Open(Nats);

impl Open {
    /// Starts the server, with further lines of configuration.
    pub(super) async fn start(settings: &str) -> anyhow::Result<Self> {
        let mut nats = Nats::new(1)?;
        nats.start(settings).await?;
        Ok(Self(nats))
    }

    fn server(&self) -> String {
        self.0.addresses().replace("tls://", "nats://")
    }

    /// Starts a hub, and waits until the stream takes messages. A stream exists before it does so,
    /// and messages in between would be lost.
    pub(super) async fn hub(&self, more: &[(&'static str, String)]) -> anyhow::Result<Site> {
        let variables = [&[("FOREVER200_FLEET", self.server())], more].concat();
        let hub = Site::start(&variables).await?;
        let context = self.context().await?;
        let (subject, refusal) = ("forever200.probe", "no stream has this name");
        until("the stream answers", || async {
            let probe = PublishMessage::build().expected_stream(refusal);
            let sent = context.send_publish(subject, probe).await.ok()?;
            let error = sent.await.err()?;
            (error.kind() == PublishErrorKind::Other).then_some(())
        })
        .await?;
        Ok(hub)
    }

    pub(super) async fn sensor(&self, name: &str) -> anyhow::Result<Site> {
        let name = ("FOREVER200_SENSOR", name.to_owned());
        Site::start(&[("FOREVER200_HUB", self.server()), name]).await
    }

    pub(super) async fn context(&self) -> anyhow::Result<jetstream::Context> {
        let client = async_nats::connect(self.server()).await?;
        Ok(jetstream::new(client))
    }

    pub(super) async fn raw(&self, name: &str) -> anyhow::Result<RawSensor> {
        let server = self.server().replace("nats://", "");
        let mut connection = TcpStream::connect(server).await?;
        let hello = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n";
        connection.write_all(hello).await?;
        Ok(RawSensor {
            connection,
            sensor: sensor(name)?,
        })
    }
}

/// A sensor that writes the NATS protocol by hand.
pub(super) struct RawSensor {
    connection: TcpStream,
    sensor: Sensor,
}

impl RawSensor {
    /// Sends a message with headers as they are, and waits until the server has read it.
    pub(super) async fn send(&mut self, headers: &str, body: &[u8]) -> anyhow::Result<()> {
        self.send_many(&self.sensor.subject(), headers, body, 1)
            .await
    }

    /// Sends the same message `count` times to a subject, and waits until the server has read them.
    pub(super) async fn send_many(
        &mut self,
        subject: &str,
        headers: &str,
        body: &[u8],
        count: usize,
    ) -> anyhow::Result<()> {
        let length = headers.len();
        let all = length + body.len();
        let mut bytes = format!("HPUB {subject} {length} {all}\r\n{headers}").into_bytes();
        bytes.extend([body, b"\r\n"].concat());
        let mut bytes = bytes.repeat(count);
        bytes.extend(b"PING\r\n");
        self.connection.write_all(&bytes).await?;
        let mut said = String::new();
        while !said.contains("PONG") {
            let mut part = [0; 4096];
            let length = self.connection.read(&mut part).await?;
            ensure!(length > 0, "the server has ended the connection: {said}");
            said.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        Ok(())
    }

    /// Sends a request. `line` is the first line of the headers, with the version and perhaps a
    /// status.
    pub(super) async fn send_request(&mut self, line: &str, record: &Record) -> anyhow::Result<()> {
        let position = Position {
            era: 1,
            seq: record.seq,
        };
        let id = position.id(&self.sensor);
        let headers = format!("{line}\r\n{}: {id}\r\n\r\n", message::ID);
        self.send(&headers, &record.encode()).await
    }
}
