//! Rows to a release: the whole walk on one screen, each step in a file of its own.

mod measure;
mod mend;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sprat_cascade::Rung;
use sprat_stats::risk_control::{Costs, RiskControlError};
use sprat_store::{LookResult, Sample, Store, StoreError};
use sprat_task::release::Origin;
use sprat_task::{
    Binding, Certificate, Guarantee, Input, Judge, LabelledRow, ModelId, Money, Pair, Problem, Release,
    ReleaseId, RungRecord, Sha256Hex, Task, TrainError,
};

use crate::certify::{LookAt, Verdict, certify, certify_deployed};
use crate::curate::{Curated, curate};
use crate::evidence::{Evidence, RowCounts};
use crate::judge::{Judging, pairs};
use crate::observe::{ObservedRow, ask, enter, enter_unseen, has_labels};
use crate::release::texts::Kept;
use crate::release::{self, Decision, Draft, Example, ReleaseError, Replayed};
use crate::rows::enough::check_enough;
use crate::savings::{LargeCost, costs};
use crate::split::{Split, SplitOptions, folds, split};
use crate::train::{Fitting, Source, TrainedRung, train_rung};

use measure::measure;
use mend::{Before, mend};

/// Folds that out-of-fold answers come from.
const FOLDS: u32 = 5;
/// What is to be learned, from what, and where to.
pub struct Order<'a> {
    /// The task.
    pub task: &'a Task,
    /// Where each rung's model comes from, cheapest first.
    pub sources: &'a [Source],
    /// The labelled rows, as read.
    pub rows: Vec<LabelledRow>,
    /// The rows' digest ([`RowSet::digest`](crate::rows::RowSet::digest)).
    pub data: Sha256Hex,
    /// What the user ought to know already.
    pub notices: Vec<String>,
    /// Changes when a model's settings do.
    pub settings: Sha256Hex,
    /// What the large model costs; `None` without one, or without its price.
    pub large: Option<LargeCost>,
    /// Who says which texts are good enough, where no measure does.
    pub judge: Option<&'a dyn Judge>,
    /// The large model's prompt, where the guarantee speaks of its answers.
    pub prompt: Option<Sha256Hex>,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads to train on.
    pub threads: usize,
    /// Now, in milliseconds since 1970.
    pub now_unix_ms: i64,
    /// The version of Sprat.
    pub code_version: &'a str,
    /// The folder of releases.
    pub releases: &'a Path,
    /// What is remembered.
    pub store: &'a Store,
    /// Told what is going on; may ask to stop.
    pub progress: &'a (dyn Fn(Stage<'_>) -> ControlFlow<()> + Sync),
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage<'a> {
    /// Looking for duplicates and contradictions among so many rows.
    Curating(usize),
    /// Training a rung.
    Training(&'a ModelId, sprat_task::model::Progress),
    /// A rung answers certification rows: done, of.
    Asking(&'a ModelId, usize, usize),
    /// Texts are judged: done, of.
    Judging(usize, usize),
    /// Testing thresholds.
    Certifying,
    /// Timing, and drawing the learning curve.
    Measuring,
    /// Writing the release.
    Writing,
}

/// What came of it.
#[derive(Debug)]
pub struct Learned {
    /// The release.
    pub release: Release,
    /// Its evidence.
    pub evidence: Evidence,
    /// Its folder.
    pub folder: PathBuf,
    /// The same rows, settings and version had made this release before: nothing was trained and no look was spent.
    pub unchanged: bool,
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// The user's input.
    #[error("{0}")]
    Input(#[from] Problem),
    /// Training failed, or was stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// No text could be judged; why.
    #[error("no text could be judged: {0}")]
    Unjudged(String),
    /// The mathematics refused its input.
    #[error(transparent)]
    RiskControl(#[from] RiskControlError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The release could not be written.
    #[error(transparent)]
    Release(#[from] ReleaseError),
}

/// Learns a task: curate, split, train and calibrate each rung, certify on rows that nothing was fitted on, release.
pub async fn learn(order: Order<'_>) -> Result<Learned, LearnError> {
    let origin = origin(&order);
    let before = Before::of(already_learned(&order, &origin)?);
    if let Before::Whole(learned) = before {
        return Ok(*learned);
    }
    let guarantee = guarantee(order.task, &order.rows)?;
    let mut notices = order.notices.clone();
    notices.extend(check_enough(&order.rows, order.task)?);
    go_on(&order, Stage::Curating(order.rows.len()))?;
    let data = Data::of(&order, guarantee, &mut notices);
    let on_judged = |done, of| (order.progress)(Stage::Judging(done, of));
    let mut judging = Judging::new(order.judge, &on_judged);
    if let Before::Broken(learned) = before
        && let Some(mended) = mend(&order, guarantee, &data, &mut judging, *learned).await?
    {
        return Ok(mended);
    }
    let draft = Draft::start(order.releases, order.task)?;
    let mut rungs = train_ladder(&order, guarantee, &data, &mut judging, draft.folder()).await?;
    let (tuning, fresh) = observe(&order, &data, &mut judging, &mut rungs).await?;
    notices.extend(judging.notice());
    go_on(&order, Stage::Certifying)?;
    let charges = charges(&order, &fresh, rungs.trained.len());
    let (verdict, others) = look(&order, guarantee, &charges, &tuning, &fresh)?;
    go_on(&order, Stage::Measuring)?;
    let evidence =
        measure(&order, guarantee, &data, &mut rungs, &charges, &verdict, others, &fresh, notices).await?;
    go_on(&order, Stage::Writing)?;
    write(&order, &data, rungs, draft, origin, verdict, evidence, &tuning, &fresh)
}

/// Which rows are learned from, and which are kept to certify on.
struct Data {
    curated: Curated,
    split: Split,
    /// The training rows, and each one's fold.
    train: Vec<LabelledRow>,
    folds: Vec<u32>,
    /// Places of the certification rows that carry the guarantee's labels.
    fresh: Vec<usize>,
}

impl Data {
    fn of(order: &Order<'_>, guarantee: Guarantee, notices: &mut Vec<String>) -> Self {
        let curated = curate(order.rows.clone(), order.task);
        notices.extend(curated.notices.iter().cloned());
        let options = SplitOptions::for_target(&order.task.target, curated.rows.len(), order.seed);
        let split = split(&curated, &options);
        notices.extend(split.notices.iter().cloned());
        let taught: Vec<usize> = split.train.iter().copied().filter(|row| !curated.outvoted[*row]).collect();
        let is_fresh = |row: &usize| {
            let row = &curated.rows[*row];
            has_labels(guarantee, row.gold.is_some(), row.large.is_some())
        };
        let fresh: Vec<usize> = split.certification.iter().copied().filter(is_fresh).collect();
        if fresh.len() < split.certification.len() {
            notices.push(format!(
                "{} of {} certification rows lack the labels of a {guarantee} guarantee and are left out of it",
                split.certification.len() - fresh.len(),
                split.certification.len()
            ));
        }
        let train = taught.iter().map(|row| curated.rows[*row].clone()).collect();
        let folds = folds(&curated, &taught, FOLDS, order.seed);
        Self { curated, split, train, folds, fresh }
    }

    fn fresh_rows(&self) -> Vec<&LabelledRow> {
        self.fresh.iter().map(|row| &self.curated.rows[*row]).collect()
    }

    fn fresh_inputs(&self) -> Vec<Input> {
        self.fresh_rows().into_iter().map(|row| row.input.clone()).collect()
    }

    fn counts(&self, order: &Order<'_>) -> RowCounts {
        RowCounts {
            read: order.rows.len() as u64,
            unlabelled: order.rows.iter().filter(|row| row.target().is_none()).count() as u64,
            exact_duplicates: self.curated.exact_duplicates,
            near_duplicate_clusters: self.curated.near_duplicate_clusters,
            conflicts: self.curated.conflicts.len() as u64,
            train: self.train.len() as u64,
            certification: self.fresh.len() as u64,
            by_session: self.split.by_session,
            by_time: self.split.by_time,
        }
    }
}

/// The rungs, trained, and what each said of the certification rows.
struct TrainedLadder {
    trained: Vec<TrainedRung>,
    /// One list of attempts a rung, in the order of [`Data::fresh`].
    fresh: Vec<Vec<sprat_task::Attempt>>,
}

async fn train_ladder(
    order: &Order<'_>,
    guarantee: Guarantee,
    data: &Data,
    judging: &mut Judging<'_>,
    folder: &Path,
) -> Result<TrainedLadder, LearnError> {
    let progress = |model: &ModelId, progress: sprat_task::model::Progress| {
        (order.progress)(Stage::Training(model, progress))
    };
    let kept = release::unfinished(order.releases, order.task);
    let mut fitting = Fitting {
        seed: order.seed,
        threads: order.threads,
        kept: Some(&kept),
        fresh_rows: data.fresh.len(),
        judging,
        progress: &progress,
    };
    let mut trained = Vec::new();
    for source in order.sources {
        let (task, rows, folds) = (order.task, &data.train, &data.folds);
        trained.push(train_rung(&mut fitting, source, task, guarantee, rows, folds, folder).await?);
    }
    Ok(TrainedLadder { trained, fresh: Vec::new() })
}

/// What every rung says of the training rows (out of fold) and of the certification rows.
async fn observe(
    order: &Order<'_>,
    data: &Data,
    judging: &mut Judging<'_>,
    ladder: &mut TrainedLadder,
) -> Result<(Vec<ObservedRow>, Vec<ObservedRow>), LearnError> {
    let inputs = data.fresh_inputs();
    for trained in &ladder.trained {
        let model = trained.rung.model.as_ref();
        let mut stopped = false;
        let attempts = ask(model, order.task, &inputs, |done| {
            stopped |=
                (order.progress)(Stage::Asking(model.id(), done, inputs.len())) == ControlFlow::Break(());
        });
        ladder.fresh.push(attempts.await);
        if stopped {
            return Err(TrainError::Cancelled.into());
        }
    }
    let rungs: Vec<&Rung> = ladder.trained.iter().map(|trained| &trained.rung).collect();
    let out_of_fold: Vec<&[Option<sprat_task::Attempt>]> =
        ladder.trained.iter().map(|trained| trained.out_of_fold.as_slice()).collect();
    let fresh: Vec<&[sprat_task::Attempt]> = ladder.fresh.iter().map(Vec::as_slice).collect();
    let train: Vec<&LabelledRow> = data.train.iter().collect();
    judging.ask(of_attempts(order.task, &data.fresh_rows(), &fresh)).await?;
    let judgements = judging.judgements();
    Ok((
        enter_unseen(order.task, &train, &rungs, &out_of_fold, judgements),
        enter(order.task, &data.fresh_rows(), &rungs, &fresh, judgements),
    ))
}

/// What has to be judged before these rows can be compared; `attempts` has one list a rung.
pub(crate) fn of_attempts(
    task: &Task,
    rows: &[&LabelledRow],
    attempts: &[&[sprat_task::Attempt]],
) -> Vec<Pair> {
    let of_row = |(index, row): (usize, &&LabelledRow)| {
        let attempts = attempts.iter().filter_map(|attempts| attempts.get(index)?.prediction());
        pairs(task, row, attempts.map(|prediction| &prediction.answer))
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}

/// What a request costs on each rung, by what the rungs charged for the certification rows.
fn charges(order: &Order<'_>, fresh: &[ObservedRow], rungs: usize) -> Costs {
    costs(
        order.task,
        &(0..rungs).map(|rung| mean_cost(fresh, rung)).collect::<Vec<_>>(),
        order.large.as_ref(),
    )
}

fn mean_cost(rows: &[ObservedRow], rung: usize) -> Option<Money> {
    let known: Option<Vec<i64>> = rows
        .iter()
        .filter_map(|row| row.said[rung].as_ref())
        .map(|said| Some(said.cost_micro_usd?.micro()))
        .collect();
    let known = known.filter(|known| !known.is_empty())?;
    Some(Money::from_micro(known.iter().sum::<i64>() / known.len() as i64))
}

/// One look at the certification rows. It is counted before anything is tested, so that a crash doesn't give it back.
fn look(
    order: &Order<'_>,
    guarantee: Guarantee,
    charges: &Costs,
    tuning: &[ObservedRow],
    fresh: &[ObservedRow],
) -> Result<(Verdict, Vec<Certificate>), LearnError> {
    let take = |guarantee: Guarantee| {
        let hashes = fresh.iter().map(|row| row.input.clone()).collect();
        let sample = Sample { task: order.task.name.clone(), guarantee, release: None, hashes };
        order.store.datasets().begin_look(&sample, order.now_unix_ms)
    };
    let settle = |look: &sprat_store::Look, certificate: &Certificate| {
        let Certificate { n, accepted, bad, status, .. } = *certificate;
        order.store.datasets().finish_look(look, LookResult { n, accepted, bad, status }, order.now_unix_ms)
    };
    let first = take(guarantee)?;
    let at = |guarantee, look: &sprat_store::Look| LookAt {
        task: order.task,
        guarantee,
        look: look.number,
        costs: charges,
    };
    let verdict = certify(&at(guarantee, &first), tuning, fresh)?;
    settle(&first, &verdict.certificate)?;
    let mut others = Vec::new();
    let both = |rows: &[ObservedRow], guarantee| {
        rows.iter().all(|row| row.is_labelled_for(guarantee)) && !rows.is_empty()
    };
    for other in [Guarantee::Gold, Guarantee::Agreement] {
        let is_known = other != guarantee && both(fresh, other) && both(tuning, other);
        if is_known && verdict.certificate.allows_small_answers() {
            let look = take(other)?;
            let certificate = certify_deployed(&at(other, &look), &verdict.thresholds, tuning, fresh)?;
            settle(&look, &certificate)?;
            others.push(certificate);
        }
    }
    Ok((verdict, others))
}

#[expect(clippy::too_many_arguments, reason = "every step's result meets here, once")]
fn write(
    order: &Order<'_>,
    data: &Data,
    ladder: TrainedLadder,
    draft: Draft,
    origin: Origin,
    verdict: Verdict,
    mut evidence: Evidence,
    tuning: &[ObservedRow],
    fresh: &[ObservedRow],
) -> Result<Learned, LearnError> {
    let mut records = Vec::new();
    for (trained, threshold) in ladder.trained.iter().zip(&verdict.thresholds) {
        records.push(RungRecord {
            model: trained.rung.model.id().clone(),
            kind: trained.kind.to_owned(),
            weights: trained.file.as_deref().map(|file| draft.artifact(file)).transpose()?,
            calibrator: draft.write_calibrator(trained.rung.model.id(), &trained.rung.calibrator)?,
            threshold: *threshold,
            scorer_version: trained.rung.model.scorer_version(),
        });
    }
    draft.write_observations(tuning, fresh)?;
    draft.write_neighbours(&data.train.iter().filter_map(Example::of).collect::<Vec<_>>())?;
    draft.write_replay(&replayed(data, &ladder, &verdict))?;
    let version = release::next_version(order.store, order.releases, order.task)?;
    let id = ReleaseId { task: order.task.name.clone(), version };
    let judge = order.judge.map(|judge| judge.identity().clone());
    let binding = Binding { judge, ..release::binding(order.task, &records, order.prompt.clone()) };
    for (evidence, record) in evidence.rungs.iter_mut().zip(&records) {
        evidence.bytes = record.weights.as_ref().map_or(0, |weights| weights.bytes) + record.calibrator.bytes;
    }
    evidence.release = Some(id.clone());
    evidence.certificate.binding = binding.clone();
    evidence.other_certificates.iter_mut().for_each(|other| other.binding = binding.clone());
    let release = Release {
        id,
        created_unix_ms: order.now_unix_ms,
        rungs: records,
        certificate: evidence.certificate.clone(),
        other_certificates: evidence.other_certificates.clone(),
        origin,
        evidence: serde_json::to_value(&evidence).unwrap_or_default(),
    };
    let folder = draft.finish(&release)?;
    release::clear_unfinished(order.releases, order.task);
    order.store.registry().add(&release)?;
    Ok(Learned { release, evidence, folder, unchanged: false })
}

/// The first certification inputs, and what was decided about them.
fn replayed(data: &Data, ladder: &TrainedLadder, verdict: &Verdict) -> Vec<Replayed> {
    let rungs: Vec<&Rung> = ladder.trained.iter().map(|trained| &trained.rung).collect();
    let attempts: Vec<&[sprat_task::Attempt]> = ladder.fresh.iter().map(Vec::as_slice).collect();
    let rows = data.fresh_rows();
    let kept = rows.len().min(release::REPLAYED);
    let decisions = release::decisions(&rungs, &verdict.thresholds, &attempts, kept);
    let replayed = |(row, decision): (&LabelledRow, Decision)| {
        let Decision { answers, accepted_by } = decision;
        Replayed { text: Kept::of(row), answers, accepted_by }
    };
    rows.into_iter().zip(decisions).map(replayed).collect()
}

/// What counts as bad: as declared; else gold where any row carries a person's label, else agreement.
fn guarantee(task: &Task, rows: &[LabelledRow]) -> Result<Guarantee, Problem> {
    let labelled = |guarantee| {
        rows.iter().filter(|row| has_labels(guarantee, row.gold.is_some(), row.large.is_some())).count()
    };
    match task.target.guarantee {
        None if labelled(Guarantee::Gold) > 0 => Ok(Guarantee::Gold),
        None => Ok(Guarantee::Agreement),
        Some(declared) if labelled(declared) > 0 => Ok(declared),
        Some(declared) => Err(Problem::new(format!("no row carries what a {declared} guarantee is about")).hint(match declared {
            Guarantee::Gold => "give rows with a `label` that people agreed on, or set guarantee = \"agreement\"",
            Guarantee::Agreement => "give rows with the large model's answer in `large`, or let it label them: --teacher large",
            Guarantee::Harm => "give rows with both `label` and `large`",
        })),
    }
}

fn origin(order: &Order<'_>) -> Origin {
    let task = serde_json::to_vec(order.task).unwrap_or_default();
    Origin {
        data: Some(Sha256Hex::of_parts([
            order.data.as_str().as_bytes(),
            &task,
            order.settings.as_str().as_bytes(),
        ])),
        rows: order.rows.len() as u64,
        code_version: order.code_version.to_owned(),
        seed: order.seed,
    }
}

/// The release that these very inputs made before.
fn already_learned(order: &Order<'_>, origin: &Origin) -> Result<Option<Learned>, LearnError> {
    let releases = order.store.registry().releases(&order.task.name)?;
    let Some(release) = releases.into_iter().rev().find(|release| release.origin == *origin) else {
        return Ok(None);
    };
    let Ok(evidence) = serde_json::from_value(release.evidence.clone()) else { return Ok(None) };
    let folder = release::folder(order.releases, &release.id);
    Ok(Some(Learned { release, evidence, folder, unchanged: true }))
}

fn go_on(order: &Order<'_>, stage: Stage<'_>) -> Result<(), LearnError> {
    match (order.progress)(stage) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(TrainError::Cancelled.into()),
    }
}
