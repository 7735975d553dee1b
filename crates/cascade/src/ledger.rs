//! What a climb cost, and what it would have cost otherwise. Unknown is said, never counted as nothing.

use serde::{Deserialize, Serialize};
use sprat_task::{Money, Step};

use crate::climb::{Climbed, End};

/// A sum some of whose terms may be unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The sum of the known terms.
    pub known: Money,
    /// How many terms are unknown.
    pub unknown: u64,
}

impl Spent {
    /// What the steps cost together.
    pub fn of(steps: &[Step]) -> Self {
        steps.iter().fold(Self::default(), |sum, step| match step.usage.cost {
            Some(cost) => Self { known: sum.known + cost, ..sum },
            None => Self { unknown: sum.unknown + 1, ..sum },
        })
    }

    /// The amount, where every term is known.
    pub fn exact(self) -> Option<Money> {
        (self.unknown == 0).then_some(self.known)
    }
}

/// One request's cost beside its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Every step of the climb.
    pub spent: Spent,
    /// What the large model alone costs for this request; `None` where nobody knows.
    pub all_large: Option<Money>,
    /// Whether `all_large` is an estimate: the large model was not asked this time.
    pub all_large_is_estimated: bool,
}

impl Account {
    /// Charges a climb. `estimate` is what the large model would cost for this input, used only where it wasn't asked;
    /// where it was, its own bill is the baseline.
    pub fn of(climbed: &Climbed, estimate: Option<Money>) -> Self {
        let billed = match climbed.end {
            End::Large | End::Failed => climbed.steps.last().map(|step| step.usage.cost),
            End::Small | End::People | End::NoAnswer | End::Stopped => None,
        };
        match billed {
            Some(cost) => {
                Self { spent: Spent::of(&climbed.steps), all_large: cost, all_large_is_estimated: false }
            }
            None => Self {
                spent: Spent::of(&climbed.steps),
                all_large: estimate,
                all_large_is_estimated: estimate.is_some(),
            },
        }
    }

    /// What was saved; negative where the ladder cost more, `None` where either side is unknown.
    pub fn saved(&self) -> Option<Money> {
        Some(self.all_large? - self.spent.exact()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sprat_task::{Outcome, Usage};

    fn step(cost: Option<i64>) -> Step {
        let usage = Usage { tokens: None, cost: cost.map(Money::from_micro) };
        Step { model: "m".into(), usage, latency_us: 1, outcome: Outcome::Abstained }
    }

    fn climbed(steps: Vec<Step>, end: End) -> Climbed {
        Climbed { steps, end, ..Climbed::starting() }
    }

    #[test]
    fn a_request_answered_small_saves_what_the_large_model_would_have_cost() {
        let account = Account::of(&climbed(vec![step(Some(3))], End::Small), Some(Money::from_micro(100)));
        assert_eq!(account.saved(), Some(Money::from_micro(97)));
        assert!(account.all_large_is_estimated);
    }

    #[test]
    fn an_escalation_is_charged_for_both_models_so_that_it_costs_more_than_all_large() {
        let account = Account::of(
            &climbed(vec![step(Some(3)), step(Some(100))], End::Large),
            Some(Money::from_micro(999)),
        );
        assert_eq!(account.saved(), Some(Money::from_micro(-3)));
        assert!(!account.all_large_is_estimated, "the large model's own bill is the baseline");
    }

    #[test]
    fn a_call_that_broke_off_leaves_the_cost_unknown_and_not_zero() {
        let account =
            Account::of(&climbed(vec![step(Some(3)), step(None)], End::Failed), Some(Money::from_micro(100)));
        assert_eq!(account.spent, Spent { known: Money::from_micro(3), unknown: 1 });
        assert_eq!((account.spent.exact(), account.all_large, account.saved()), (None, None, None));
    }

    proptest! {
        #[test]
        fn the_steps_sum_to_the_total(costs in proptest::collection::vec(proptest::option::of(0_i64..1_000_000), 0..8)) {
            let steps: Vec<Step> = costs.iter().map(|cost| step(*cost)).collect();
            let spent = Spent::of(&steps);
            prop_assert_eq!(spent.known.micro(), costs.iter().flatten().sum::<i64>());
            prop_assert_eq!(spent.unknown as usize, costs.iter().filter(|cost| cost.is_none()).count());
        }
    }
}
