//! Joint risk of one rung: exact, with no price for trying every threshold.
//!
//! Joint risk only falls as the threshold rises, so the lowest threshold whose count of bad rows passes the
//! exact test is valid although it was found on the very rows that prove it (Bates et al. 2021).

use super::certification::{Certification, Infeasible, Status, Tested};
use super::cost::{Configuration, Costs, Tally, tally};
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
    let n = fresh.len() as u64;
    let (look, delta) = (promise.look, promise.delta());
    let mut ranked: Vec<(f64, bool)> = fresh
        .rows()
        .filter_map(|(answers, _)| answers[0].confidence.map(|confidence| (confidence, answers[0].bad)))
        .filter(|(confidence, _)| *confidence > 0.0)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let count = |threshold: f64| {
        let configuration = Configuration { thresholds: vec![Some(threshold)] };
        let tally = tally(&configuration, fresh, costs, Risk::Joint, &[]);
        (configuration, tally)
    };
    let tuning_coverage = |configuration: &Configuration| {
        let covered = tally(configuration, tuning, costs, Risk::Joint, &[]).coverage();
        (!tuning.is_empty()).then_some(covered)
    };
    let passing = binomial::kmax(n, promise.max_error, delta);
    let lowest = passing.map(|most_bad| lowest_threshold(&ranked, most_bad));
    let status = match lowest {
        None => {
            let least = binomial::least_n_with_zero_bad(promise.max_error, delta);
            Status::Underpowered { more_labels: least.map(|least| least.saturating_sub(n).max(1)) }
        }
        Some(lowest) => {
            let threshold = cheapest_threshold(&ranked, lowest, costs);
            let (configuration, fresh) = count(threshold);
            if fresh.accepted == 0 {
                Status::Infeasible(Infeasible::NothingToAccept)
            } else {
                let tuning_coverage = tuning_coverage(&configuration);
                judge(promise, costs, candidate(promise, &configuration, &fresh, tuning_coverage, delta))
            }
        }
    };
    let tested = plotted(&ranked, lowest).into_iter().map(|threshold| {
        let (configuration, fresh): (_, Tally) = count(threshold);
        let p_value = fresh.p_value(Risk::Joint, promise.max_error, &[]);
        Tested {
            tuning_coverage: tuning_coverage(&configuration),
            configuration,
            coverage: fresh.coverage(),
            accepted: fresh.accepted,
            bad: fresh.bad,
            p_value,
            level: Some(delta),
            passed: p_value <= delta,
            expected_cost: fresh.cost,
        }
    });
    Certification { tested: tested.collect(), status, n, look, delta_spent: delta }
}

/// The confidence of the bad row that would be one too many; 0, everything with a confidence, if there is none.
fn lowest_threshold(ranked: &[(f64, bool)], most_bad: u64) -> f64 {
    let mut bad = ranked.iter().filter(|(_, bad)| *bad);
    bad.nth(usize::try_from(most_bad).unwrap_or(usize::MAX)).map_or(0.0, |(confidence, _)| *confidence)
}

/// Any threshold from `lowest` up is proven too; with a price on mistakes a higher one may cost less.
fn cheapest_threshold(ranked: &[(f64, bool)], lowest: f64, costs: &Costs) -> f64 {
    let (mut saved, mut most_saved, mut best) = (0.0, f64::NEG_INFINITY, lowest);
    let accepted = ranked.iter().take_while(|(confidence, _)| *confidence > lowest).count();
    for (index, (confidence, bad)) in ranked.iter().take(accepted).enumerate() {
        saved += costs.large - costs.of_small_answer(*bad);
        let next = ranked.get(index + 1).filter(|_| index + 1 < accepted).map_or(lowest, |(next, _)| *next);
        if next < *confidence && saved >= most_saved {
            (most_saved, best) = (saved, next);
        }
    }
    best
}

/// About [`PLOTTED`] thresholds over the whole range of coverage, with the one that was found among them.
fn plotted(ranked: &[(f64, bool)], lowest: Option<f64>) -> Vec<f64> {
    let steps =
        (1..=PLOTTED).map(|step| ranked.get(ranked.len() * step / PLOTTED).map_or(0.0, |(next, _)| *next));
    let mut thresholds: Vec<f64> = steps.chain(lowest).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    thresholds
}
