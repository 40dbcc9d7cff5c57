//! Rows for docs/reliability.md.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

/// Returns how often a fault is tried: `FAULT_ROUNDS`, or 2 without it.
#[must_use]
pub fn rounds() -> usize {
    std::env::var("FAULT_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2)
}

/// Tells whether faults last as long as docs/reliability.md says. Otherwise they are as short as
/// possible.
#[must_use]
pub fn at_length() -> bool {
    std::env::var_os("FAULT_ROUNDS").is_some()
}

/// Prints a row of a table, and adds it to the file `FAULT_REPORT`, if there is one.
pub fn row(table: &str, cells: &[&dyn Display]) {
    let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
    let row = format!("{table}: | {} |", cells.join(" | "));
    println!("{row}");
    let file = std::env::var_os("FAULT_REPORT").map(|file| {
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
    });
    if let Some(Ok(mut file)) = file {
        let _ = writeln!(file, "{row}");
    }
}

/// Returns a time as text for a reader.
#[must_use]
pub fn milliseconds(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
        1..10_000 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
