//! Another look: the same models and calibrators, certified on more rows. A look is a release of its own, because its
//! thresholds and its certificate are its own.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;

use sprat_cascade::Rung;
use sprat_stats::risk_control::{Costs, LEAST_GROWTH, is_look_offered};
use sprat_store::{LookResult, Sample, Store};
use sprat_task::{
    Binding, Certificate, Input, Judge, LabelledRow, Problem, Release, ReleaseId, Sha256Hex, Task,
};

use crate::advice::next_step;
use crate::certify::{LookAt, certify};
use crate::evaluate::Judgement;
use crate::evidence::Evidence;
use crate::judge::Judging;
use crate::learn::{LearnError, Learned, of_attempts};
use crate::observe::{ObservedRow, ask, enter};
use crate::release::{self, Draft, NEIGHBOURS, Replayed};
use crate::savings::{LargeCost, savings};

/// What is to be certified again, and on what.
pub struct Relook<'a> {
    /// The task.
    pub task: &'a Task,
    /// The release whose models and calibrators stay as they are.
    pub release: &'a Release,
    /// They, loaded.
    pub rungs: &'a [Rung],
    /// What rungs and the large model cost.
    pub costs: &'a Costs,
    /// What the large model costs, for the savings.
    pub large: Option<&'a LargeCost>,
    /// Who says which texts are good enough, where no measure does.
    pub judge: Option<&'a dyn Judge>,
    /// New rows, labelled.
    pub rows: &'a [LabelledRow],
    /// Tests on the new rows alone instead of the grown sample; only rows that no look has seen may do that.
    pub fresh_only: bool,
    /// Now, in milliseconds since 1970.
    pub now_unix_ms: i64,
    /// The version of Sprat.
    pub code_version: &'a str,
    /// The folder of releases.
    pub releases: &'a Path,
    /// What is remembered.
    pub store: &'a Store,
}

/// Takes another look. Rows that the models learned from are left out and counted in a notice; rows of earlier looks
/// count once.
pub async fn look_again(relook: Relook<'_>) -> Result<Learned, LearnError> {
    let folder = release::folder(relook.releases, &relook.release.id);
    let (tuning, earlier) = release::read_observations(&folder)?;
    let guarantee = relook.release.certificate.guarantee;
    let mut notices = Vec::new();
    let rows = usable(&relook, &tuning, &earlier, &mut notices);
    let mut judging = Judging::new(relook.judge, &|_, _| ControlFlow::Continue(()));
    let new = observe(&relook, &mut judging, &rows).await?;
    notices.extend(judging.notice());
    let sample = if relook.fresh_only { new } else { earlier.iter().cloned().chain(new).collect() };
    let before = relook.release.certificate.n;
    if !relook.fresh_only && !is_look_offered(before, sample.len() as u64) {
        let needed = (before as f64 * LEAST_GROWTH).ceil() as u64;
        return Err(Problem::new(format!(
            "{} new rows are too few for another look: it is offered when the sample has grown by {LEAST_GROWTH} times",
            rows.len()
        ))
        .allowed(format!("at least {} new labelled rows ({before} were looked at so far)", needed.saturating_sub(before)))
        .hint("each look spends part of the promise's confidence, so that peeking often would prove nothing")
        .into());
    }
    let wanted = Sample {
        task: relook.task.name.clone(),
        guarantee,
        release: Some(relook.release.id.version),
        hashes: sample.iter().map(|row: &ObservedRow| row.input.clone()).collect(),
    };
    let look = relook.store.datasets().begin_look(&wanted, relook.now_unix_ms)?;
    let at = LookAt { task: relook.task, guarantee, look: look.number, costs: relook.costs };
    let verdict = certify(&at, &tuning, &sample)?;
    let Certificate { n, accepted, bad, status, .. } = verdict.certificate;
    relook.store.datasets().finish_look(
        &look,
        LookResult { n, accepted, bad, status },
        relook.now_unix_ms,
    )?;
    let evidence = evidence(&relook, &verdict.certificate, &verdict.thresholds, &sample, notices)?;
    write(&relook, &folder, &verdict.thresholds, evidence, &tuning, &sample)
}

/// The new rows that carry the guarantee's labels, that no model learned from and that no earlier look has seen.
fn usable<'a>(
    relook: &Relook<'a>,
    tuning: &[ObservedRow],
    earlier: &[ObservedRow],
    notices: &mut Vec<String>,
) -> Vec<&'a LabelledRow> {
    let learned: HashSet<&Sha256Hex> = tuning.iter().map(|row| &row.input).collect();
    let looked_at: HashSet<&Sha256Hex> = earlier.iter().map(|row| &row.input).collect();
    let guarantee = relook.release.certificate.guarantee;
    let mut seen: HashSet<Sha256Hex> = HashSet::new();
    let (mut taught, mut known, mut unlabelled) = (0, 0, 0);
    let mut rows = Vec::new();
    for row in relook.rows {
        let hash = row.input.hash();
        if learned.contains(&hash) {
            taught += 1;
        } else if (!relook.fresh_only && looked_at.contains(&hash)) || !seen.insert(hash) {
            known += 1;
        } else if !crate::observe::has_labels(guarantee, row.gold.is_some(), row.large.is_some()) {
            unlabelled += 1;
        } else {
            rows.push(row);
        }
    }
    for (count, why) in [
        (taught, "were learned from, and prove nothing"),
        (known, "were counted already"),
        (unlabelled, "lack the labels that the promise is about"),
    ] {
        if count > 0 {
            notices.push(format!("{count} of {} rows {why}: left out", relook.rows.len()));
        }
    }
    rows
}

async fn observe(
    relook: &Relook<'_>,
    judging: &mut Judging<'_>,
    rows: &[&LabelledRow],
) -> Result<Vec<ObservedRow>, LearnError> {
    let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
    let mut attempts = Vec::new();
    for rung in relook.rungs {
        attempts.push(ask(rung.model.as_ref(), relook.task, &inputs, |_| {}).await);
    }
    let rungs: Vec<&Rung> = relook.rungs.iter().collect();
    let attempts: Vec<&[sprat_task::Attempt]> = attempts.iter().map(Vec::as_slice).collect();
    judging.ask(of_attempts(relook.task, rows, &attempts)).await?;
    Ok(enter(relook.task, rows, &rungs, &attempts, judging.judgements()))
}

/// The release's evidence with everything that depends on the sample or the thresholds measured anew.
fn evidence(
    relook: &Relook<'_>,
    certificate: &Certificate,
    thresholds: &[Option<f64>],
    sample: &[ObservedRow],
    notices: Vec<String>,
) -> Result<Evidence, LearnError> {
    let guarantee = certificate.guarantee;
    let judgement = Judgement { task: relook.task, guarantee, thresholds, rows: sample };
    let mut evidence: Evidence =
        serde_json::from_value(relook.release.evidence.clone()).map_err(|error| {
            Problem::new(format!("the evidence of {} can't be read: {error}", relook.release.id))
        })?;
    let names: Vec<_> = evidence.rungs.iter().map(|rung| rung.model.clone()).collect();
    for (index, rung) in evidence.rungs.iter_mut().enumerate() {
        let figures = judgement.rung(index);
        rung.accuracy = figures.accuracy;
        rung.macro_f1 = figures.macro_f1;
        rung.coverage = figures.coverage;
        rung.selective_accuracy = figures.selective_accuracy;
        rung.threshold = thresholds.get(index).copied().flatten();
    }
    evidence.created_unix_ms = relook.now_unix_ms;
    evidence.rows.certification = sample.len() as u64;
    evidence.notices = notices;
    evidence.ladder = judgement.ladder();
    evidence.certificate = certificate.clone();
    // Another guarantee would need a look of its own.
    evidence.other_certificates = Vec::new();
    evidence.savings = relook
        .large
        .and_then(|large| savings(relook.task, guarantee, thresholds, sample, relook.costs, large, &names));
    let provenance =
        relook.rows.iter().filter(|row| row.large.is_some()).map(|row| row.large_provenance).min();
    // Mixed with what was there before: the weakest of them.
    evidence.large_provenance = evidence.large_provenance.into_iter().chain(provenance).min();
    evidence.quality = judgement.quality(evidence.large_provenance.unwrap_or_default());
    evidence.out_of_scope = judgement.out_of_scope();
    // The texts of earlier looks are not kept: confusions come without examples.
    evidence.plots = judgement.plots(&[], std::mem::take(&mut evidence.plots.learning_curve));
    evidence.next = next_step(relook.task, certificate);
    Ok(evidence)
}

fn write(
    relook: &Relook<'_>,
    folder: &Path,
    thresholds: &[Option<f64>],
    mut evidence: Evidence,
    tuning: &[ObservedRow],
    sample: &[ObservedRow],
) -> Result<Learned, LearnError> {
    let draft = Draft::start(relook.releases, relook.task)?;
    let mut records = relook.release.rungs.clone();
    for (record, threshold) in records.iter_mut().zip(thresholds) {
        record.threshold = *threshold;
        draft.take_over(folder, &record.calibrator.file)?;
        if let Some(weights) = &record.weights {
            draft.take_over(folder, &weights.file)?;
        }
    }
    draft.take_over(folder, NEIGHBOURS)?;
    draft.write_observations(tuning, sample)?;
    draft.write_replay(&replay(folder, sample, thresholds)?)?;
    let version = release::next_version(relook.store, relook.releases, relook.task)?;
    let id = ReleaseId { task: relook.task.name.clone(), version };
    let prompt = relook.release.certificate.binding.prompt.clone();
    let judge = relook.judge.map(|judge| judge.identity().clone());
    let binding = Binding { judge, ..release::binding(relook.task, &records, prompt) };
    evidence.release = Some(id.clone());
    evidence.certificate.binding = binding;
    let release = Release {
        id,
        created_unix_ms: relook.now_unix_ms,
        rungs: records,
        certificate: evidence.certificate.clone(),
        other_certificates: Vec::new(),
        origin: sprat_task::release::Origin {
            code_version: relook.code_version.to_owned(),
            ..relook.release.origin.clone()
        },
        evidence: serde_json::to_value(&evidence).unwrap_or_default(),
    };
    let folder = draft.finish(&release)?;
    relook.store.registry().add(&release)?;
    Ok(Learned { release, evidence, folder, unchanged: false })
}

/// The stored inputs stay; who accepts them is decided anew by the new thresholds.
fn replay(
    folder: &Path,
    sample: &[ObservedRow],
    thresholds: &[Option<f64>],
) -> Result<Vec<Replayed>, LearnError> {
    let by_hash: std::collections::HashMap<&Sha256Hex, &ObservedRow> =
        sample.iter().map(|row| (&row.input, row)).collect();
    let decided = |row: Replayed| {
        let observed = by_hash.get(&row.text.hash())?;
        Some(Replayed { accepted_by: observed.answering(thresholds).map(|(rung, _)| rung), ..row })
    };
    Ok(release::read_replay(folder)?.into_iter().filter_map(decided).collect())
}
