//! `forever200-viewer`: the page at /home.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use forever200_daemon::{
    HistoryFolder, LogArgs, Switch, host_port, listen, parse, raise_file_limit, shutdown_signal,
    start_logging,
};
use forever200_identify::Labeller;
use forever200_ring::Store;
use forever200_viewer::captures::{Captures, Target};
use forever200_viewer::command::backup::{self, Backup};
use forever200_viewer::command::forget::{self, Forget};
use forever200_viewer::command::health_check::{self, Health};
use forever200_viewer::command::identify::{self, Identify};
use forever200_viewer::history::History;
use forever200_viewer::page::filter::switch;
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::locations::{self, Locations};
use forever200_viewer::reader::privacy::{Hidden, Privacy};
use forever200_viewer::web::{Hosts, Names, THREADS, lower_priority, run};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Shows the last 101 requests at /home.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "FOREVER200_VIEWER_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
    /// Address of memcached, host:port
    #[arg(long, value_name = "ADDRESS", env = "FOREVER200_MEMCACHED", default_value = "127.0.0.1:11211", value_parser = host_port)]
    memcached: String,
    /// File of signatures, to be added to the built-in ones or to replace them
    #[arg(long, value_name = "FILE", env = "FOREVER200_SIGNATURES", global = true, value_parser = labeller)]
    signatures: Option<Arc<Labeller>>,
    /// Database of IPFire Location, for countries and networks; optional
    #[arg(long, value_name = "FILE", env = "FOREVER200_LOCATIONS", default_value = locations::DEFAULT_PATH)]
    locations: PathBuf,
    /// Show only the network of source addresses, /24 or /48, and no ports
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_MASK_SOURCES",
        default_value = "off"
    )]
    mask_sources: Switch,
    /// Texts to blank in everything that is shown, separated by commas, such as this machine's
    /// addresses and names
    #[arg(
        long,
        value_name = "TEXTS",
        env = "FOREVER200_HIDE",
        default_value = "",
        hide_default_value = true
    )]
    hide: Hidden,
    /// Further host names, separated by commas, to which the viewer answers while haproxy does not
    /// show the page; localhost and loopback addresses always work
    #[arg(
        long,
        value_name = "NAMES",
        env = "FOREVER200_VIEWER_HOSTS",
        default_value = "",
        hide_default_value = true
    )]
    viewer_hosts: Names,
    /// Folder of the history, or `off`
    #[arg(
        long,
        value_name = "FOLDER",
        env = "FOREVER200_HISTORY",
        default_value = "off",
        global = true
    )]
    history: HistoryFolder,
    /// Largest size of the history, in bytes; at this size the oldest requests are deleted
    #[arg(
        long,
        value_name = "BYTES",
        env = "FOREVER200_HISTORY_BYTES",
        default_value_t = 536_870_912,
        value_parser = clap::value_parser!(u64).range(4_194_304..)
    )]
    history_bytes: u64,
    /// Where to write a line of JSON for each request: `off`, `stdout`, or the path of a file,
    /// reopened on SIGHUP
    #[arg(
        long,
        value_name = "WHERE",
        env = "FOREVER200_CAPTURES",
        default_value = "off"
    )]
    captures: Target,
    /// Include the bytes of each request in its line, as base64
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_CAPTURES_RAW",
        default_value = "on"
    )]
    captures_raw: Switch,
    /// Whether haproxy shows the page; with anything but `on`, `1` or `true`, the viewer answers
    /// only to its own host names, because a page that is not public needs protection from other
    /// websites
    #[arg(
        long,
        value_name = "SWITCH",
        env = "FOREVER200_PAGE",
        default_value = "on"
    )]
    page: String,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask for /home/health (through haproxy if it shows the page), and check that the responder
    /// accepts connections; exit with 0 if both answer
    Health(Health),
    /// Say what raw requests are, without a server
    Identify(Identify),
    /// Delete from the history, also while the viewer runs
    Forget(Forget),
    /// Copy the history into a file, also while the viewer runs
    Backup(Backup),
}

fn main() -> anyhow::Result<ExitCode> {
    let args: Args = parse();
    match args.command {
        Some(Command::Health(what)) => check_health(&what, args.listen),
        Some(Command::Identify(what)) => {
            identify::run(&given_or_built_in(args.signatures), &what).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Forget(what)) => with_history(&args.history, |folder| {
            forget::run(folder, &what, &given_or_built_in(args.signatures))
        }),
        Some(Command::Backup(what)) => {
            with_history(&args.history, |folder| backup::run(folder, &what))
        }
        None => run_viewer(args).map(|()| ExitCode::SUCCESS),
    }
}

/// Runs `work` on the history's folder. If the history is off, prints an error and returns exit
/// status 2, as for a bad value of a flag.
fn with_history(
    history: &HistoryFolder,
    work: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let Some(folder) = &history.0 else {
        eprintln!(
            "error: the history is off. Name its folder with --history or FOREVER200_HISTORY"
        );
        return Ok(ExitCode::from(2));
    };
    work(folder).map(|()| ExitCode::SUCCESS)
}

/// Checks the health. `docker inspect` shows the line on stderr of a failed check.
fn check_health(what: &Health, viewer: SocketAddr) -> anyhow::Result<ExitCode> {
    let mut runtime = runtime::Builder::new_current_thread();
    let checked = runtime
        .enable_all()
        .build()?
        .block_on(health_check::check(what, viewer));
    Ok(match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unhealthy: {error:#}");
            ExitCode::FAILURE
        }
    })
}

/// Runs the viewer on one thread, because nearly all its tasks are short. Two threads would take
/// more memory and a third more CPU time.
fn run_viewer(args: Args) -> anyhow::Result<()> {
    let mut runtime = runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .max_blocking_threads(THREADS)
        .on_thread_start(lower_priority)
        .build()?
        .block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    start_logging(&args.log);
    raise_file_limit();
    let shutdown = shutdown_signal()?;
    let listener =
        listen(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    let history = args.history.0.as_deref();
    let history = history.map(|folder| History::open(folder, args.history_bytes));
    let history = history.transpose()?.map(Arc::new);
    let (labeller, locations) = (
        given_or_built_in(args.signatures),
        Locations::open(&args.locations),
    );
    let privacy = Privacy {
        mask_sources: args.mask_sources == Switch::On,
        hidden: args.hide,
    };
    let captures = start_captures(args.captures, args.captures_raw)?;
    let hosts = Hosts::new(
        args.listen,
        switch("page", &args.page) == Ok(true),
        &args.viewer_hosts,
    );
    // As a task: each wake of the runtime's first future would cost a system call.
    tokio::spawn(run(
        listener,
        Store::new(args.memcached),
        Describer {
            labeller,
            locations,
            privacy,
        },
        history,
        captures,
        hosts,
        shutdown,
    ))
    .await?
}

/// Starts the thread that writes lines. SIGHUP reopens their file. Without a file, SIGHUP keeps its
/// default and ends the program.
fn start_captures(target: Target, raw: Switch) -> anyhow::Result<Option<Captures>> {
    let is_file = matches!(target, Target::File(_));
    let captures = Captures::start(target, raw == Switch::On)?;
    if let Some(captures) = captures.clone().filter(|_| is_file) {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                info!("SIGHUP, the file of the lines is opened anew");
                captures.reopen();
            }
        });
    }
    Ok(captures)
}

/// Reads a file of signatures. An error has the line and the reason, as for any bad value of a
/// flag.
fn labeller(path: &str) -> Result<Arc<Labeller>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Labeller::with(&text)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

fn given_or_built_in(given: Option<Arc<Labeller>>) -> Arc<Labeller> {
    given.unwrap_or_else(|| Arc::new(Labeller::built_in()))
}
