//! Which tasks are in a log? Calls are grouped by system prompt, schema and template, and each group is looked at as a
//! candidate: how often, how dear, how varied its answers, how learnable, and whether a small model should learn it.
//!
//! A [`Survey`] sees every call once, in constant memory but for a few bytes a distinct text; the same log in the same
//! order gives the same result. What it says of learning is an estimate on a sample of at most 2,000 rows; only
//! `sprat learn` certifies.
//!
//! | question | file |
//! |---|---|
//! | Which calls belong together? | `grouping`, `mask` |
//! | What is counted of them? | `group`, `sample`, `answers` |
//! | Where is the input, and what tells the calls apart? | `shared`, `matching` |
//! | What sort of answers are they? | `shape`, `closed`, `schema` |
//! | How well would a small model do? | `learnable` |
//! | What should be done? | `verdict`, all of it together in `assess` |
//! | What does the task file say, and which rows go with it? | `draft` |

mod answers;
mod assess;
mod candidate;
mod closed;
mod draft;
mod group;
mod grouping;
mod hash;
mod learnable;
mod mask;
mod matching;
mod name;
mod sample;
mod schema;
mod shape;
mod shared;
#[cfg(test)]
mod tests;
mod verdict;

use serde::Serialize;
use sprat_task::Problem;
use sprat_task::problem::list;

pub use candidate::{Advice, Candidate, Diversity, Learnable, Period, Saving, Spend, Verdict, Volume};
pub use closed::LabelCount;
pub use draft::Draft;
pub use shape::LabelPlace;

use assess::{candidate, spend};
use grouping::{Grouped, Grouping};
use shape::Shape;

use crate::import::Call;

const MS_PER_DAY: f64 = 86_400_000.0;
/// A rate is worth stating where at least this share of the calls has a time.
const TIMED: f64 = 0.95;

/// Takes a log's calls, one after the other.
#[derive(Default)]
pub struct Survey {
    grouping: Grouping,
    calls: u64,
    timed: u64,
    first_unix_ms: Option<i64>,
    last_unix_ms: Option<i64>,
}

/// What was found in a log.
#[derive(Debug, Serialize)]
pub struct Discovery {
    /// The log as a whole.
    pub log: LogSummary,
    /// Candidates, the dearest first.
    pub candidates: Vec<Candidate>,
    /// Calls that belong to no candidate: fewer than 20 of a sort.
    pub others: Others,
    #[serde(skip)]
    grouped: Grouped,
    /// For each candidate, its group and the form of its answers.
    #[serde(skip)]
    places: Vec<(usize, Shape)>,
}

/// The log as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogSummary {
    /// Calls.
    pub calls: u64,
    /// When the first call was made, in milliseconds since 1970.
    pub first_unix_ms: Option<i64>,
    /// When the last call was made.
    pub last_unix_ms: Option<i64>,
    /// Days between them; `None` where fewer than 95% of the calls have a time, or it is less than a day.
    pub days: Option<f64>,
    /// Tokens and money of all calls.
    pub spend: Spend,
}

/// Calls that belong to no candidate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Others {
    /// How many.
    pub calls: u64,
    /// Tokens and money.
    pub spend: Spend,
}

/// What was found in some calls; a [`Survey`] for those who have them all at hand.
pub fn discover<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Discovery {
    let mut survey = Survey::default();
    calls.into_iter().for_each(|call| survey.add(call));
    survey.finish()
}

impl Survey {
    /// Looks at the next call.
    pub fn add(&mut self, call: &Call) {
        self.calls += 1;
        if let Some(time) = call.time_unix_ms {
            self.timed += 1;
            self.first_unix_ms = Some(self.first_unix_ms.map_or(time, |first| first.min(time)));
            self.last_unix_ms = Some(self.last_unix_ms.map_or(time, |last| last.max(time)));
        }
        self.grouping.add(call);
    }

    /// What was found. Takes about a second a candidate, for the probe.
    pub fn finish(self) -> Discovery {
        let days = self.days();
        let Self { grouping, calls, first_unix_ms, last_unix_ms, .. } = self;
        let grouped = grouping.finish();
        let prompts: Vec<&str> =
            grouped.groups.iter().map(|group| group.system.example().unwrap_or_default()).collect();
        let mut found: Vec<(Candidate, (usize, Shape))> = grouped
            .groups
            .iter()
            .enumerate()
            .map(|(place, group)| {
                let shape = Shape::of(&group.answers, group.schema.as_ref());
                (candidate(group, &shape, days, &prompts), (place, shape))
            })
            .collect();
        found.sort_by_key(|(candidate, (place, _))| {
            (std::cmp::Reverse((candidate.spend.in_log, candidate.volume.calls)), *place)
        });
        let mut names: Vec<String> = Vec::new();
        for (candidate, _) in &mut found {
            candidate.name = name::unused(std::mem::take(&mut candidate.name), &names);
            names.push(candidate.name.clone());
        }
        let others = Others { calls: grouped.leftover.calls, spend: spend(&grouped.leftover, days) };
        let (candidates, places): (Vec<Candidate>, Vec<_>) = found.into_iter().unzip();
        let spends = candidates.iter().map(|candidate| &candidate.spend).chain([&others.spend]);
        let spend = spends.fold(Spend::default(), |sum, one| sum.plus(one));
        let log = LogSummary { calls, first_unix_ms, last_unix_ms, days, spend };
        Discovery { log, candidates, others, grouped, places }
    }

    fn days(&self) -> Option<f64> {
        let days = (self.last_unix_ms? as f64 - self.first_unix_ms? as f64) / MS_PER_DAY;
        (self.timed as f64 >= TIMED * self.calls as f64 && days >= 1.0).then_some(days)
    }
}

impl Discovery {
    /// The candidate of this name.
    pub fn candidate(&self, name: &str) -> Result<&Candidate, Problem> {
        self.place(name).map(|at| &self.candidates[at])
    }

    /// A task file for the candidate of this name, and the way to its rows. `large` is the name of the large model in
    /// `sprat.toml`, where there is one.
    pub fn draft(&self, name: &str, large: Option<&str>) -> Result<Draft<'_>, Problem> {
        let at = self.place(name)?;
        let (group, shape) = &self.places[at];
        Draft::new(&self.candidates[at], &self.grouped, *group, shape, large)
    }

    fn place(&self, name: &str) -> Result<usize, Problem> {
        let names = || self.candidates.iter().map(|candidate| candidate.name.as_str());
        names().position(|known| known == name).ok_or_else(|| {
            let problem = Problem::new(format!("`{name}` is not one of the candidates found in the log"));
            if self.candidates.is_empty() {
                return problem.hint("there are none: the log has fewer than 20 calls of any one sort");
            }
            problem.allowed(list(names())).did_you_mean(name, names())
        })
    }
}
