//! The best confidence that never falls as the score rises, whatever its shape.

use super::FitError;
use serde::{Deserialize, Serialize};

/// A step function by pooling adjacent violators. Source: Ayer et al. 1955.
///
/// For display: it gives many rows the same confidence, and ties escalate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// Least score of each step, ascending.
    starts: Vec<f64>,
    /// Share right in each step, ascending.
    shares: Vec<f64>,
}

impl Isotonic {
    /// Fits on out-of-fold scores and whether each answer was right. Scores that are not finite are left out.
    pub fn fit(scores: &[f64], right: &[bool]) -> Result<Self, FitError> {
        if scores.len() != right.len() {
            return Err(FitError::LengthsDiffer { inputs: scores.len(), outcomes: right.len() });
        }
        let mut rows: Vec<(f64, bool)> = scores
            .iter()
            .copied()
            .zip(right.iter().copied())
            .filter(|(score, _)| score.is_finite())
            .collect();
        if rows.is_empty() {
            return Err(FitError::NoRows { given: scores.len() });
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut steps: Vec<Step> = Vec::new();
        for (score, right) in rows {
            let step = Step { start: score, right: f64::from(u8::from(right)), rows: 1.0 };
            match steps.last_mut() {
                // Equal scores belong to one step whatever their outcomes.
                Some(last) if last.start == score => last.take_in(&step),
                _ => steps.push(step),
            }
        }
        let mut pooled: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            pooled.push(step);
            while let [.., before, last] = pooled.as_mut_slice() {
                if before.share() < last.share() {
                    break;
                }
                before.take_in(last);
                pooled.pop();
            }
        }
        Ok(Isotonic {
            starts: pooled.iter().map(|step| step.start).collect(),
            shares: pooled.iter().map(Step::share).collect(),
        })
    }

    /// Share right in the step the score falls in; 0 for a score that is not finite.
    pub fn confidence(&self, score: f64) -> f64 {
        if !score.is_finite() {
            return 0.0;
        }
        let step = self.starts.partition_point(|start| *start <= score).saturating_sub(1);
        self.shares.get(step).copied().unwrap_or(0.0)
    }
}

struct Step {
    start: f64,
    right: f64,
    rows: f64,
}

impl Step {
    fn share(&self) -> f64 {
        self.right / self.rows
    }

    fn take_in(&mut self, other: &Step) {
        self.right += other.right;
        self.rows += other.rows;
    }
}
