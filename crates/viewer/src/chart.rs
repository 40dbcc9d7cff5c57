//! Numbers to charts: bars that the server draws.

use serde::Serialize;

/// Height of a chart, in its own units; a bar is one unit wide.
const CHART_HEIGHT: u64 = 24;

/// A chart of bars, one unit wide each.
#[derive(Debug, Serialize)]
pub struct Chart {
    /// Bars, as the `d` of an SVG path.
    path: String,
    width: usize,
    height: u64,
    highest: u64,
}

impl Chart {
    /// Draws values, the first one leftmost.
    #[must_use]
    pub fn new(values: &[u64]) -> Self {
        let highest = values.iter().copied().max().unwrap_or_default();
        let mut path = String::new();
        for (x, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            // At least one unit: a single request is seen beside a thousand.
            let height = (u128::from(value) * u128::from(CHART_HEIGHT) / u128::from(highest)).max(1);
            path.push_str(&format!("M{x} {CHART_HEIGHT}v-{height}h.8v{height}z"));
        }
        Self { path, width: values.len(), height: CHART_HEIGHT, highest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_shows_each_value_that_is_not_zero() {
        let chart = Chart::new(&[0, 1, 48_000, 24_000]);
        assert_eq!(chart.path, "M1 24v-1h.8v1zM2 24v-24h.8v24zM3 24v-12h.8v12z");
        assert_eq!((chart.width, chart.highest), (4, 48_000));
        assert_eq!(Chart::new(&[0, 0]).path, "");
        assert_eq!(Chart::new(&[u64::MAX]).path, "M0 24v-24h.8v24z");
    }
}
