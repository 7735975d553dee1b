//! How does training go on after it was killed? From a file with everything that the next step depends on: what comes
//! out is the same, bit for bit, as if nothing had happened.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize_to_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::adamw::AdamW;
use super::walk::{CurvePoint, Sums};

/// Where a training run is kept while it lasts.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The file.
    pub file: PathBuf,
    /// Names everything that the run depends on: rows, settings, base model. A file of another run is not read.
    pub key: String,
}

/// Everything that the next step depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub place: Place,
    pub parameters: Vec<f32>,
    /// Without memory at the end: it is most of the file, and no step follows.
    pub optimiser: AdamW,
    /// The parameters of the best epoch so far by rows held out; empty before the first, and where none are.
    pub best: Vec<f32>,
}

/// How far the run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Epochs that are finished.
    pub epochs: u32,
    /// Batches that are finished in the epoch under way.
    pub batches: u32,
    /// Of the epoch under way.
    pub sums: Sums,
    /// Steps of the optimiser.
    pub steps: u32,
    /// The finished epochs.
    pub curve: Vec<CurvePoint>,
}

const STATE: &str = "state";
const KEY: &str = "key";
const DIGEST: &str = "sha256";

impl Resume {
    /// The state of this very run, if it was interrupted. A damaged file, or one of another run, is none: then training
    /// starts anew.
    pub fn load(&self, numbers: usize) -> Option<State> {
        let bytes = fs::read(&self.file).ok()?;
        let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
        let told = header.metadata().as_ref()?;
        if told.get(KEY) != Some(&self.key) {
            return None;
        }
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let place: Place = serde_json::from_str(told.get(STATE)?).ok()?;
        let read = |name: &str| -> Option<Vec<f32>> {
            let data = tensors.tensor(name).ok()?;
            Some(data.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        let optimiser = AdamW { first: read("first")?, second: read("second")?, steps: place.steps };
        let state = State { parameters: read("parameters")?, best: read("best")?, optimiser, place };
        let optimiser = [&state.optimiser.first, &state.optimiser.second];
        let whole = state.parameters.len() == numbers
            && optimiser.iter().all(|part| part.len() == numbers || part.is_empty());
        (whole && told.get(DIGEST) == Some(&state.digest())).then_some(state)
    }

    /// Keeps a state in place of the one before; a crash leaves one of the two.
    pub fn save(&self, state: &State) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let place = serde_json::to_string(&state.place).map_err(io::Error::other)?;
        let told = HashMap::from([
            (KEY.to_owned(), self.key.clone()),
            (STATE.to_owned(), place),
            (DIGEST.to_owned(), state.digest()),
        ]);
        let views: Result<Vec<(&str, TensorView<'_>)>, _> = state
            .parts()
            .map(|(name, numbers)| {
                TensorView::new(Dtype::F32, vec![numbers.len()], bytemuck::cast_slice(numbers))
                    .map(|view| (name, view))
            })
            .into_iter()
            .collect();
        let temporary = self.file.with_extension("tmp");
        serialize_to_file(views.map_err(io::Error::other)?, Some(told), &temporary)
            .map_err(io::Error::other)?;
        fs::rename(&temporary, &self.file)
    }
}

impl State {
    /// At the start.
    pub fn new(parameters: Vec<f32>) -> Self {
        let optimiser = AdamW::new(parameters.len());
        Self { place: Place::default(), parameters, optimiser, best: Vec::new() }
    }

    /// Whether another step can be taken: not where the optimiser's memory was dropped at the end.
    pub fn can_go_on(&self) -> bool {
        self.optimiser.first.len() == self.parameters.len()
            && self.optimiser.second.len() == self.parameters.len()
    }

    fn parts(&self) -> [(&'static str, &[f32]); 4] {
        [
            ("parameters", &self.parameters),
            ("first", &self.optimiser.first),
            ("second", &self.optimiser.second),
            ("best", &self.best),
        ]
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(serde_json::to_vec(&self.place).unwrap_or_default());
        for (_, numbers) in self.parts() {
            hasher.update(bytemuck::cast_slice::<f32, u8>(numbers));
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
