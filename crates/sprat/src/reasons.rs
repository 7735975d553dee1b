//! Which training rows are shown as reasons for an answer? The nearest to what was asked.

use serde::Serialize;
use sprat_learn::release::{Reason, read_reasons};
use sprat_models::retrieval::NeighbourIndex;
use sprat_store::Store;
use sprat_task::{Context, Input, ModelId, NearRow, Task};

use crate::live::Live;

/// Training rows that are near to an input.
#[derive(Debug, Default, Serialize)]
pub struct Reasons {
    /// The model that compared their meaning; `None` where the words they share were compared.
    pub by: Option<ModelId>,
    /// The nearest first.
    pub rows: Vec<Neighbour>,
}

/// A training row that is like the input.
#[derive(Debug, Serialize)]
pub struct Neighbour {
    /// Its text; `None` where it was a captured request's and is forgotten.
    pub text: Option<String>,
    /// Its label; `None` where it went with the text.
    pub label: Option<String>,
    /// The cosine of the two texts' vectors.
    pub similarity: f32,
}

/// The rows that a release was taught, nearest to the input: as an encoder of its ladder sees them, where it has one, else
/// by the words they share. None where there is no release, or what it was taught can't be read.
pub async fn nearest(
    live: &Live,
    store: &Store,
    task: &Task,
    cx: &Context,
    input: &Input,
    most: usize,
) -> Reasons {
    let taught = live.folder.as_ref().filter(|_| most > 0);
    let Some(taught) = taught.and_then(|folder| read_reasons(folder, store, &task.name).ok()) else {
        return Reasons::default();
    };
    // The uppermost is the one that was trusted with the hardest.
    for rung in live.ladder.rungs.iter().rev() {
        let nearest = rung.model.nearest(cx, input, most).await;
        // A file of other rows than the model was taught would show other rows' texts.
        if let Some(nearest) = nearest.filter(|nearest| nearest.among == taught.len()) {
            return Reasons { by: Some(rung.model.id().clone()), rows: rows(&taught, nearest.rows) };
        }
    }
    Reasons { by: None, rows: by_words(&taught, input, most) }
}

fn by_words(taught: &[Reason], input: &Input, most: usize) -> Vec<Neighbour> {
    let (places, texts): (Vec<usize>, Vec<&str>) =
        taught.iter().enumerate().filter_map(|(row, reason)| Some((row, reason.text.as_deref()?))).unzip();
    let found = NeighbourIndex::build(&texts).nearest(&input.text, most);
    let near =
        found.into_iter().map(|found| NearRow { row: places[found.row], similarity: found.similarity });
    rows(taught, near)
}

fn rows(taught: &[Reason], near: impl IntoIterator<Item = NearRow>) -> Vec<Neighbour> {
    let neighbour = |near: NearRow| {
        let Reason { text, label } = taught.get(near.row)?.clone();
        Some(Neighbour { text, label, similarity: near.similarity })
    };
    near.into_iter().filter_map(neighbour).collect()
}
