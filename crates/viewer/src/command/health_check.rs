//! `forever200-viewer health`, which Docker runs: do visitors of the page get an answer, and do all
//! other clients?
//!
//! In: the addresses on which haproxy and the responder listen. Out: whether `/home/health` answers
//! 200 through haproxy, and whether the responder accepts connections. The check itself is not
//! recorded.
//!
//! Protocol: haproxy `doc/proxy-protocol.txt`, section 2.2, the command LOCAL.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use forever200_daemon::{RESPONDER_LISTEN, Switch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Longest wait for each of the two answers. Docker's limit for the whole check, `--timeout` in the
/// Dockerfile, is longer, so that the reason is logged.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read. The status line is at its start.
const MAX_ANSWER_BYTES: u64 = 4096;
/// A PROXY header of version 2 with the command LOCAL and no addresses. The responder closes such a
/// connection at once, and neither records nor counts it. haproxy.cfg sends a header too, so a
/// responder that expects none is unhealthy. If haproxy itself expects a header, it takes the bytes
/// after this one as a request from this machine.
const LOCAL_HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The addresses to ask.
#[derive(Debug, clap::Args)]
pub struct Health {
    /// Address that haproxy binds
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "FOREVER200_BIND",
        default_value = ":8000"
    )]
    bind: String,
    /// Whether haproxy shows the page
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_PAGE",
        default_value = "on"
    )]
    page: Switch,
    /// Whether haproxy expects a PROXY header before each connection
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_ACCEPT_PROXY",
        default_value = "off"
    )]
    accept_proxy: Switch,
    /// Unix socket that the responder listens on
    #[arg(long, value_name = "PATH", env = "FOREVER200_RESPONDER_SOCKET")]
    responder_socket: Option<PathBuf>,
    /// Address that the responder listens on; is asked where there is no socket
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "FOREVER200_RESPONDER_LISTEN",
        default_value = RESPONDER_LISTEN
    )]
    responder_listen: SocketAddr,
}

/// Asks haproxy for `/home/health`, or the viewer if haproxy does not show the page. Then connects
/// to the responder.
///
/// Each of the two takes at most two seconds.
///
/// # Errors
/// An answer is missing, late, or wrong. The error names the program.
pub async fn check(args: &Health, viewer: SocketAddr) -> anyhow::Result<()> {
    let (who, address) = match args.page {
        Switch::On => ("haproxy", address(&args.bind)?),
        Switch::Off => ("the viewer", viewer),
    };
    let header = match (args.page, args.accept_proxy) {
        (Switch::On, Switch::On) => LOCAL_HEADER,
        _ => &[],
    };
    timeout(TIMEOUT, ask_for_home(address, header))
        .await
        .unwrap_or_else(|_| bail!("no answer within {TIMEOUT:?}"))
        .with_context(|| format!("{who} at {address}"))?;
    timeout(TIMEOUT, ask_responder(args))
        .await
        .unwrap_or_else(|_| bail!("connection not closed within {TIMEOUT:?}"))
        .with_context(|| match &args.responder_socket {
            Some(path) => format!("the responder at {}", path.display()),
            None => format!("the responder at {}", args.responder_listen),
        })
}

async fn ask_for_home(address: SocketAddr, header: &[u8]) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let request = [header, b"GET /home/health HTTP/1.0\r\n\r\n"].concat();
    let answer = exchange(stream, &request).await?;
    let status = answer.split(|&byte| byte == b' ').nth(1);
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().next().unwrap_or("an empty answer");
    ensure!(status == Some(b"200"), "{}", line.escape_debug());
    Ok(())
}

async fn ask_responder(args: &Health) -> anyhow::Result<()> {
    let answer = match &args.responder_socket {
        // A full queue of connections is an error at once, without a wait.
        Some(path) => exchange(UnixStream::connect(path).await?, LOCAL_HEADER).await?,
        None => {
            exchange(
                TcpStream::connect(args.responder_listen).await?,
                LOCAL_HEADER,
            )
            .await?
        }
    };
    ensure!(
        answer.is_empty(),
        "it expects no PROXY header, and haproxy sends one"
    );
    Ok(())
}

/// Sends bytes and returns the answer, up to its end or [`MAX_ANSWER_BYTES`].
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> anyhow::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// Returns the first address that haproxy binds, with the first port of a range.
fn address(bind: &str) -> anyhow::Result<SocketAddr> {
    let first = bind.split(',').next().unwrap_or_default();
    let (host, ports) = first
        .rsplit_once(':')
        .with_context(|| format!("no port in {bind:?}"))?;
    let port = ports.split('-').next().unwrap_or_default();
    let host = match host.trim_matches(['[', ']']) {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let ip = host
        .parse()
        .with_context(|| format!("no address in {bind:?}"))?;
    Ok(SocketAddr::new(
        ip,
        port.parse()
            .with_context(|| format!("no port in {bind:?}"))?,
    ))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    #[test]
    fn the_address_asked_is_one_that_haproxy_listens_on() {
        for (bind, asked) in [
            (":80", "127.0.0.1:80"),
            ("*:80", "127.0.0.1:80"),
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            (":::80", "[::1]:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            (":80,:::80", "127.0.0.1:80"),
            ("192.0.2.1:2300-2399,:80", "192.0.2.1:2300"),
        ] {
            assert_eq!(address(bind).unwrap().to_string(), asked);
        }
        for bind in ["", "80", "example.com:80", ":http"] {
            assert!(address(bind).is_err(), "{bind}");
        }
    }

    /// Checks a responder at this socket, together with a healthy viewer.
    async fn check_responder(socket: PathBuf) -> anyhow::Result<()> {
        let viewer = TcpListener::bind("127.0.0.1:0").await?;
        let address = viewer.local_addr()?;
        tokio::spawn(async move {
            let (mut stream, _) = viewer.accept().await?;
            // Closing with unread bytes would reset the connection.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await?;
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await
        });
        let args = Health {
            bind: address.to_string(),
            page: Switch::On,
            accept_proxy: Switch::Off,
            responder_socket: Some(socket),
            responder_listen: address,
        };
        check(&args, address).await
    }

    #[tokio::test]
    async fn a_responder_is_healthy_that_closes_and_says_nothing() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("socket");
        let responder = UnixListener::bind(&socket)?;
        for (answer, complaint) in [
            (&b""[..], None),
            (b"HTTP/1.1 200 Ok\r\n\r\n", Some("expects no PROXY header")),
        ] {
            let serve = async {
                let (mut stream, _) = responder.accept().await?;
                let mut header = vec![0; LOCAL_HEADER.len()];
                stream.read_exact(&mut header).await?;
                assert_eq!(header, LOCAL_HEADER);
                stream.write_all(answer).await?;
                anyhow::Ok(())
            };
            let checked = async { Ok(check_responder(socket.clone()).await.err()) };
            let limited = timeout(TIMEOUT * 2, async { tokio::try_join!(serve, checked) });
            let ((), error) = limited.await.context("neither ends")??;
            let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
            match complaint {
                None => assert_eq!(error, ""),
                Some(complaint) => assert!(error.contains(complaint), "{error}"),
            }
        }
        drop(responder);
        let error = check_responder(socket).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("Connection refused"),
            "{error:#}"
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_responder_that_does_not_close_is_waited_for_no_longer_than_the_limit()
    -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("socket");
        let _stopped = UnixListener::bind(&socket)?;
        let args = Health {
            bind: String::new(),
            page: Switch::On,
            accept_proxy: Switch::Off,
            responder_socket: Some(socket),
            responder_listen: "127.0.0.1:1".parse()?,
        };
        // Only the timeout can end it: a paused clock advances by itself while all tasks wait.
        tokio::time::pause();
        assert!(timeout(TIMEOUT, ask_responder(&args)).await.is_err());
        Ok(())
    }
}
