//! Which kinds a visitor wants to see, and in which order.
//!
//! In: the conditions of a query. Out: whether a kind matches. A condition that makes no sense for
//! kinds, such as a source, is refused. If it were ignored, a visitor would think that all kinds
//! meet it.

use std::cmp::Reverse;

use forever200_identify::Category;
use serde::{Deserialize, Serialize};

use crate::history::WantedCategory;
use crate::history::kinds::KindRow;
use crate::page::collection::known::KnownLabel;
use crate::page::filter::{AskedCondition, Field, FilterQuery, category};
use crate::page::sources::UNSAID;
use crate::reader::privacy::TitleShown;

/// Parameters of the collection, besides those of the filter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CollectionQuery {
    sort: String,
    page: String,
}

/// The order of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sort {
    /// First the kind with the fewest requests.
    #[default]
    Rare,
    /// First the kind that was seen for the first time most recently.
    New,
    /// First the kind with the most requests.
    Often,
    /// First the kind whose weakness became known the earliest.
    Oldest,
}

impl Sort {
    /// All orders.
    pub(crate) const ALL: [Self; 4] = [Self::Rare, Self::New, Self::Often, Self::Oldest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rare => "rare",
            Self::New => "new",
            Self::Often => "often",
            Self::Oldest => "oldest",
        }
    }

    /// Sorts kinds in this order. Kinds with a label come before the others.
    pub(crate) fn apply(self, kinds: &mut [Candidate<'_>]) {
        kinds.sort_by_key(|it| {
            let row = it.row;
            let rank = match self {
                Self::Rare => row.requests,
                Self::New => 0,
                Self::Often => u64::MAX - row.requests,
                Self::Oldest => it.label.and_then(|it| it.year).map_or(u64::MAX, u64::from),
            };
            (
                row.category.is_none(),
                rank,
                Reverse(row.first),
                Reverse(row.id),
            )
        });
    }
}

/// A kind, with what is known of its label now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) row: &'a KindRow,
    pub(crate) label: Option<&'a KnownLabel>,
}

impl<'a> Candidate<'a> {
    /// Returns the title of the label or, if the kind has no label, the title in the history.
    pub(crate) fn title(&self) -> &'a str {
        match self.label {
            Some(label) => &label.title,
            None if self.row.title_shown == TitleShown::Whole => &self.row.title,
            None => UNSAID,
        }
    }

    /// Returns its main category; `None` without a label, or if there is no category of that name
    /// any more.
    pub(crate) fn category(&self) -> Option<Category> {
        if let Some(label) = self.label {
            return Some(label.category);
        }
        let kept = self.row.category.as_deref()?;
        Category::ALL.into_iter().find(|it| it.name() == kept)
    }
}

/// What a visitor wants to see.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    tests: Vec<(Test, bool)>,
    /// The countries that are asked for. `Test::Country` is an index into them.
    pub(crate) countries: Vec<String>,
    pub(crate) sort: Sort,
    /// The number of the page, from 1.
    pub(crate) page: usize,
}

#[derive(Debug)]
enum Test {
    /// In lower case.
    Text(String),
    Category(WantedCategory),
    Label(String),
    Cve(String),
    Country(usize),
}

impl Choice {
    /// Reads a query.
    ///
    /// # Errors
    /// A condition is not for kinds, or a value cannot be read; the error is a sentence for the
    /// visitor.
    pub(crate) fn new(filter: &FilterQuery, query: &CollectionQuery) -> Result<Self, String> {
        let mut choice = Self {
            sort: sort(&query.sort)?,
            page: page(&query.page)?,
            ..Self::default()
        };
        for condition in filter.conditions() {
            if let Some(test) = choice.test(condition)? {
                choice.tests.push((test, condition.excludes));
            }
        }
        Ok(choice)
    }

    /// Reads one condition; `None` if all kinds meet it.
    fn test(&mut self, condition: &AskedCondition) -> Result<Option<Test>, String> {
        let value = condition.value.trim();
        if value.is_empty() {
            return Ok(None);
        }
        Ok(Some(match condition.field {
            Field::Text => Test::Text(value.to_lowercase()),
            Field::Category => Test::Category(category(value)?),
            Field::Label => Test::Label(value.to_owned()),
            Field::Cve => Test::Cve(value.to_owned()),
            Field::Country => {
                self.countries.push(value.to_owned());
                Test::Country(self.countries.len() - 1)
            }
            other => {
                return Err(format!(
                    "{}: unknown condition for kinds; expected q, category, label, cve or country",
                    other.name()
                ));
            }
        }))
    }

    /// Tells whether a kind meets all conditions.
    pub(crate) fn is_met_by(&self, kind: &Candidate<'_>) -> bool {
        self.tests
            .iter()
            .all(|(test, excludes)| test.is_met_by(kind) != *excludes)
    }
}

impl Test {
    fn is_met_by(&self, kind: &Candidate<'_>) -> bool {
        match self {
            Self::Text(wanted) => has_text(kind, wanted),
            Self::Category(WantedCategory::Unrecognised) => kind.row.category.is_none(),
            Self::Category(WantedCategory::Labelled(category)) => match kind.label {
                Some(label) => label.categories().any(|it| it == *category),
                None => kind.category() == Some(*category),
            },
            Self::Label(id) => kind.row.name == *id,
            Self::Cve(wanted) => match kind.label {
                Some(label) => label.cve.iter().any(|cve| cve.eq_ignore_ascii_case(wanted)),
                None => false,
            },
            Self::Country(number) => kind.row.sent_from.get(*number) == Some(&true),
        }
    }
}

/// Tells whether a text of a kind contains `wanted`, which is in lower case.
fn has_text(kind: &Candidate<'_>, wanted: &str) -> bool {
    let mut texts = vec![kind.title(), &kind.row.name];
    if let Some(label) = kind.label {
        for cve in &label.cve {
            texts.push(cve);
        }
        texts.extend(label.product.as_deref());
    }
    texts
        .iter()
        .any(|text| text.to_lowercase().contains(wanted))
}

fn sort(name: &str) -> Result<Sort, String> {
    if name.is_empty() {
        return Ok(Sort::default());
    }
    for sort in Sort::ALL {
        if sort.name() == name {
            return Ok(sort);
        }
    }
    Err("sort: expected rare, new, often or oldest".to_owned())
}

fn page(number: &str) -> Result<usize, String> {
    if number.is_empty() {
        return Ok(1);
    }
    match number.parse() {
        Ok(page) if page > 0 => Ok(page),
        _ => Err("page: expected a number from 1".to_owned()),
    }
}
