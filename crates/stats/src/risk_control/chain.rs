//! How right is the cascade against gold, if what was proven is agreement with the large model?

use crate::interval::{clopper_pearson_lower, clopper_pearson_upper};
use serde::{Deserialize, Serialize};

/// From a right large model and a small disagreement to a right cascade.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChainBound {
    /// Lower bound on the large model's accuracy on gold, at delta / 2.
    pub large_accuracy_at_least: f64,
    /// Upper bound on the share of all requests that get a small answer unlike the large model's, at delta / 2.
    pub disagreement_at_most: f64,
    /// Lower bound on the accuracy of the cascade, at delta; never below 0.
    pub cascade_accuracy_at_least: f64,
}

/// Accuracy of the cascade >= LCB(accuracy of the large model on gold) - UCB(disagreement), each at `delta` / 2.
///
/// `large_right` of `large_rows` gold rows were answered right by the large model; `disagreements` of
/// `compared_rows` requests (all of them, not only those answered small) got a small answer unlike its.
pub fn chain_bound(
    (large_right, large_rows): (u64, u64),
    (disagreements, compared_rows): (u64, u64),
    delta: f64,
) -> ChainBound {
    let large_accuracy_at_least = clopper_pearson_lower(large_right, large_rows, 0.5 * delta);
    let disagreement_at_most = clopper_pearson_upper(disagreements, compared_rows, 0.5 * delta);
    let cascade_accuracy_at_least = (large_accuracy_at_least - disagreement_at_most).max(0.0);
    ChainBound { large_accuracy_at_least, disagreement_at_most, cascade_accuracy_at_least }
}
