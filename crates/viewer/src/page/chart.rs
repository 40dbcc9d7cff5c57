//! Draws numbers as charts of bars.

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
            // At least one unit, so that a single request is visible beside a thousand.
            let height =
                (u128::from(value) * u128::from(CHART_HEIGHT) / u128::from(highest)).max(1);
            path.push_str(&format!("M{x} {CHART_HEIGHT}v-{height}h.8v{height}z"));
        }
        Self {
            path,
            width: values.len(),
            height: CHART_HEIGHT,
            highest,
        }
    }
}

/// A bar that is divided into parts.
#[derive(Debug, Serialize)]
pub struct Bar {
    parts: Vec<Part>,
    width: usize,
    height: u64,
}

#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    count: usize,
    x: usize,
}

impl Bar {
    /// Draws named counts one after the other, the first one leftmost.
    pub fn new(counts: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        let mut width = 0;
        let place = |(name, count)| {
            let x = width;
            width += count;
            Part { name, count, x }
        };
        Self {
            parts: counts.into_iter().map(place).collect(),
            width,
            height: CHART_HEIGHT,
        }
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

    #[test]
    fn the_parts_of_a_bar_touch() {
        let bar = Bar::new([("a", 2), ("b", 3)]);
        assert_eq!(
            bar.parts
                .iter()
                .map(|part| (part.x, part.count))
                .collect::<Vec<_>>(),
            [(0, 2), (2, 3)]
        );
        assert_eq!(bar.width, 5);
    }
}
