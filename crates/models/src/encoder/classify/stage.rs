//! How far is a training as a whole? Its stages one after the other, each with its share of the time.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use sprat_task::Training;
use sprat_task::model::Progress;

use super::super::finetune::Walked;

/// The stages that are still to come.
pub struct Stages<'a> {
    training: &'a Training<'a>,
    rest: std::vec::IntoIter<f32>,
    at: f32,
    total: f32,
}

impl<'a> Stages<'a> {
    /// Stages that are expected to take so long, in any unit.
    pub fn new(training: &'a Training<'a>, lengths: Vec<f32>) -> Self {
        let total = lengths.iter().sum::<f32>().max(f32::MIN_POSITIVE);
        Self { training, rest: lengths.into_iter(), at: 0.0, total }
    }

    /// The next one; after the last, one that takes no time.
    pub fn next(&mut self) -> Stage<'a> {
        let from = self.at;
        self.at = (from + self.rest.next().unwrap_or(0.0) / self.total).min(1.0);
        Stage { training: self.training, from, to: self.at, stopped: AtomicBool::new(false) }
    }
}

/// A part of the whole, for whoever looks on.
pub struct Stage<'a> {
    training: &'a Training<'a>,
    from: f32,
    to: f32,
    stopped: AtomicBool,
}

impl Stage<'_> {
    /// Tells how far this part is; false once somebody has asked to stop.
    pub fn at(&self, share: f32) -> bool {
        self.tell(share, None, None)
    }

    /// The same of a walk that is part of it.
    pub fn walked(&self, walked: Walked) -> ControlFlow<()> {
        match self.tell(walked.done, Some(walked.loss), Some(walked.rows_per_second)) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Part `number` of so many equal ones.
    pub fn part(&self, number: usize, of: usize) -> Self {
        let at = |number: usize| self.from + (self.to - self.from) * number as f32 / of.max(1) as f32;
        Self {
            training: self.training,
            from: at(number),
            to: at(number + 1),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether somebody has asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Set once somebody has asked to stop.
    pub fn stopped(&self) -> &AtomicBool {
        &self.stopped
    }

    fn tell(&self, share: f32, loss: Option<f32>, rows_per_second: Option<f32>) -> bool {
        let done = self.from + share * (self.to - self.from);
        let go_on = (self.training.progress)(Progress { done, loss, rows_per_second }).is_continue();
        if !go_on {
            self.stopped.store(true, Ordering::Relaxed);
        }
        go_on
    }
}
