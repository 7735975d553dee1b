//! In which order are the rows visited, and when does training end?

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::Weights;
use super::adamw::{AdamW, Step, clip};
use super::matrix::Before;
use super::network::{Batch, Network, Tape, dense, dense_backward};
use super::norm::add;
use super::objective::Objective;
use super::resume::{Place, Resume, State};

/// A row as training sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The text's tokens.
    pub tokens: Vec<u32>,
    /// Its labels.
    pub targets: Vec<u32>,
    /// What it counts for; above zero.
    pub weight: f32,
}

/// How training is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Most passes over the rows; the learning rate falls to zero over so many.
    pub epochs: u32,
    /// Passes after which it ends, whatever comes; `None` where the held-out rows decide.
    pub stop_after: Option<u32>,
    /// Passes without a better one after which it ends.
    pub patience: u32,
    /// The encoder's largest learning rate.
    pub rate: f32,
    /// The head's learning rate over the encoder's.
    pub head_factor: f32,
    /// Share of all steps in which the learning rate climbs.
    pub warm_up: f32,
    /// Rows of one step.
    pub batch_rows: usize,
    /// How much of a matrix is taken off for each unit of learning rate.
    pub weight_decay: f32,
    /// Longest gradient of a step.
    pub clip: f32,
    /// Decides the order of the rows.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 4,
            stop_after: None,
            patience: 2,
            rate: 1e-4,
            head_factor: 10.0,
            warm_up: 0.06,
            batch_rows: 32,
            weight_decay: 0.01,
            clip: 1.0,
            seed: 0,
        }
    }
}

/// One pass over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Passes done.
    pub epoch: u32,
    /// Mean loss of the rows taught, seen on the way, in nats.
    pub loss: f64,
    /// Mean loss of the rows held out; `None` where none are.
    pub held_out_loss: Option<f64>,
    /// Share of the rows held out whose best label is right; `None` where none are.
    pub held_out_accuracy: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The numbers of the best pass.
    pub parameters: Vec<f32>,
    /// Which one that was, from 1.
    pub epoch: u32,
    /// Each pass.
    pub curve: Vec<CurvePoint>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walked {
    /// Share of all passes.
    pub done: f32,
    /// Mean loss of this pass so far.
    pub loss: f32,
    /// Rows a second since training began here.
    pub rows_per_second: f32,
}

/// Somebody asked it to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Training of one encoder on one set of rows.
pub struct Finetuning<'a> {
    /// The network; its layout has a head.
    pub network: &'a Network,
    /// The base model: its embedding tables.
    pub base: &'a Weights,
    /// What is made small.
    pub objective: Objective,
    /// How.
    pub settings: &'a Settings,
    /// Told how far it is; may ask to stop.
    pub progress: &'a (dyn Fn(Walked) -> ControlFlow<()> + Sync),
    /// Where an interrupted run is kept.
    pub resume: Option<&'a Resume>,
}

/// Gradients that are summed apart from each other, on as many threads at most. The number is fixed, because sums in
/// another order would be other numbers.
const LANES: usize = 4;
/// Tokens that one forward pass holds at a time: a few hundred megabytes for a small encoder.
const MOST_TOKENS: usize = 2_048;
/// Time between two states kept on disk.
const KEPT_EVERY: Duration = Duration::from_secs(30);

impl Finetuning<'_> {
    /// Walks over the rows from `start` (in the order of the layout) until the held-out rows say it is enough.
    pub fn run(&self, start: Vec<f32>, rows: &[Example], held_out: &[Example]) -> Result<Tuned, Stopped> {
        let begun = self.resume.and_then(|resume| resume.load(start.len()));
        let mut state = begun.unwrap_or_else(|| State::new(start));
        let mut clock = Clock::start();
        let last = self.settings.stop_after.unwrap_or(self.settings.epochs).min(self.settings.epochs);
        while state.place.epochs < last && !self.is_enough(&state.place.curve) {
            self.epoch(&mut state, rows, &mut clock)?;
            self.judge(&mut state, held_out);
            self.keep(&state, &mut clock);
        }
        let epoch = best(&state.place.curve).map_or(0, |best| best.epoch);
        let parameters = if state.best.is_empty() { state.parameters } else { state.best };
        Ok(Tuned { parameters, epoch, curve: state.place.curve })
    }

    /// Embeddings of many rows, one after the other, on all threads.
    pub fn embeddings(&self, parameters: &[f32], rows: &[Example]) -> Vec<f32> {
        let batches: Vec<&[Example]> = by_tokens(rows, MOST_TOKENS).collect();
        let embed = |tape: &mut Tape, rows: &&[Example]| {
            let batch = self.batch(rows.iter());
            self.network.forward(parameters, &batch, tape).to_vec()
        };
        let embedded: Vec<Vec<f32>> = batches.par_iter().map_init(Tape::default, embed).collect();
        embedded.concat()
    }

    /// What the head makes of embeddings, one row each.
    pub fn outputs(&self, parameters: &[f32], embeddings: &[f32]) -> Vec<f32> {
        let layout = &self.network.layout;
        let mut outputs = vec![0.0; embeddings.len() / layout.config.hidden * layout.outputs];
        dense(parameters, &mut outputs, embeddings, &layout.head_weight, &layout.head_bias);
        outputs
    }

    /// The mean loss of some rows, and what it makes of every number.
    #[cfg(test)]
    pub(super) fn loss_and_gradients(&self, parameters: &[f32], rows: &[Example]) -> (f64, Vec<f32>) {
        let mut lanes: Vec<Lane> = (0..LANES).map(|_| Lane::default()).collect();
        let (loss, weight) = self.gradients(parameters, &rows.iter().collect::<Vec<_>>(), &mut lanes);
        (loss / weight, lanes.swap_remove(0).gradients)
    }

    /// The rest of one pass.
    fn epoch(&self, state: &mut State, rows: &[Example], clock: &mut Clock) -> Result<(), Stopped> {
        let order = shuffled(rows.len(), self.settings.seed, state.place.epochs);
        let batches: Vec<&[u32]> = order.chunks(self.settings.batch_rows.max(1)).collect();
        let all = batches.len() as f32 * self.settings.epochs as f32;
        let mut lanes: Vec<Lane> = (0..LANES).map(|_| Lane::default()).collect();
        while let Some(batch) = batches.get(state.place.batches as usize) {
            let taught: Vec<&Example> = batch.iter().map(|row| &rows[*row as usize]).collect();
            let (loss, weight) = self.gradients(&state.parameters, &taught, &mut lanes);
            let gradients = &mut lanes[0].gradients;
            clip(gradients, self.settings.clip);
            let step = Step {
                rate: self.settings.rate * self.share_of_rate(state.place.steps as f32 / all),
                head_factor: self.settings.head_factor,
                weight_decay: self.settings.weight_decay,
            };
            state.optimiser.step(&self.network.layout, &mut state.parameters, gradients, &step);
            state.place.steps = state.optimiser.steps;
            state.place.batches += 1;
            state.place.loss.0 += loss;
            state.place.loss.1 += weight;
            clock.rows += taught.len();
            let walked = Walked {
                done: state.place.steps as f32 / all,
                loss: (state.place.loss.0 / state.place.loss.1.max(f64::MIN_POSITIVE)) as f32,
                rows_per_second: clock.rows_per_second(),
            };
            let go_on = (self.progress)(walked);
            if clock.is_due() || go_on.is_break() {
                self.keep(state, clock);
            }
            if go_on.is_break() {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Ends a pass: its point of the curve, and whether it is the best so far.
    fn judge(&self, state: &mut State, held_out: &[Example]) {
        let (loss, weight) = std::mem::take(&mut state.place.loss);
        state.place.batches = 0;
        state.place.epochs += 1;
        let seen = (!held_out.is_empty()).then(|| self.held_out(&state.parameters, held_out));
        let point = CurvePoint {
            epoch: state.place.epochs,
            loss: loss / weight.max(f64::MIN_POSITIVE),
            held_out_loss: seen.map(|(loss, _)| loss),
            held_out_accuracy: seen.map(|(_, accuracy)| accuracy),
        };
        state.place.curve.push(point);
        if best(&state.place.curve).is_some_and(|best| best.epoch == point.epoch) {
            state.best.clone_from(&state.parameters);
        }
    }

    /// Mean loss, and the share of rows whose best label is right.
    fn held_out(&self, parameters: &[f32], rows: &[Example]) -> (f64, f64) {
        let mut outputs = self.outputs(parameters, &self.embeddings(parameters, rows));
        let (mut loss, mut right, mut weight) = (0.0, 0.0, 0.0);
        for (row, outputs) in rows.iter().zip(outputs.chunks_exact_mut(self.network.layout.outputs.max(1))) {
            let is_right = self.objective.is_right(outputs, &row.targets);
            right += f64::from(row.weight) * f64::from(u8::from(is_right));
            loss += self.objective.of_row(outputs, &row.targets, row.weight);
            weight += f64::from(row.weight);
        }
        (loss / weight, right / weight)
    }

    /// Whether the last passes have brought nothing.
    fn is_enough(&self, curve: &[CurvePoint]) -> bool {
        let best = best(curve).map_or(0, |best| best.epoch);
        curve.len() as u32 >= best + self.settings.patience.max(1) && !curve.is_empty()
    }

    /// The learning rate's share after this share of all steps: up in a line, then down in a line.
    fn share_of_rate(&self, done: f32) -> f32 {
        let warm_up = self.settings.warm_up.clamp(0.0, 0.9);
        if done < warm_up { (done / warm_up).max(1e-3) } else { ((1.0 - done) / (1.0 - warm_up)).max(0.0) }
    }

    fn keep(&self, state: &State, clock: &mut Clock) {
        clock.kept = Instant::now();
        if let Some(resume) = self.resume {
            // A disk that is full costs the chance to go on, not the training.
            let _ = resume.save(state);
        }
    }

    /// The batch's mean gradient in the first lane; the sum of its losses and of its weights.
    fn gradients(&self, parameters: &[f32], rows: &[&Example], lanes: &mut [Lane]) -> (f64, f64) {
        let weight: f64 = rows.iter().map(|row| f64::from(row.weight)).sum();
        let tokens: usize = rows.iter().map(|row| row.tokens.len()).sum();
        let parts: Vec<&[&Example]> = by_tokens(rows, (tokens / lanes.len()).min(MOST_TOKENS)).collect();
        let taken = lanes.len();
        lanes.par_iter_mut().enumerate().for_each(|(number, lane)| {
            lane.clear(parameters.len());
            for part in parts.iter().skip(number).step_by(taken) {
                self.teach(parameters, part, weight, lane);
            }
        });
        let loss = lanes.iter().map(|lane| lane.loss).sum();
        sum_into_first(lanes);
        (loss, weight)
    }

    /// There and back with a few rows.
    fn teach(&self, parameters: &[f32], rows: &[&Example], weight: f64, lane: &mut Lane) {
        let layout = &self.network.layout;
        let batch = self.batch(rows.iter().copied());
        let embeddings = self.network.forward(parameters, &batch, &mut lane.tape).to_vec();
        let mut outputs = self.outputs(parameters, &embeddings);
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

    fn batch<'r>(&self, rows: impl Iterator<Item = &'r Example>) -> Batch {
        let mut batch = Batch::default();
        rows.for_each(|row| batch.push(&row.tokens, self.base, &self.network.layout.config));
        batch
    }
}

impl State {
    fn new(parameters: Vec<f32>) -> Self {
        let optimiser = AdamW::new(parameters.len());
        Self { place: Place::default(), parameters, optimiser, best: Vec::new() }
    }
}

/// What one thread of training holds.
#[derive(Default)]
struct Lane {
    tape: Tape,
    gradients: Vec<f32>,
    loss: f64,
}

impl Lane {
    fn clear(&mut self, numbers: usize) {
        self.gradients.clear();
        self.gradients.resize(numbers, 0.0);
        self.loss = 0.0;
    }
}

fn sum_into_first(lanes: &mut [Lane]) {
    const CHUNK: usize = 1 << 16;
    let Some((first, others)) = lanes.split_first_mut() else { return };
    first.gradients.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, sum)| {
        let range = chunk * CHUNK..chunk * CHUNK + sum.len();
        others.iter().for_each(|lane| add(sum, &lane.gradients[range.clone()]));
    });
}

struct Clock {
    started: Instant,
    kept: Instant,
    rows: usize,
}

impl Clock {
    fn start() -> Self {
        Self { started: Instant::now(), kept: Instant::now(), rows: 0 }
    }

    fn rows_per_second(&self) -> f32 {
        self.rows as f32 / self.started.elapsed().as_secs_f32().max(1e-3)
    }

    fn is_due(&self) -> bool {
        self.kept.elapsed() >= KEPT_EVERY
    }
}

/// The pass with the least loss on held-out rows; without any, the last one.
fn best(curve: &[CurvePoint]) -> Option<&CurvePoint> {
    let judged = curve.iter().filter_map(|point| Some((point, point.held_out_loss?)));
    let best = judged.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(point, _)| point);
    best.or(curve.last())
}

/// Runs of rows of at most so many tokens each, or of one row.
fn by_tokens<T: Tokens>(rows: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let mut fits = |row: &T| {
            tokens += row.tokens();
            tokens <= most
        };
        let taken = rest.iter().take_while(|row| fits(row)).count().max(1).min(rest.len());
        let (part, further) = rest.split_at(taken);
        rest = further;
        (!part.is_empty()).then_some(part)
    })
}

trait Tokens {
    fn tokens(&self) -> usize;
}

impl Tokens for Example {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

impl Tokens for &Example {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// The rows' numbers in an order that depends on the seed and the pass (Fisher & Yates).
fn shuffled(rows: usize, seed: u64, pass: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let mut random =
        fastrand::Rng::with_seed(seed ^ (u64::from(pass) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    random.shuffle(&mut order);
    order
}
