//! The question that Docker asks: does a visitor get an answer?
//!
//! In: the address that haproxy binds. Out: whether `/home/health` answers 200 through haproxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// Longest wait for each step. Docker's own limit for the whole check is longer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// As much of the answer as is read: its status line is at the start.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Asks haproxy for `/home/health`.
///
/// `bind` is the address of haproxy's `bind` line: `:80`, `*:80`, `[::]:80` or `192.0.2.1:80`. An
/// address that stands for all of the machine's is asked on loopback.
///
/// # Errors
/// There is no answer, or its status is not 200.
pub fn check(bind: &str) -> anyhow::Result<()> {
    let address = address(bind)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /home/health HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_end(&mut answer)
        .context("reading the answer")?;
    let status = answer.split(|&byte| byte == b' ').nth(1);
    if status != Some(b"200") {
        bail!(
            "{}",
            String::from_utf8_lossy(&answer)
                .lines()
                .next()
                .unwrap_or("no answer")
                .escape_debug()
        );
    }
    Ok(())
}

fn address(bind: &str) -> anyhow::Result<SocketAddr> {
    let (host, port) = bind
        .rsplit_once(':')
        .with_context(|| format!("no port in {bind:?}"))?;
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
        ] {
            assert_eq!(address(bind).unwrap().to_string(), asked);
        }
        for bind in ["", "80", "example.com:80", ":http"] {
            assert!(address(bind).is_err(), "{bind}");
        }
    }
}
