//! From observations to a certificate: what the mathematics of `sprat-stats` says, in the words of `sprat-task`.

use sprat_stats::interval::{clopper_pearson, clopper_pearson_upper};
use sprat_stats::risk_control::{
    self, Candidate, Certification, Constraint, Costs, Promise, RiskControlError,
};
use sprat_task::target::{Recall, Target};
use sprat_task::{Binding, Certificate, Guarantee, PromisedRecall, Risk, Status, Task};

use crate::observe::{ObservedRow, names, sample};

/// A look at fresh rows: the certificate, and the thresholds it allows.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The promise.
    pub certificate: Certificate,
    /// One threshold a rung; all `None` unless certified.
    pub thresholds: Vec<Option<f64>>,
    /// The best point that was found even where it may not be deployed, for the report.
    pub best: Option<Candidate>,
    /// Everything that was tested, for the plot.
    pub certification: Certification,
}

/// What goes into a look besides the rows.
#[derive(Clone, Debug)]
pub struct LookAt<'a> {
    /// The task.
    pub task: &'a Task,
    /// What counts as bad.
    pub guarantee: Guarantee,
    /// Which look this is, from 1.
    pub look: u32,
    /// What rungs and the large model cost.
    pub costs: &'a Costs,
}

/// Tunes on `tuning` (training rows, answered out of fold) and tests on `fresh` (rows nothing was fitted on).
pub fn certify(
    look: &LookAt<'_>,
    tuning: &[ObservedRow],
    fresh: &[ObservedRow],
) -> Result<Verdict, RiskControlError> {
    let rungs = look.costs.rungs.len();
    let sampled = |rows| sample(rows, rungs, look.task, look.guarantee);
    let certification = risk_control::certify(
        &promise(&look.task.target, look.look),
        look.costs,
        &sampled(tuning),
        &sampled(fresh),
    )?;
    let mut verdict = verdict(look, certification, rungs);
    // Shown at the thresholds that were found, also where they may not be deployed.
    let none = vec![None; rungs];
    let thresholds = verdict.best.as_ref().map_or(&none, |best| &best.configuration.thresholds);
    let level = verdict.best.as_ref().map_or(verdict.certificate.delta_spent, |best| best.level);
    verdict.certificate.recall = promised_recall(look, thresholds, fresh, level);
    Ok(verdict)
}

fn promise(target: &Target, look: u32) -> Promise {
    let slices = (0_u16..).zip(&target.slices);
    let slices = slices.map(|(slice, declared)| Constraint::Slice { slice, max_error: declared.max_error });
    let latency = target.latency_p95_ms.map(|limit_ms| Constraint::Latency { limit_ms, share: 0.05 });
    Promise {
        confidence: 1.0 - target.delta(),
        look,
        max_error_when_answered: target.max_error_when_answered,
        smallest_useful_coverage: target.smallest_coverage,
        constraints: slices.chain(latency).chain(recall(target)).collect(),
        ..Promise::new(target.max_error, risk(target.risk))
    }
}

/// What must not be missed, category by category, as the mathematics numbers them.
fn recall(target: &Target) -> impl Iterator<Item = Constraint> {
    let categories = (0_u16..).zip(&target.recall);
    categories.map(|(category, promised)| Constraint::Recall { category, max_missed: promised.max_missed })
}

/// What certification rows say of each category, at these thresholds.
fn promised_recall(
    look: &LookAt<'_>,
    thresholds: &[Option<f64>],
    fresh: &[ObservedRow],
    level: f64,
) -> Vec<PromisedRecall> {
    let of = |promised: &Recall| {
        let belongs = |row: &&ObservedRow| row.belongs_to(&promised.label, look.guarantee);
        let positives: Vec<&ObservedRow> = fresh.iter().filter(belongs).collect();
        let answers = positives.iter().filter_map(|row| Some(&row.answering(thresholds)?.1.answer));
        let (flagged, missed): (Vec<_>, Vec<_>) = answers.partition(|answer| names(answer, &promised.label));
        let (positives, missed) = (positives.len() as u64, missed.len() as u64);
        PromisedRecall {
            label: promised.label.clone(),
            max_missed: promised.max_missed,
            positives,
            missed,
            flagged: flagged.len() as u64,
            bound: (positives > 0).then(|| clopper_pearson_upper(missed, positives, level)),
        }
    };
    look.task.target.recall.iter().map(of).collect()
}

/// The level that the limits of a first look's categories are drawn up for.
pub fn first_level(target: &Target) -> f64 {
    promise(target, 1).first_level()
}

/// The promise's risk in the words of the mathematics.
pub fn risk(risk: Risk) -> risk_control::Risk {
    match risk {
        Risk::Selective => risk_control::Risk::Selective,
        Risk::Joint => risk_control::Risk::Joint,
    }
}

fn verdict(look: &LookAt<'_>, certification: Certification, rungs: usize) -> Verdict {
    use risk_control::{Infeasible, Status as Found};
    let (status, best, more_labels, note) = match &certification.status {
        Found::Certified(certified) => (Status::Certified, Some(&certified.deployed), None, None),
        Found::Underpowered { more_labels } => (Status::Underpowered, None, *more_labels, None),
        Found::Infeasible(Infeasible::RiskTooHigh { risk_at_least }) => {
            let note = format!(
                "even where they are surest, at least {:.1}% of the answers are bad",
                risk_at_least * 100.0
            );
            (Status::Infeasible, None, None, Some(note))
        }
        Found::Infeasible(Infeasible::NothingToAccept) => {
            (Status::Infeasible, None, None, Some("no rung is sure of anything".to_owned()))
        }
        Found::Uneconomic { best, .. } => (Status::Uneconomic, Some(best), None, None),
        Found::RefusedWhenAnswered { candidate, max_error_when_answered } => {
            let note = format!(
                "the promise over all requests holds, but of the answers given up to {:.1}% may be bad, and at most {:.1}% is allowed",
                candidate.selective_error.upper * 100.0,
                max_error_when_answered * 100.0
            );
            (Status::Infeasible, Some(candidate), None, Some(note))
        }
    };
    let target = &look.task.target;
    let (accepted, bad) = best.map_or((0, 0), |best| (best.accepted, best.bad));
    let certificate = Certificate {
        status,
        risk: target.risk,
        guarantee: look.guarantee,
        records: look.task.kind == sprat_task::Kind::Extract,
        quality: look.task.quality.clone(),
        alpha: target.max_error,
        delta: target.delta(),
        look: look.look,
        delta_spent: certification.delta_spent,
        n: certification.n,
        accepted,
        bad,
        bound: best.map(|best| best.bound),
        selective_interval: (accepted > 0).then(|| {
            let interval = clopper_pearson(bad, accepted, target.confidence);
            (interval.lower, interval.upper)
        }),
        more_labels,
        note,
        // Bound once the thresholds are known: see `release::binding`.
        recall: Vec::new(),
        binding: Binding::default(),
    };
    let thresholds = match best {
        Some(best) if status == Status::Certified => best.configuration.thresholds.clone(),
        _ => vec![None; rungs],
    };
    Verdict { certificate, thresholds, best: best.cloned(), certification }
}

/// A further certificate, of another guarantee, for the thresholds that are deployed: certified only if the walk over
/// the same list of configurations passed exactly these. The two are never mixed.
pub fn certify_deployed(
    look: &LookAt<'_>,
    thresholds: &[Option<f64>],
    tuning: &[ObservedRow],
    fresh: &[ObservedRow],
) -> Result<Certificate, RiskControlError> {
    let mut certificate = certify(look, tuning, fresh)?;
    let deployed =
        certificate.certification.tested.iter().find(|tested| tested.configuration.thresholds == thresholds);
    let counted =
        fresh.iter().filter_map(|row| Some(row.is_bad(look.guarantee, &row.answering(thresholds)?.1.answer)));
    let answered: Vec<bool> = counted.collect();
    let (accepted, bad) = (answered.len() as u64, answered.iter().filter(|bad| **bad).count() as u64);
    let exposed = if look.task.target.risk == Risk::Joint { fresh.len() as u64 } else { accepted };
    let found = &mut certificate.certificate;
    found.status = match (found.status, deployed) {
        (Status::Certified | Status::Uneconomic, Some(tested)) if tested.passed => Status::Certified,
        (Status::Certified | Status::Uneconomic, _) => Status::Underpowered,
        (other, _) => other,
    };
    found.accepted = accepted;
    found.bad = bad;
    found.bound = (accepted > 0).then(|| clopper_pearson_upper(bad, exposed, found.delta_spent));
    found.selective_interval = (accepted > 0).then(|| {
        let interval = clopper_pearson(bad, accepted, look.task.target.confidence);
        (interval.lower, interval.upper)
    });
    found.recall = promised_recall(look, thresholds, fresh, found.delta_spent);
    found.note = Some("for the thresholds that the first promise chose".to_owned());
    Ok(certificate.certificate)
}
