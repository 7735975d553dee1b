//! Which categories are surely absent from a text?
//!
//! A category that a model doesn't flag is *clear* where its score is below a limit of its own, below which next to none
//! of its positives were found among rows that the model had not seen. Where any category is neither flagged nor clear,
//! nobody can be sure enough: the confidence is 0. The limits are a choice made on the rows that were learned from; what
//! they are worth is proved elsewhere, on fresh rows ([`Constraint::Recall`](crate::risk_control::Constraint::Recall)).

use serde::{Deserialize, Serialize};

use super::{Calibrator, Signals};
use crate::binomial::kmax;
use crate::interval::clopper_pearson_lower;

/// A calibrator that is sure of nothing while a category may be missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cleared {
    /// The limit of every category; the score of an unflagged one has to be below it. `None`: nothing is clear.
    pub limits: Vec<(String, Option<f64>)>,
    /// How likely the answer is right where all is flagged or clear.
    pub inner: Box<Calibrator>,
}

impl Cleared {
    pub(super) fn confidence(&self, signals: Signals<'_>) -> f64 {
        let is_settled = |(category, limit): &(String, Option<f64>)| {
            let scored = signals.categories.iter().find(|scored| scored.name == category);
            scored.is_some_and(|scored| scored.flagged || limit.is_some_and(|limit| scored.score < limit))
        };
        if self.limits.iter().all(is_settled) { self.inner.confidence(signals) } else { 0.0 }
    }
}

/// What a model says of one category of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CategoryScore<'a> {
    /// The category.
    pub name: &'a str,
    /// How likely it is there, on any scale that rises with it; a score that is not a number is never clear.
    pub score: f64,
    /// Whether the model's answer names it.
    pub flagged: bool,
}

/// The chance with which the proof of a recall should succeed, as far as it hangs on the limits.
const HOPED_FOR: f64 = 0.95;

/// The limit of a category, from its positives: each one's score and whether it was flagged all the same.
///
/// As many positives are let through below the limit as leave the proof of "at most `max_missed` of the positives are
/// missed" at `level`, on `fresh` positives yet to come, a chance of [`HOPED_FOR`]. `None` where there are no positives to
/// judge by, or too few to come for any proof; infinite where every miss is affordable.
pub fn clear_below(positives: &[(f64, bool)], max_missed: f64, fresh: u64, level: f64) -> Option<f64> {
    let affordable = clopper_pearson_lower(kmax(fresh, max_missed, level)? + 1, fresh, 1.0 - HOPED_FOR);
    let let_through = (affordable * positives.len() as f64) as usize;
    if positives.is_empty() {
        return None;
    }
    // A score that is not a number is never below a limit: it can't be missed.
    let unflagged = positives.iter().filter(|(score, flagged)| !flagged && !score.is_nan());
    let mut scores: Vec<f64> = unflagged.map(|(score, _)| *score).collect();
    scores.sort_unstable_by(f64::total_cmp);
    // The largest finite number rather than infinity, which JSON can't hold.
    Some(scores.get(let_through).copied().unwrap_or(f64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Temperature;
    /// A hundred positives, unflagged, with the scores 1 to 100.
    fn positives() -> Vec<(f64, bool)> {
        (1..=100).map(|score| (f64::from(score), false)).collect()
    }

    #[test]
    fn more_fresh_positives_and_a_laxer_promise_clear_more() {
        let limit = |max_missed, fresh| clear_below(&positives(), max_missed, fresh, 0.05);
        // Of 59 none may be missed, and each of them must have a chance of .95 to the 59th root at least.
        assert_eq!(limit(0.05, 59), Some(1.0));
        assert_eq!(limit(0.05, 58), None, "no proof is possible");
        let limits = [limit(0.05, 200), limit(0.05, 1_000), limit(0.05, 10_000), limit(0.2, 10_000)];
        assert!(limits.is_sorted() && limits[0] < limits[3], "{limits:?}");
        assert!(limit(0.05, 10_000).unwrap() <= 6.0);
    }

    #[test]
    fn what_is_flagged_can_not_be_missed_and_nobody_judges_by_nothing() {
        let flagged: Vec<(f64, bool)> =
            positives().into_iter().map(|(score, _)| (score, score > 1.0)).collect();
        assert_eq!(clear_below(&flagged, 0.05, 500, 0.05), Some(f64::MAX));
        assert_eq!(clear_below(&[], 0.05, 500, 0.05), None);
        assert_eq!(clear_below(&[(f64::NAN, false)], 0.05, 500, 0.05), Some(f64::MAX));
    }

    #[test]
    fn while_a_category_may_be_missed_nothing_is_sure() {
        let inner = Calibrator::Temperature(Temperature::ONE);
        let logits = [3.0, 0.0];
        let sure = inner.confidence(Signals { logits: &logits, ..Signals::default() });
        let limits = vec![("hate".to_owned(), Some(-2.0)), ("threat".to_owned(), None)];
        let cleared = Calibrator::Cleared(Cleared { limits, inner: Box::new(inner) });
        let confidence = |hate: (f64, bool), threat: (f64, bool)| {
            let scored = |name, (score, flagged)| CategoryScore { name, score, flagged };
            let categories = [scored("hate", hate), scored("threat", threat)];
            cleared.confidence(Signals { logits: &logits, categories: &categories, ..Signals::default() })
        };
        assert_eq!(confidence((-3.0, false), (-9.0, true)), sure);
        assert_eq!(confidence((-1.0, true), (-9.0, true)), sure);
        for (hate, threat) in
            [((-2.0, false), (-9.0, true)), ((f64::NAN, false), (-9.0, true)), ((-3.0, false), (-9.0, false))]
        {
            assert_eq!(confidence(hate, threat), 0.0);
        }
        let silent = Signals { logits: &logits, ..Signals::default() };
        assert_eq!(cleared.confidence(silent), 0.0, "a model that says nothing of them");
    }
}
