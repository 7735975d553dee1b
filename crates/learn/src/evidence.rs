//! What was measured when a release was made: the one source of the terminal's table, the HTML report and the
//! differences between releases. Shares are in [0, 1]; everything about answers is measured on rows that nothing was
//! fitted on.

use serde::{Deserialize, Serialize};
use sprat_task::{Certificate, Label, ModelId, Money, Provenance, ReleaseId, TaskName, Told};

/// All that `learn`, `certify` and `eval` found out about a ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The task.
    pub task: TaskName,
    /// The release; `None` before it has a number.
    pub release: Option<ReleaseId>,
    /// When, in milliseconds since 1970.
    pub created_unix_ms: i64,
    /// How many rows were read and where they went.
    pub rows: RowCounts,
    /// What the user ought to know about the data or the ladder, a sentence each.
    pub notices: Vec<String>,
    /// Each rung, cheapest first.
    pub rungs: Vec<RungEvidence>,
    /// The rungs together.
    pub ladder: LadderEvidence,
    /// Where the large model's answers to the rows come from; `None` where no row has one, or nobody noted it.
    #[serde(default)]
    pub large_provenance: Option<Provenance>,
    /// The promise that decides.
    pub certificate: Certificate,
    /// Promises of another guarantee, never mixed with the first.
    pub other_certificates: Vec<Certificate>,
    /// What it would save; `None` without a price or a large model.
    pub savings: Option<Savings>,
    /// The whole cascade against all-large on the same rows; `None` where the large model's answers to the rows are
    /// not known.
    pub quality: Option<Quality>,
    /// How well "none of these" is recognised; `None` without an out-of-scope label.
    pub out_of_scope: Option<OutOfScope>,
    /// The series behind the plots.
    pub plots: Plots,
    /// What to do next, one sentence.
    pub next: String,
}

/// How many rows were read and where they went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows read.
    pub read: u64,
    /// Rows left out because they have no usable label.
    pub unlabelled: u64,
    /// Rows whose text stands elsewhere too.
    pub exact_duplicates: u64,
    /// Groups of rows that are nearly the same text.
    pub near_duplicate_clusters: u64,
    /// Texts that carry two different labels.
    pub conflicts: u64,
    /// Rows the models learned from.
    pub train: u64,
    /// Rows kept away from everything fitted, to certify on.
    pub certification: u64,
    /// Whether rows of one conversation or user were kept together.
    pub by_session: bool,
    /// Whether certification rows are later than the training rows.
    pub by_time: bool,
}

/// One rung on the certification rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungEvidence {
    /// The model.
    pub model: ModelId,
    /// The sort of model.
    pub kind: String,
    /// Right if it answered everything by itself.
    pub accuracy: f64,
    /// Mean F1 over labels if it answered everything by itself.
    pub macro_f1: f64,
    /// Accept iff the confidence is greater; `None` never accepts.
    pub threshold: Option<f64>,
    /// Share of all rows that this rung answers within the ladder.
    pub coverage: f64,
    /// Of the rows it answers within the ladder, the share that is right; `None` where it answers none.
    pub selective_accuracy: Option<f64>,
    /// Median latency of one input, in microseconds.
    pub latency_p50_us: u64,
    /// 99th percentile of the latency of one input, in microseconds.
    pub latency_p99_us: u64,
    /// What one attempt costs; `None` where unknown.
    pub cost_micro_usd: Option<Money>,
    /// How long the final fit took, in milliseconds of wall time.
    pub fit_ms: u64,
    /// The artefact's length in bytes.
    pub bytes: u64,
    /// What was tried in training, where there was a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// The rungs together on the certification rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LadderEvidence {
    /// Rows.
    pub rows: u64,
    /// Of the ladder's own answer with nothing escalated (the accepting rung's, else the last local rung's).
    pub accuracy: f64,
    /// Share of rows answered small.
    pub coverage: f64,
    /// Of the rows answered small, the share that is right; `None` where none is.
    pub selective_accuracy: Option<f64>,
    /// Answered small and wrong, over all rows.
    pub joint_error: f64,
}

/// What the ladder costs beside what it would cost otherwise, for 1,000 requests like the certification rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Savings {
    /// Requests the amounts are for.
    pub requests: u64,
    /// The ladder: every step, the large model's included.
    pub ladder_micro_usd: Money,
    /// Everything to the large model.
    pub all_large_micro_usd: Money,
    /// The cheapest single model that meets the target by itself, where one does.
    pub cheapest_single: Option<(ModelId, Money)>,
    /// Share of the all-large cost that is saved; negative where the ladder costs more.
    pub share: f64,
    /// The price table's date, or the file the prices came from.
    pub prices: String,
    /// Whether the large model's cost was measured, recorded, authored or simulated.
    pub provenance: Provenance,
}

/// The whole cascade (small answers, and the large model's for the rest) against all-large on the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Rows with a gold label and the large model's answer.
    pub rows: u64,
    /// Accuracy of the cascade end to end.
    pub cascade_accuracy: f64,
    /// Accuracy of the large model alone.
    pub large_accuracy: f64,
    /// Cascade minus large.
    pub difference: f64,
    /// Paired interval of the difference at `confidence`.
    pub interval: (f64, f64),
    /// The interval's level.
    pub confidence: f64,
    /// How much worse would still be acceptable.
    pub margin: f64,
    /// `true` where the interval lies above `-margin`.
    pub non_inferior: bool,
    /// Where the large model's answers come from.
    pub provenance: Provenance,
}

/// How well "none of these" is recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfScope {
    /// The label.
    pub label: Label,
    /// Out-of-scope rows among the certification rows.
    pub rows: u64,
    /// Of these, the share recognised.
    pub recall: f64,
    /// Of the rows called out of scope, the share that is.
    pub precision: f64,
    /// Accuracy on the rows that are in scope.
    pub in_scope_accuracy: f64,
    /// The reject score's area under the ROC curve.
    pub auroc: f64,
}

/// The series behind the plots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plots {
    /// Selective error against coverage, by falling confidence, at most 200 points.
    pub risk_coverage: Vec<RiskPoint>,
    /// The chosen point, where something is answered small.
    pub chosen: Option<RiskPoint>,
    /// Stated confidence against the share that is right.
    pub reliability: Vec<ReliabilityBin>,
    /// Expected calibration error of the ladder's own answers.
    pub calibration_error: f64,
    /// The commonest confusions, worst first, with example texts from the certification rows.
    pub confusions: Vec<Confusion>,
    /// Accuracy by number of training rows.
    pub learning_curve: Vec<LearningPoint>,
    /// Each label.
    pub labels: Vec<LabelEvidence>,
}

/// A point of the risk-coverage curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Share of rows answered.
    pub coverage: f64,
    /// Of these, the share that is wrong.
    pub risk: f64,
}

/// A bin of the reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Mean confidence of the answers in the bin.
    pub confidence: f64,
    /// Of these, the share that is right.
    pub accuracy: f64,
    /// Answers in the bin.
    pub rows: u64,
}

/// A pair of labels that are mixed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// The right label.
    pub right: String,
    /// The label that was given.
    pub given: String,
    /// How often.
    pub rows: u64,
    /// Up to three texts.
    pub examples: Vec<String>,
}

/// A point of the learning curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningPoint {
    /// Training rows.
    pub rows: u64,
    /// Accuracy on the certification rows.
    pub accuracy: f64,
    /// Its 95% interval (Wilson).
    pub interval: (f64, f64),
}

/// One label on the certification rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelEvidence {
    /// The label.
    pub label: Label,
    /// Rows that carry it.
    pub rows: u64,
    /// Of the rows given this label, the share that carries it.
    pub precision: f64,
    /// Of the rows that carry it, the share given it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Of the rows that carry it, the share answered small.
    pub coverage: f64,
}
