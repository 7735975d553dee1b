//! How the new rungs did, by themselves and as a ladder, how long they take, and whether more rows would help.

use sprat_stats::risk_control::Costs;
use sprat_task::{Certificate, Guarantee, Input, LabelledRow, ModelId, Task};

use super::{Data, LearnError, Order, Stage, TrainedLadder, mean_cost};
use crate::certify::Verdict;
use crate::evaluate::{Judgement, learning_point};
use crate::evidence::{Evidence, LearningPoint, RungEvidence};
use crate::observe::{ObservedRow, ask};
use crate::release::Draft;
use crate::savings::savings;
use crate::train::{Source, TrainedRung};

/// Inputs that are timed one by one for a rung's latency.
const TIMED: usize = 300;
/// Shares of the training rows on the learning curve, besides all of them.
const CURVE: [f64; 3] = [0.125, 0.25, 0.5];
/// The sort of model whose learning curve is drawn.
const QUICK: &str = "linear";
/// Above this many training rows the learning curve is left out: it would take longer than the learning.
const CURVE_AT_MOST: usize = 50_000;

/// What is shown of a release.
#[expect(clippy::too_many_arguments, reason = "every step's result meets here, once")]
pub(super) async fn measure(
    order: &Order<'_>,
    guarantee: Guarantee,
    data: &Data,
    ladder: &mut TrainedLadder,
    charges: &Costs,
    verdict: &Verdict,
    other_certificates: Vec<Certificate>,
    fresh: &[ObservedRow],
    notices: Vec<String>,
) -> Result<Evidence, LearnError> {
    let thresholds = verdict.thresholds.as_slice();
    let judgement = Judgement { task: order.task, guarantee, thresholds, rows: fresh };
    let mut rungs = Vec::new();
    for (index, trained) in ladder.trained.iter().enumerate() {
        let figures = judgement.rung(index);
        let (latency_p50_us, latency_p99_us) =
            time_one_by_one(trained, order.task, &data.fresh_inputs()).await;
        rungs.push(RungEvidence {
            model: trained.rung.model.id().clone(),
            kind: trained.kind.to_owned(),
            accuracy: figures.accuracy,
            macro_f1: figures.macro_f1,
            threshold: thresholds[index],
            coverage: figures.coverage,
            selective_accuracy: figures.selective_accuracy,
            latency_p50_us,
            latency_p99_us,
            cost_micro_usd: mean_cost(fresh, index),
            fit_ms: trained.fit_ms,
            told: trained.told.clone(),
            bytes: 0,
        });
    }
    let names: Vec<ModelId> = rungs.iter().map(|rung| rung.model.clone()).collect();
    let saved = order
        .large
        .as_ref()
        .and_then(|large| savings(order.task, guarantee, thresholds, fresh, charges, large, &names));
    let provenance =
        data.curated.rows.iter().filter(|row| row.large.is_some()).map(|row| row.large_provenance).min();
    let curve = learning_curve(order, guarantee, data, ladder).await?;
    let rows = data.fresh_rows();
    // The registry and the report outlive what was captured.
    let texts: Vec<Option<&str>> =
        rows.iter().map(|row| (!row.captured).then_some(row.input.text.as_str())).collect();
    Ok(Evidence {
        task: order.task.name.clone(),
        release: None,
        created_unix_ms: order.now_unix_ms,
        rows: data.counts(order),
        notices,
        rungs,
        ladder: judgement.ladder(),
        large_provenance: provenance,
        certificate: verdict.certificate.clone(),
        other_certificates,
        savings: saved,
        quality: judgement.quality(provenance.unwrap_or_default()),
        out_of_scope: judgement.out_of_scope(),
        plots: judgement.plots(&texts, curve),
        next: crate::advice::next_step(order.task, &verdict.certificate),
    })
}

/// Median and 99th percentile of the time one input takes, in microseconds, asked one at a time as in serving.
async fn time_one_by_one(trained: &TrainedRung, task: &Task, inputs: &[Input]) -> (u64, u64) {
    if trained.file.is_none() {
        // A remote model is paid by the call: what it took for the certification rows has to do.
        let mut seen: Vec<u64> =
            trained.out_of_fold.iter().flatten().map(|attempt| attempt.latency.as_micros() as u64).collect();
        return percentiles(&mut seen);
    }
    let mut taken = Vec::new();
    for input in inputs.iter().take(TIMED) {
        let attempts = ask(trained.rung.model.as_ref(), task, std::slice::from_ref(input), |_| {}).await;
        taken.extend(attempts.first().map(|attempt| attempt.latency.as_micros() as u64));
    }
    percentiles(&mut taken)
}

fn percentiles(microseconds: &mut [u64]) -> (u64, u64) {
    microseconds.sort_unstable();
    let at = |share: f64| {
        microseconds
            .get(((microseconds.len() as f64 * share) as usize).min(microseconds.len().saturating_sub(1)))
    };
    (at(0.5).copied().unwrap_or(0), at(0.99).copied().unwrap_or(0))
}

/// Accuracy of the linear rung by number of training rows: whether more labels would help. Other rungs would take too
/// long to train once more for each point.
async fn learning_curve(
    order: &Order<'_>,
    guarantee: Guarantee,
    data: &Data,
    ladder: &TrainedLadder,
) -> Result<Vec<LearningPoint>, LearnError> {
    let trainer = order.sources.iter().find_map(|source| match source {
        Source::Trained(trainer) if trainer.kind() == QUICK => Some(trainer),
        Source::Trained(_) | Source::AsItIs { .. } => None,
    });
    let (Some(trainer), false) = (trainer, data.train.len() > CURVE_AT_MOST) else { return Ok(Vec::new()) };
    let inputs = data.fresh_inputs();
    let mut points = Vec::new();
    for share in CURVE {
        let rows = &data.train[..(data.train.len() as f64 * share) as usize];
        if rows.len() < crate::rows::enough::FEWEST_ROWS {
            continue;
        }
        let scratch = Draft::start(order.releases, order.task)?;
        let halves: Vec<u32> = data.folds[..rows.len()].iter().map(|fold| fold % 2).collect();
        let training = sprat_task::Training {
            seed: order.seed,
            threads: order.threads,
            kept: None,
            progress: &|_| (order.progress)(Stage::Measuring),
        };
        let fitted = trainer.fit(&training, order.task, rows, &halves, scratch.folder())?;
        let attempts = ask(fitted.model.as_ref(), order.task, &inputs, |_| {}).await;
        points.push(learning_point(rows.len(), count_right(data, guarantee, &attempts), inputs.len()));
    }
    // With all rows it has been trained and asked already.
    let trained = order.sources.iter().zip(&ladder.fresh).find(|(source, _)| source.kind() == QUICK);
    points.extend(trained.map(|(_, attempts)| {
        learning_point(data.train.len(), count_right(data, guarantee, attempts), inputs.len())
    }));
    Ok(points)
}

fn count_right(data: &Data, guarantee: Guarantee, attempts: &[sprat_task::Attempt]) -> usize {
    let is_right = |(row, attempt): &(&LabelledRow, &sprat_task::Attempt)| {
        let right = if guarantee == Guarantee::Agreement { &row.large } else { &row.gold };
        attempt.prediction().is_some_and(|prediction| right.as_ref() == Some(&prediction.answer))
    };
    data.fresh_rows().into_iter().zip(attempts).filter(is_right).count()
}
