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
//! | What sort of answers are they? | `shape`, `schema` |
//! | How well would a small model do? | `learnable` |
//! | What should be done? | `verdict` |
//! | What does the task file say, and which rows go with it? | `draft` |

mod answers;
mod candidate;
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
use sprat_task::problem::list;
use sprat_task::{Kind, Money, Problem, Target};

pub use candidate::{Advice, Candidate, Diversity, Learnable, Period, Saving, Spend, Verdict, Volume};
pub use draft::Draft;
pub use shape::{LabelCount, LabelPlace};

use group::Group;
use grouping::{Grouped, Grouping};
use learnable::{Labelled, learnable};
use shape::Shape;

use crate::import::Call;

const MS_PER_DAY: f64 = 86_400_000.0;
const DAYS_PER_MONTH: f64 = 30.0;
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

fn candidate(group: &Group, shape: &Shape, days: Option<f64>, prompts: &[&str]) -> Candidate {
    let prompt = group.system.example().filter(|prompt| !prompt.is_empty());
    let input = group.user.input_rule();
    let mut models: Vec<(String, u64)> =
        group.models.iter().map(|(name, calls)| (name.clone(), *calls)).collect();
    models.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    let mut candidate = Candidate {
        name: name::plain_name(
            group.schema_name.as_deref(),
            &draft::instructions(prompt, &input),
            shape.kind,
        ),
        kind: shape.kind,
        system_prompt: prompt.map(str::to_owned),
        matches: matching::matching(&group.system, prompts),
        volume: volume(group, days),
        models,
        spend: spend(group, days),
        output: Diversity::of(&group.answer_counts(), group.answer_characters),
        label_place: shape.place.clone(),
        labels: shape.labels.clone(),
        left_out: shape.left_out.clone(),
        multi: shape.multi,
        out_of_scope: shape.out_of_scope().map(str::to_owned),
        fields: shape.fields.clone(),
        learnable: probe(group, shape, &input),
        input,
        saving: None,
        verdict: Verdict { advice: Advice::KeepLarge, reason: String::new() },
        notices: Vec::new(),
    };
    let answerable = candidate.learnable.as_ref().map(|learnable| &learnable.answerable);
    // What can't be learned from (failed, several turns, tools) can't be answered small either.
    let share = candidate.volume.usable as f64 / candidate.volume.calls.max(1) as f64;
    candidate.saving = answerable.and_then(|part| Saving::of(&candidate.spend.part(share), part));
    candidate.verdict = verdict::verdict(&candidate);
    candidate.notices = notices(group, &candidate);
    candidate
}

fn volume(group: &Group, days: Option<f64>) -> Volume {
    Volume {
        calls: group.calls,
        calls_per_day: days.map(|days| group.calls as f64 / days),
        failed: group.failed,
        unanswered: group.unanswered,
        several_turns: group.several_turns,
        tools: group.tools,
        not_text: group.not_text,
        usable: group.usable,
        distinct_inputs: group.distinct_inputs(),
    }
}

fn spend(group: &Group, days: Option<f64>) -> Spend {
    let month = |days: f64| Money::from_units(group.cost.units() * DAYS_PER_MONTH / days);
    Spend {
        in_log: group.cost,
        per_month: days.and_then(month).filter(|_| group.with_cost > 0),
        calls_without_cost: group.without_cost(),
        input_tokens: group.input_tokens,
        output_tokens: group.output_tokens,
        calls_with_tokens: group.with_tokens,
    }
}

fn probe(group: &Group, shape: &Shape, input: &sprat_task::task::InputRule) -> Option<Learnable> {
    if shape.kind != Kind::Classify {
        return None;
    }
    let labels: Vec<String> = shape.labels.iter().map(|label| label.label.clone()).collect();
    let rows = group.sample.rows().filter_map(|row| {
        // A text that was cut short has lost the end of its template.
        let text = input.extract(&row.text).unwrap_or(&row.text);
        Some(Labelled { text, labels: shape.labels_of(&row.answer)? })
    });
    learnable(&rows.collect::<Vec<_>>(), &labels, shape.multi, Target::default().max_error)
}

fn notices(group: &Group, candidate: &Candidate) -> Vec<String> {
    let mut notices = Vec::new();
    let left_out: u64 = candidate.left_out.iter().map(|label| label.calls).sum();
    if left_out > 0 {
        let share = 100.0 * left_out as f64 / candidate.volume.usable.max(1) as f64;
        notices.push(format!(
            "{left_out} answers ({share:.1}%) are no label (given once, or a refusal); their rows are left out, and no \
             certificate will speak for such calls"
        ));
    }
    if candidate.models.len() > 1 {
        notices.push(format!(
            "{} models answered; what is learned is a mixture of them",
            candidate.models.len()
        ));
    }
    if group.in_last_message * 2 > group.usable {
        notices.push(
            "the answers stand in the last message, as in fine-tuning files: if people wrote them, rename `large` to \
             `label` in the rows"
                .to_owned(),
        );
    }
    if group.without_cost() > 0 {
        notices.push(format!("the cost of {} calls is unknown and in no sum", group.without_cost()));
    }
    if candidate.system_prompt.is_some() && !group.system.is_constant() {
        notices.push("the system prompt varies from call to call".to_owned());
    }
    notices
}
