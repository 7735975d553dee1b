//! Learning by pairs: rows of one label are drawn together and others pushed apart, before any head is fitted. The idea is
//! SetFit's (Tunstall et al. 2022, arXiv 2209.11055): so few rows as can't teach a head make pairs enough to teach the encoder.
//! No list of pairs is drawn up: each step is dealt some rows of some labels and takes every pair among them, so that 32
//! texts through the network are 496 pairs. What is made small is the supervised contrastive loss (Khosla et al. 2020,
//! arXiv 2004.11362, `L_out`): seen from each row, those of its own label are to be the nearest.

use super::deal::Deal;
use super::examples::Example;
use super::lanes::{LANES, Lanes};
use super::matrix::{Before, Matrix, multiply};
use super::network::{Batch, Network};
use super::walk::{Judged, Lesson, Settings, Sums, rng};

/// How much nearer is much nearer: cosines are divided by it before a softmax. Khosla et al. find 0.1 best.
const TEMPERATURE: f32 = 0.1;

/// Rows that are to be told apart by where they lie.
pub struct Contrast<'a> {
    /// The network; its layout needs no head.
    pub network: &'a Network<'a>,
    /// How.
    pub settings: &'a Settings,
    /// The rows that are taught.
    pub rows: &'a [Example],
    /// The label that means "none of the others": rows that carry it are like no row, not even each other.
    pub out_of_scope: Option<u32>,
}

impl Lesson for Contrast<'_> {
    /// As many rows as there are, a few labels at a time.
    fn batches(&self, pass: u32) -> Vec<Vec<u32>> {
        let size = self.settings.batch_rows.max(2);
        let mut deal = Deal::new(self.rows, rng(self.settings.seed, pass));
        (0..self.rows.len().div_ceil(size)).map(|_| deal.batch(size)).collect()
    }

    fn gradients<'l>(
        &self,
        parameters: &[f32],
        batch: &[u32],
        lanes: &'l mut Lanes,
    ) -> (Sums, &'l mut Vec<f32>) {
        let rows: Vec<&Example> = batch.iter().map(|row| &self.rows[*row as usize]).collect();
        let share = rows.len().div_ceil(LANES).max(1);
        let parts: Vec<Batch> =
            rows.chunks(share).map(|part| self.network.batch(part.iter().copied())).collect();
        lanes.clear(parameters.len());
        let embeddings = lanes.each(|number, lane| match parts.get(number) {
            Some(part) => self.network.forward(parameters, part, &mut lane.tape).to_vec(),
            None => Vec::new(),
        });
        let width = self.network.layout.config.hidden;
        let (sums, to_embeddings) = self.of_pairs(&rows, &embeddings.concat(), width);
        lanes.each(|number, lane| {
            let Some(part) = parts.get(number) else { return };
            let to_part = &to_embeddings[number * share * width..][..part.len() * width];
            self.network.backward(parameters, part, to_part, &mut lane.tape, &mut lane.gradients);
        });
        let (_, gradients) = lanes.sum();
        (sums, gradients)
    }

    /// The head that will be fitted says how good it is, later.
    fn judge(&self, _: &[f32]) -> Option<Judged> {
        None
    }
}

impl Contrast<'_> {
    /// The loss of a step, and its gradient with respect to each row's embedding.
    fn of_pairs(&self, rows: &[&Example], embeddings: &[f32], width: usize) -> (Sums, Vec<f32>) {
        let number = rows.len();
        let vectors = Matrix::new(embeddings, number, width);
        let mut scores = vec![0.0; number * number];
        multiply(&mut scores, number, vectors, vectors.transposed(), 1.0 / TEMPERATURE, Before::Replaced);
        let mut sums = Sums::default();
        for (at, scores) in scores.chunks_exact_mut(number).enumerate() {
            let likeness: Vec<Option<f32>> =
                (0..number).map(|other| self.likeness(rows, at, other)).collect();
            if let Some(loss) = of_row(scores, &likeness, rows[at].weight) {
                sums.loss += loss;
                sums.weight += f64::from(rows[at].weight);
            }
        }
        let scale = 1.0 / (TEMPERATURE * (sums.weight as f32).max(f32::MIN_POSITIVE));
        let to_scores = Matrix::new(&scores, number, number);
        let mut to_embeddings = vec![0.0; embeddings.len()];
        multiply(&mut to_embeddings, width, to_scores, vectors, scale, Before::Replaced);
        multiply(&mut to_embeddings, width, to_scores.transposed(), vectors, scale, Before::AddedTo);
        (sums, to_embeddings)
    }

    /// How like two rows' labels are, 0 to 1; `None` where nobody can say.
    fn likeness(&self, rows: &[&Example], at: usize, other: usize) -> Option<f32> {
        let (one, two) = (&rows[at].targets, &rows[other].targets);
        let says_nothing = |targets: &[u32]| match targets {
            [] => true,
            [only] => Some(*only) == self.out_of_scope,
            _ => false,
        };
        if at == other || (says_nothing(one) && says_nothing(two)) {
            return None;
        }
        // Of labels that stand for themselves: those shared, of those that either carries (Jaccard).
        let shared = one.iter().filter(|label| two.contains(label)).count();
        Some(shared as f32 / (one.len() + two.len() - shared).max(1) as f32)
    }
}

/// A row's loss, times its weight; its gradient takes the place of the scores. `None` where no other row is like it: then
/// the gradient is zero.
fn of_row(scores: &mut [f32], likeness: &[Option<f32>], weight: f32) -> Option<f64> {
    let total: f32 = likeness.iter().flatten().sum();
    if total <= 0.0 {
        scores.fill(0.0);
        return None;
    }
    let judged = |(score, likeness): (&f32, &Option<f32>)| likeness.map(|_| *score);
    let most = scores.iter().zip(likeness).filter_map(judged).fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().zip(likeness).filter_map(judged).map(|score| (score - most).exp()).sum();
    let mut loss = 0.0;
    for (score, likeness) in scores.iter_mut().zip(likeness) {
        let Some(likeness) = likeness else {
            *score = 0.0;
            continue;
        };
        let wanted = likeness / total;
        loss += f64::from(wanted * (sum.ln() + most - *score));
        *score = weight * ((*score - most).exp() / sum - wanted);
    }
    Some(f64::from(weight) * loss)
}
