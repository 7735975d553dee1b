//! What a release's evidence says, as far as a page shows it. The format is that of the crate that made it, which this
//! one doesn't know: whatever is missing or otherwise written is simply not shown.

use serde::Deserialize;
use sprat_store::{Store, StoreError};
use sprat_task::{ModelId, Money, Provenance, Release, TaskName};

/// What was measured when a release was made.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Evidence {
    /// What it would save; `None` without a price or a large model.
    #[serde(default)]
    pub savings: Option<Savings>,
    /// The whole ladder beside the large model on the same rows.
    #[serde(default)]
    pub quality: Option<Quality>,
}

/// What it would save, for so many requests.
#[derive(Clone, Debug, Deserialize)]
pub struct Savings {
    /// Requests the amounts are for.
    pub requests: u64,
    /// The cheapest single model that meets the target by itself, where one does.
    pub cheapest_single: Option<(ModelId, Money)>,
    /// The price table's date, or the file the prices came from.
    pub prices: String,
    /// Where the large model's cost comes from.
    pub provenance: Provenance,
}

/// The whole ladder, end to end, beside the large model alone, on the same rows.
#[derive(Clone, Debug, Deserialize)]
pub struct Quality {
    /// Rows with a label of people's and the large model's answer.
    pub rows: u64,
    /// Accuracy of the cascade end to end.
    pub cascade_accuracy: f64,
    /// Accuracy of the large model alone.
    pub large_accuracy: f64,
    /// Cascade minus large.
    pub difference: f64,
    /// Paired interval of the difference at `confidence`.
    pub interval: (f64, f64),
    /// The interval's level.
    pub confidence: f64,
    /// How much worse would still be acceptable.
    pub margin: f64,
    /// Whether the interval lies above `-margin`.
    pub non_inferior: bool,
    /// Where the large model's answers come from.
    pub provenance: Provenance,
}

impl Evidence {
    /// Of a release.
    pub fn of(release: &Release) -> Self {
        Self::deserialize(&release.evidence).unwrap_or_default()
    }
}

/// The live release of a task; `None` where nothing is live.
pub fn live(store: &Store, task: &TaskName) -> Result<Option<Release>, StoreError> {
    let deployment = store.registry().live(task)?;
    deployment.map(|deployment| store.registry().release(&deployment.live)).transpose()
}
