//! A release on disk: one folder, complete or not there at all, and loaded only if nothing in it has changed.
//!
//! `releases/TASK/VERSION/` holds `release.json`, the rungs' artefacts and calibrators, what every rung said of the
//! training and certification rows (`tuning.jsonl`, `fresh.jsonl`: digests, labels and confidences, no texts), the
//! training texts that `ask` shows as reasons (`neighbours.jsonl`) and 200 inputs to replay after an upgrade
//! (`replay.jsonl`). Of captured requests both hold a digest in place of the text ([`texts`]).

mod draft;
mod reasons;
mod replay;
pub mod texts;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sprat_cascade::{Ladder, LadderEnd, Rung, Threshold};
use sprat_stats::calibration::Calibrator;
use sprat_store::{Store, StoreError};
use sprat_task::{
    Artifact, Binding, Certificate, Model, Release, ReleaseId, Risk, RungRecord, Sha256Hex, Task,
};

use crate::observe::ObservedRow;
pub use draft::Draft;
pub use reasons::{Example, Reason, read_reasons};
pub use replay::{Again, Decision, REPLAYED, Replayed, decisions, read_replay, replay};

const RELEASE: &str = "release.json";
const TUNING: &str = "tuning.jsonl";
const FRESH: &str = "fresh.jsonl";
/// Texts that are shown as reasons.
pub const NEIGHBOURS: &str = "neighbours.jsonl";
const REPLAY: &str = "replay.jsonl";

/// Why a release could not be written or read. The sentence names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The file system refused.
    #[error("{file}: {error}", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file doesn't say what it should.
    #[error("{file}: {why}", file = file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A number for a new release that neither the registry nor an older folder has: after a database was lost, the folders
/// of its releases are still there.
pub fn next_version(store: &Store, releases: &Path, task: &Task) -> Result<u32, StoreError> {
    loop {
        let version = store.registry().next_version(&task.name)?;
        if !folder(releases, &ReleaseId { task: task.name.clone(), version }).exists() {
            return Ok(version);
        }
    }
}

/// Whether every file of a release is there and is what it was.
pub fn is_whole(folder: &Path, release: &Release) -> bool {
    let files = release.rungs.iter().flat_map(|rung| rung.weights.iter().chain([&rung.calibrator]));
    folder.join(RELEASE).exists() && files.into_iter().all(|file| verified(folder, file).is_ok())
}

/// The folder in which an interrupted `learn` leaves what the next one goes on with.
pub fn unfinished(releases: &Path, task: &Task) -> PathBuf {
    releases.join(task.name.as_str()).join(".unfinished")
}

/// Removes it: the work is done.
pub fn clear_unfinished(releases: &Path, task: &Task) {
    // What can't be removed costs disk and nothing else.
    let _ = fs::remove_dir_all(unfinished(releases, task));
}

/// A release's folder below `releases`.
pub fn folder(releases: &Path, id: &ReleaseId) -> PathBuf {
    releases.join(id.task.as_str()).join(id.version.to_string())
}

/// What each rung said of the rows that thresholds were tuned on (first) and tested on (second).
pub fn read_observations(folder: &Path) -> Result<(Vec<ObservedRow>, Vec<ObservedRow>), ReleaseError> {
    Ok((read_lines(&folder.join(TUNING))?, read_lines(&folder.join(FRESH))?))
}

/// What a certificate of these rungs is bound to.
pub fn binding(task: &Task, rungs: &[RungRecord], prompt: Option<Sha256Hex>) -> Binding {
    let parts: Vec<String> = rungs
        .iter()
        .map(|rung| {
            let weights = rung.weights.as_ref().map_or("", |weights| weights.sha256.as_str());
            // The bits of a threshold, because a rounded one is another threshold.
            let threshold = rung.threshold.map(f64::to_bits);
            let (model, kind, calibrator) = (&rung.model, &rung.kind, &rung.calibrator.sha256);
            format!("{model} {kind} {weights} {calibrator} {threshold:?} {}", rung.scorer_version)
        })
        .collect();
    Binding {
        rungs: Some(Sha256Hex::of_parts(parts.iter().map(|part| part.as_bytes()))),
        labels: Some(task.labels_hash()),
        prompt,
        judge: None,
        calls: task.calls_hash(),
        scorer_version: rungs.iter().map(|rung| rung.scorer_version).max().unwrap_or(0),
    }
}

/// Opens a rung's model: from its artefact, or by name where it has none.
pub type OpenModel<'a> = dyn Fn(&RungRecord, Option<&Path>) -> Result<Arc<dyn Model>, String> + 'a;

/// A ladder that is ready to answer, and why it may not.
pub struct Loaded {
    /// The ladder. It answers nothing small where `stale` says why.
    pub ladder: Ladder,
    /// Why the certificate no longer holds: one sentence for each thing that changed.
    pub stale: Vec<String>,
}

/// Loads a release's ladder. Whatever is missing or has changed is left out or told in `stale`, and everything goes to
/// the end of the ladder: never an error that the large model could have avoided.
pub fn load(folder: &Path, release: &Release, task: &Task, last: LadderEnd, open: &OpenModel<'_>) -> Loaded {
    let mut stale = Vec::new();
    let mut rungs = Vec::new();
    for record in &release.rungs {
        match load_rung(folder, record, open) {
            Ok(rung) if rung.model.scorer_version() == record.scorer_version => rungs.push(rung),
            Ok(rung) => {
                stale.push(format!(
                    "rung `{}` scores differently in this version of Sprat ({} instead of {})",
                    record.model,
                    rung.model.scorer_version(),
                    record.scorer_version
                ));
                rungs.push(rung);
            }
            Err(why) => stale.push(format!("rung `{}` can't be loaded: {why}", record.model)),
        }
    }
    let bound = binding(task, &release.rungs, release.certificate.binding.prompt.clone());
    if bound.labels != release.certificate.binding.labels {
        let changed = match task.quality {
            Some(_) => "what counts as a good text, or what its judge is told, has changed since",
            None => "the task's labels have changed since",
        };
        stale.push(changed.to_owned());
    }
    if bound.rungs != release.certificate.binding.rungs {
        stale.push("the certificate was made for other models, calibrators or thresholds".to_owned());
    }
    if release.certificate.binding.calls.is_some() && release.certificate.binding.calls != bound.calls {
        stale.push("the calls that `bound_to` lists under [match] have changed since".to_owned());
    }
    stale.extend(outgrown(task, &release.certificate));
    let ladder = Ladder::new(rungs, last);
    let may_answer = stale.is_empty() && release.certificate.allows_small_answers();
    Loaded { ladder: if may_answer { ladder } else { ladder.answering_nothing_small() }, stale }
}

/// How the task now asks for more than the certificate promises; a laxer target is covered.
fn outgrown(task: &Task, certificate: &Certificate) -> Vec<String> {
    let target = &task.target;
    let mut reasons = Vec::new();
    if target.max_error < certificate.alpha {
        reasons.push(format!(
            "the task now allows an error of {} and the certificate promises {}",
            target.max_error, certificate.alpha
        ));
    }
    if target.delta() < certificate.delta {
        reasons.push(format!(
            "the task now asks for a confidence of {} and the certificate has {}",
            target.confidence,
            1.0 - certificate.delta
        ));
    }
    if target.risk != certificate.risk && target.risk == Risk::Selective {
        reasons.push("the task now asks for selective risk and the certificate bounds joint risk".to_owned());
    }
    for asked in &target.recall {
        let promised = certificate.recall.iter().find(|promised| promised.label == asked.label);
        if promised.is_none_or(|promised| asked.max_missed < promised.max_missed) {
            reasons.push(format!(
                "the task now lets at most {} of what is {} be missed, and the certificate promises {}",
                asked.max_missed,
                asked.label,
                promised
                    .map_or_else(|| "nothing of it".to_owned(), |promised| promised.max_missed.to_string())
            ));
        }
    }
    if let Some(guarantee) = target.guarantee.filter(|guarantee| *guarantee != certificate.guarantee) {
        reasons.push(format!(
            "the task now asks for a {guarantee} guarantee and the certificate is about {}",
            certificate.guarantee
        ));
    }
    reasons
}

fn load_rung(folder: &Path, record: &RungRecord, open: &OpenModel<'_>) -> Result<Rung, String> {
    let calibrator = verified(folder, &record.calibrator)?;
    let calibrator: Calibrator = serde_json::from_slice(&calibrator).map_err(|error| error.to_string())?;
    let weights = match &record.weights {
        Some(weights) => {
            verified(folder, weights)?;
            Some(folder.join(&weights.file))
        }
        None => None,
    };
    let model = open(record, weights.as_deref())?;
    Ok(Rung { model, calibrator, threshold: Threshold::from(record.threshold) })
}

/// A file's content, if it is still what the release says.
fn verified(folder: &Path, artifact: &Artifact) -> Result<Vec<u8>, String> {
    let path = folder.join(&artifact.file);
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if Sha256Hex::of(&bytes) == artifact.sha256 {
        Ok(bytes)
    } else {
        Err(format!("{} has changed since the release was made", path.display()))
    }
}

fn write_lines<T: Serialize>(path: &Path, items: &[T]) -> Result<(), ReleaseError> {
    let file = File::create(path).map_err(at(path))?;
    let mut writer = BufWriter::new(file);
    for item in items {
        serde_json::to_writer(&mut writer, item).map_err(broken(path))?;
        writer.write_all(b"\n").map_err(at(path))?;
    }
    let file = writer.into_inner().map_err(|error| at(path)(error.into_error()))?;
    file.sync_all().map_err(at(path))
}

fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReleaseError> {
    let file = File::open(path).map_err(at(path))?;
    let mut items = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(at(path))?;
        let item = serde_json::from_str(&line).map_err(|error| ReleaseError::Broken {
            file: path.to_owned(),
            why: format!("line {} is not what it should be: {error}", number + 1),
        })?;
        items.push(item);
    }
    Ok(items)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).map_err(at(path))?;
    file.sync_all().map_err(at(path))
}

/// A renamed folder survives a power cut only once its parent is on disk too.
fn sync_folder(folder: &Path) -> Result<(), ReleaseError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReleaseError + use<> {
    let file = path.to_owned();
    move |error| ReleaseError::Io { file, error }
}

fn broken(path: &Path) -> impl FnOnce(serde_json::Error) -> ReleaseError + use<> {
    let file = path.to_owned();
    move |error| ReleaseError::Broken { file, why: error.to_string() }
}
