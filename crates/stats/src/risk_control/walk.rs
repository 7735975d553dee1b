//! Fixed-sequence testing down a list of configurations, safest first.
//!
//! Each start begins with its part of delta. While configurations pass, the level carries on to the next; a
//! segment that passed whole carries its level into the next start, one that failed carries nothing. Under any
//! truth the chance of a false pass anywhere is at most the sum of the parts, since a level only moves past
//! configurations that passed (fallback procedure: Wiens & Dmitrienko 2005).

use super::candidates::{self, Drafted};
use super::certification::{Candidate, Certification, Certified, Infeasible, Status, Tested};
use super::cost::{Configuration, Costs, Tally, tally};
use super::ranked::Ranked;
use super::starts::{self, Start};
use super::{Constraint, Promise, Risk, Sample};
use crate::binomial;
use crate::interval::{clopper_pearson, clopper_pearson_lower, clopper_pearson_upper};
use crate::sample_size::{self, Seen};

/// A configuration of the list with what it did on both samples.
struct Entry {
    drafted: Drafted,
    fresh: Tally,
    p_value: f64,
    level: Option<f64>,
}

impl Entry {
    fn passed(&self) -> bool {
        self.level.is_some_and(|level| self.p_value <= level)
    }

    /// The promise as both samples together show it, then each constraint as the fresh one does.
    fn seen(&self, risk: Risk) -> impl Iterator<Item = Seen> {
        let drafted_exposed = if risk == Risk::Joint { self.drafted.rows } else { self.drafted.accepted };
        let promise = Seen {
            rows: self.fresh.rows + self.drafted.rows,
            exposed: self.fresh.exposed(risk) + drafted_exposed,
            bad: self.fresh.bad + self.drafted.bad,
        };
        let constraints = self.fresh.constraints.iter();
        let constraints =
            constraints.map(|count| Seen { rows: self.fresh.rows, exposed: count.of, bad: count.bad });
        std::iter::once(promise).chain(constraints)
    }
}

pub(super) fn certify(promise: &Promise, costs: &Costs, tuning: &Sample, fresh: &Sample) -> Certification {
    let list = candidates::draw_up(tuning, costs, promise.risk, promise.max_error);
    let starts = starts::choose(promise, &list, tuning, fresh.len() as u64);
    let is_simple = fresh.rungs() == 1 && promise.constraints.is_empty();
    let ranked = is_simple.then(|| Ranked::new(fresh, costs));
    let count = |configuration: &Configuration| match (configuration.thresholds.as_slice(), &ranked) {
        ([Some(threshold)], Some(ranked)) => ranked.tally(*threshold),
        _ => tally(configuration, fresh, costs, promise.risk, &promise.constraints),
    };
    let mut entries: Vec<Entry> = list
        .into_iter()
        .map(|drafted| {
            let fresh = count(&drafted.configuration);
            let p_value = fresh.p_value(promise.risk, promise.max_error, &promise.constraints);
            Entry { drafted, fresh, p_value, level: None }
        })
        .collect();
    walk(&mut entries, &starts);
    let status = status(promise, costs, &entries, fresh.len() as u64);
    let tested = entries.iter().map(tested).collect();
    let (n, look, delta_spent) = (fresh.len() as u64, promise.look, promise.delta());
    Certification { status, n, look, delta_spent, tested }
}

/// Gives every configuration the walk reaches the level it is tested at.
fn walk(entries: &mut [Entry], starts: &[Start]) {
    let mut carry = 0.0;
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(entries.len(), |next| next.position);
        let level = start.delta + carry;
        // An empty segment, where two starts fell together, hands its level on.
        let segment = entries.get_mut(start.position..end).unwrap_or_default();
        let mut passed_whole = true;
        for entry in segment {
            entry.level = Some(level);
            if !entry.passed() {
                passed_whole = false;
                break;
            }
        }
        carry = if passed_whole { level } else { 0.0 };
    }
}

fn status(promise: &Promise, costs: &Costs, entries: &[Entry], rows: u64) -> Status {
    let passed =
        entries.iter().filter_map(|entry| entry.level.filter(|_| entry.passed()).map(|level| (entry, level)));
    if let Some((entry, level)) = passed.min_by(|(a, _), (b, _)| a.fresh.cost.total_cmp(&b.fresh.cost)) {
        let tuning_coverage = Some(entry.drafted.coverage());
        let candidate =
            candidate(promise, entry.drafted.configuration.clone(), &entry.fresh, tuning_coverage, level);
        return judge(promise, costs, candidate);
    }
    let useful: Vec<&Entry> =
        entries.iter().filter(|entry| entry.drafted.coverage() >= promise.smallest_useful_coverage).collect();
    if useful.is_empty() {
        return Status::Infeasible(Infeasible::NothingToAccept);
    }
    let is_too_risky = |entry: &&Entry| {
        binomial::upper_tail(entry.fresh.bad, entry.fresh.exposed(promise.risk), promise.max_error)
            < promise.delta()
    };
    if useful.iter().all(is_too_risky) {
        let lower_bounds = useful.iter().map(|entry| {
            clopper_pearson_lower(entry.fresh.bad, entry.fresh.exposed(promise.risk), promise.delta())
        });
        let risk_at_least = lower_bounds.fold(f64::INFINITY, f64::min);
        return Status::Infeasible(Infeasible::RiskTooHigh { risk_at_least });
    }
    Status::Underpowered { more_labels: more_labels(promise, &useful, rows) }
}

/// What a configuration that passed is worth: a certificate unless it is refused or does not save.
pub(super) fn judge(promise: &Promise, costs: &Costs, candidate: Candidate) -> Status {
    let max_error_when_answered = promise.max_error_when_answered;
    if promise.risk == Risk::Joint && candidate.selective_error.upper > max_error_when_answered {
        return Status::RefusedWhenAnswered { candidate, max_error_when_answered };
    }
    let all_large_cost = costs.large;
    if candidate.expected_cost >= all_large_cost {
        return Status::Uneconomic { best: candidate, all_large_cost };
    }
    Status::Certified(Certified { deployed: candidate, all_large_cost })
}

pub(super) fn candidate(
    promise: &Promise,
    configuration: Configuration,
    fresh: &Tally,
    tuning_coverage: Option<f64>,
    level: f64,
) -> Candidate {
    Candidate {
        configuration,
        accepted: fresh.accepted,
        bad: fresh.bad,
        accepted_by_rung: fresh.accepted_by_rung.clone(),
        coverage: fresh.coverage(),
        tuning_coverage,
        selective_error: clopper_pearson(fresh.bad, fresh.accepted, promise.confidence),
        bound: clopper_pearson_upper(fresh.bad, fresh.exposed(promise.risk), level),
        level,
        expected_cost: fresh.cost,
    }
}

/// Labels that the most promising configuration still needs.
fn more_labels(promise: &Promise, useful: &[&Entry], rows: u64) -> Option<u64> {
    let next_delta = super::delta_of_look(1.0 - promise.confidence, promise.look + 1);
    let share = if promise.risk == Risk::Joint { 1.0 } else { promise.starts.largest_share() };
    let level = share * next_delta;
    let limits =
        || std::iter::once(promise.max_error).chain(promise.constraints.iter().map(Constraint::limit));
    let roughly = |entry: &Entry| -> Option<f64> {
        let needs =
            entry.seen(promise.risk).zip(limits()).map(|(seen, limit)| seen.rows_roughly(limit, level));
        needs.collect::<Option<Vec<f64>>>()?.into_iter().max_by(f64::total_cmp)
    };
    let hopeful = useful.iter().filter_map(|entry| Some((roughly(entry)?, entry)));
    let (_, most_promising) = hopeful.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let needs = most_promising.seen(promise.risk).zip(limits());
    let needs = needs.map(|(seen, limit)| sample_size::rows_to_certify(seen, limit, level));
    let needed = needs.collect::<Option<Vec<u64>>>()?.into_iter().max()?;
    let offered = (super::LEAST_GROWTH * rows as f64).ceil() as u64;
    Some(needed.max(offered).saturating_sub(rows).max(1))
}

fn tested(entry: &Entry) -> Tested {
    Tested {
        configuration: entry.drafted.configuration.clone(),
        tuning_coverage: Some(entry.drafted.coverage()),
        coverage: entry.fresh.coverage(),
        accepted: entry.fresh.accepted,
        bad: entry.fresh.bad,
        p_value: entry.p_value,
        level: entry.level,
        passed: entry.passed(),
        expected_cost: entry.fresh.cost,
    }
}
