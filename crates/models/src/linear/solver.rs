//! Which weights separate the labels? Dual coordinate descent for the squared hinge loss (Hsieh et al. 2008, the
//! method of LIBLINEAR), one label against the rest, sixteen labels side by side.
//!
//! Labels are independent of each other, so blocks of them are the units of parallel work and the number of
//! threads can't change the result. Within a block one pass over a row's features serves all sixteen lanes.

use super::config::Config;
use super::design::{Design, Entry};
use super::train::{Progress, TrainError, Watch};
use rayon::prelude::*;
use std::time::Instant;

/// Labels solved side by side: sixteen 4-byte weights are one cache line.
pub(super) const LANES: usize = 16;
type Lane = [f32; LANES];

/// Rows visited between two looks at the cancellation flag.
const ROWS_PER_LOOK: usize = 256;

/// What is solved: vectors, who is positive in which head, and what a mistake costs.
pub(super) struct Problem<'a> {
    pub(super) design: &'a Design,
    /// For each row, the heads it is positive in.
    pub(super) positives: Vec<&'a [u32]>,
    /// Weight of each row; rows of weight zero teach nothing.
    pub(super) weights: Vec<f32>,
    pub(super) heads: usize,
    pub(super) config: &'a Config,
}

/// Weights of all heads: `blocks[head / LANES].weights[feature][head % LANES]`.
pub(super) struct Solution {
    pub(super) blocks: Vec<Block>,
}

/// Sixteen heads.
pub(super) struct Block {
    pub(super) weights: Vec<Lane>,
    pub(super) bias: Lane,
    duals: Vec<Lane>,
    first_head: u32,
    /// Factor on the cost of a positive row, for each head.
    lift: Lane,
    converged: bool,
}

/// What one pass over the rows saw.
#[derive(Clone, Copy, Default)]
struct Pass {
    loss: f64,
    largest_move: f32,
}

pub(super) fn solve(problem: &Problem, watch: &Watch, fold: Option<u32>) -> Result<Solution, TrainError> {
    let mut blocks: Vec<Block> =
        (0..problem.heads).step_by(LANES).map(|first| Block::new(problem, first)).collect();
    let mut order: Vec<u32> =
        (0..problem.positives.len() as u32).filter(|&r| problem.weights[r as usize] > 0.0).collect();
    let mut random = problem.config.seed;
    for epoch in 1..=problem.config.epochs {
        shuffle(&mut order, &mut random);
        let begun = Instant::now();
        let passes: Result<Vec<Pass>, TrainError> = blocks
            .par_iter_mut()
            .map(
                |block| {
                    if block.converged { Ok(Pass::default()) } else { block.pass(problem, &order, watch) }
                },
            )
            .collect();
        let passes = passes?;
        for (block, pass) in blocks.iter_mut().zip(&passes) {
            block.converged |= pass.largest_move < problem.config.tolerance;
        }
        watch.report(Progress {
            fold,
            epoch,
            epochs: problem.config.epochs,
            loss: passes.iter().map(|pass| pass.loss).sum::<f64>()
                / (order.len() * problem.heads).max(1) as f64,
            rows_per_second: order.len() as f64 / begun.elapsed().as_secs_f64().max(1e-9),
        });
        if blocks.iter().all(|block| block.converged) {
            break;
        }
    }
    Ok(Solution { blocks })
}

impl Block {
    fn new(problem: &Problem, first_head: usize) -> Self {
        Self {
            weights: vec![[0.0; LANES]; problem.design.vocabulary.hashes.len()],
            bias: [0.0; LANES],
            duals: vec![[0.0; LANES]; problem.positives.len()],
            first_head: first_head as u32,
            lift: lift(problem, first_head),
            converged: false,
        }
    }

    fn pass(&mut self, problem: &Problem, order: &[u32], watch: &Watch) -> Result<Pass, TrainError> {
        let mut pass = Pass::default();
        for rows in order.chunks(ROWS_PER_LOOK) {
            watch.check()?;
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                unsafe { self.visit_avx2(problem, rows, &mut pass) };
                continue;
            }
            self.visit(problem, rows, &mut pass);
        }
        Ok(pass)
    }

    /// `visit`, compiled for wide registers. Lanes never mix and nothing is fused, so the result is the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn visit_avx2(&mut self, problem: &Problem, rows: &[u32], pass: &mut Pass) {
        self.visit(problem, rows, pass);
    }

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "five arrays run in step; zipped, they say less")]
    fn visit(&mut self, problem: &Problem, rows: &[u32], pass: &mut Pass) {
        for &row in rows {
            let row = row as usize;
            let entries = problem.design.row(row);
            let side = self.sides(problem.positives[row]);
            let score = self.score(entries);
            let square = 1.0 + entries.iter().map(|entry| entry.value * entry.value).sum::<f32>();
            let duals = &mut self.duals[row];
            let mut step = [0.0; LANES];
            let mut largest = 0.0_f32;
            let mut loss = 0.0;
            for lane in 0..LANES {
                let cost = problem.config.cost
                    * problem.weights[row]
                    * if side[lane] > 0.0 { self.lift[lane] } else { 1.0 };
                let diagonal = 0.5 / cost;
                let shortfall = 1.0 - side[lane] * score[lane];
                let old = duals[lane];
                let new = (old + (shortfall - old * diagonal) / (square + diagonal)).max(0.0);
                duals[lane] = new;
                step[lane] = (new - old) * side[lane];
                largest = largest.max((new - old).abs());
                loss += shortfall.max(0.0) * shortfall.max(0.0);
            }
            pass.loss += f64::from(loss);
            pass.largest_move = pass.largest_move.max(largest);
            if largest > 0.0 {
                self.add(entries, &step);
            }
        }
    }

    #[inline(always)]
    fn sides(&self, positives: &[u32]) -> Lane {
        let mut side = [-1.0; LANES];
        for &head in positives {
            let lane = head.wrapping_sub(self.first_head) as usize;
            if lane < LANES {
                side[lane] = 1.0;
            }
        }
        side
    }

    #[inline(always)]
    fn score(&self, entries: &[Entry]) -> Lane {
        let mut score = self.bias;
        for entry in entries {
            let weights = &self.weights[entry.feature as usize];
            for (score, weight) in score.iter_mut().zip(weights) {
                *score += entry.value * weight;
            }
        }
        score
    }

    #[inline(always)]
    fn add(&mut self, entries: &[Entry], step: &Lane) {
        for (bias, step) in self.bias.iter_mut().zip(step) {
            *bias += step;
        }
        for entry in entries {
            let weights = &mut self.weights[entry.feature as usize];
            for (weight, step) in weights.iter_mut().zip(step) {
                *weight += entry.value * step;
            }
        }
    }
}

/// `(negatives / positives) ^ balance` for each head of a block.
fn lift(problem: &Problem, first_head: usize) -> Lane {
    let mut positive = [0.0_f64; LANES];
    let mut total = 0.0;
    for (heads, &weight) in problem.positives.iter().zip(&problem.weights) {
        total += f64::from(weight);
        for &head in *heads {
            if let Some(sum) = (head as usize).checked_sub(first_head).and_then(|lane| positive.get_mut(lane))
            {
                *sum += f64::from(weight);
            }
        }
    }
    positive.map(|positive| {
        let ratio = if positive > 0.0 { ((total - positive) / positive).max(1.0) } else { 1.0 };
        ratio.powf(f64::from(problem.config.balance)) as f32
    })
}

/// Fisher and Yates, fed by SplitMix64.
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut u64) {
    for last in (1..items.len()).rev() {
        *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let draw = super::features::finish(*random);
        items.swap(last, (draw % (last as u64 + 1)) as usize);
    }
}
