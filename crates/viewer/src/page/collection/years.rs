//! Weaknesses by the year in which they became known, as a strip of dots.

use std::collections::BTreeMap;

use serde::Serialize;

/// Most dots above each other. If a year has more weaknesses, each dot is for several of them.
const MOST_DOTS: usize = 10;
/// Width of a year and height of a dot, in the units of the drawing.
const PITCH: usize = 10;
/// Most years that are drawn, the last ones. A user's own signature may name any year.
const MOST_YEARS: u16 = 40;
/// Fewest years that are drawn, up to the last one. With fewer, each dot would be huge.
const LEAST_YEARS: u16 = 25;

/// The strip.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Years {
    columns: Vec<Column>,
    width: usize,
    height: usize,
    first: u16,
    last: u16,
    /// Most weaknesses that one dot is for.
    of_dot: usize,
    /// All years and their numbers, in words.
    words: String,
}

/// The dots of a year, as the `d` of an SVG path whose ends are round.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Column {
    year: u16,
    count: usize,
    path: String,
}

impl Years {
    /// Draws how many weaknesses became known in each year; `None` if there are none.
    pub(crate) fn new(years: impl Iterator<Item = u16>) -> Option<Self> {
        let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
        for year in years {
            *counts.entry(year).or_default() += 1;
        }
        let last = *counts.keys().next_back()?;
        counts.retain(|&year, _| year > last.saturating_sub(MOST_YEARS));
        let first = *counts.keys().next()?;
        let first = first.min(last.saturating_sub(LEAST_YEARS - 1));
        let of_dot = counts.values().max()?.div_ceil(MOST_DOTS);
        let highest = counts.values().max()?.div_ceil(of_dot);
        let mut columns = Vec::new();
        let mut words = Vec::new();
        for (year, count) in counts {
            let x = usize::from(year - first) * PITCH + PITCH / 2;
            let mut path = String::new();
            for number in 0..count.div_ceil(of_dot) {
                let y = (highest - number) * PITCH - PITCH / 2;
                path += &format!("M{x} {y}h0");
            }
            columns.push(Column { year, count, path });
            words.push(format!("{year}: {count}"));
        }
        Some(Self {
            columns,
            width: (usize::from(last - first) + 1) * PITCH,
            height: highest * PITCH,
            first,
            last,
            of_dot,
            words: words.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weakness_is_a_dot_above_its_year() {
        let years = Years::new([2014, 2017, 2014].into_iter()).unwrap();
        assert_eq!((years.first, years.last, years.of_dot), (1993, 2017, 1));
        assert_eq!((years.width, years.height), (250, 20));
        let paths: Vec<_> = years.columns.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["M215 15h0M215 5h0", "M245 15h0"]);
        assert_eq!(years.words, "2014: 2, 2017: 1");
        assert_eq!(Years::new([].into_iter()), None);
    }

    #[test]
    fn a_strip_has_bounds() {
        let many = std::iter::repeat_n(2021, 5000).chain([0, 2020]);
        let years = Years::new(many).unwrap();
        assert_eq!((years.first, years.last, years.of_dot), (1997, 2021, 500));
        assert_eq!(years.height, 100);
        let odd = Years::new([u16::MAX, 0].into_iter()).unwrap();
        assert_eq!((odd.columns.len(), odd.width), (1, 250));
    }
}
