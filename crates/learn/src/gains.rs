//! What did training more bring? What was trained more and what was trained less answered the same rows; the difference is
//! told with its interval, because on few rows a gain of points may be none.

use sprat_stats::interval::Estimate;
use sprat_stats::paired::{Pairs, paired_difference};
use sprat_task::model::Gain;

/// How much more often it is right, as a share of the rows, with its 95% interval (Tango).
pub fn gained(gain: &Gain) -> Estimate {
    let Gain { rows, only_it, only_other, .. } = *gain;
    paired_difference(Pairs { rows, only_candidate: only_it, only_comparator: only_other }, 0.95)
}
