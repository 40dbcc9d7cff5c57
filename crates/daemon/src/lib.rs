//! What all programs need besides their own work: flags, logs, limits, signals.
//!
//! In: the command line, the environment, SIGTERM and SIGINT. Out: parsed flags, a logger on
//! stderr, a future that ends when the program should stop. `listening` binds sockets.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParserFactory};
use clap::{Arg, Args, Command, Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

mod listening;

pub use listening::{BACKLOG, listen};

/// Longest wait, after the signal to stop, for what is in flight.
pub const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Where the responder listens by default; the health check has the same default.
pub const RESPONDER_LISTEN: &str = "127.0.0.1:9999";

/// The flags of logging, the same for all programs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What to log: a level, or a filter such as `info,forever200_responder=debug`
    #[arg(long, value_name = "FILTER", env = "FOREVER200_LOG", default_value = "info", value_parser = filter)]
    log: String,
    /// How to log to stderr
    #[arg(
        long,
        value_name = "FORMAT",
        env = "FOREVER200_LOG_FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// How much of each request a responder or a hub keeps.
#[derive(Args, Clone, Copy, Debug)]
pub struct RequestBytesArgs {
    /// Bytes of a request that are kept; what is longer is marked as truncated
    #[arg(long, value_name = "BYTES", env = "FOREVER200_MAX_REQUEST_BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_request_bytes: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// A switch that is written `on` or `off`, `1` or `0`, or `true` or `false`, in any case.
///
/// haproxy.cfg has the same words for its own switches. The type is no `ValueEnum`, because clap
/// would prefer that to the parser below, and would ignore case only where each flag says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `on`, `1` or `true`.
    On,
    /// `off`, `0` or `false`.
    Off,
}

impl ValueParserFactory for Switch {
    type Parser = SwitchParser;

    fn value_parser() -> SwitchParser {
        SwitchParser
    }
}

/// Reads a [`Switch`].
#[derive(Clone, Debug)]
pub struct SwitchParser;

impl SwitchParser {
    fn values() -> [PossibleValue; 2] {
        [
            PossibleValue::new("on").aliases(["1", "true"]),
            PossibleValue::new("off").aliases(["0", "false"]),
        ]
    }
}

impl TypedValueParser for SwitchParser {
    type Value = Switch;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Switch, clap::Error> {
        let lower = value.to_ascii_lowercase();
        let word =
            PossibleValuesParser::new(Self::values()).parse_ref(command, argument, &lower)?;
        match &*word {
            "on" | "1" | "true" => Ok(Switch::On),
            _ => Ok(Switch::Off),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Self::values().into_iter()))
    }
}

/// The folder of the history; `None` for `off`, `0` or `false`, in any case, or an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFolder(pub Option<PathBuf>);

impl FromStr for HistoryFolder {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Self, Infallible> {
        let is_off = ["off", "0", "false", ""].contains(&&*value.to_ascii_lowercase());
        Ok(Self((!is_off).then(|| value.into())))
    }
}

/// Parses the command line. A flag overrides its environment variable, which overrides the default.
///
/// Ends the process with status 0 after `--help` and `--version`, and with status 2 and one line on
/// stderr after a bad flag or variable.
#[must_use]
pub fn parse<A: Parser>() -> A {
    A::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            let text = error.render().to_string();
            let reason = text
                .lines()
                .map(str::trim)
                .take_while(|line| !line.is_empty());
            eprintln!("{}", reason.collect::<Vec<_>>().join(" "));
            std::process::exit(2);
        }
        error.exit()
    })
}

/// Returns the value if it is `host:port`, as memcached's address is written.
///
/// # Errors
/// There is no host, or the port is no number from 1 to 65535.
pub fn host_port(value: &str) -> Result<String, String> {
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0) => {
            Ok(value.to_owned())
        }
        _ => Err("expected host:port".to_owned()),
    }
}

fn filter(value: &str) -> Result<String, String> {
    EnvFilter::try_new(value)
        .map(|_| value.to_owned())
        .map_err(|error| error.to_string())
}

/// Starts the logger on stderr.
pub fn start_logging(args: &LogArgs) {
    // At `trace`, h2 would log what a client sent. async_nats logs each attempt to connect.
    let filter = EnvFilter::try_new(format!("{},h2=off,async_nats=off", args.log))
        .expect("the filter was parsed with the flags");
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => logger.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => logger.json().flatten_event(true).init(),
    }
}

/// Raises the soft limit of open files to the hard one, as haproxy does for itself.
///
/// The usual soft limit, 1,024, is for programs that use `select`; here every connection is a file.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft = limit.current, "cannot raise the limit of open files");
    }
}

/// Returns a future that ends with the first SIGTERM or SIGINT.
///
/// The handlers are installed by the call, not by the first poll, so that no signal is missed at
/// the start.
///
/// # Errors
/// The operating system refuses to install the handlers.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM, stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT, stopping"),
        }
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[arg(long)]
        switch: Switch,
    }

    #[test]
    fn a_switch_has_three_words_for_each_side_in_any_case() {
        for (words, switch) in [
            (["on", "1", "true", "On", "TRUE"], Switch::On),
            (["off", "0", "false", "oFF", "False"], Switch::Off),
        ] {
            for word in words {
                let program = Program::try_parse_from(["program", "--switch", word]).unwrap();
                assert_eq!(program.switch, switch, "{word}");
            }
        }
        for word in ["", "yes", "onn", "2"] {
            let error = Program::try_parse_from(["program", "--switch", word]);
            let text = error.err().unwrap().to_string();
            assert!(text.contains("[possible values: on, off]"), "{text}");
        }
    }

    #[tokio::test]
    async fn three_hundred_may_wait_until_they_are_accepted() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for number in 0..300 {
            let connected = timeout(Duration::from_millis(500), TcpStream::connect(address)).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("{number} wait already")));
        }
    }
}
