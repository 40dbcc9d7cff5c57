//! The connection to the NATS servers: addresses, key, certificate.
//!
//! In: the variables. Out: a client that reconnects by itself. If it cannot connect, the log tells
//! why, once for each new reason.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_nats::rustls::{CertificateError, Error as TlsError};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use clap::Args;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::patience::{LastSaid, pause_after};

/// Longest wait for a connection, and also for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the flush of a connection. If the connection has ended for good, the flush
/// fails at once. If the flush takes this long, the connection is being made again by itself.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// Time between two checks whether the server is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// The key by which a NATS server knows this program, and the authority by which this program knows
/// the server.
#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    /// File with the secret half of the key, an nkey seed
    #[arg(long, value_name = "FILE", env = "FOREVER200_HUB_KEY", global = true)]
    hub_key: Option<PathBuf>,
    /// File with the certificate of the authority that signed the server's, PEM; without it, the
    /// system's authorities
    #[arg(long, value_name = "FILE", env = "FOREVER200_HUB_CA", global = true)]
    hub_ca: Option<PathBuf>,
}

/// Reads a list of addresses `tls://host:port`, between commas.
///
/// # Errors
/// One of them is not an address; the error names it.
fn addresses(list: &str) -> anyhow::Result<Vec<ServerAddr>> {
    list.split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(|address| {
            let parsed = address.parse::<ServerAddr>();
            parsed.with_context(|| format!("{address}: expected tls://host:port"))
        })
        .collect()
}

/// Reads the seed of a key from its file.
///
/// # Errors
/// The file cannot be read, or holds no seed.
fn seed(path: &Path) -> anyhow::Result<String> {
    let named = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(named)?;
    let seed = text.trim();
    nkeys::KeyPair::from_seed(seed)
        .map_err(|_| anyhow::anyhow!("{}: no seed of a key", named()))?;
    Ok(seed.to_owned())
}

/// Connects to one server of a list of NATS servers. Answers come to subjects that begin with
/// `inbox`.
///
/// # Errors
/// No server answers, the certificate or the key is refused, or a file cannot be read.
pub async fn connect(args: &KeyArgs, list: &str, inbox: &str) -> anyhow::Result<Client> {
    let last = Mutex::new(LastSaid::default());
    let mut options = ConnectOptions::new()
        .name("forever200-fleet")
        .custom_inbox_prefix(inbox)
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT))
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(pause_after)
        .event_callback(move |event| {
            tell(&last, &event);
            async {}
        });
    if let Some(path) = &args.hub_key {
        options = options.nkey(seed(path)?);
    }
    if let Some(path) = &args.hub_ca {
        options = options.add_root_certificates(path.clone());
    }
    options
        .connect(addresses(list)?)
        .await
        .map_err(in_words)
        .with_context(|| format!("cannot connect to {list}"))
}

/// Turns an error about which a person can do something into words that say what is wrong.
fn in_words(error: ConnectError) -> anyhow::Error {
    if error.kind() == ConnectErrorKind::AuthorizationViolation {
        return anyhow!("authorization violation: the server does not know this key");
    }
    let Some(certificate) = refused_certificate(&error) else {
        return error.into();
    };
    match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            anyhow!("the server's certificate has expired, or the clock here is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            anyhow!("the server's certificate is not valid yet, or the clock here is wrong")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            anyhow!("another authority signed the server's certificate than FOREVER200_HUB_CA")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            anyhow!("the server's certificate is for another name than this address")
        }
        _ => error.into(),
    }
}

/// Returns why this program refused the server's certificate; `None` where something else is wrong.
fn refused_certificate(error: &ConnectError) -> Option<CertificateError> {
    let source = std::error::Error::source(error)?;
    let io = source.downcast_ref::<std::io::Error>()?;
    match io.get_ref()?.downcast_ref::<TlsError>()? {
        TlsError::InvalidCertificate(why) => Some(why.clone()),
        _ => None,
    }
}

/// Logs an event, unless the last one was the same. Servers that are away for a day are one line,
/// not a thousand.
fn tell(last: &Mutex<LastSaid>, event: &Event) {
    let text = event.to_string();
    let mut last = last
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if !last.is_new(&text) {
        return;
    }
    match event {
        Event::Connected => info!("connected"),
        // The event does not tell why a later attempt fails.
        Event::ClientError(_) => {
            warn!(
                event = text,
                "the connection: `forever200-fleet check` says why"
            );
        }
        _ => warn!(event = text, "the connection"),
    }
}

/// Tells whether a connection has ended for good.
pub(crate) async fn has_ended(client: &Client) -> bool {
    // While the client reconnects, `flush` waits.
    matches!(timeout(FLUSH_TIME, client.flush()).await, Ok(Err(_)))
}

/// Returns how often a client has connected.
pub(crate) fn connections_made(client: &Client) -> u64 {
    client.statistics().connects.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_between_commas() {
        assert_eq!(addresses("tls://a:1, tls://b:2,").unwrap().len(), 2);
        assert!(addresses("tls://a:b").is_err());
    }
}
