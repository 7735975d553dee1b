//! A task that can't be wrong: made by [`read_task`](crate::file::read_task) alone.

use serde::{Deserialize, Serialize};

use crate::extract::Field;
use crate::hash::Sha256Hex;
use crate::hole::Hole;
use crate::input::Input;
use crate::judge::{Grading, Judgements, Pair};
use crate::kind::Kind;
use crate::long::Long;
use crate::names::{Label, ModelId, TaskName};
use crate::prediction::Answer;
use crate::quality::Quality;
use crate::redact::Redaction;
use crate::target::Target;

/// What is asked: labels, instructions, who may answer, and what must be promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The file's stem.
    pub name: TaskName,
    /// The sort of work.
    pub kind: Kind,
    /// The labels, in the order of the file; empty for kinds without labels.
    pub labels: Vec<Label>,
    /// Whether a row may carry several labels, or none.
    pub multi: bool,
    /// What is looked for, in the order of the file; empty for every kind but `extract`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// The label that means "none of these"; one of `labels` after validation.
    pub out_of_scope: Option<Label>,
    /// What the large model is told to do.
    pub instructions: String,
    /// Models that may answer, cheapest first.
    pub rungs: Vec<ModelId>,
    /// Where the ladder ends.
    pub last: Last,
    /// What must be promised.
    pub target: Target,
    /// Which ordinary chat calls are this task.
    pub matching: Option<Match>,
    /// What may be kept of requests.
    pub capture: Capture,
    /// How many small answers are checked.
    pub audit: Audit,
    /// Metadata keys of requests: each of their values is a slice that is watched by itself.
    pub slices_by: Vec<String>,
    /// Whether a server may answer a text again as its small models did before.
    // Left out where it is the default: a release is recognised by the hash of the task it was made for.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub exact_cache: bool,
    /// When a free text counts as right; of every task of kind `generate`, and of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// What becomes of a text that a small model can't look back on as a whole; `None`: the large model answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<Long>,
    /// What marks the place in every text that the answer belongs in; `None` where texts are asked about as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hole: Option<Hole>,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

/// Where a ladder ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Last {
    /// The large model.
    Large(ModelId),
    /// A queue of people.
    People,
    /// An explicit "no answer".
    NoAnswer,
}

/// Which ordinary chat calls are this task, and where the text is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The system prompt contains this.
    pub system_prompt_contains: String,
    /// Where the text to answer is.
    pub input: InputRule,
    /// Whether small models may answer such calls.
    #[serde(default)]
    pub lower: bool,
    /// The calls that they may answer ([`Sha256Hex::of_call`]), sorted, none twice.
    #[serde(default)]
    pub bound_to: Vec<Sha256Hex>,
    /// Whether the system prompt asks for the bare label, so that an answer without a schema is the label itself.
    #[serde(default)]
    pub plain: bool,
}

/// Where the text to answer is in a chat call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputRule {
    /// The last user message, whole.
    LastUserMessage,
    /// The part of the last user message between a fixed beginning and a fixed end.
    Pattern {
        /// What comes before the input.
        before: String,
        /// What comes after it.
        after: String,
    },
}

impl InputRule {
    /// The input inside a user message; `None` where the message doesn't fit the rule.
    pub fn extract<'a>(&self, message: &'a str) -> Option<&'a str> {
        match self {
            Self::LastUserMessage => Some(message),
            Self::Pattern { before, after } => {
                message.strip_prefix(before.as_str())?.strip_suffix(after.as_str())
            }
        }
    }
}

/// What may be kept of requests. Off unless the task says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Whether texts and answers are kept at all.
    pub enabled: bool,
    /// For how many days.
    pub retention_days: u32,
    /// What is blanked out first.
    pub redact: Vec<Redaction>,
}

/// For how many days captured texts are kept where nobody says.
pub const RETENTION_DAYS: u32 = 30;

/// The share of small answers that are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// 300 a day, but at least 1% and at most 10%.
    #[default]
    Auto,
    /// This share.
    Rate(f64),
}

impl Audit {
    /// The probability with which a small answer is checked, given how many there are in a day.
    pub fn rate(self, small_answers_per_day: f64) -> f64 {
        match self {
            Self::Rate(rate) => rate,
            Self::Auto if small_answers_per_day > 0.0 => (300.0 / small_answers_per_day).clamp(0.01, 0.10),
            Self::Auto => 0.10,
        }
    }
}

impl Task {
    /// The label's position in `labels`.
    pub fn label_index(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|known| known.as_str() == label)
    }

    /// The label with exactly this text, so that an answer never invents one.
    pub fn label(&self, text: &str) -> Option<&Label> {
        self.labels.iter().find(|known| known.as_str() == text)
    }

    /// Whether an answer is one this task could give: known labels, as many as the task allows; a record in its one
    /// form.
    pub fn admits(&self, answer: &Answer) -> bool {
        match (self.kind.has_labels(), self.multi, answer) {
            (true, false, Answer::Label(label)) => self.label(label.as_str()).is_some(),
            (true, true, Answer::Labels(labels)) => {
                labels.iter().all(|label| self.label(label.as_str()).is_some())
            }
            (false, _, Answer::Fields(said)) => {
                self.kind == Kind::Extract && self.record(said, "").is_ok_and(|record| record == *said)
            }
            (false, _, Answer::Text(_)) => matches!(self.kind, Kind::Generate | Kind::Answer),
            _ => false,
        }
    }

    /// What a judge has to be asked before it is known whether an answer is as good as the right one; `None` where nobody has to
    /// be asked.
    pub fn to_judge(&self, input: &Input, said: &Answer, right: &Answer) -> Option<Pair> {
        match (&self.quality, said, right) {
            (Some(quality), Answer::Text(said), Answer::Text(right))
                if quality.is_met(said, right).is_none() =>
            {
                Some(Pair::new(input, said, right))
            }
            _ => None,
        }
    }

    /// Whether an answer to this input is as good as the right one: the same, or a text of the declared quality. Where that takes
    /// a judge, what it has said is looked up in `judgements`.
    pub fn is_as_good(&self, input: &Input, said: &Answer, right: &Answer, judgements: &Judgements) -> bool {
        match (&self.quality, said, right) {
            (Some(quality), Answer::Text(said), Answer::Text(right)) => quality
                .is_met(said, right)
                .unwrap_or_else(|| judgements.is_good(&Pair::new(input, said, right))),
            _ => said == right,
        }
    }

    /// An answer [without its words](Answer::without_words), as the right one where it is as good: comparing the two then
    /// says whether it is.
    pub fn judged(
        &self,
        input: &Input,
        said: &Answer,
        right: Option<&Answer>,
        judgements: &Judgements,
    ) -> Answer {
        right.filter(|right| self.is_as_good(input, said, right, judgements)).unwrap_or(said).without_words()
    }

    /// Changes when another call may be answered small, or one no longer: what a certificate is bound to. `None` where no
    /// call is listed.
    pub fn calls_hash(&self) -> Option<Sha256Hex> {
        let calls = &self.matching.as_ref()?.bound_to;
        let listed = calls.iter().map(|call| call.as_str().as_bytes());
        (!calls.is_empty()).then(|| Sha256Hex::of_parts(listed))
    }

    /// The large model's name, where the ladder ends with one.
    pub fn large(&self) -> Option<&ModelId> {
        match &self.last {
            Last::Large(model) => Some(model),
            Last::People | Last::NoAnswer => None,
        }
    }

    /// Changes when what can be answered does: the set of labels, their number a row, the out-of-scope label, the fields, the
    /// quality of texts with what their judge is told, the hole that they fill.
    /// What a certificate is bound to.
    pub fn labels_hash(&self) -> Sha256Hex {
        if let Some(quality) = &self.quality {
            let settings = serde_json::to_vec(quality).unwrap_or_default();
            let told = Grading::of(self).map(|grading| grading.task.instructions);
            let marker = self.hole.as_ref().map(|hole| hole.marker().as_bytes());
            return match (told, marker) {
                (None, None) => Sha256Hex::of(&settings),
                (Some(told), None) => Sha256Hex::of_parts([&settings[..], told.as_bytes()]),
                (told, Some(marker)) => {
                    Sha256Hex::of_parts([&settings[..], told.unwrap_or_default().as_bytes(), marker])
                }
            };
        }
        if self.kind == Kind::Extract {
            let fields = self.fields.iter().map(|field| serde_json::to_vec(field).unwrap_or_default());
            return Sha256Hex::of_parts(fields.collect::<Vec<_>>().iter().map(Vec::as_slice));
        }
        let flags = [u8::from(self.multi)];
        let out_of_scope = self.out_of_scope.as_ref().map_or("", Label::as_str);
        let labels = self.labels.iter().map(|label| label.as_str().as_bytes());
        Sha256Hex::of_parts([&flags[..], out_of_scope.as_bytes()].into_iter().chain(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_are_300_a_day_within_one_and_ten_percent() {
        for (per_day, rate) in [(100.0, 0.10), (10_000.0, 0.03), (1_000_000.0, 0.01), (0.0, 0.10)] {
            assert!((Audit::Auto.rate(per_day) - rate).abs() < 1e-12, "{per_day}");
        }
        assert_eq!(Audit::Rate(0.5).rate(1e9), 0.5);
    }

    #[test]
    fn a_pattern_takes_the_text_between_its_ends_and_nothing_else() {
        let rule = InputRule::Pattern { before: "Classify: ".into(), after: "\nAnswer:".into() };
        assert_eq!(rule.extract("Classify: hello\nAnswer:"), Some("hello"));
        assert_eq!(rule.extract("Summarise: hello\nAnswer:"), None);
    }
}
