//! The consumer that all sensors share which have caught up.

use std::collections::BTreeMap;

use async_nats::jetstream::stream::Stream;
use forever200_fleet::sensor::{ALL_REQUESTS, STREAM};
use forever200_testkit::until;
use futures_util::TryStreamExt;

use crate::open::Open;
use crate::site::record;

/// Returns how many messages each consumer has delivered, by its name, and how many the shared one.
async fn delivered(stream: &Stream) -> anyhow::Result<(BTreeMap<String, u64>, Option<u64>)> {
    let mut own = BTreeMap::new();
    let mut shared = None;
    let mut consumers = stream.consumers();
    while let Some(info) = consumers.try_next().await? {
        let count = info.delivered.consumer_sequence;
        if info.config.filter_subject == ALL_REQUESTS {
            shared = Some(count);
        } else {
            own.insert(info.name, count);
        }
    }
    Ok((own, shared))
}

#[tokio::test(flavor = "multi_thread")]
async fn sensors_that_have_caught_up_share_a_consumer() -> anyhow::Result<()> {
    const SENSORS: [&str; 3] = ["a", "b", "c"];
    const MORE: u64 = 20;
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let stream = until("there is a stream", || async {
        open.context().await.ok()?.get_stream(STREAM).await.ok()
    })
    .await?;
    until("all sensors can be read together", || async {
        delivered(&stream).await.ok()?.1
    })
    .await?;
    let mut sensors = Vec::new();
    for name in SENSORS {
        let mut sensor = open.raw(name).await?;
        sensor
            .send_request("NATS/1.0", &record(1, b"GET / HTTP/1.1\r\n\r\n".into()))
            .await?;
        hub.until_has(name, 1).await?;
        sensors.push(sensor);
    }
    for seq in 2..2 + MORE {
        for sensor in &mut sensors {
            let request = record(seq, b"GET / HTTP/1.1\r\n\r\n".into());
            sensor.send_request("NATS/1.0", &request).await?;
        }
    }
    let all: Vec<u64> = (1..2 + MORE).collect();
    for name in SENSORS {
        assert_eq!(hub.until_has(name, all.len()).await?, all, "{name}");
    }
    // The first message of each sensor came by its own consumer as well.
    let (own, shared) = delivered(&stream).await?;
    assert_eq!(own.into_values().collect::<Vec<_>>(), [1; SENSORS.len()]);
    assert_eq!(shared, Some((1 + MORE) * SENSORS.len() as u64));
    Ok(())
}
