//! Heads over embeddings: how strongly they are held back is chosen by rows that neither head nor encoder had seen.

use rayon::prelude::*;

use super::super::finetune::Objective;
use super::lessons::Lessons;
use super::logistic::{Regression, outputs};

/// Prices of a badly answered row against large weights that are tried, from the least.
const COSTS: [f32; 4] = [3.0, 10.0, 30.0, 100.0];

/// What heads are fitted on.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    /// The rows.
    pub lessons: &'a Lessons,
    /// Numbers in an embedding.
    pub width: usize,
    /// Each row's fold.
    pub folds: &'a [u32],
    /// Asked now and then; false stops it.
    pub keep_on: &'a (dyn Fn() -> bool + Sync),
}

/// All rows, as an encoder reads them that had not seen those of one fold.
#[derive(Clone, Copy)]
pub struct Unseen<'a> {
    /// The fold.
    pub fold: u32,
    /// One embedding a row, of all rows.
    pub embeddings: &'a [f32],
}

/// Heads that have not seen a fold each.
pub struct Fitted {
    /// The price that was best.
    pub cost: f32,
    /// For each fold the head that was fitted without it: weights row by row, then biases.
    pub without: Vec<Vec<f32>>,
    /// The places of the rows of these folds, ascending.
    pub rows: Vec<usize>,
    /// What was said of each of them by the head that had not seen it.
    pub outputs: Vec<f32>,
}

impl Heads<'_> {
    /// Fits a head without each of some folds, under the price that was best on their rows. `None` where it was stopped.
    pub fn without(&self, unseen: &[Unseen<'_>]) -> Option<Fitted> {
        let paths: Option<Vec<Vec<Vec<f32>>>> = unseen.par_iter().map(|unseen| self.path(unseen)).collect();
        let paths = paths?;
        let of_row = |row: usize| unseen.iter().position(|unseen| unseen.fold == self.folds[row]);
        let rows: Vec<(usize, usize)> =
            (0..self.folds.len()).filter_map(|row| Some((row, of_row(row)?))).collect();
        let judged: Vec<(f64, Vec<f32>)> = (0..COSTS.len())
            .into_par_iter()
            .map(|cost| self.judge(&rows, |at| (&paths[at][cost], unseen[at].embeddings)))
            .collect();
        let best = (1..COSTS.len()).fold(0, |best, at| if judged[at].0 < judged[best].0 { at } else { best });
        let (_, outputs) = judged.into_iter().nth(best)?;
        Some(Fitted {
            cost: COSTS[best],
            without: paths.into_iter().map(|mut path| path.swap_remove(best)).collect(),
            rows: rows.into_iter().map(|(row, _)| row).collect(),
            outputs,
        })
    }

    /// Fits one on all rows. `None` where it was stopped.
    pub fn on_all(&self, embeddings: &[f32], cost: f32, start: Option<Vec<f32>>) -> Option<Vec<f32>> {
        let everything: Vec<usize> = (0..self.lessons.len()).collect();
        self.on_rows(embeddings, &everything, |regression| {
            let start = start.unwrap_or_else(|| vec![0.0; regression.numbers()]);
            regression.fit(l2(cost, everything.len()), start, self.keep_on)
        })
    }

    /// A head for each price, each from where the one before ended.
    fn path(&self, unseen: &Unseen<'_>) -> Option<Vec<Vec<f32>>> {
        let rows = others(self.folds, unseen.fold);
        self.on_rows(unseen.embeddings, &rows, |regression| {
            let mut heads = Vec::with_capacity(COSTS.len());
            let mut head = vec![0.0; regression.numbers()];
            for cost in COSTS {
                head = regression.fit(l2(cost, rows.len()), head, self.keep_on)?;
                heads.push(head.clone());
            }
            Some(heads)
        })
    }

    fn on_rows<T>(&self, embeddings: &[f32], rows: &[usize], fit: impl FnOnce(&Regression<'_>) -> T) -> T {
        let Self { lessons, width, .. } = *self;
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

    /// The sum of the losses of some rows and their outputs, each by the head and the embeddings of its number.
    fn judge<'h>(
        &self,
        rows: &[(usize, usize)],
        by: impl Fn(usize) -> (&'h Vec<f32>, &'h [f32]),
    ) -> (f64, Vec<f32>) {
        let Self { lessons, width, .. } = *self;
        let mut all = Vec::with_capacity(rows.len() * lessons.outputs());
        let mut loss = 0.0;
        for (row, number) in rows {
            let (head, embeddings) = by(*number);
            let embedding = &embeddings[row * width..(row + 1) * width];
            let mut outputs = outputs(head, embedding, width, lessons.outputs());
            all.extend_from_slice(&outputs);
            let (targets, weight) = (&lessons.targets[*row], lessons.weights[*row]);
            loss += Objective::of_row(lessons.objective, &mut outputs, targets, weight);
        }
        (loss, all)
    }
}

impl Fitted {
    /// The mean of the heads: a good place to start from where all read the same embeddings.
    pub fn mean(&self) -> Option<Vec<f32>> {
        let mut mean = vec![0.0; self.without.first()?.len()];
        for head in &self.without {
            mean.iter_mut().zip(head).for_each(|(sum, x)| *sum += x / self.without.len() as f32);
        }
        Some(mean)
    }
}

/// The rows of all other folds.
pub fn others(folds: &[u32], fold: u32) -> Vec<usize> {
    (0..folds.len()).filter(|row| folds[*row] != fold).collect()
}

fn l2(cost: f32, rows: usize) -> f32 {
    1.0 / (cost * rows.max(1) as f32)
}
