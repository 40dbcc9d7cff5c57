//! Tells a person who sets up a sensor or a hub what works and what does not.
//!
//! In: the same variables as for sending and collecting. Out: a line for each thing that is
//! checked, up to the first that is wrong.

use std::path::Path;

use anyhow::{Context, ensure};
use async_nats::Client;
use async_nats::jetstream;
use forever200_viewer::history::Outbox;

use crate::last_sent::{ANOTHER_HISTORY, last_sent};
use crate::sensor::{STREAM, Sensor};

/// Checks what a sensor needs: its history, and that its newest request in the stream is from this
/// history.
///
/// # Errors
/// The first thing that is wrong.
pub async fn sensor(client: &Client, sensor: &Sensor, folder: &Path) -> anyhow::Result<()> {
    let outbox = Outbox::open(folder)?;
    let newest = outbox.newest()?;
    println!("history: the newest request is {newest}");
    let last = last_sent(client, sensor).await?;
    let Some(last) = last else {
        println!("stream: it has no requests of {sensor} yet");
        return Ok(());
    };
    println!(
        "stream: the newest request of {sensor} there is {}",
        last.seq
    );
    let era = outbox.era()?.context("the history has not begun yet")?;
    ensure!(last.era == era, ANOTHER_HISTORY);
    Ok(())
}

/// Checks what a hub needs: the stream, and that no server is away or behind.
///
/// # Errors
/// The first thing that is wrong.
pub async fn hub(client: Client) -> anyhow::Result<()> {
    let context = jetstream::new(client);
    let mut subjects = context
        .get_stream(STREAM)
        .await
        .context("there is no stream yet: a hub that collects makes it")?;
    let info = subjects.info().await?;
    let state = &info.state;
    println!(
        "stream: {} messages, sensors: {}, bytes: {}",
        state.messages, state.subjects_count, state.bytes
    );
    let Some(cluster) = &info.cluster else {
        return Ok(());
    };
    let leader = cluster
        .leader
        .as_deref()
        .context("the servers have no leader")?;
    println!("servers: {leader} leads {}", cluster.replicas.len());
    let away: Vec<_> = cluster
        .replicas
        .iter()
        .filter(|replica| !replica.current)
        .map(|replica| replica.name.as_str())
        .collect();
    ensure!(away.is_empty(), "away or behind: {}", away.join(", "));
    Ok(())
}
