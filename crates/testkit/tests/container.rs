//! The image, built and run as README.md says. The tests need a Docker engine, so they are
//! `ignored`; see `make test`.
//!
//! The first test takes port 80. All others let Docker choose a port, so that they can run side by
//! side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_testkit::container::{shell, shell_output};
use forever200_testkit::process::project;
use forever200_testkit::{Container, RESPONSE, exchange, get, get_json, until};

/// Sends a request until it is answered, and waits until it is on the page.
async fn works(address: SocketAddr) -> anyhow::Result<()> {
    let request = b"GET /container HTTP/1.1\r\nX-Odd:  Two\r\n\r\n";
    until("it answers", || async {
        exchange(address, request)
            .await
            .ok()
            .filter(|(reply, _)| reply == RESPONSE)
    })
    .await?;
    until("the request is on the page", || async {
        let page = get(address, "/home/requests/1").await.ok()?.text();
        page.contains(r"X-Odd:  Two<u>\r\n</u>").then_some(())
    })
    .await?;
    // The image has the data for countries and networks, and names its source.
    ensure!(
        get(address, "/home")
            .await?
            .text()
            .contains("IPFire Location"),
        "the image has no IP data"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn the_two_commands_of_the_readme_give_a_page_on_port_80() -> anyhow::Result<()> {
    let command = "docker build -t forever200 . && docker run -d -p 80:80 forever200";
    let readme = std::fs::read_to_string(project().join("README.md"))?;
    ensure!(
        readme.contains(&format!("\n{command}\n")),
        "README.md names another command"
    );
    let printed = shell(command)?;
    let container = Container(printed.lines().last().context("no container")?.to_owned());
    works(([127, 0, 0, 1], 80).into())
        .await
        .with_context(|| container.logs())?;
    container.until_healthy().await
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn hardened_it_ends_tls_and_keeps_its_certificate() -> anyhow::Result<()> {
    let container = Container::run(
        "--read-only --tmpfs /run --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
         -p 127.0.0.1::443 -e FOREVER200_BIND_TLS=:443",
    )?;
    container.until_healthy().await?;
    let address = async || {
        let port = format!("docker port {} 443/tcp", container.0);
        until("the port is published", || async { shell(&port).ok() }).await
    };
    let sum = "sha256sum /var/lib/forever200/certificate.pem";
    let made = container.sh(sum)?;
    let ask = |address: &str| {
        shell(&format!(
            "curl -sk https://{address}/container -w '%{{http_code}}'"
        ))
    };
    assert_eq!(ask(&address().await?)?, "200");
    shell(&format!("docker restart {}", container.0))?;
    container.until_healthy().await?;
    assert_eq!(ask(&address().await?)?, "200");
    assert_eq!(container.sh(sum)?, made);
    until("both are on the page", || async {
        let list = get_json(container.address().ok()?, "/home/api/requests?tls=1.3");
        let found = list.await.ok()?["requests"].as_array()?.len();
        (found == 2).then_some(())
    })
    .await
    .with_context(|| container.logs())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn hardened_it_works_unprivileged_with_port_80_alone_open() -> anyhow::Result<()> {
    let container = Container::run(
        "--read-only --tmpfs /run --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
    )?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    container.until_healthy().await?;
    let users = container.sh("cat /proc/[0-9]*/status | grep ^Uid: | sort -u")?;
    assert_eq!(
        users.split_whitespace().collect::<Vec<_>>(),
        ["Uid:", "10001", "10001", "10001", "10001"]
    );
    let capabilities = container.sh("grep -E \"^Cap(Prm|Eff|Bnd)\" /proc/1/status")?;
    assert!(
        capabilities
            .lines()
            .all(|line| line.ends_with("\t0000000000000000")),
        "{capabilities}"
    );
    // proc_net_tcp(5): local address, remote address, state; 0A is LISTEN. Sockets on loopback are
    // left out.
    let sockets = container.sh("cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6")?;
    let open: Vec<_> = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 3 && (fields[3] == "0A" || fields[3] == "07"))
        .map(|fields| fields[1])
        .filter(|local| !local.starts_with("0100007F:"))
        .collect();
    // Port 80 of IPv4 and of IPv6. The kernel's list for IPv6 is there even where Docker has turned
    // IPv6 off.
    assert_eq!(
        open,
        ["00000000:0050", "00000000000000000000000000000000:0050"]
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_request_from_another_container_shows_its_address() -> anyhow::Result<()> {
    let container = Container::run("")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    let ip = container.inspect(".NetworkSettings.IPAddress")?;
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/80; printf \"GET /neighbour HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3 >/dev/null; hostname -i"
    );
    let neighbour = shell(&format!(
        "docker run --rm --entrypoint bash forever200 -c '{script}'"
    ))?;
    let address = container.address()?;
    let list = until("it is recorded", || async {
        get_json(address, "/home/api/requests")
            .await
            .ok()
            .filter(|list| list["requests"][0]["summary"] == "GET /neighbour")
    })
    .await?;
    assert_eq!(list["requests"][0]["src_ip"], neighbour);
    Ok(())
}

/// The setting in the container itself, because Docker turns IPv6 off in networks without it.
#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn it_answers_by_ipv4_and_where_there_is_ipv6_by_that_as_well() -> anyhow::Result<()> {
    let ask = |container: &Container, ip: &str| {
        let script = format!(
            "exec 3<>/dev/tcp/{ip}/80; printf \"GET /by/{ip} HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3"
        );
        shell(&format!("docker exec {} bash -c '{script}'", container.0))
    };
    for (disabled, answers) in [("0", true), ("1", false)] {
        let option = format!("--sysctl net.ipv6.conf.all.disable_ipv6={disabled}");
        let container = Container::run(&option)?;
        works(container.address()?)
            .await
            .with_context(|| container.logs())?;
        ensure!(ask(&container, "127.0.0.1")?.starts_with("HTTP/1.1 200 Ok"));
        assert_eq!(ask(&container, "::1").is_ok(), answers, "{option}");
        if answers {
            let list = until("both are recorded", || async {
                let address = container.address().ok()?;
                let list = get_json(address, "/home/api/requests?path=/by/")
                    .await
                    .ok()?;
                (list["requests"].as_array()?.len() == 2).then_some(list)
            })
            .await?;
            let [by_v6, by_v4] = [0, 1].map(|at| &list["requests"][at]);
            assert_eq!(
                (&by_v4["src_ip"], &by_v6["src_ip"]),
                (&"127.0.0.1".into(), &"::1".into())
            );
            assert_eq!(
                (&by_v6["dest_ip"], &by_v6["dest_port"]),
                (&"::1".into(), &80.into())
            );
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_stop_is_quick_and_in_order() -> anyhow::Result<()> {
    let container = Container::run("")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    let start = Instant::now();
    shell(&format!("docker stop {}", container.0))?;
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(container.inspect(".State.ExitCode")?, "0");
    shell(&format!("docker restart {}", container.0))?;
    works(container.address()?).await?;
    shell(&format!("docker stop {}", container.0))?;
    let log = container.logs();
    let order = [
        "stopped: haproxy",
        "stopped: responder",
        "stopped: viewer",
        "stopped: memcached",
    ]
    .map(|line| log.find(line));
    assert!(order.is_sorted() && order[0].is_some(), "{log}");
    // Both programs logged their own last line, so they were not killed.
    assert_eq!(log.matches(r#""message":"stopped""#).count(), 4, "{log}");
    // Only the stops are checked: at a start, haproxy may look for the viewer before it listens.
    let runs = log.split("supervisord started");
    let stops: Vec<_> = runs
        .filter_map(|run| run.split_once("indicating exit request"))
        .collect();
    assert_eq!(stops.len(), 2, "{log}");
    for (_, stop) in stops {
        assert!(!stop.contains("is DOWN"), "{stop}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_program_that_cannot_be_started_ends_the_container_with_a_failure() -> anyhow::Result<()>
{
    let container = Container::run("-e FOREVER200_MAX_REQUEST_BYTES=many")?;
    until("it has ended", || async {
        (container.inspect(".State.Status").ok()? == "exited").then_some(())
    })
    .await?;
    assert_eq!(container.inspect(".State.ExitCode")?, "1");
    assert!(
        container.logs().contains("invalid value 'many'"),
        "{}",
        container.logs()
    );
    Ok(())
}

/// Docker's restart policy sees a failure, and supervisord's programs end with the container.
#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_killed_supervisord_ends_the_container_with_a_failure_and_docker_restarts_it()
-> anyhow::Result<()> {
    let container = Container::run("--restart on-failure:3")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    // The container may be gone before this command has its answer.
    let _ = container.sh("kill -9 $(supervisorctl pid)");
    until("Docker has restarted it", || async {
        (container.inspect(".RestartCount").ok()? == "1").then_some(())
    })
    .await?;
    // It has started again.
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;

    shell(&format!("docker update --restart no {}", container.0))?;
    let _ = container.sh("kill -9 $(supervisorctl pid)");
    until("it has ended", || async {
        (container.inspect(".State.Status").ok()? == "exited").then_some(())
    })
    .await?;
    assert_eq!(container.inspect(".State.ExitCode")?, "137");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_run_folder_that_others_may_change_ends_the_container_with_a_failure()
-> anyhow::Result<()> {
    for (options, reason) in [
        (
            "--tmpfs /run/forever200",
            "FOREVER200_RUN: /run/forever200 belongs to another user",
        ),
        (
            "--tmpfs /run/forever200:uid=10001,mode=0777",
            "FOREVER200_RUN: /run/forever200 may be written to by other users",
        ),
    ] {
        let container = Container::run(options)?;
        until("it has ended", || async {
            (container.inspect(".State.Status").ok()? == "exited").then_some(())
        })
        .await?;
        assert_eq!(container.inspect(".State.ExitCode")?, "1");
        let log = container.logs();
        assert!(log.starts_with(reason), "{log}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_responder_that_stands_still_makes_the_container_unhealthy() -> anyhow::Result<()> {
    let container = Container::run("--health-interval 1s --health-retries 1")?;
    container.until_healthy().await?;
    container.sh("kill -STOP $(supervisorctl pid responder)")?;
    until("it is unhealthy", || async {
        (container.inspect(".State.Health.Status").ok()? == "unhealthy").then_some(())
    })
    .await?;
    // The reason is there, so Docker's own time limit did not cut the check off.
    let last = container.inspect("json .State.Health.Log")?;
    assert!(last.contains("unhealthy: the responder"), "{last}");
    container.sh("kill -CONT $(supervisorctl pid responder)")?;
    container.until_healthy().await?;
    works(container.address()?).await?;
    let log = container.logs();
    assert!(!log.contains("connection dropped"), "{log}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn an_edited_haproxy_cfg_is_loaded_as_the_readme_says() -> anyhow::Result<()> {
    let edited = tempfile::tempdir()?;
    let file = edited.path().join("haproxy.cfg");
    std::fs::copy(project().join("haproxy/haproxy.cfg"), &file)?;
    // The container's user is another than the one who runs this test.
    shell(&format!("chmod 755 {}", edited.path().display()))?;
    let container = Container::run(&format!(
        "-v {}:/etc/forever200/haproxy:ro",
        edited.path().display()
    ))?;
    container.until_healthy().await?;
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        text.replace("frontend front\n", "frontend front\n    bind :81\n"),
    )?;
    assert_eq!(
        container.sh("supervisor/haproxy -c -V 2>&1")?,
        "Configuration file is valid"
    );
    container.sh("supervisorctl signal USR2 haproxy")?;
    until("the new address answers", || async {
        container.sh("forever200-viewer health --bind :81").ok()
    })
    .await?;
    works(container.address()?).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_neighbour_on_its_network_reaches_port_80_alone() -> anyhow::Result<()> {
    let container = Container::run("")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    let ip = container.inspect(".NetworkSettings.IPAddress")?;
    // A test above looks from inside at everything that listens. Here, forever200's own ports are
    // among those tried.
    let script = format!(
        "for port in {{1..1024}} 8000 8080 9999 11211; do (exec 3<>/dev/tcp/{ip}/$port) && echo $port; done"
    );
    assert_eq!(
        shell(&format!(
            "docker run --rm --entrypoint bash forever200 -c '{script}' 2>/dev/null || true"
        ))?,
        "80"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn another_user_inside_opens_none_of_its_sockets() -> anyhow::Result<()> {
    let container = Container::run("")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    let other = |command: &str| {
        shell_output(&format!(
            "docker exec -u 65534:65534 {} {command}",
            container.0
        ))
    };
    assert_eq!(String::from_utf8(other("id -u")?.stdout)?, "65534\n");
    ensure!(
        !other("ls /run/forever200")?.status.success(),
        "the folder can be read"
    );
    ensure!(
        !other("supervisorctl pid")?.status.success(),
        "supervisord obeys"
    );
    ensure!(
        container.sh("supervisorctl pid").is_ok(),
        "supervisord does not obey its own user"
    );
    // The sockets are also closed to others by their own mode, not only by that of the folder.
    let sockets = container.sh("find /run -type s -perm /077")?;
    assert_eq!(sockets, "");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn nothing_in_the_image_helps_to_become_root_or_tells_a_secret() -> anyhow::Result<()> {
    let container = Container::run("")?;
    works(container.address()?)
        .await
        .with_context(|| container.logs())?;
    let root = |command: &str| {
        shell(&format!(
            "docker exec -u 0 {} sh -c '{command}'",
            container.0
        ))
    };
    assert_eq!(root("find / -xdev -type f -perm /6000")?, "");
    // Besides the history, only folders for temporary files can be written to.
    let writable = container
        .sh("find / -xdev -type d -writable -not -path \"/proc/*\" 2>/dev/null || true")?;
    assert_eq!(
        writable
            .lines()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>(),
        [
            "/run",
            "/run/forever200",
            "/run/lock",
            "/tmp",
            "/var/lib/forever200",
            "/var/tmp"
        ]
    );
    assert_eq!(
        root("find / -xdev -type f -perm -0002 -not -path \"/proc/*\"")?,
        ""
    );
    // Neither tools to build with nor anything that the build left behind.
    assert_eq!(
        root(
            "ls -A /root /home /src /var/lib/apt/lists /var/cache/apt 2>/dev/null | grep -v -e : -e ^.bashrc -e ^.profile -e ^$ -e ^auxfiles || true"
        )?,
        ""
    );
    assert_eq!(
        root("for name in cc gcc cargo curl wget ssh gdb; do command -v $name || true; done")?,
        ""
    );
    let names = container.sh("env | cut -d= -f1 | sort | tr \"\\n\" \" \"")?;
    assert_eq!(
        names.trim(),
        "FOREVER200_BIND FOREVER200_HISTORY FOREVER200_LOG_FORMAT FOREVER200_RESPONDER_SOCKET FOREVER200_RUN HOME HOSTNAME PATH PWD \
         PYTHONPATH"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn no_file_is_left_in_tmp_and_no_byte_of_a_client_in_the_log() -> anyhow::Result<()> {
    let container = Container::run("-e FOREVER200_LOG=trace")?;
    let address = container.address()?;
    works(address).await.with_context(|| container.logs())?;
    let forge = |number: u32| {
        let forged =
            format!("GET /{number} HTTP/1.1\r\nHost: x\r\nX: \x1b[2J7f3aforged\r\n\r\n7f3aforged");
        tokio::spawn(async move { exchange(address, forged.as_bytes()).await })
    };
    // Many at a time, because each takes as long as the responder waits for more bytes.
    for beginning in (0..200).step_by(40) {
        let sending: Vec<_> = (beginning..beginning + 40).map(forge).collect();
        for sent in sending {
            sent.await??;
        }
    }
    get(address, "/home/export.pcap?q=7f3aforged").await?;
    assert_eq!(
        container.sh("find /tmp /var/tmp /run/lock -type f -o -type s")?,
        ""
    );
    let log = container.logs();
    ensure!(
        log.contains("started") && !log.contains("7f3aforged") && !log.contains('\x1b'),
        "{log}"
    );
    Ok(())
}

/// The service of docker-compose.yml, taken down when dropped.
struct Compose;

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = shell("docker compose -p forever200-test down --volumes");
    }
}

#[tokio::test]
#[ignore = "needs a Docker engine: make test-container"]
async fn docker_compose_up_works() -> anyhow::Result<()> {
    let _compose = Compose;
    shell("FOREVER200_PORT=127.0.0.1:0 docker compose -p forever200-test up --build -d")?;
    let address: SocketAddr =
        shell("docker compose -p forever200-test port forever200 80")?.parse()?;
    works(address).await?;
    let user = shell("docker compose -p forever200-test exec -T forever200 id -u")?;
    assert_eq!(user, "10001");
    let volumes = shell("docker volume ls -q -f label=com.docker.compose.project=forever200-test")?;
    assert_eq!(volumes, "forever200-test_history");
    Ok(())
}
