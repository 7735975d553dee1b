//! Fixed-sequence testing down a list of configurations, safest first.
//!
//! Each start begins with its part of delta. While configurations pass, the level carries on to the next; a
//! segment that passed whole carries its level into the next start, one that failed carries nothing. Under any
//! truth the chance of a false pass anywhere is at most the sum of the parts, since a level only moves past
//! configurations that passed (fallback procedure: Wiens & Dmitrienko 2005).

use super::candidates::{self, Drafted};
use super::certification::{Candidate, Certification, Certified, Infeasible, Status, Tested};
use super::cost::{Costs, Tally, tally};
use super::starts::{self, Start};
use super::{Promise, Risk, Sample};
use crate::interval::{clopper_pearson, clopper_pearson_lower, clopper_pearson_upper};
use crate::sample_size;

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
}

pub(super) fn certify(promise: &Promise, costs: &Costs, tuning: &Sample, fresh: &Sample) -> Certification {
    let list = candidates::draw_up(tuning, costs, promise.risk, promise.max_error);
    let starts = starts(promise, &list, fresh.len() as u64);
    let mut entries: Vec<Entry> = list
        .into_iter()
        .map(|drafted| {
            let fresh = tally(&drafted.configuration, fresh, costs, promise.risk, &promise.constraints);
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

fn starts(promise: &Promise, list: &[Drafted], rows: u64) -> Vec<Start> {
    if list.is_empty() || rows == 0 {
        return Vec::new();
    }
    match promise.risk {
        Risk::Selective => starts::choose(promise.starts, list, rows, promise.max_error, promise.delta()),
        Risk::Joint => vec![Start { position: 0, delta: promise.delta() }],
    }
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
            candidate(promise, &entry.drafted.configuration, &entry.fresh, tuning_coverage, level);
        return judge(promise, costs, candidate);
    }
    let useful: Vec<&Entry> =
        entries.iter().filter(|entry| entry.drafted.coverage() >= promise.smallest_useful_coverage).collect();
    if useful.is_empty() {
        return Status::Infeasible(Infeasible::NothingToAccept);
    }
    let lower_bounds = useful.iter().map(|entry| {
        clopper_pearson_lower(entry.fresh.bad, entry.fresh.exposed(promise.risk), promise.delta())
    });
    let risk_at_least = lower_bounds.fold(f64::INFINITY, f64::min);
    if risk_at_least > promise.max_error {
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
    configuration: &super::Configuration,
    fresh: &Tally,
    tuning_coverage: Option<f64>,
    level: f64,
) -> Candidate {
    Candidate {
        configuration: configuration.clone(),
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

/// Labels that the most promising configuration still needs, its risk taken from both samples together.
fn more_labels(promise: &Promise, useful: &[&Entry], rows: u64) -> Option<u64> {
    let next_delta = super::delta_of_look(1.0 - promise.confidence, promise.look + 1);
    let needs = useful.iter().filter_map(|entry| {
        let (drafted, fresh) = (&entry.drafted, &entry.fresh);
        let exposed = fresh.exposed(promise.risk)
            + if promise.risk == Risk::Joint { drafted.rows } else { drafted.accepted };
        let risk = ((fresh.bad + drafted.bad) as f64 + 0.5) / (exposed as f64 + 1.0);
        let share = exposed as f64 / (drafted.rows + fresh.rows) as f64;
        sample_size::labels_for_power_roughly(risk, promise.max_error, next_delta)
            .map(|exposed| exposed / share)
    });
    let needed = needs.min_by(f64::total_cmp)?;
    let offered = super::LEAST_GROWTH * rows as f64;
    Some((needed.max(offered).ceil() as u64).saturating_sub(rows).max(1))
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
