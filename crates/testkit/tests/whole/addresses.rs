//! On which addresses haproxy listens, IPv4 and IPv6, and which sources its records have.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, missing};
use forever200_testkit::stack::{FRONT_PORT, Setup};
use forever200_testkit::{RESPONSE, Stack, exchange, loopback, until};

const STARTS_HAPROXY: &str = "supervisor/haproxy";
/// The file by which supervisor/haproxy knows that the kernel has IPv6.
const HAS_IPV6: &str = "/proc/net/if_inet6";

/// Returns the first of three successive ports on which nobody listens.
fn free_ports() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind("[::]:0")?.local_addr()?.port();
        let are_free = (port..port.saturating_add(3))
            .all(|port| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok());
        if are_free {
            return Ok(port);
        }
    }
    anyhow::bail!("no free ports")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_alone_is_one_of_ipv4_and_of_ipv6() -> anyhow::Result<()> {
    let (own, port) = (loopback(), free_ports()?);
    let range = format!(":{}-{}", port + 1, port + 2);
    // The test asks for pages at the stack's own address.
    let bind = format!("{own}:{FRONT_PORT},:{port},{range}");
    let stack = Stack::start_at(
        own,
        Setup {
            variables: &[("FOREVER200_BIND", &bind)],
            ..Setup::default()
        },
    )
    .await?;
    let clients: [SocketAddr; 4] = [
        (Ipv4Addr::LOCALHOST, port).into(),
        (Ipv6Addr::LOCALHOST, port).into(),
        (Ipv4Addr::LOCALHOST, port + 2).into(),
        (Ipv6Addr::LOCALHOST, port + 1).into(),
    ];
    for (seq, address) in (1..).zip(clients) {
        let (reply, client) = exchange(address, b"GET /x HTTP/1.1\r\n\r\n").await?;
        assert_eq!(reply, RESPONSE, "{address}");
        let list = stack.until_recorded(seq).await?;
        let record = &list["requests"][0];
        // The plain address, not a form such as ::ffff:127.0.0.1.
        assert_eq!(record["src_ip"], client.ip().to_string());
        assert_eq!(record["src_port"], client.port());
        assert_eq!(record["dest_ip"], address.ip().to_string());
        assert_eq!(record["dest_port"], address.port());
        let (page, _) = exchange(address, b"GET /home/health HTTP/1.0\r\n\r\n").await?;
        ensure!(page.ends_with(br#"}"#), "{}", page.escape_ascii());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_taken_as_it_is() -> anyhow::Result<()> {
    let (own, port) = (loopback(), free_ports()?);
    let bind = format!("{own}:{FRONT_PORT},[::1]:{port}");
    let stack = Stack::start_at(
        own,
        Setup {
            variables: &[("FOREVER200_BIND", &bind)],
            ..Setup::default()
        },
    )
    .await?;
    let request = b"GET /x HTTP/1.1\r\n\r\n";
    let v6 = (Ipv6Addr::LOCALHOST, port).into();
    assert_eq!(exchange(v6, request).await?.0, RESPONSE);
    let v4 = (Ipv4Addr::LOCALHOST, port).into();
    ensure!(exchange(v4, request).await.is_err());
    ensure!(stack.until_recorded(1).await?["requests"][0]["src_ip"] == "::1");
    Ok(())
}

/// A kernel that was started with `ipv6.disable=1` has no such file.
#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_without_ipv6_gives_ipv4_alone() -> anyhow::Result<()> {
    let (own, port) = (loopback(), free_ports()?);
    let bind = format!("{own}:{FRONT_PORT},:{port}");
    let _stack = Stack::start_at(
        own,
        Setup {
            variables: &[("FOREVER200_BIND", &bind)],
            edits: &[(STARTS_HAPROXY, HAS_IPV6, "/proc/net/nothing")],
            ..Setup::default()
        },
    )
    .await?;
    let request = b"GET /x HTTP/1.1\r\n\r\n";
    let v4 = (Ipv4Addr::LOCALHOST, port).into();
    assert_eq!(exchange(v4, request).await?.0, RESPONSE);
    let v6 = (Ipv6Addr::LOCALHOST, port).into();
    ensure!(exchange(v6, request).await.is_err());
    Ok(())
}

/// As in a container on a Docker network without IPv6.
#[tokio::test(flavor = "multi_thread")]
async fn with_ipv6_turned_off_haproxy_starts_and_answers_by_ipv4() -> anyhow::Result<()> {
    let inside = "ip link set lo up && sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
                  && exec supervisord -c supervisord.conf";
    let before = format!("exec unshare --map-root-user --net sh -c '{inside}'; ");
    let stack = Stack::spawn(Setup {
        variables: &[("FOREVER200_BIND", ":80")],
        before: &before,
        ..Setup::default()
    })?;
    let pid = until("haproxy runs", || async {
        stack.pid("haproxy").ok().flatten()
    })
    .await
    .with_context(|| stack.log())?;
    let ask = async |url: &str| {
        command("nsenter")
            .args(["--target", &pid.to_string(), "--user", "--net"])
            .args(["--preserve-credentials", "curl", "-gsi", url])
            .output()
            .context(missing("util-linux curl"))
    };
    until("it answers", || async {
        let output = ask("http://127.0.0.1/x").await.ok()?;
        (output.stdout == RESPONSE).then_some(())
    })
    .await
    .with_context(|| stack.log())?;
    ensure!(!ask("http://[::1]/x").await?.status.success());
    Ok(())
}
