//! Models, calibrators, thresholds and the certificate, versioned together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::hash::Sha256Hex;
use crate::names::{ModelId, TaskName};

/// A release's number within its task, from 1; shown as `tickets@3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseId {
    /// The task.
    pub task: TaskName,
    /// The number.
    pub version: u32,
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}@{}", self.task, self.version))
    }
}

/// A file of a release, named relative to the release's folder and known by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The file's name in the release's folder.
    pub file: String,
    /// Its content's digest.
    pub sha256: Sha256Hex,
    /// Its length in bytes.
    pub bytes: u64,
}

/// One rung of a release: enough to load it again and to know whether it is still the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RungRecord {
    /// The model's name.
    pub model: ModelId,
    /// The sort of model: `linear`, `encoder`, …
    pub kind: String,
    /// Its weights, where it has its own.
    pub weights: Option<Artifact>,
    /// Its calibrator.
    pub calibrator: Artifact,
    /// Accept iff the confidence is greater; `None` never accepts.
    pub threshold: Option<f64>,
    /// Raised when features, scores or decoding change.
    pub scorer_version: u32,
}

/// A release, as stored in `release.json` and in the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Task and number.
    pub id: ReleaseId,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: i64,
    /// The ladder below its end, cheapest first.
    pub rungs: Vec<RungRecord>,
    /// The promise that decides whether small models answer.
    pub certificate: Certificate,
    /// Further promises of another guarantee, never mixed with the first.
    #[serde(default)]
    pub other_certificates: Vec<Certificate>,
    /// What it was made from.
    pub origin: Origin,
    /// What was measured when it was made, for tables and for differences between releases.
    pub evidence: serde_json::Value,
}

/// What a learned artefact was made from: the same inputs give the same artefact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The rows' digest.
    pub data: Option<Sha256Hex>,
    /// How many rows.
    pub rows: u64,
    /// The version of Sprat that made it.
    pub code_version: String,
    /// The seed of everything random.
    pub seed: u64,
}
