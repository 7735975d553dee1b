//! Below which confidence is a row better called "none of these"?

use super::FitError;
use serde::{Deserialize, Serialize};

/// A row with a known scope, and how sure the model is that it belongs to one of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeRow {
    /// Higher is more likely in scope: a confidence, or minus a distance to the training rows.
    pub score: f64,
    /// Whether the row belongs to none of the labels.
    pub out_of_scope: bool,
    /// For a row in scope, whether its predicted label is right.
    pub right: bool,
}

/// Rows scored at or below it are called out of scope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectThreshold {
    /// The score; minus the largest double where nothing can be rejected without breaking the floor.
    pub score: f64,
    /// Accuracy on rows in scope, a rejected one counting as wrong, as fitted.
    pub in_scope_accuracy: f64,
    /// Share of rows out of scope that are rejected, as fitted.
    pub out_of_scope_recall: f64,
}

impl RejectThreshold {
    /// The highest threshold that keeps accuracy on rows in scope at `least_in_scope_accuracy` or above, and so
    /// the one that finds most rows out of scope. Rows whose score is NaN are always rejected.
    ///
    /// Where even rejecting nothing stays below the floor, nothing is rejected.
    pub fn fit(rows: &[ScopeRow], least_in_scope_accuracy: f64) -> Result<Self, FitError> {
        let in_scope = rows.iter().filter(|row| !row.out_of_scope).count();
        if in_scope == 0 {
            return Err(FitError::NoRows { given: rows.len() });
        }
        let out_of_scope = rows.len() - in_scope;
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (mut undefined, mut sorted): (Vec<&ScopeRow>, Vec<&ScopeRow>) =
            rows.iter().partition(|row| row.score.is_nan());
        sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mut found = undefined.drain(..).filter(|row| row.out_of_scope).count();
        let mut right = sorted.iter().filter(|row| !row.out_of_scope && row.right).count();
        let at = |score, right, found| RejectThreshold {
            score,
            in_scope_accuracy: share(right, in_scope),
            out_of_scope_recall: share(found, out_of_scope),
        };
        let mut best = at(f64::MIN, right, found);
        for tied in sorted.chunk_by(|a, b| a.score == b.score) {
            right -= tied.iter().filter(|row| !row.out_of_scope && row.right).count();
            found += tied.iter().filter(|row| row.out_of_scope).count();
            if share(right, in_scope) < least_in_scope_accuracy {
                break;
            }
            best = at(tied[0].score, right, found);
        }
        Ok(best)
    }

    /// Whether a row with this score is called out of scope; true for NaN.
    pub fn rejects(&self, score: f64) -> bool {
        score.is_nan() || score <= self.score
    }
}
