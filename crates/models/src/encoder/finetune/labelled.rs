//! Learning by labels: a head over the embeddings is to name each row's own. Head and encoder are trained together.

use super::examples::{Example, MOST_TOKENS, by_tokens};
use super::lanes::{LANES, Lane, Lanes};
use super::matrix::Before;
use super::network::{Network, dense, dense_backward};
use super::objective::Objective;
use super::walk::{Judged, Lesson, Settings, Sums, rng};

/// Rows with their labels.
pub struct Labelled<'a> {
    /// The network; its layout has a head.
    pub network: &'a Network<'a>,
    /// What is made small.
    pub objective: Objective,
    /// How.
    pub settings: &'a Settings,
    /// The rows that are taught.
    pub rows: &'a [Example],
    /// The rows that say which pass was best; none where nobody asks.
    pub held_out: &'a [Example],
}

impl Lesson for Labelled<'_> {
    /// All rows, in an order of the pass's own (Fisher & Yates).
    fn batches(&self, pass: u32) -> Vec<Vec<u32>> {
        let mut order: Vec<u32> = (0..self.rows.len() as u32).collect();
        rng(self.settings.seed, pass).shuffle(&mut order);
        order.chunks(self.settings.batch_rows.max(1)).map(<[u32]>::to_vec).collect()
    }

    fn gradients<'l>(
        &self,
        parameters: &[f32],
        batch: &[u32],
        lanes: &'l mut Lanes,
    ) -> (Sums, &'l mut Vec<f32>) {
        let rows: Vec<&Example> = batch.iter().map(|row| &self.rows[*row as usize]).collect();
        let weight: f64 = rows.iter().map(|row| f64::from(row.weight)).sum();
        let tokens: usize = rows.iter().map(|row| row.tokens.len()).sum();
        let parts: Vec<&[&Example]> = by_tokens(&rows, (tokens / LANES).min(MOST_TOKENS)).collect();
        lanes.clear(parameters.len());
        lanes.each(|number, lane| {
            for part in parts.iter().skip(number).step_by(LANES) {
                self.teach(parameters, part, weight, lane);
            }
        });
        let (loss, gradients) = lanes.sum();
        (Sums { loss, weight }, gradients)
    }

    fn judge(&self, parameters: &[f32]) -> Option<Judged> {
        if self.held_out.is_empty() {
            return None;
        }
        let embeddings = self.network.embeddings(parameters, self.held_out);
        let mut outputs = self.network.outputs(parameters, &embeddings);
        let (mut loss, mut right, mut weight) = (0.0, 0.0, 0.0);
        let rows = outputs.chunks_exact_mut(self.network.layout.outputs.max(1));
        for (row, outputs) in self.held_out.iter().zip(rows) {
            let is_right = self.objective.is_right(outputs, &row.targets);
            right += f64::from(row.weight) * f64::from(u8::from(is_right));
            loss += self.objective.of_row(outputs, &row.targets, row.weight);
            weight += f64::from(row.weight);
        }
        Some(Judged { loss: loss / weight, accuracy: right / weight })
    }
}

impl Labelled<'_> {
    /// There and back with a few rows.
    fn teach(&self, parameters: &[f32], rows: &[&Example], weight: f64, lane: &mut Lane) {
        let layout = &self.network.layout;
        let batch = self.network.batch(rows.iter().copied());
        let embeddings = self.network.forward(parameters, &batch, &mut lane.tape).to_vec();
        let mut outputs = self.network.outputs(parameters, &embeddings);
        for (row, outputs) in rows.iter().zip(outputs.chunks_exact_mut(layout.outputs)) {
            let share = row.weight / weight as f32;
            lane.loss += self.objective.of_row(outputs, &row.targets, share) * weight;
        }
        let mut to_embeddings = vec![0.0; embeddings.len()];
        dense_backward(
            parameters,
            &mut lane.gradients,
            (&mut to_embeddings, Before::Replaced),
            &outputs,
            &embeddings,
            &layout.head_weight,
            &layout.head_bias,
        );
        self.network.backward(parameters, &batch, &to_embeddings, &mut lane.tape, &mut lane.gradients);
    }
}

impl Network<'_> {
    /// What the head makes of embeddings, one row each.
    pub fn outputs(&self, parameters: &[f32], embeddings: &[f32]) -> Vec<f32> {
        let layout = &self.layout;
        let mut outputs = vec![0.0; embeddings.len() / layout.config.hidden * layout.outputs];
        dense(parameters, &mut outputs, embeddings, &layout.head_weight, &layout.head_bias);
        outputs
    }
}
