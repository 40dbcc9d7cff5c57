//! A client that sends exactly the bytes it is given.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longest wait for a reply; longer than the responder's own deadline and haproxy's.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends `bytes` and reads until the other side closes. Returns the reply and the client's address.
///
/// # Errors
/// The connection fails, or is not closed within 20 seconds.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<(Vec<u8>, SocketAddr)> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let client = stream.local_addr()?;
    stream.write_all(bytes).await?;
    Ok((read_to_end(&mut stream).await?, client))
}

/// Connects from an address of this machine.
///
/// # Errors
/// The address is not this machine's, or nobody listens.
pub async fn connect_from(client: Ipv4Addr, address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((client, 0).into())?;
    let connected = socket.connect(address).await;
    connected.with_context(|| format!("connecting to {address}"))
}

/// Sends `bytes` from an address of this machine and reads until the other side closes. Returns the
/// reply.
///
/// # Errors
/// The connection fails, or is not closed within 20 seconds.
pub async fn exchange_from(
    client: Ipv4Addr,
    address: SocketAddr,
    bytes: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut stream = connect_from(client, address).await?;
    stream.write_all(bytes).await?;
    read_to_end(&mut stream).await
}

/// Reads until the other side closes.
///
/// # Errors
/// The connection is reset, or is not closed within 20 seconds.
pub async fn read_to_end(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut reply = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut reply))
        .await
        .context("no end of the reply")??;
    Ok(reply)
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values, in the order sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of a header; the first if there are several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Splits the first response off a stream of them, where it is whole.
    #[must_use]
    pub fn split_off(bytes: &mut Vec<u8>, method: &str) -> Option<Self> {
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let (status_line, lines) = text.split_once("\r\n").unwrap_or((&text, ""));
        let status = status_line.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = lines
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Self {
            status,
            headers,
            body: Vec::new(),
        };
        let behind_head = &bytes[head + 4..];
        let length = response
            .header("content-length")
            .and_then(|length| length.parse().ok());
        let (body, taken) = match response.header("transfer-encoding") {
            _ if method == "HEAD" => (Vec::new(), 0),
            Some("chunked") => unchunked(behind_head)?,
            _ => {
                let length = length.unwrap_or(0);
                (behind_head.get(..length)?.to_vec(), length)
            }
        };
        response.body = body;
        bytes.drain(..head + 4 + taken);
        Some(response)
    }
}

/// Joins chunks (RFC 9112, 7.1) and tells how many bytes they took; `None` where the last one is
/// missing.
fn unchunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = bytes[at..].windows(2).position(|end| end == b"\r\n")?;
        let length = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let length = usize::from_str_radix(length, 16).ok()?;
        let start = at + line + 2;
        body.extend_from_slice(bytes.get(start..start + length)?);
        at = start + length + 2;
        if length == 0 {
            return bytes.get(..at).map(|_| (body, at));
        }
    }
}

/// Sends a request and returns the response.
///
/// # Errors
/// The connection fails, or what comes is no response with a `Content-Length` or in chunks.
pub async fn request(address: SocketAddr, method: &str, path: &str) -> anyhow::Result<Response> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (mut reply, _) = exchange(address, head.as_bytes()).await?;
    match Response::split_off(&mut reply, method) {
        Some(response) => Ok(response),
        None => bail!(
            "{method} {path}: no whole response in {}",
            reply.escape_ascii()
        ),
    }
}

/// Gets a page.
///
/// # Errors
/// As [`request`].
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Response> {
    request(address, "GET", path).await
}

/// Gets JSON.
///
/// # Errors
/// As [`request`]; the status is not 200, or the body is not JSON.
pub async fn get_json(address: SocketAddr, path: &str) -> anyhow::Result<serde_json::Value> {
    let response = get(address, path).await?;
    if response.status != 200 {
        bail!("{path}: status {}: {}", response.status, response.text());
    }
    serde_json::from_slice(&response.body).context(path.to_owned())
}
