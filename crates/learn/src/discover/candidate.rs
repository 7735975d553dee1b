//! A candidate task: what a log says about one sort of work. Shares are in [0, 1], money is in micro-units.

use serde::Serialize;
use sprat_stats::interval::{Estimate, Interval};
use sprat_task::task::InputRule;
use sprat_task::{Kind, Money};

use super::closed::LabelCount;
use super::shape::LabelPlace;

/// One sort of work in a log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// A name for it, fit for a task file.
    pub name: String,
    /// The sort of work, going by its answers.
    pub kind: Kind,
    /// The first system prompt of its calls; `None` where they have none.
    pub system_prompt: Option<String>,
    /// What every system prompt of its calls contains, and those of other candidates do not: the rule that tells its
    /// calls apart. `None` where there is no such text.
    pub matches: Option<String>,
    /// Where the text to answer is.
    pub input: InputRule,
    /// Calls and rows.
    pub volume: Volume,
    /// The models that answered, most calls first.
    pub models: Vec<(String, u64)>,
    /// Tokens and money.
    pub spend: Spend,
    /// How much the answers vary.
    pub output: Diversity,
    /// Where the label is in an answer, where there are labels.
    pub label_place: Option<LabelPlace>,
    /// The labels, commonest first; empty where the answers are no closed set.
    pub labels: Vec<LabelCount>,
    /// Answers that are no label: given only once, or refusals and the like. A draft leaves their rows out.
    pub left_out: Vec<LabelCount>,
    /// Whether an answer may give several labels.
    pub multi: bool,
    /// The label that seems to mean "none of these".
    pub out_of_scope: Option<String>,
    /// The fields of a JSON answer, remarks such as `confidence` left out.
    pub fields: Vec<String>,
    /// How well small models might do; `None` where nothing could be tried.
    pub learnable: Option<Learnable>,
    /// What might be saved; `None` without a price or a probe.
    pub saving: Option<Saving>,
    /// What to do about it.
    pub verdict: Verdict,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
}

/// Calls and rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Volume {
    /// Calls in the log.
    pub calls: u64,
    /// Calls a day, over the whole log's time; `None` where the log doesn't tell, or spans less than a day.
    pub calls_per_day: Option<f64>,
    /// Calls the log says failed.
    pub failed: u64,
    /// Calls whose answer is not in the log.
    pub unanswered: u64,
    /// Calls in the middle of a conversation.
    pub several_turns: u64,
    /// Calls that were answered by calling a tool.
    pub tools: u64,
    /// Calls that ask about more than text.
    pub not_text: u64,
    /// Calls from which something can be learned: one question, all of it text, and a text that answers it.
    pub usable: u64,
    /// Different texts among these.
    pub distinct_inputs: u64,
}

/// Tokens and money.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spend {
    /// What the calls whose cost is known cost together.
    #[serde(rename = "in_log_micro_usd")]
    pub in_log: Money,
    /// The same a month (30 days) at this rate; `None` where the log doesn't tell.
    #[serde(rename = "per_month_micro_usd")]
    pub per_month: Option<Money>,
    /// Calls whose cost nobody knows. They are in no sum.
    pub calls_without_cost: u64,
    /// Tokens that went in, of the calls that report any.
    pub input_tokens: u64,
    /// Tokens that came out, of the calls that report any.
    pub output_tokens: u64,
    /// Calls that report tokens.
    pub calls_with_tokens: u64,
}

/// How much the answers vary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diversity {
    /// Different answers.
    pub distinct: u64,
    /// Different answers over all answers.
    pub distinct_share: f64,
    /// Entropy of the answers, in bits: 0 where all are the same.
    pub entropy_bits: f64,
    /// Share of the answers that is one of the five commonest.
    pub top5_share: f64,
    /// Mean length, in characters.
    pub mean_characters: f64,
}

/// How well small models might do, tried out on a sample of the log. An estimate, not a promise: only a certificate on
/// fresh rows is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Learnable {
    /// Rows tried.
    pub rows: u64,
    /// Share answered rightly by always giving the commonest answer.
    pub majority: f64,
    /// Share of texts whose nearest other text got the same answer (Wilson's interval at 95%).
    pub neighbour_agreement: Estimate,
    /// Share of rows on which a linear model that had not seen them agrees with the large one (Wilson's interval at
    /// 95%).
    pub accuracy: Estimate,
    /// The error among small answers that `answerable` is about.
    pub max_error: f64,
    /// Share of rows such a model might answer with at most that error.
    pub answerable: Estimate,
}

/// What might be saved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Saving {
    /// Whether the amounts are for a month, or for the calls of this log.
    pub per: Period,
    /// The estimate.
    #[serde(rename = "micro_usd")]
    pub amount: Money,
    /// The least and the most it might be, from the interval of the share answerable.
    #[serde(rename = "interval_micro_usd")]
    pub interval: (Money, Money),
}

/// What an amount is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A month of 30 days.
    Month,
    /// The calls in this log.
    Log,
}

/// What to do about it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub advice: Advice,
    /// Why, one sentence.
    pub reason: String,
}

/// What to do about a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// A small model would answer a good part of it.
    LearnIt,
    /// Too few rows to tell.
    MoreRows,
    /// Not work for a small model, or not worth it.
    KeepLarge,
}

impl Advice {
    /// The advice in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::LearnIt => "learn it",
            Self::MoreRows => "maybe: more rows",
            Self::KeepLarge => "keep the large model",
        }
    }
}

impl Diversity {
    /// Of the numbers of times that distinct answers were given, most often first.
    pub(super) fn of(counts: &[u64], characters: u64) -> Self {
        let all: u64 = counts.iter().sum();
        let share = |count: u64| count as f64 / all.max(1) as f64;
        Self {
            distinct: counts.len() as u64,
            distinct_share: share(counts.len() as u64),
            entropy_bits: counts
                .iter()
                .map(|count| -share(*count) * share(*count).log2())
                .sum::<f64>()
                .max(0.0),
            top5_share: share(counts.iter().take(5).sum()),
            mean_characters: share(characters),
        }
    }
}

impl Spend {
    /// Both together.
    pub(super) fn plus(self, other: &Self) -> Self {
        let month = self.per_month.into_iter().chain(other.per_month).reduce(|a, b| a + b);
        Self {
            in_log: self.in_log + other.in_log,
            per_month: month,
            calls_without_cost: self.calls_without_cost + other.calls_without_cost,
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            calls_with_tokens: self.calls_with_tokens + other.calls_with_tokens,
        }
    }

    /// The money that this share of the calls costs.
    pub(super) fn part(&self, share: f64) -> Self {
        let part = |all: Money| Money::from_units(all.units() * share).unwrap_or_default();
        Self { in_log: part(self.in_log), per_month: self.per_month.map(part), ..self.clone() }
    }
}

impl Saving {
    /// What answering this share of the work small would save: a local answer costs nothing a call.
    pub(super) fn of(spend: &Spend, answerable: &Estimate) -> Option<Self> {
        let (per, all) = match spend.per_month {
            Some(month) => (Period::Month, month),
            None => (Period::Log, spend.in_log),
        };
        let part = |share: f64| Money::from_units(all.units() * share).unwrap_or_default();
        let Interval { lower, upper } = answerable.interval;
        (all > Money::ZERO).then(|| Self {
            per,
            amount: part(answerable.value),
            interval: (part(lower), part(upper)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diversity_is_counted_out() {
        let found = Diversity::of(&[4, 2, 1, 1], 80);
        assert_eq!((found.distinct, found.distinct_share, found.top5_share), (4, 0.5, 1.0));
        assert!((found.entropy_bits - 1.75).abs() < 1e-12, "{}", found.entropy_bits);
        assert_eq!(found.mean_characters, 10.0);
        assert_eq!(Diversity::of(&[7], 7).entropy_bits, 0.0);
        assert_eq!(Diversity::of(&[], 0), Diversity::default());
    }

    #[test]
    fn a_saving_is_a_part_of_what_is_known_to_be_spent() {
        let answerable = Estimate { value: 0.5, interval: Interval { lower: 0.25, upper: 1.0 } };
        let in_log = Money::from_micro(1_000);
        let log = Spend { in_log, ..Spend::default() };
        let month = Spend { per_month: Some(in_log.times(10)), ..log.clone() };
        let saving = Saving::of(&log, &answerable).expect("a price is known");
        assert_eq!((saving.per, saving.amount.micro()), (Period::Log, 500));
        assert_eq!((saving.interval.0.micro(), saving.interval.1.micro()), (250, 1_000));
        assert_eq!(Saving::of(&month, &answerable).map(|saving| saving.amount.micro()), Some(5_000));
        assert_eq!(Saving::of(&Spend::default(), &answerable), None);
    }
}
