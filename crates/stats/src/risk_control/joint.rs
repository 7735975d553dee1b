//! Joint risk of one rung: exact, with no price for trying every threshold.
//!
//! Joint risk only falls as the threshold rises, so the lowest threshold whose count of bad rows passes the
//! exact test is valid although it was found on the very rows that prove it (Bates et al. 2021).

use super::certification::{Certification, Infeasible, Status, Tested};
use super::cost::{Configuration, Costs};
use super::ranked::Ranked;
use super::walk::{candidate, judge};
use super::{Promise, Risk, Sample};
use crate::binomial;

/// Thresholds shown in the plot besides the one deployed.
const PLOTTED: usize = 50;

pub(super) fn certify_one_rung(
    promise: &Promise,
    costs: &Costs,
    tuning: &Sample,
    fresh: &Sample,
) -> Certification {
    let (n, delta) = (fresh.len() as u64, promise.delta());
    let (tuning, fresh) = (Ranked::new(tuning, costs), Ranked::new(fresh, costs));
    let most_bad = binomial::kmax(n, promise.max_error, delta);
    let deployed = most_bad.map(|most_bad| cheapest_threshold(&fresh, fresh.lowest_threshold(most_bad)));
    let status = match deployed {
        None => {
            let least = binomial::least_n_with_zero_bad(promise.max_error, delta);
            Status::Underpowered { more_labels: least.map(|least| least.saturating_sub(n).max(1)) }
        }
        Some(threshold) if fresh.tally(threshold).accepted == 0 => {
            Status::Infeasible(Infeasible::NothingToAccept)
        }
        Some(threshold) => {
            let tuning_coverage = coverage(&tuning, threshold);
            judge(
                promise,
                costs,
                candidate(promise, at(threshold), &fresh.tally(threshold), tuning_coverage, delta),
            )
        }
    };
    let tested = plotted(&fresh, deployed).into_iter().map(|threshold| {
        let counted = fresh.tally(threshold);
        let p_value = counted.p_value(Risk::Joint, promise.max_error, &[]);
        Tested {
            configuration: at(threshold),
            tuning_coverage: coverage(&tuning, threshold),
            coverage: counted.coverage(),
            accepted: counted.accepted,
            bad: counted.bad,
            p_value,
            level: Some(delta),
            passed: p_value <= delta,
            expected_cost: counted.cost,
        }
    });
    Certification { tested: tested.collect(), status, n, look: promise.look, delta_spent: delta }
}

fn at(threshold: f64) -> Configuration {
    Configuration { thresholds: vec![Some(threshold)] }
}

fn coverage(tuning: &Ranked, threshold: f64) -> Option<f64> {
    let counted = tuning.tally(threshold);
    (counted.rows > 0).then(|| counted.coverage())
}

/// Any threshold from `lowest` up is proven too; with a price on mistakes a higher one may cost less.
fn cheapest_threshold(fresh: &Ranked, lowest: f64) -> f64 {
    let higher = fresh.confidences().iter().copied().filter(|confidence| *confidence > lowest);
    // Of several that cost the same, the first is kept: the lowest, which covers most.
    let priced =
        std::iter::once(lowest).chain(higher).map(|threshold| (fresh.tally(threshold).cost, threshold));
    priced.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(lowest, |(_, threshold)| threshold)
}

/// About [`PLOTTED`] thresholds over the whole range of coverage, with the one deployed among them.
fn plotted(fresh: &Ranked, deployed: Option<f64>) -> Vec<f64> {
    let confidences = fresh.confidences();
    let steps =
        (1..=PLOTTED).map(|step| confidences.get(confidences.len() * step / PLOTTED).copied().unwrap_or(0.0));
    let mut thresholds: Vec<f64> = steps.chain(deployed).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    thresholds
}
