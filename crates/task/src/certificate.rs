//! The statistical promise and its status. Only a certified one lets a small model answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Sha256Hex;
use crate::names::Label;
use crate::quality::{JudgeModel, Likeness, Metric, Quality, Tests};
use crate::target::{Guarantee, Risk};

/// What a promise is worth at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Proved on fresh data: small models may answer.
    Certified,
    /// The data don't suffice to tell.
    Underpowered,
    /// The models are too often wrong even where they are surest.
    Infeasible,
    /// It would cost more than it saves.
    Uneconomic,
    /// Something it is bound to has changed.
    Stale,
    /// The audits say that it no longer holds.
    Alarmed,
    /// Nobody has tried.
    #[default]
    None,
}

impl Status {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certified => "certified",
            Self::Underpowered => "underpowered",
            Self::Infeasible => "infeasible",
            Self::Uneconomic => "uneconomic",
            Self::Stale => "stale",
            Self::Alarmed => "alarmed",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A promise about one release, its evidence, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What it is worth.
    pub status: Status,
    /// Which error is bounded.
    pub risk: Risk,
    /// What counts as bad.
    pub guarantee: Guarantee,
    /// Whether it is about records: then one wrong field makes an answer wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub records: bool,
    /// When a free text counts as right, where it is about such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The largest error promised.
    pub alpha: f64,
    /// How likely the promise fails, over the draw of the certification sample, all looks together.
    pub delta: f64,
    /// Which look at the data this was, from 1.
    pub look: u32,
    /// What this look may spend of delta.
    pub delta_spent: f64,
    /// Certification rows.
    pub n: u64,
    /// Of these, answered small at the chosen thresholds.
    pub accepted: u64,
    /// Of the accepted, bad.
    pub bad: u64,
    /// Upper confidence bound on the bounded risk at the chosen thresholds (Clopper-Pearson at `delta_spent`); `None`
    /// where nothing was accepted.
    pub bound: Option<f64>,
    /// Selective error's two-sided interval at level `delta` (Clopper-Pearson), shown beside a joint certificate too.
    pub selective_interval: Option<(f64, f64)>,
    /// How many more labels would be needed, where that is what is missing.
    pub more_labels: Option<u64>,
    /// Why it isn't certified, in a sentence; or a qualification, such as rows treated as independent.
    pub note: Option<String>,
    /// What is promised of each category that must not be missed, with its evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall: Vec<PromisedRecall>,
    /// What it dies with.
    pub binding: Binding,
}

/// Of the texts that belong to a category, at most `max_missed` are answered small without it: proved together with the
/// error, by an exact binomial test with n = the category's certification rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromisedRecall {
    /// The category.
    pub label: Label,
    /// The largest share promised.
    pub max_missed: f64,
    /// Certification rows that belong to it.
    pub positives: u64,
    /// Of these, answered small without it, at the chosen thresholds.
    pub missed: u64,
    /// Of these, answered small with it.
    pub flagged: u64,
    /// Upper confidence bound on the share missed (Clopper-Pearson at `delta_spent`); `None` without positives.
    pub bound: Option<f64>,
}

impl PromisedRecall {
    /// The promise in one sentence, without its confidence.
    pub fn sentence(&self) -> String {
        let Self { label, max_missed, positives, missed, flagged, .. } = self;
        format!(
            "of what is {label}, at least {} is flagged or escalated: {} of {} missed, {} flagged",
            percent(1.0 - max_missed),
            count(*missed),
            count(*positives),
            count(*flagged)
        )
    }
}

/// What a certificate is bound to: when any of these changes, it is stale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Each rung's weights, calibrator and threshold.
    pub rungs: Option<Sha256Hex>,
    /// The set of labels.
    pub labels: Option<Sha256Hex>,
    /// The large model's name and prompt, where the guarantee speaks of its answers.
    pub prompt: Option<Sha256Hex>,
    /// Who judged its texts, by whatever the verdicts depend on ([`Judge::identity`](crate::Judge::identity)); `None` where nobody
    /// had to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Sha256Hex>,
    /// The ordinary calls that the task listed when it was certified; `None` where it listed none, or was certified before
    /// there were such lists: then no ordinary call is answered small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Sha256Hex>,
    /// Raised when features, scores or decoding change.
    pub scorer_version: u32,
}

impl Certificate {
    /// Whether small models may answer under it.
    pub fn allows_small_answers(&self) -> bool {
        self.status == Status::Certified
    }

    /// Share of the certification rows that were accepted; `None` without rows.
    pub fn coverage(&self) -> Option<f64> {
        (self.n > 0).then(|| self.accepted as f64 / self.n as f64)
    }

    /// The promise in one sentence for a manager.
    pub fn sentence(&self) -> String {
        let mut said = self.about_errors();
        let least = self.recall.iter().map(|recall| 1.0 - recall.max_missed).reduce(f64::min);
        if let Some(least) = least.filter(|_| self.allows_small_answers()) {
            said.push_str(&format!(
                "; and of each category at least {} is flagged or escalated",
                percent(least)
            ));
        }
        said
    }

    /// What a text is that isn't good enough.
    fn below_quality(&self) -> Option<String> {
        let beside = match self.guarantee {
            Guarantee::Gold => "the right text",
            Guarantee::Agreement => "the large model's",
            Guarantee::Harm => "the right text where the large model's would not",
        };
        Some(match self.quality.as_ref()? {
            Quality::Alike(Likeness { metric: Metric::Exact, .. }) => format!("differ from {beside}"),
            Quality::Alike(Likeness { metric, least }) => {
                format!("stay below {metric} {least} beside {beside}")
            }
            Quality::Judged { judge: JudgeModel { model, least, .. } } => {
                format!("get less than {least} from the judge {model} beside {beside}")
            }
            Quality::Tested { tests: Tests { command, .. } } => {
                format!("fail `{}` beside {beside}", command.join(" "))
            }
        })
    }

    fn about_errors(&self) -> String {
        let alpha = percent(self.alpha);
        let sure = percent(1.0 - self.delta);
        let (n, accepted, bad) = (count(self.n), count(self.accepted), count(self.bad));
        let (answers, gives) = if self.records { ("records", "fills") } else { ("answers", "gives") };
        if let Some(wrong) = self.below_quality().filter(|_| self.status == Status::Certified) {
            return match self.risk {
                Risk::Selective => format!(
                    "of the texts it writes, at most {alpha} {wrong}, with {sure} confidence: {bad} of {accepted}"
                ),
                Risk::Joint => format!(
                    "of all requests, at most {alpha} get a small text that would {wrong}, with {sure} confidence: {bad} of {n} ({accepted} answered)"
                ),
            };
        }
        let wrong = match (self.guarantee, self.records) {
            (Guarantee::Gold, false) => "are wrong",
            (Guarantee::Gold, true) => "have a wrong field",
            (Guarantee::Agreement, false) => "differ from the large model's",
            (Guarantee::Agreement, true) => "have a field that differs from the large model's",
            (Guarantee::Harm, false) => "are wrong where the large model would have been right",
            (Guarantee::Harm, true) => "have a wrong field where the large model would have been right",
        };
        match (self.status, self.risk) {
            (Status::Certified, Risk::Selective) => {
                format!(
                    "of the {answers} it {gives}, at most {alpha} {wrong}, with {sure} confidence: {bad} of {accepted}"
                )
            }
            (Status::Certified, Risk::Joint) => format!(
                "of all requests, at most {alpha} get a small answer that {}, with {sure} confidence: {bad} of {n} ({accepted} answered)",
                match self.guarantee {
                    Guarantee::Gold => "is wrong",
                    Guarantee::Agreement => "differs from the large model's",
                    Guarantee::Harm => "is wrong where the large model would have been right",
                }
            ),
            (Status::Underpowered, _) => match self.more_labels {
                Some(more) => format!(
                    "not enough evidence yet for {alpha} at {sure} confidence: about {more} more labelled rows would settle it"
                ),
                None => format!("not enough evidence yet for {alpha} at {sure} confidence"),
            },
            (Status::Infeasible, _) => {
                format!("the small models are wrong more often than {alpha} even where they are surest")
            }
            (Status::Uneconomic, _) => {
                "the promise could be kept, but it would cost more than it saves".to_owned()
            }
            (Status::Stale, _) => "something the promise is bound to has changed; certify again".to_owned(),
            (Status::Alarmed, _) => {
                "audits say that the promise no longer holds; everything goes to the large model".to_owned()
            }
            (Status::None, _) => "nothing has been certified".to_owned(),
        }
    }
}

/// A number with thousands separators: `8,622`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A share as a percentage with no more digits than it needs: `5%`, `2.5%`.
pub fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_percentages_no_idle_digits() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        for (share, text) in [(0.05, "5%"), (0.025, "2.5%"), (0.9995, "99.95%"), (1.0, "100%")] {
            assert_eq!(percent(share), text);
        }
    }
}
