//! What did every rung say about every row, and was it wrong?

use serde::{Deserialize, Serialize};

/// What one rung said about one row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungAnswer {
    /// Estimated probability of being right, in [0, 1]. `None`: abstained or failed. NaN is never accepted.
    pub confidence: Option<f64>,
    /// Whether the answer is bad under the declared guarantee. A label missing after its deadline counts as bad.
    pub bad: bool,
    /// Time this rung took, in milliseconds; 0 where no latency is promised.
    pub latency_ms: f64,
}

impl RungAnswer {
    /// An answer whose latency does not matter.
    pub fn new(confidence: Option<f64>, bad: bool) -> Self {
        RungAnswer { confidence, bad, latency_ms: 0.0 }
    }

    /// Whether a rung with this threshold answers: only strictly above it, so that ties escalate.
    pub fn is_accepted(&self, threshold: Option<f64>) -> bool {
        match (self.confidence, threshold) {
            (Some(confidence), Some(threshold)) => confidence > threshold,
            _ => false,
        }
    }
}

/// A category that a row belongs to, and which rungs don't say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positive {
    /// The category, as numbered in [`Constraint::Recall`](super::Constraint::Recall).
    pub category: u16,
    /// One for each rung: whether its answer leaves the category out.
    pub missed: Vec<bool>,
}

/// One row, as constraints look at it.
pub(crate) struct Row<'a> {
    pub answers: &'a [RungAnswer],
    pub slices: &'a [u16],
    pub positives: &'a [Positive],
}

/// Rows, each with the answer of every rung of a ladder, cheapest rung first.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    rungs: usize,
    answers: Vec<RungAnswer>,
    slices: Vec<Vec<u16>>,
    positives: Vec<Vec<Positive>>,
}

/// Why a row does not fit a sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A row has more or fewer answers than the ladder has rungs.
    #[error("row {row} has {found} answers; the ladder has {rungs} rungs")]
    WrongNumberOfAnswers {
        /// Counted from 0.
        row: usize,
        /// Answers given.
        found: usize,
        /// Answers needed.
        rungs: usize,
    },
}

impl Sample {
    /// An empty sample for a ladder of `rungs` rungs.
    pub fn new(rungs: usize) -> Self {
        Sample { rungs, answers: Vec::new(), slices: Vec::new(), positives: Vec::new() }
    }

    /// A sample of one rung, from pairs of confidence and "was bad".
    pub fn of_one_rung(rows: impl IntoIterator<Item = (Option<f64>, bool)>) -> Self {
        let answers: Vec<_> =
            rows.into_iter().map(|(confidence, bad)| RungAnswer::new(confidence, bad)).collect();
        let rows = answers.len();
        Sample { rungs: 1, slices: vec![Vec::new(); rows], positives: vec![Vec::new(); rows], answers }
    }

    /// Adds a row that belongs to no declared slice.
    pub fn push(&mut self, answers: &[RungAnswer]) -> Result<(), SampleError> {
        self.push_in_slices(answers, &[])
    }

    /// Adds a row that belongs to the given slices.
    pub fn push_in_slices(&mut self, answers: &[RungAnswer], slices: &[u16]) -> Result<(), SampleError> {
        self.push_positive(answers, slices, Vec::new())
    }

    /// Adds a row that belongs to the given slices and categories.
    pub fn push_positive(
        &mut self,
        answers: &[RungAnswer],
        slices: &[u16],
        positives: Vec<Positive>,
    ) -> Result<(), SampleError> {
        if answers.len() != self.rungs {
            let (row, found, rungs) = (self.len(), answers.len(), self.rungs);
            return Err(SampleError::WrongNumberOfAnswers { row, found, rungs });
        }
        self.answers.extend_from_slice(answers);
        self.slices.push(slices.to_vec());
        self.positives.push(positives);
        Ok(())
    }

    /// How many rungs answer each row.
    pub fn rungs(&self) -> usize {
        self.rungs
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The answers to one row, cheapest rung first.
    pub(crate) fn row(&self, row: usize) -> &[RungAnswer] {
        &self.answers[row * self.rungs..(row + 1) * self.rungs]
    }

    /// Every row.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let belongs = self.slices.iter().zip(&self.positives).enumerate();
        belongs.map(|(row, (slices, positives))| Row { answers: self.row(row), slices, positives })
    }

    /// Share of rows that belong to a slice; 0 where there are no rows.
    pub(crate) fn share_in(&self, slice: u16) -> f64 {
        let inside = self.slices.iter().filter(|slices| slices.contains(&slice)).count();
        inside as f64 / self.len().max(1) as f64
    }

    /// The defined confidences of one rung, ascending.
    pub(crate) fn sorted_confidences(&self, rung: usize) -> Vec<f64> {
        let column = self.answers.iter().skip(rung).step_by(self.rungs.max(1));
        let mut confidences: Vec<f64> =
            column.filter_map(|answer| answer.confidence).filter(|confidence| !confidence.is_nan()).collect();
        confidences.sort_unstable_by(f64::total_cmp);
        confidences
    }
}
