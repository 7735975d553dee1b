//! One line of the ledger.

use serde::{Deserialize, Serialize};
use sprat_task::{KeyId, ModelId, Money, Provenance, ReleaseId, RequestId, Step, TaskName};

/// One request, from its first rung to its end. No text of the request or the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Whose record this is. An audit carries the id of the request it audits.
    pub request: RequestId,
    /// The task that was asked about.
    pub task: TaskName,
    /// The release that answered; `None` where there was none yet.
    pub release: Option<ReleaseId>,
    /// When it was answered, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Why it was asked.
    pub source: Source,
    /// How it ended.
    pub ending: Ending,
    /// Who gave the answer; `None` where nobody did.
    pub answered_by: Option<ModelId>,
    /// What each rung did, in order.
    pub steps: Vec<Step>,
    /// What all steps cost together; `None` where any of them is unknown.
    pub cost: Option<Money>,
    /// What the large model alone costs for this request; `None` where nobody knows.
    pub baseline_all_large: Option<Money>,
    /// Whether the baseline is an estimate: the large model was not asked this time.
    pub baseline_is_estimated: bool,
    /// Where answers, prices and latencies come from: the weakest of them.
    pub provenance: Provenance,
    /// From accepting the request to its answer, in microseconds.
    pub latency_us: u64,
    /// The virtual key that it was asked with; `None` where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// What stays taken from the key's budget because the cost is unknown; `None` where the cost is known, or nothing
    /// was taken.
    #[serde(default, rename = "held_micro_usd", skip_serializing_if = "Option::is_none")]
    pub held: Option<Money>,
}

impl LedgerEntry {
    /// What it takes from its key's budget: its cost, else what is held for it.
    pub fn charge(&self) -> Money {
        self.cost.or(self.held).unwrap_or_default()
    }
}

/// Why something was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `sprat ask`.
    Ask,
    /// `sprat run`.
    Run,
    /// The gateway.
    Serve,
    /// `sprat demo`.
    Demo,
    /// Labels bought from the large model for learning.
    Teacher,
    /// Training itself.
    Train,
    /// A small answer checked by the large model.
    Audit,
    /// `sprat eval` and `sprat certify`.
    Eval,
    /// A release that watches: what it would have answered.
    Shadow,
    /// A model asked whether a text is good enough.
    Judge,
}

/// What money is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spend {
    /// Answers for users.
    Serving,
    /// Labels from the large model.
    Labels,
    /// Training.
    Training,
    /// Checks of small answers.
    Audits,
    /// Measuring a release.
    Evaluation,
    /// Whether texts are good enough.
    Judgements,
}

/// How a request ended. The words are the climb's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// A rung was confident enough.
    Small,
    /// The large model answered.
    Large,
    /// It waits for a person.
    People,
    /// Nobody answers; the caller was told so.
    NoAnswer,
    /// The large model was asked and failed.
    Failed,
    /// The climb was told to stop below the large model.
    Stopped,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ask,
        Self::Run,
        Self::Serve,
        Self::Demo,
        Self::Teacher,
        Self::Train,
        Self::Audit,
        Self::Eval,
        Self::Shadow,
        Self::Judge,
    ];

    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Run => "run",
            Self::Serve => "serve",
            Self::Demo => "demo",
            Self::Teacher => "teacher",
            Self::Train => "train",
            Self::Audit => "audit",
            Self::Eval => "eval",
            Self::Shadow => "shadow",
            Self::Judge => "judge",
        }
    }

    /// The words of those that such spending is for, or of all, quoted for SQL: they are only a few, all of them ours.
    pub(super) fn words(spend: Option<Spend>) -> String {
        let chosen = Self::ALL.into_iter().filter(|source| spend.is_none_or(|spend| source.spend() == spend));
        chosen.map(|source| format!("'{}'", source.word())).collect::<Vec<_>>().join(", ")
    }

    /// What such spending is for.
    pub fn spend(self) -> Spend {
        match self {
            Self::Ask | Self::Run | Self::Serve | Self::Demo => Spend::Serving,
            Self::Teacher => Spend::Labels,
            Self::Train => Spend::Training,
            Self::Audit => Spend::Audits,
            Self::Eval | Self::Shadow => Spend::Evaluation,
            Self::Judge => Spend::Judgements,
        }
    }
}

impl Ending {
    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::People => "people",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the small models left it to the end of the ladder.
    pub fn is_escalated(self) -> bool {
        matches!(self, Self::Large | Self::People | Self::NoAnswer | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_a_table_is_the_word_in_json() {
        for source in Source::ALL {
            assert_eq!(serde_json::to_value(source).unwrap(), source.word());
        }
        use Ending::{Failed, Large, NoAnswer, People, Small, Stopped};
        for ending in [Small, Large, People, NoAnswer, Failed, Stopped] {
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.word());
        }
    }
}
