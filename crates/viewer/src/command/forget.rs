//! `forever200-viewer forget`: deletes requests from the history.
//!
//! In: a folder with a history, and which requests to delete. Out: a line that says how many were
//! deleted. The viewer may run meanwhile. Requests in memcached stay until they roll over.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_identify::Labeller;
use forever200_ring::SLOTS;
use ipnet::IpNet;
use jiff::Timestamp;

use crate::history::forget::{Forgotten, What, forget};
use crate::page::moment::moment;
use crate::reader::entry;

/// Which requests to delete.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
#[command(
    after_help = "The last 101 requests stay in memcached, and on the page, until they roll over, or memcached and \
                        all responders are restarted. They are not written to the history again."
)]
pub struct Forget {
    /// All requests from an address or a network, such as 203.0.113.0/24
    #[arg(long, value_name = "NET", value_parser = network)]
    source: Option<IpNet>,
    /// All requests before a time: RFC 3339, a date, or how long ago, such as 30d
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,
    /// Everything
    #[arg(long)]
    all: bool,
}

/// Deletes requests, and prints to stdout how many.
///
/// # Errors
/// There is no history, reading or writing fails, or another process keeps the file locked.
pub fn run(folder: &Path, what: &Forget, labeller: &Labeller) -> anyhow::Result<()> {
    let what = match (what.source, what.before) {
        (Some(network), _) => What::Source(network),
        (_, Some(time)) => What::Before(time),
        _ => What::All,
    };
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot open {}", folder.display()))?;
    // To erase the bytes, SQLite writes the whole file again into a folder for temporary files. If
    // no such folder is writable, it uses the working folder.
    std::env::set_current_dir(&folder)?;
    let title = |raw: &[u8]| entry::summary(raw, &labeller.describe(raw, None));
    let Forgotten {
        requests,
        sources,
        kinds,
        is_clean,
    } = forget(&folder, &what, &title)?;
    println!(
        "{requests} requests, {sources} sources and {kinds} kinds were deleted from the history. The last {SLOTS} requests \
         in memcached stay until they roll over."
    );
    ensure!(
        is_clean,
        "the bytes are not erased from the disk yet, because another process uses the file or the disk is full: run this again"
    );
    Ok(())
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = text
        .parse()
        .map(|ip: IpAddr| IpNet::from(ip.to_canonical()));
    text.parse()
        .or(address)
        .map_err(|_| "expected an address or a network, such as 203.0.113.0/24".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now())
}
