//! How does training walk from where it starts to its end? Pass by pass over the batches of a lesson, whatever the lesson is
//! about; the pass that is best on rows held out is kept.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::adamw::{Step, clip};
use super::lanes::Lanes;
use super::layout::Layout;
use super::resume::{Place, Resume, State};

/// What is taught: rows in batches, and what they make of every number.
pub trait Lesson: Sync {
    /// The places of the rows of each batch of a pass: the same whenever it is asked. Every pass has as many.
    fn batches(&self, pass: u32) -> Vec<Vec<u32>>;

    /// A batch's mean gradient, which lies in the lanes, and the sums of its loss.
    fn gradients<'l>(
        &self,
        parameters: &[f32],
        batch: &[u32],
        lanes: &'l mut Lanes,
    ) -> (Sums, &'l mut Vec<f32>);

    /// What rows held out say after a pass; `None` where none are.
    fn judge(&self, parameters: &[f32]) -> Option<Judged>;
}

/// Losses of rows, each times what the row counts for, and what they count for together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Of the losses, in nats.
    pub loss: f64,
    /// Of the weights.
    pub weight: f64,
}

impl Sums {
    /// The mean loss of a row; 0 of none.
    pub fn mean(self) -> f64 {
        self.loss / self.weight.max(f64::MIN_POSITIVE)
    }
}

/// What rows held out say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Their mean loss.
    pub loss: f64,
    /// Share of them whose best label is right.
    pub accuracy: f64,
}

/// How training is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Most passes over the rows; the learning rate falls to zero over so many.
    pub epochs: u32,
    /// Passes after which it ends, whatever comes; `None` where the held-out rows decide.
    pub stop_after: Option<u32>,
    /// Passes without a better one on rows held out after which it ends.
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

/// A walk that can be gone.
pub struct Walk<'a> {
    /// What is trained.
    pub layout: &'a Layout,
    /// How.
    pub settings: &'a Settings,
    /// Told how far it is; may ask to stop.
    pub progress: &'a (dyn Fn(Walked) -> ControlFlow<()> + Sync),
    /// Where an interrupted walk is kept.
    pub resume: Option<&'a Resume>,
}

/// Time between two states kept on disk.
const KEPT_EVERY: Duration = Duration::from_secs(30);

impl Walk<'_> {
    /// Walks from `start` (in the order of the layout) until the held-out rows, or the settings, say it is enough.
    pub fn run(&self, lesson: &dyn Lesson, start: Vec<f32>) -> Result<Tuned, Stopped> {
        let kept = self.resume.and_then(|resume| resume.load(start.len()));
        // What is kept of a walk that came to its end can't be walked on with.
        let kept = kept.filter(|state| state.can_go_on() || self.is_over(&state.place));
        let mut state = kept.unwrap_or_else(|| State::new(start));
        let (mut lanes, mut clock) = (Lanes::new(), Clock::start());
        while !self.is_over(&state.place) {
            self.pass(lesson, &mut state, &mut lanes, &mut clock)?;
            end_pass(lesson, &mut state);
            if self.is_over(&state.place) {
                // All that is still of use are the numbers that were best.
                state.optimiser = Default::default();
            }
            self.keep(&state, &mut clock);
        }
        let epoch = best(&state.place.curve).map_or(0, |best| best.epoch);
        let parameters = if state.best.is_empty() { state.parameters } else { state.best };
        Ok(Tuned { parameters, epoch, curve: state.place.curve })
    }

    /// The rest of one pass.
    fn pass(
        &self,
        lesson: &dyn Lesson,
        state: &mut State,
        lanes: &mut Lanes,
        clock: &mut Clock,
    ) -> Result<(), Stopped> {
        let batches = lesson.batches(state.place.epochs);
        let all = batches.len() as f32 * self.settings.epochs as f32;
        while let Some(batch) = batches.get(state.place.batches as usize) {
            let (sums, gradients) = lesson.gradients(&state.parameters, batch, lanes);
            clip(gradients, self.settings.clip);
            let step = Step {
                rate: self.settings.rate * self.share_of_rate(state.place.steps as f32 / all),
                head_factor: self.settings.head_factor,
                weight_decay: self.settings.weight_decay,
            };
            state.optimiser.step(self.layout, &mut state.parameters, gradients, &step);
            state.place.steps = state.optimiser.steps;
            state.place.batches += 1;
            state.place.sums.loss += sums.loss;
            state.place.sums.weight += sums.weight;
            clock.rows += batch.len();
            let walked = Walked {
                done: state.place.steps as f32 / all,
                loss: state.place.sums.mean() as f32,
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

    /// Whether it has come to its end: all passes are done, or the last ones have brought nothing.
    fn is_over(&self, place: &Place) -> bool {
        let last = self.settings.stop_after.unwrap_or(self.settings.epochs).min(self.settings.epochs);
        let best = best(&place.curve).map_or(0, |best| best.epoch);
        let is_enough = place.curve.len() as u32 >= best.saturating_add(self.settings.patience.max(1));
        place.epochs >= last || (is_enough && !place.curve.is_empty())
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
}

/// Ends a pass: its point of the curve, and whether it is the best so far.
fn end_pass(lesson: &dyn Lesson, state: &mut State) {
    let sums = std::mem::take(&mut state.place.sums);
    state.place.batches = 0;
    state.place.epochs += 1;
    let judged = lesson.judge(&state.parameters);
    let point = CurvePoint {
        epoch: state.place.epochs,
        loss: sums.mean(),
        held_out_loss: judged.map(|judged| judged.loss),
        held_out_accuracy: judged.map(|judged| judged.accuracy),
    };
    state.place.curve.push(point);
    // Where nothing is held out, the last pass is the best.
    if judged.is_some() && best(&state.place.curve).is_some_and(|best| best.epoch == point.epoch) {
        state.best.clone_from(&state.parameters);
    }
}

/// The pass with the least loss on held-out rows; without any, the last one.
fn best(curve: &[CurvePoint]) -> Option<&CurvePoint> {
    let judged = curve.iter().filter_map(|point| Some((point, point.held_out_loss?)));
    let best = judged.min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(point, _)| point);
    best.or(curve.last())
}

/// Chance that depends on the seed and the pass alone.
pub fn rng(seed: u64, pass: u32) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ (u64::from(pass) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
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
