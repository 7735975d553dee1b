//! Does a release still decide as it did when it was certified? After an upgrade, stored inputs tell.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sprat_cascade::{Ladder, Rung, Threshold};
use sprat_store::Store;
use sprat_task::{Attempt, Input, Task};

use super::texts::{Kept, Texts};
use super::{REPLAY, ReleaseError, read_lines};

/// Inputs kept to see whether an upgrade still decides the same.
pub const REPLAYED: usize = 200;

/// A stored input and what was decided about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The text.
    #[serde(flatten)]
    pub text: Kept,
    /// What each rung answered, without the words of a text, on one line; `None` where it said nothing.
    pub answers: Vec<Option<String>>,
    /// Which rung accepted, if any.
    pub accepted_by: Option<usize>,
}

/// What came of answering the stored inputs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Inputs that are stored.
    pub stored: usize,
    /// Those whose texts are still there, so that they were answered again.
    pub asked: usize,
    /// Of these, the ones that are decided differently.
    pub changed: usize,
}

/// The inputs to replay after an upgrade.
pub fn read_replay(folder: &Path) -> Result<Vec<Replayed>, ReleaseError> {
    read_lines(&folder.join(REPLAY))
}

/// Answers the stored inputs again, as far as their texts are still there.
pub async fn replay(
    folder: &Path,
    store: &Store,
    ladder: &Ladder,
    thresholds: &[Option<f64>],
    task: &Task,
) -> Result<Again, ReleaseError> {
    let stored = read_replay(folder)?;
    let texts = Texts::find(store, &task.name, stored.iter().map(|row| &row.text))?;
    let there: Vec<(Input, &Replayed)> =
        stored.iter().filter_map(|row| Some((Input::new(texts.of(&row.text)?), row))).collect();
    let inputs: Vec<Input> = there.iter().map(|(input, _)| input.clone()).collect();
    let mut attempts = Vec::new();
    for rung in &ladder.rungs {
        attempts.push(crate::observe::ask(rung.model.as_ref(), task, &inputs, |_| {}).await);
    }
    let rungs: Vec<&Rung> = ladder.rungs.iter().collect();
    let attempts: Vec<&[Attempt]> = attempts.iter().map(Vec::as_slice).collect();
    let now = decisions(&rungs, thresholds, &attempts, inputs.len());
    let differs = |(now, (_, then)): &(Decision, &(Input, &Replayed))| {
        (&now.answers, now.accepted_by) != (&then.answers, then.accepted_by)
    };
    let changed = now.into_iter().zip(&there).filter(differs).count();
    Ok(Again { stored: stored.len(), asked: there.len(), changed })
}

/// What is decided about an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What each rung answers.
    pub answers: Vec<Option<String>>,
    /// Which rung accepts, if any.
    pub accepted_by: Option<usize>,
}

/// What is decided about each input, by what each rung said of it.
pub fn decisions(
    rungs: &[&Rung],
    thresholds: &[Option<f64>],
    attempts: &[&[Attempt]],
    inputs: usize,
) -> Vec<Decision> {
    let of_input = |input: usize| {
        let mut answers = Vec::with_capacity(rungs.len());
        let mut accepted_by = None;
        for (index, (rung, attempts)) in rungs.iter().zip(attempts).enumerate() {
            let prediction = attempts.get(input).and_then(Attempt::prediction);
            let accepts = |prediction| {
                Threshold::from(thresholds.get(index).copied().flatten()).accepts(rung.confidence(prediction))
            };
            if accepted_by.is_none() && prediction.is_some_and(accepts) {
                accepted_by = Some(index);
            }
            answers.push(prediction.map(|prediction| prediction.answer.without_words().to_line()));
        }
        Decision { answers, accepted_by }
    };
    (0..inputs).map(of_input).collect()
}
