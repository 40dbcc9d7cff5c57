//! The history of the image in a volume, whoever owns the volume. The tests need a Docker engine,
//! so they are `ignored`; see `make test`.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use forever200_testkit::container::shell;
use forever200_testkit::{Container, RESPONSE, exchange, get, get_json, until};
use serde_json::Value;

const FOLDER: &str = "/var/lib/forever200";

/// A volume, removed when dropped.
struct Volume(String);

impl Volume {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(shell("docker volume create")?))
    }

    /// Runs a command as root with the volume at /volume.
    fn sh(&self, command: &str) -> anyhow::Result<String> {
        shell(&format!(
            "docker run --rm -u 0 -v {}:/volume --entrypoint sh forever200 -c '{command}'",
            self.0
        ))
    }

    fn option(&self) -> String {
        format!("-v {}:{FOLDER}", self.0)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = shell(&format!("docker volume rm -f {}", self.0));
    }
}

/// Sends requests with these numbers in their paths, and waits until the last is recorded.
async fn send(address: SocketAddr, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
    for number in numbers {
        let request = format!("GET /{number} HTTP/1.1\r\n\r\n");
        until("it answers", || async {
            let (reply, _) = exchange(address, request.as_bytes()).await.ok()?;
            (reply == RESPONSE).then_some(())
        })
        .await?;
        until_total(address, number).await?;
    }
    Ok(())
}

async fn until_total(address: SocketAddr, total: u64) -> anyhow::Result<Value> {
    until(&format!("{total} are recorded"), || async {
        let list = get_json(address, "/home/api/requests").await.ok()?;
        let held = list["requests"].as_array()?.len() as u64;
        (list["total"] == total && held == total).then_some(list)
    })
    .await
}

/// Checks that each link still leads to the request with that number in its path.
async fn has_kept(container: &Container, total: u64) -> anyhow::Result<()> {
    let address = container.address()?;
    until_total(address, total)
        .await
        .with_context(|| container.logs())?;
    for number in 1..=total {
        let request = get_json(address, &format!("/home/api/requests/{number}")).await?;
        assert_eq!(request["summary"], format!("GET /{number}"));
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn numbers_and_links_outlive_a_restart_and_the_container() -> anyhow::Result<()> {
    let volume = Volume::new()?;
    let container = Container::run(&volume.option())?;
    send(container.address()?, 1..=5).await?;
    shell(&format!("docker restart {}", container.0))?;
    has_kept(&container, 5).await?;
    send(container.address()?, 6..=8).await?;
    shell(&format!("docker rm -f {}", container.0))?;
    let another = Container::run(&volume.option())?;
    // Requests of the last second before a `kill` may be lost.
    let list = until("it is back", || async {
        let list = get_json(another.address().ok()?, "/home/api/requests").await;
        list.ok().filter(|list| list["total"].as_u64() > Some(4))
    })
    .await?;
    let total = list["total"].as_u64().context("no total")?;
    has_kept(&another, total).await?;
    shell(&format!("docker stop {}", another.0))?;
    drop(another);
    let hardened = format!(
        "{} --read-only --tmpfs /run --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
        volume.option()
    );
    let last = Container::run(&hardened)?;
    send(last.address()?, total + 1..=total + 2).await?;
    has_kept(&last, total + 2).await?;
    last.until_healthy().await
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn without_a_word_it_is_in_an_anonymous_volume_and_goes_with_off() -> anyhow::Result<()> {
    let container = Container::run("--read-only --tmpfs /run --tmpfs /tmp")?;
    send(container.address()?, 1..=3).await?;
    let mounted = container.inspect("range .Mounts}}{{.Type}} {{.Destination}}{{end")?;
    assert_eq!(mounted, format!("volume {FOLDER}"));
    let files = container.sh(&format!(
        "stat -c \"%a %u %n\" {FOLDER} {FOLDER}/history.db"
    ))?;
    assert_eq!(
        files,
        format!("700 10001 {FOLDER}\n600 10001 {FOLDER}/history.db")
    );
    shell(&format!("docker restart {}", container.0))?;
    has_kept(&container, 3).await?;
    let off = Container::run("-e FOREVER200_HISTORY=off")?;
    send(off.address()?, 1..=1).await?;
    assert_eq!(off.sh(&format!("ls -A {FOLDER}"))?, "");
    Ok(())
}

/// Kubernetes gives a volume to the group of the process, and sets the bit by which new files
/// belong to that group.
#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_folder_of_a_group_is_enough_as_with_fs_group() -> anyhow::Result<()> {
    shell("docker build -q -t forever200 .")?;
    let volume = Volume::new()?;
    // Docker gives an empty volume the owner and the mode of the image's folder.
    volume.sh("touch /volume/other && chown -R 0:20000 /volume && chmod 2775 /volume")?;
    let options = format!("--user 10001:10001 --group-add 20000 {}", volume.option());
    let container = Container::run(&options)?;
    send(container.address()?, 1..=3).await?;
    shell(&format!("docker stop {}", container.0))?;
    drop(container);
    // At the next mount, Kubernetes changes the mode of all files.
    volume.sh("chown -R 0:20000 /volume && chmod -R g+rwX /volume")?;
    let again = Container::run(&options)?;
    has_kept(&again, 3).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_folder_of_another_user_is_refused_with_one_clear_line() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("an odd path")?;
    // The folder becomes root's, whoever runs this test.
    let volume = format!("-v {path}:{FOLDER}");
    shell(&format!(
        "docker run --rm -u 0 {volume} --entrypoint chown forever200 0:0 {FOLDER}"
    ))?;
    let container = Container::run(&format!("--restart no {volume}"))?;
    until("it has ended", || async {
        (container.inspect(".State.Status").ok()? == "exited").then_some(())
    })
    .await?;
    assert_eq!(container.inspect(".State.ExitCode")?, "1");
    let log = container.logs();
    let line = log.lines().find(|line| line.contains("belongs to user 0"));
    let line = line.with_context(|| log.clone())?;
    let parts = [
        FOLDER,
        "Error: ",
        "runs as user 10001",
        "chown -R 10001",
        "FOREVER200_HISTORY",
    ];
    ensure!(parts.iter().all(|part| line.contains(part)), "{line}");
    shell(&format!(
        "docker run --rm -u 0 {volume} --entrypoint chown forever200 -R 10001 {FOLDER}"
    ))?;
    let fixed = Container::run(&volume)?;
    send(fixed.address()?, 1..=1).await?;
    let own = shell("id -u")?;
    shell(&format!(
        "docker run --rm -u 0 {volume} --entrypoint chown forever200 -R {own} {FOLDER}"
    ))?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_full_volume_is_told_and_stops_nothing() -> anyhow::Result<()> {
    let disk = format!("--tmpfs {FOLDER}:size=4m,uid=10001,mode=700");
    let container = Container::run(&disk)?;
    let address = container.address()?;
    send(address, 1..=3).await?;
    let _ = container.sh(&format!("head -c 9m /dev/zero >{FOLDER}/filler"));
    send(address, 4..=6).await?;
    let sentence = "The history cannot be written: the disk is full.";
    until("it is told", || async {
        let page = get(address, "/home").await.ok()?.text();
        page.contains(sentence).then_some(())
    })
    .await
    .with_context(|| container.logs())?;
    container.until_healthy().await?;
    container.sh(&format!("rm {FOLDER}/filler"))?;
    until("it is over", || async {
        let page = get(address, "/home").await.ok()?.text();
        (!page.contains(sentence)).then_some(())
    })
    .await
}
