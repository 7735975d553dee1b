//! What was saved, against each thing one could have done instead. What can't be compared is said, never guessed.

use sprat_store::Totals;
use sprat_task::{ModelId, Money, Provenance, Task};

use super::evidence::{Evidence, Savings};
use super::format::{counted, money, percent, shown};
use super::series::Beside;

/// What was saved against one baseline.
pub struct Saving {
    /// What one could have done instead.
    pub against: String,
    /// What it came to; why there is nothing to compare where there isn't.
    pub outcome: Result<Compared, String>,
}

/// What something cost beside what it would have cost otherwise.
pub struct Compared {
    /// Saved; negative where it cost more.
    pub saved: Money,
    /// The same as a share of what it would have cost; `None` where that is nothing.
    pub share: Option<f64>,
    /// What it cost.
    pub spent: Money,
    /// What it would have cost.
    pub instead_of: Money,
    /// Requests that are compared.
    pub requests: u64,
    /// What there is to know about the comparison.
    pub notes: Vec<String>,
    /// Where prices and answers come from.
    pub provenance: Provenance,
}

impl Compared {
    /// Whether it cost more than the baseline.
    pub fn is_loss(&self) -> bool {
        self.saved < Money::ZERO
    }

    /// Saved, or cost more, as an amount without a sign.
    pub fn amount(&self) -> String {
        money(Money::from_micro(self.saved.micro().saturating_abs()))
    }

    /// The share, where there is one.
    pub fn share_text(&self) -> Option<String> {
        self.share.map(percent)
    }
}

/// Of one task: against its large model, and against the cheapest single one.
pub fn both(task: &Task, served: &Totals, beside: Beside, evidence: &Evidence) -> [Saving; 2] {
    let mut large = against_large(served, beside);
    if task.large().is_none() {
        large.outcome = Err("the task has no large model".to_owned());
    }
    [large, against_single(served, beside, evidence, task.large())]
}

/// Against sending everything to the large model, net of labels, training, audits, evaluation and judgements.
pub fn against_large(served: &Totals, beside: Beside) -> Saving {
    let against = "sending everything to the large model".to_owned();
    let compared = &served.compared;
    let Some(provenance) = served.provenance.filter(|_| compared.requests > 0) else {
        let why = match served.requests {
            0 => "nothing has been served",
            _ => "no request has both a known cost and a known price of the large model",
        };
        return Saving { against, outcome: Err(why.to_owned()) };
    };
    let mut notes = Vec::new();
    let left_out = served.requests - compared.requests.min(served.requests);
    if left_out > 0 {
        notes.push(format!("{} of unknown cost left out", counted(left_out, "request")));
    }
    if served.baseline_estimated > 0 {
        notes.push(format!(
            "the large model’s price is estimated for {} that it wasn’t asked",
            counted(served.baseline_estimated, "request")
        ));
    }
    if beside.cost > Money::ZERO {
        notes.push(format!(
            "net of {} for labels, training, audits, evaluation and judgements",
            money(beside.cost)
        ));
    }
    if beside.unknown > 0 {
        notes.push(format!("{} for these unknown", counted(beside.unknown, "cost")));
    }
    Saving {
        against,
        outcome: Ok(compare(
            compared.cost + beside.cost,
            compared.baseline,
            compared.requests,
            provenance,
            notes,
        )),
    }
}

/// Against the cheapest single model that met the target when the live release was made, for the requests of one task
/// whose cost is known. Where that is the large model itself, what each request would have cost there is known better.
fn against_single(served: &Totals, beside: Beside, evidence: &Evidence, large: Option<&ModelId>) -> Saving {
    let single =
        evidence.savings.as_ref().and_then(|savings| Some((savings, savings.cheapest_single.as_ref()?)));
    let Some((Savings { requests: per, prices, provenance, .. }, (model, cost))) = single else {
        return Saving {
            against: "the cheapest single model".to_owned(),
            outcome: Err("no single model is shown to meet the target by itself".to_owned()),
        };
    };
    if Some(model) == large {
        let against = "the cheapest single model, which is the large one".to_owned();
        let outcome = against_large(served, beside).outcome;
        return Saving { against, outcome: outcome.map(|same| Compared { notes: Vec::new(), ..same }) };
    }
    let against = format!("letting {} answer everything", shown(model.as_str()));
    let requests = served.requests - served.cost_unknown.min(served.requests);
    let instead_of = Money::from_units(cost.units() / (*per).max(1) as f64 * requests as f64);
    let (Some(served_from), Some(instead_of)) = (served.provenance.filter(|_| requests > 0), instead_of)
    else {
        return Saving { against, outcome: Err("nothing has been served at a known cost".to_owned()) };
    };
    let notes = vec![format!(
        "the cheapest single model that met the target when the release was made; prices: {}",
        shown(prices)
    )];
    let compared =
        compare(served.cost + beside.cost, instead_of, requests, served_from.weaker(*provenance), notes);
    Saving { against, outcome: Ok(compared) }
}

fn compare(
    spent: Money,
    instead_of: Money,
    requests: u64,
    provenance: Provenance,
    notes: Vec<String>,
) -> Compared {
    let saved = instead_of - spent;
    let share = (instead_of > Money::ZERO).then(|| saved.units() / instead_of.units());
    Compared { saved, share, spent, instead_of, requests, notes, provenance }
}

/// What a provenance means for whoever reads a saving; `None` where it was measured here.
pub fn caution(provenance: Option<Provenance>) -> Option<(&'static str, &'static str)> {
    match provenance? {
        Provenance::Authored => Some((
            "Authored",
            "The large model’s answers, prices and latencies were written by hand to look like the real thing. The savings \
             show how the ledger works, not what you would save.",
        )),
        Provenance::Simulated => {
            Some(("Simulated", "Some of this was produced by a simulation; it is not what happened."))
        }
        Provenance::Recorded => Some((
            "Recorded",
            "The large model’s answers and prices were recorded earlier and played back; it was not asked now.",
        )),
        Provenance::Measured => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sprat_store::Compared as Sums;

    fn served(requests: u64, unknown: u64) -> Totals {
        let known = requests - unknown;
        let sums = Sums {
            requests: known,
            cost: Money::from_micro(20 * known as i64),
            baseline: Money::from_micro(100 * known as i64),
        };
        Totals {
            requests,
            cost: sums.cost,
            cost_unknown: unknown,
            compared: sums,
            provenance: Some(Provenance::Recorded),
            ..Totals::default()
        }
    }

    #[test]
    fn a_saving_is_net_of_everything_else_and_leaves_out_what_nobody_knows() {
        let beside = Beside { cost: Money::from_micro(300), unknown: 1 };
        let saving = against_large(&served(10, 5), beside).outcome.unwrap();
        assert_eq!((saving.saved, saving.requests), (Money::from_micro(500 - 100 - 300), 5));
        assert_eq!((saving.share, saving.is_loss()), (Some(0.2), false));
        assert_eq!(saving.notes[0], "5 requests of unknown cost left out");
        assert!(against_large(&served(4, 4), beside).outcome.is_err());
        assert!(against_large(&Totals::default(), beside).outcome.is_err());
        assert!(against_large(&served(2, 0), beside).outcome.unwrap().is_loss());
    }

    #[test]
    fn a_single_model_is_a_baseline_only_where_one_is_proved() {
        let evidence = |single| Evidence {
            savings: Some(Savings {
                requests: 1_000,
                cheapest_single: single,
                prices: "2026-11-20".to_owned(),
                provenance: Provenance::Authored,
            }),
            ..Evidence::default()
        };
        let beside = Beside::default();
        let found = evidence(Some(("m".into(), Money::from_micro(60_000))));
        let dear = against_single(&served(10, 5), beside, &found, Some(&"large".into())).outcome.unwrap();
        assert_eq!((dear.saved, dear.requests), (Money::from_micro(5 * 60 - 5 * 20), 5));
        assert_eq!(dear.provenance, Provenance::Authored, "the weaker of the two");
        let itself = against_single(&served(10, 5), beside, &found, Some(&"m".into()));
        let large = against_large(&served(10, 5), beside).outcome.unwrap();
        assert_eq!(itself.against, "the cheapest single model, which is the large one");
        assert_eq!(itself.outcome.unwrap().saved, large.saved, "one amount for one comparison");
        for none in [evidence(None), Evidence::default()] {
            assert!(against_single(&served(10, 5), beside, &none, None).outcome.is_err());
        }
    }

    #[test]
    fn evidence_that_says_something_else_says_nothing() {
        let release = |evidence| {
            let text = json!({"savings": {"requests": 1_000, "cheapest_single": ["linear", 0], "prices": "p",
                "provenance": "authored", "share": 0.5}, "rows": {"read": 3}});
            serde_json::from_value::<Evidence>(if evidence { text } else { json!({"savings": 3}) })
        };
        assert_eq!(release(true).unwrap().savings.unwrap().cheapest_single.unwrap().1, Money::ZERO);
        assert!(release(false).is_err());
    }
}
