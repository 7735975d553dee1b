//! Puts the confidences of any model through the certification that Sprat puts its own through, so that coverages can
//! be compared:
//!
//! `certify_scores < scores.json > verdicts.json`
//!
//! Reads `{"max_errors": [0.05], "confidence": 0.95, "tuning": [[0.93, true], ...], "fresh": [[0.88, false], ...]}`:
//! a confidence and whether the answer is right, for rows answered out of fold and for rows nothing was fitted on.
//! Writes a verdict for each `max_error`, under the selective promise at its first look.

use std::io::{stdin, stdout};

use serde::{Deserialize, Serialize};
use sprat_stats::risk_control::{Certification, Costs, Promise, Risk, Sample, Status, certify};

#[derive(Deserialize)]
struct Scores {
    max_errors: Vec<f64>,
    confidence: f64,
    tuning: Vec<(f64, bool)>,
    fresh: Vec<(f64, bool)>,
}

#[derive(Serialize)]
struct Verdict {
    max_error: f64,
    status: &'static str,
    /// Accept iff the confidence is greater; null unless certified.
    threshold: Option<f64>,
    n: u64,
    accepted: u64,
    bad: u64,
    /// More rows that would probably certify it, where they would.
    more_labels: Option<u64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scores: Scores = serde_json::from_reader(stdin().lock())?;
    let sample =
        |rows: &[(f64, bool)]| Sample::of_one_rung(rows.iter().map(|(score, right)| (Some(*score), !right)));
    let (tuning, fresh) = (sample(&scores.tuning), sample(&scores.fresh));
    let verdict = |max_error: &f64| {
        let promise = Promise { confidence: scores.confidence, ..Promise::new(*max_error, Risk::Selective) };
        certify(&promise, &Costs::of_coverage(1), &tuning, &fresh).map(|found| of(*max_error, &found))
    };
    let verdicts: Vec<Verdict> = scores.max_errors.iter().map(verdict).collect::<Result<_, _>>()?;
    Ok(serde_json::to_writer(stdout().lock(), &verdicts)?)
}

fn of(max_error: f64, found: &Certification) -> Verdict {
    let (status, more_labels) = match &found.status {
        Status::Certified(_) => ("certified", None),
        Status::Underpowered { more_labels } => ("underpowered", *more_labels),
        Status::Infeasible(_) => ("infeasible", None),
        Status::Uneconomic { .. } => ("uneconomic", None),
        Status::RefusedWhenAnswered { .. } => ("refused", None),
    };
    let deployed = found.certified().map(|certified| &certified.deployed);
    Verdict {
        max_error,
        status,
        threshold: deployed.and_then(|best| best.configuration.thresholds.first().copied().flatten()),
        n: found.n,
        accepted: deployed.map_or(0, |best| best.accepted),
        bad: deployed.map_or(0, |best| best.bad),
        more_labels,
    }
}
