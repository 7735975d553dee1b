//! What a ladder costs beside what it would cost otherwise, net of every step and every audit.

use sprat_stats::interval::clopper_pearson_upper;
use sprat_stats::risk_control::Costs;
use sprat_task::{ModelId, Money, Provenance, Task};

use crate::evidence::Savings;
use crate::observe::ObservedRow;

/// Requests that amounts are shown for.
const REQUESTS: u64 = 1_000;

/// What one call of the large model costs, and how that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct LargeCost {
    /// The large model.
    pub model: ModelId,
    /// Mean cost of a request.
    pub cost: Money,
    /// The price table's date, or the file the prices came from.
    pub prices: String,
    /// Whether that was measured, recorded or authored.
    pub provenance: Provenance,
}

/// What each rung and the large model cost a request, in micro-units. Without a price of the large model, small answers
/// are free and large ones cost 1: the best configuration is then the one that covers most.
pub fn costs(task: &Task, rungs: &[Option<Money>], large: Option<&LargeCost>) -> Costs {
    let mut costs = match large {
        Some(large) => priced(task, rungs, large),
        None => Costs::of_coverage(rungs.len()),
    };
    // Two ladders that cost the same and cover as much differ in whom they bother: the time of this machine has no price, and
    // rungs are declared from cheapest to dearest.
    let large = costs.large.max(1.0);
    (1..).zip(&mut costs.rungs).for_each(|(place, cost)| *cost += large * TIE_BREAK * f64::from(place));
    costs
}

/// What asking a rung is charged beside its price, as a share of the large model's, for each place that it stands up the
/// ladder: nothing that could outweigh one answer among millions.
const TIE_BREAK: f64 = 1e-9;

fn priced(task: &Task, rungs: &[Option<Money>], large: &LargeCost) -> Costs {
    let large = large.cost.micro() as f64;
    Costs {
        // What isn't known is taken to cost as much as the large model: never a saving that isn't there.
        rungs: rungs.iter().map(|cost| cost.map_or(large, |cost| cost.micro() as f64)).collect(),
        large,
        audit_rate: task.audit.rate(AUDITED_AT),
        audit: large,
        mistake: task.target.mistake_cost.map_or(0.0, |cost| cost.micro() as f64),
    }
}

/// Small answers a day at which `rate = "auto"` is charged before there is any traffic: where it is dearest.
const AUDITED_AT: f64 = 3_000.0;

/// What the ladder would cost on requests like `fresh`, at these thresholds.
pub fn savings(
    task: &Task,
    guarantee: sprat_task::Guarantee,
    thresholds: &[Option<f64>],
    fresh: &[ObservedRow],
    costs: &Costs,
    large: &LargeCost,
    names: &[ModelId],
) -> Option<Savings> {
    if fresh.is_empty() {
        return None;
    }
    let total: f64 = fresh.iter().map(|row| cost_of(row, thresholds, costs)).sum();
    let per_request = total / fresh.len() as f64;
    let amount = |per_request: f64| Money::from_micro((per_request * REQUESTS as f64).round() as i64);
    let share = if costs.large > 0.0 { 1.0 - per_request / costs.large } else { 0.0 };
    let alone = |rung: usize| {
        let bad = fresh.iter().filter(|row| match &row.said[rung] {
            Some(said) => row.is_bad(guarantee, &said.answer),
            None => true,
        });
        meets(task, bad.count(), fresh.len())
    };
    let small = names
        .iter()
        .enumerate()
        .filter(|(rung, _)| alone(*rung))
        .map(|(rung, name)| (name, costs.rungs[rung]));
    let large_alone = large_meets(task, guarantee, fresh).then_some((&large.model, costs.large));
    let cheapest = small.chain(large_alone).min_by(|a, b| a.1.total_cmp(&b.1));
    Some(Savings {
        requests: REQUESTS,
        ladder_micro_usd: amount(per_request),
        all_large_micro_usd: amount(costs.large),
        cheapest_single: cheapest.map(|(name, cost)| (name.clone(), amount(cost))),
        share,
        prices: large.prices.clone(),
        provenance: large.provenance,
    })
}

fn cost_of(row: &ObservedRow, thresholds: &[Option<f64>], costs: &Costs) -> f64 {
    let answering = row.answering(thresholds).map(|(rung, _)| rung);
    let climbed = answering.map_or(thresholds.len(), |rung| rung + 1);
    let asked = (0..climbed).filter(|rung| thresholds[*rung].is_some());
    let small: f64 = asked.map(|rung| costs.rungs[rung]).sum();
    small + if answering.is_some() { costs.audit_rate * costs.audit } else { costs.large }
}

/// Whether so few bad answers show, at the task's confidence, that the target is met.
fn meets(task: &Task, bad: usize, rows: usize) -> bool {
    clopper_pearson_upper(bad as u64, rows as u64, task.target.delta()) <= task.target.max_error
}

fn large_meets(task: &Task, guarantee: sprat_task::Guarantee, fresh: &[ObservedRow]) -> bool {
    match guarantee {
        // By definition it agrees with itself, and is never wrong where it is right.
        sprat_task::Guarantee::Agreement | sprat_task::Guarantee::Harm => true,
        sprat_task::Guarantee::Gold => {
            let judged: Vec<bool> =
                fresh.iter().filter_map(|row| Some(row.large.as_ref()? != row.gold.as_ref()?)).collect();
            !judged.is_empty() && meets(task, judged.iter().filter(|bad| **bad).count(), judged.len())
        }
    }
}
