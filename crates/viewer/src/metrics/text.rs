//! The text format of Prometheus, which every scraper reads.
//!
//! In: metrics. Out: text. The library writes OpenMetrics, a similar format, in which the name of a
//! counter differs from that of its values:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use crate::metrics::counters::Counters;
use crate::metrics::gauges::{self, Now};

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The beginning of each metric's name.
const PREFIX: &str = "forever200";

/// Returns all metrics as text.
///
/// # Errors
/// A value cannot be written. This does not happen with the metrics here.
pub(crate) fn exposition(counters: &Counters, now: &Now<'_>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    counters.register(&mut registry);
    let mut current = Registry::with_prefix(PREFIX);
    gauges::register(&mut current, now);
    let mut open_metrics = String::new();
    encode_registry(&mut open_metrics, &current)?;
    encode_registry(&mut open_metrics, &registry)?;
    Ok(for_prometheus(&open_metrics))
}

/// Turns OpenMetrics into the format of Prometheus: HELP and TYPE lines of counters and infos get
/// the names of their values.
fn for_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 512);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of;
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap_or((of, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let help = help.strip_prefix(name).unwrap_or_default().trim();
            let help = help.trim_end_matches('.');
            text.push_str(&format!(
                "# HELP {name}{suffix} {help}.\n# TYPE {name}{suffix} {kind}\n"
            ));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_names_of_their_values() {
        let open_metrics = "# HELP a_b Things.\n# TYPE a_b counter\na_b_total{x=\"y\"} 1\n\
             # HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
             # HELP a_up Up.\n# TYPE a_up gauge\na_up 1\n";
        let expected = "# HELP a_b_total Things.\n# TYPE a_b_total counter\na_b_total{x=\"y\"} 1\n\
             # HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
             # HELP a_up Up.\n# TYPE a_up gauge\na_up 1\n";
        assert_eq!(for_prometheus(open_metrics), expected);
    }
}
