//! The head over the encoder as it came: how strongly it is held back is chosen by rows that it had not seen.

use rayon::prelude::*;

use super::super::finetune::Objective;
use super::lessons::Lessons;
use super::logistic::{Regression, outputs};

/// Prices of a badly answered row against large weights that are tried, from the least.
const COSTS: [f32; 4] = [3.0, 10.0, 30.0, 100.0];

/// Heads over frozen embeddings.
pub struct Frozen {
    /// Fitted on all rows: weights row by row, then biases.
    pub head: Vec<f32>,
    /// Fitted without the rows of a fold, for each fold.
    pub without: Vec<(u32, Vec<f32>)>,
    /// For each row the outputs of a head that was fitted without its fold.
    pub held_out: Vec<f32>,
}

/// Fits heads on the rows' embeddings, `width` numbers each. `None` where it was stopped.
pub fn fit(
    lessons: &Lessons,
    embeddings: &[f32],
    width: usize,
    folds: &[u32],
    keep_on: &(dyn Fn() -> bool + Sync),
) -> Option<Frozen> {
    let mut numbers: Vec<u32> = folds.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let paths: Option<Vec<Vec<Vec<f32>>>> = numbers
        .par_iter()
        .map(|fold| path(lessons, embeddings, width, &others(folds, *fold), keep_on))
        .collect();
    let paths = paths?;
    let judged: Vec<(f64, Vec<f32>)> = (0..COSTS.len())
        .into_par_iter()
        .map(|cost| held_out(lessons, embeddings, width, folds, &numbers, &paths, cost))
        .collect();
    let best = (1..COSTS.len()).fold(0, |best, at| if judged[at].0 < judged[best].0 { at } else { best });
    let without: Vec<(u32, Vec<f32>)> =
        numbers.iter().zip(paths).map(|(fold, mut path)| (*fold, path.swap_remove(best))).collect();
    let mut start = vec![0.0; lessons.outputs() * (width + 1)];
    for (_, head) in &without {
        start.iter_mut().zip(head).for_each(|(sum, x)| *sum += x / without.len() as f32);
    }
    let everything: Vec<usize> = (0..lessons.len()).collect();
    let head = on_rows(lessons, embeddings, width, &everything, |rows| {
        rows.fit(l2(COSTS[best], everything.len()), start, keep_on)
    })?;
    let (_, held_out) = judged.into_iter().nth(best)?;
    Some(Frozen { head, without, held_out })
}

/// The rows of all other folds.
pub fn others(folds: &[u32], fold: u32) -> Vec<usize> {
    (0..folds.len()).filter(|row| folds[*row] != fold).collect()
}

/// A head for each price, each from where the one before ended.
fn path(
    lessons: &Lessons,
    embeddings: &[f32],
    width: usize,
    rows: &[usize],
    keep_on: &(dyn Fn() -> bool + Sync),
) -> Option<Vec<Vec<f32>>> {
    on_rows(lessons, embeddings, width, rows, |regression| {
        let mut heads = Vec::with_capacity(COSTS.len());
        let mut head = vec![0.0; regression.numbers()];
        for cost in COSTS {
            head = regression.fit(l2(cost, rows.len()), head, keep_on)?;
            heads.push(head.clone());
        }
        Some(heads)
    })
}

fn l2(cost: f32, rows: usize) -> f32 {
    1.0 / (cost * rows.max(1) as f32)
}

fn on_rows<T>(
    lessons: &Lessons,
    embeddings: &[f32],
    width: usize,
    rows: &[usize],
    fit: impl FnOnce(&Regression<'_>) -> T,
) -> T {
    let features: Vec<f32> =
        rows.iter().flat_map(|row| &embeddings[row * width..(row + 1) * width]).copied().collect();
    let targets: Vec<&[u32]> = rows.iter().map(|row| lessons.targets[*row].as_slice()).collect();
    let weights: Vec<f32> = rows.iter().map(|row| lessons.weights[*row]).collect();
    fit(&Regression {
        features: &features,
        width,
        targets: &targets,
        weights: &weights,
        outputs: lessons.outputs(),
        objective: lessons.objective,
    })
}

/// Every row's outputs from the head that was fitted without its fold, and the sum of their losses.
fn held_out(
    lessons: &Lessons,
    embeddings: &[f32],
    width: usize,
    folds: &[u32],
    numbers: &[u32],
    paths: &[Vec<Vec<f32>>],
    cost: usize,
) -> (f64, Vec<f32>) {
    let labels = lessons.outputs();
    let mut all = Vec::with_capacity(lessons.len() * labels);
    let mut loss = 0.0;
    for (row, embedding) in embeddings.chunks_exact(width).enumerate() {
        let fold = numbers.binary_search(&folds[row]).unwrap_or(0);
        let mut outputs = outputs(&paths[fold][cost], embedding, width, labels);
        all.extend_from_slice(&outputs);
        loss +=
            Objective::of_row(lessons.objective, &mut outputs, &lessons.targets[row], lessons.weights[row]);
    }
    (loss, all)
}
