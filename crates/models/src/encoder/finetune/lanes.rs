//! How is one step's gradient computed on several threads? In lanes, each with a tape and a sum of its own. Their number is
//! fixed, because sums in another order would be other numbers.

use rayon::prelude::*;

use super::network::Tape;
use super::norm::add;

/// Gradients that are summed apart from each other, on as many threads at most.
pub const LANES: usize = 4;

/// What the threads of one step hold; used again by the next.
pub struct Lanes(Vec<Lane>);

/// What one of them holds.
#[derive(Default)]
pub struct Lane {
    pub tape: Tape,
    pub gradients: Vec<f32>,
    pub loss: f64,
}

impl Lanes {
    /// Empty ones.
    pub fn new() -> Self {
        Self((0..LANES).map(|_| Lane::default()).collect())
    }

    /// Begins a step over so many numbers.
    pub fn clear(&mut self, numbers: usize) {
        for lane in &mut self.0 {
            lane.gradients.clear();
            lane.gradients.resize(numbers, 0.0);
            lane.loss = 0.0;
        }
    }

    /// Does the work of each lane on a thread of its own; it is told which lane it is.
    pub fn each<T: Send>(&mut self, work: impl Fn(usize, &mut Lane) -> T + Sync) -> Vec<T> {
        self.0.par_iter_mut().enumerate().map(|(number, lane)| work(number, lane)).collect()
    }

    /// Ends a step: the sum of the lanes' losses, and of their gradients.
    pub fn sum(&mut self) -> (f64, &mut Vec<f32>) {
        const CHUNK: usize = 1 << 16;
        let loss = self.0.iter().map(|lane| lane.loss).sum();
        let (first, others) = self.0.split_at_mut(1);
        first[0].gradients.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, sum)| {
            let range = chunk * CHUNK..chunk * CHUNK + sum.len();
            others.iter().for_each(|lane| add(sum, &lane.gradients[range.clone()]));
        });
        (loss, &mut first[0].gradients)
    }
}
