//! One exchange: connects, sends, and reads until the other side closes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A request that is not answered within this time has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Peer {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') {
            Ok(Self::Unix(text.into()))
        } else {
            text.parse().map(Self::Tcp)
        }
    }
}

impl Peer {
    /// Sends a request on a new connection, and tells whether the answer was a whole 200.
    pub(crate) async fn exchange(&self, request: &[u8], answer: &mut Vec<u8>) -> bool {
        answer.clear();
        let exchanged = timeout(PATIENCE, async {
            match self {
                Self::Tcp(address) => {
                    exchange(TcpStream::connect(address).await?, request, answer).await
                }
                Self::Unix(path) => {
                    exchange(UnixStream::connect(path).await?, request, answer).await
                }
            }
        });
        matches!(exchanged.await, Ok(Ok(()))) && is_200(answer)
    }
}

async fn exchange<S>(mut stream: S, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    // The side that closes first keeps the connection in TIME_WAIT. Here that is the server, as on
    // the internet.
    stream.read_to_end(answer).await.map(drop)
}

fn is_200(answer: &[u8]) -> bool {
    answer.get(9..12) == Some(b"200")
        && answer.starts_with(b"HTTP/1.")
        && answer.windows(4).any(|end| end == b"\r\n\r\n")
}
