//! Each rung of a ladder: fitted on the training rows, asked about them out of fold, calibrated on what it said.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sprat_cascade::ladder::categories;
use sprat_cascade::{Rung, Threshold};
use sprat_stats::calibration::{Calibrator, Cleared, RightHead, clear_below};
use sprat_task::model::Progress;
use sprat_task::target::Recall;
use sprat_task::{
    Attempt, Guarantee, Input, Judgements, LabelledRow, Model, Task, Told, TrainError, Trainer, Training,
};

use crate::certify::first_level;
use crate::judge::{Judging, pairs};
use crate::learn::LearnError;
use crate::observe::{ObservedRow, ask};

/// Where a rung's model comes from.
#[derive(Clone)]
pub enum Source {
    /// It is trained on the rows.
    Trained(Arc<dyn Trainer>),
    /// It answers as it is, such as a small remote model; `kind` is the sort declared for it.
    AsItIs {
        /// The model.
        model: Arc<dyn Model>,
        /// The sort of model.
        kind: &'static str,
    },
}

impl Source {
    /// The sort of model.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trained(trainer) => trainer.kind(),
            Self::AsItIs { kind, .. } => kind,
        }
    }

    /// The declared name.
    pub fn name(&self) -> &sprat_task::ModelId {
        match self {
            Self::Trained(trainer) => trainer.id(),
            Self::AsItIs { model, .. } => model.id(),
        }
    }
}

/// A rung that is ready to be certified: its threshold is still "never".
pub struct TrainedRung {
    /// Model and calibrator.
    pub rung: Rung,
    /// The sort of model.
    pub kind: &'static str,
    /// The artefact's file name in the release's folder; `None` where the model has none of its own.
    pub file: Option<String>,
    /// What the model said of each training row without having seen it; `None` of rows that it has seen.
    pub out_of_fold: Vec<Option<Attempt>>,
    /// What was tried on the way, where there was a choice.
    pub told: Option<Told>,
    /// Wall time of the fit, in milliseconds.
    pub fit_ms: u64,
}

/// Settings shared by all rungs of one `learn`.
pub struct Fitting<'a, 'j> {
    /// Seed of everything random.
    pub seed: u64,
    /// Threads to train on.
    pub threads: usize,
    /// What an interrupted training left, and will leave.
    pub kept: Option<&'a Path>,
    /// Certification rows there will be: how many, and nothing else of them.
    pub fresh_rows: usize,
    /// Who says which texts are good enough.
    pub judging: &'a mut Judging<'j>,
    /// Told how far the rung is; may ask to stop.
    pub progress: &'a (dyn Fn(&sprat_task::ModelId, Progress) -> ControlFlow<()> + Sync),
}

/// Fits one rung on `rows`, whose folds keep clusters and sessions together, and calibrates it out of fold.
pub async fn train_rung(
    fitting: &mut Fitting<'_, '_>,
    source: &Source,
    task: &Task,
    guarantee: Guarantee,
    rows: &[LabelledRow],
    folds: &[u32],
    folder: &Path,
) -> Result<TrainedRung, LearnError> {
    let start = Instant::now();
    let (model, file, out_of_fold, told) = match source {
        Source::Trained(trainer) => {
            let progress = |progress: Progress| (fitting.progress)(trainer.id(), progress);
            let Fitting { seed, threads, kept, .. } = *fitting;
            let training = Training { seed, threads, kept, progress: &progress };
            let fitted = trainer.fit(&training, task, rows, folds, folder)?;
            (fitted.model, Some(fitted.file), fitted.out_of_fold, fitted.told)
        }
        Source::AsItIs { model, .. } => {
            let inputs: Vec<Input> = rows.iter().map(|row| row.input.clone()).collect();
            let attempts = ask(model.as_ref(), task, &inputs, |done| {
                let done = done as f32 / inputs.len().max(1) as f32;
                let _ = (fitting.progress)(model.id(), Progress { done, loss: None, rows_per_second: None });
            });
            (model.clone(), None, attempts.await.into_iter().map(Some).collect(), None)
        }
    };
    let fit_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let to_judge = rows.iter().zip(&out_of_fold).flat_map(|(row, attempt)| {
        let prediction = attempt.as_ref().and_then(Attempt::prediction);
        pairs(task, row, prediction.map(|prediction| &prediction.answer))
    });
    fitting.judging.ask(to_judge.collect()).await?;
    let judgements = fitting.judging.judgements();
    let right = calibrate(task, guarantee, rows, &out_of_fold, judgements)?;
    let calibrator = clear(task, guarantee, rows, &out_of_fold, fitting.fresh_rows, right);
    let rung = Rung { model, calibrator, threshold: Threshold::Never };
    Ok(TrainedRung { rung, kind: source.kind(), file, out_of_fold, told, fit_ms })
}

/// A logistic "will it be right" head over the model's features, fitted on answers to rows it had not seen.
fn calibrate(
    task: &Task,
    guarantee: Guarantee,
    rows: &[LabelledRow],
    attempts: &[Option<Attempt>],
    judgements: &Judgements,
) -> Result<Calibrator, TrainError> {
    let mut features: Vec<Vec<f64>> = Vec::new();
    let mut right = Vec::new();
    for (row, attempt) in rows.iter().zip(attempts) {
        let Some(prediction) = attempt.as_ref().and_then(Attempt::prediction) else { continue };
        let judged = ObservedRow::unanswered(task, row, judgements);
        let (input, answer) = (&row.input, &prediction.answer);
        // A row that lacks the guarantee's own label still teaches by the label it has.
        let bad = if judged.is_labelled_for(guarantee) {
            judged.is_bad(guarantee, &task.judged(input, answer, row.target(), judgements))
        } else {
            !row.target().is_some_and(|right| task.is_as_good(input, answer, right, judgements))
        };
        features.push(prediction.features.0.iter().map(|feature| f64::from(*feature)).collect());
        right.push(!bad);
    }
    let head = RightHead::fit(&features, &right, RightHead::DEFAULT_L2);
    head.map(Calibrator::Head).map_err(|error| TrainError::Rows(error.to_string()))
}

/// The same calibrator, unsure wherever a category that must not be missed is neither flagged nor clear. Each category's
/// limit is drawn up on answers to rows that the model had not seen.
fn clear(
    task: &Task,
    guarantee: Guarantee,
    rows: &[LabelledRow],
    attempts: &[Option<Attempt>],
    fresh_rows: usize,
    inner: Calibrator,
) -> Calibrator {
    if task.target.recall.is_empty() {
        return inner;
    }
    let level = first_level(&task.target);
    // Labels are compared without a judge.
    let unjudged = Judgements::default();
    let limit = |promised: &Recall| {
        let label = &promised.label;
        let answered = rows
            .iter()
            .zip(attempts)
            .filter(|(row, _)| ObservedRow::unanswered(task, row, &unjudged).belongs_to(label, guarantee));
        let scored = answered.filter_map(|(_, attempt)| {
            let scores = categories(attempt.as_ref()?.prediction()?);
            let score = scores.iter().find(|score| score.name == label.as_str())?;
            Some((score.score, score.flagged))
        });
        let positives: Vec<(f64, bool)> = scored.collect();
        let fresh = positives.len() as f64 * fresh_rows as f64 / rows.len().max(1) as f64;
        (label.to_string(), clear_below(&positives, promised.max_missed, fresh as u64, level))
    };
    let limits = task.target.recall.iter().map(limit).collect();
    Calibrator::Cleared(Cleared { limits, inner: Box::new(inner) })
}
