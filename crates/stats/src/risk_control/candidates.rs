//! Which configurations are worth testing, judging by the tuning sample alone?

use super::cost::{Configuration, Costs, Tally};
use super::grid::{every_combination, without_idle_rungs};
use super::ranked::Ranked;
use super::{Risk, Sample};

/// More configurations than this only make a list harder to walk.
const MOST_CONFIGURATIONS: usize = 50;
/// Thresholds tried per rung of a ladder, besides "never". Twelve of them cover one point more than eight on
/// three rungs (mean coverage .774 against .765 in `simulations.rs`), sixteen hardly more (.778).
const THRESHOLDS_PER_RUNG: usize = 12;
/// The whole grid of a ladder stays below this: with many rungs each gets fewer thresholds.
const LARGEST_GRID: usize = 10_000;
/// A joint error on T this many times `max_error` will not pass on S.
const HOPELESS_JOINT_ERROR: f64 = 1.6;

/// A configuration and what it does on the tuning sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drafted {
    pub configuration: Configuration,
    pub accepted: u64,
    pub bad: u64,
    pub rows: u64,
    pub cost: f64,
}

impl Drafted {
    pub fn coverage(&self) -> f64 {
        self.accepted as f64 / self.rows as f64
    }

    /// How many standard deviations the selective error lies below `max_error`, but for a common factor.
    ///
    /// Half a bad row more counts than was seen: none among three is not more significant than one among a thousand.
    pub fn significance(&self, max_error: f64) -> f64 {
        let risk = (self.bad as f64 + 0.5) / (self.accepted as f64 + 1.0);
        (max_error - risk) * self.coverage().sqrt() / (risk * (1.0 - risk)).sqrt()
    }

    fn error(&self, risk: Risk) -> f64 {
        match risk {
            Risk::Selective => self.bad as f64 / self.accepted as f64,
            Risk::Joint => self.bad as f64 / self.rows as f64,
        }
    }
}

/// The list to walk, safest first: by coverage ascending for selective risk, by joint error for joint risk.
///
/// Every configuration accepts at least one tuning row; the list is empty where none can.
pub(super) fn draw_up(tuning: &Sample, costs: &Costs, risk: Risk, max_error: f64) -> Vec<Drafted> {
    let mut list = match tuning.rungs() {
        0 => Vec::new(),
        1 => one_rung(tuning, costs),
        rungs => {
            let per_rung = (1..=THRESHOLDS_PER_RUNG)
                .rev()
                .find(|count| (count + 1).checked_pow(rungs as u32).is_some_and(|size| size <= LARGEST_GRID));
            let columns: Vec<_> =
                (0..rungs).map(|rung| thresholds(tuning, rung, per_rung.unwrap_or(1))).collect();
            let grid = every_combination(tuning, costs, &columns);
            thinned(pareto_front(without_idle_rungs(grid, &columns), risk))
        }
    };
    list.retain(|drafted| drafted.accepted > 0);
    match risk {
        Risk::Selective => list.sort_by(|a, b| a.accepted.cmp(&b.accepted).then(b.cost.total_cmp(&a.cost))),
        Risk::Joint => {
            list.retain(|drafted| drafted.error(risk) <= HOPELESS_JOINT_ERROR * max_error);
            list.sort_by(|a, b| a.bad.cmp(&b.bad).then(a.accepted.cmp(&b.accepted)));
        }
    }
    list
}

fn one_rung(tuning: &Sample, costs: &Costs) -> Vec<Drafted> {
    let ranked = Ranked::new(tuning, costs);
    let draft = |threshold: f64| {
        let Tally { rows, accepted, bad, cost, .. } = ranked.tally(threshold);
        Drafted {
            configuration: Configuration { thresholds: vec![Some(threshold)] },
            accepted,
            bad,
            rows,
            cost,
        }
    };
    thresholds(tuning, 0, MOST_CONFIGURATIONS).into_iter().map(draft).collect()
}

/// `count` thresholds that accept evenly spaced shares of the rows a rung has an opinion on, highest first.
fn thresholds(tuning: &Sample, rung: usize, count: usize) -> Vec<f64> {
    let confidences = tuning.sorted_confidences(rung);
    let mut thresholds: Vec<f64> = (1..=count)
        .map(|step| {
            let rejected = confidences.len() - confidences.len() * step / count;
            // Accept what is above the best rejected confidence; when nothing is rejected, all above 0.
            rejected.checked_sub(1).map_or(0.0, |best| confidences[best].max(0.0))
        })
        .collect();
    thresholds.dedup();
    thresholds
}

/// Those that no other beats in both error and cost, by error ascending.
fn pareto_front(mut grid: Vec<Drafted>, risk: Risk) -> Vec<Drafted> {
    grid.retain(|drafted| drafted.accepted > 0);
    grid.sort_by(|a, b| a.error(risk).total_cmp(&b.error(risk)).then(a.cost.total_cmp(&b.cost)));
    let mut least_cost = f64::INFINITY;
    grid.retain(|drafted| {
        let is_cheaper = drafted.cost < least_cost;
        least_cost = least_cost.min(drafted.cost);
        is_cheaper
    });
    grid
}

/// At most [`MOST_CONFIGURATIONS`] of a front, spread evenly over its range of coverage.
fn thinned(mut front: Vec<Drafted>) -> Vec<Drafted> {
    if front.len() <= MOST_CONFIGURATIONS {
        return front;
    }
    front.sort_by_key(|drafted| drafted.accepted);
    let (least, most) = (front[0].accepted as f64, front[front.len() - 1].accepted as f64);
    let mut kept: Vec<usize> = (0..MOST_CONFIGURATIONS)
        .map(|step| least + (most - least) * step as f64 / (MOST_CONFIGURATIONS - 1) as f64)
        .map(|wanted| nearest(&front, |drafted| (drafted.accepted as f64 - wanted).abs()))
        .collect();
    kept.dedup();
    kept.into_iter().map(|index| front[index].clone()).collect()
}

/// Position of the item with the least distance, the first of several; 0 in an empty list.
pub(super) fn nearest<T>(items: &[T], distance: impl Fn(&T) -> f64) -> usize {
    let distances = items.iter().map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}
