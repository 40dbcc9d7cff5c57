//! A person deletes requests at a hub while the stream still has them.

use anyhow::ensure;
use forever200_testkit::process::{command, programs};

use crate::site::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_at_a_hub_does_not_come_back_from_the_stream() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    sensor.ask(1..=30).await?;
    hub.until_has("one", 30).await?;
    let forgotten = command(programs()?.join("forever200-viewer"))
        .args(["forget", "--all"])
        .env("FOREVER200_HISTORY", hub.history.path())
        .output()?;
    ensure!(forgotten.status.success(), "{forgotten:?}");
    hub.stack.kill("collector").await?;
    sensor.ask(31..=33).await?;
    assert_eq!(hub.until_has("one", 3).await?, [31, 32, 33]);
    hub.stack.kill("collector").await?;
    sensor.ask(34..=34).await?;
    assert_eq!(hub.until_has("one", 4).await?, [31, 32, 33, 34]);
    Ok(())
}
