//! The least of a smooth convex function of many numbers: L-BFGS (Nocedal 1980) with a backtracking line search.

use std::collections::VecDeque;

/// Steps remembered.
const MEMORY: usize = 10;
/// A step must bring at least this share of what the slope promises (Armijo).
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step before it is given up: then floats have no better point.
const HALVINGS: usize = 20;

/// Where to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most evaluations of the function, about.
    pub steps: usize,
    /// It ends once a step lowers the function by less than this share of it.
    pub tolerance: f64,
}

/// Walks downhill from `at`. `value_and_gradient` fills the gradient and gives the value. `None` where `keep_on`, asked
/// before each step, says no.
pub fn minimise(
    mut at: Vec<f32>,
    limits: Limits,
    keep_on: &dyn Fn() -> bool,
    value_and_gradient: &dyn Fn(&[f32], &mut Vec<f32>) -> f64,
) -> Option<Vec<f32>> {
    let mut gradient = Vec::new();
    let mut value = value_and_gradient(&at, &mut gradient);
    let mut history: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    for _ in 0..limits.steps {
        if !keep_on() {
            return None;
        }
        let direction = direction(&gradient, &history);
        let slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            break;
        }
        let Some(next) = search(&at, value, &direction, slope, history.is_empty(), value_and_gradient) else {
            break;
        };
        let pair = Pair::new(&at, &next.at, &gradient, &next.gradient);
        let gained = value - next.value;
        (at, gradient, value) = (next.at, next.gradient, next.value);
        if gained <= limits.tolerance * value.abs().max(f64::MIN_POSITIVE) {
            break;
        }
        if let Some(pair) = pair {
            if history.len() == MEMORY {
                history.pop_front();
            }
            history.push_back(pair);
        }
    }
    Some(at)
}

struct Point {
    at: Vec<f32>,
    gradient: Vec<f32>,
    value: f64,
}

/// How far a step went, and how the gradient changed on the way.
struct Pair {
    moved: Vec<f32>,
    bent: Vec<f32>,
    /// One over their product.
    scale: f64,
}

impl Pair {
    /// `None` where the gradient did not turn: such a pair says nothing about the curvature.
    fn new(at: &[f32], next: &[f32], gradient: &[f32], next_gradient: &[f32]) -> Option<Self> {
        let difference = |to: &[f32], from: &[f32]| -> Vec<f32> {
            to.iter().zip(from).map(|(to, from)| to - from).collect()
        };
        let (moved, bent) = (difference(next, at), difference(next_gradient, gradient));
        let product = dot(&moved, &bent);
        (product > 1e-12 * dot(&bent, &bent)).then(|| Self { moved, bent, scale: 1.0 / product })
    }
}

/// The two-loop recursion.
fn direction(gradient: &[f32], history: &VecDeque<Pair>) -> Vec<f32> {
    let mut direction: Vec<f32> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(history.len());
    for pair in history.iter().rev() {
        let share = pair.scale * dot(&pair.moved, &direction);
        add(&mut direction, -share, &pair.bent);
        shares.push(share);
    }
    if let Some(last) = history.back() {
        let scale = (1.0 / (last.scale * dot(&last.bent, &last.bent))) as f32;
        direction.iter_mut().for_each(|x| *x *= scale);
    }
    for (pair, share) in history.iter().zip(shares.into_iter().rev()) {
        let back = pair.scale * dot(&pair.bent, &direction);
        add(&mut direction, share - back, &pair.moved);
    }
    direction
}

fn search(
    at: &[f32],
    value: f64,
    direction: &[f32],
    slope: f64,
    is_first: bool,
    value_and_gradient: &dyn Fn(&[f32], &mut Vec<f32>) -> f64,
) -> Option<Point> {
    // Nothing is known of the curvature yet: go by a length of one at most.
    let mut step = if is_first { 1.0_f64.min(1.0 / (-slope).sqrt()) } else { 1.0 };
    let mut gradient = Vec::new();
    for _ in 0..HALVINGS {
        let mut next = at.to_vec();
        add(&mut next, step, direction);
        let found = value_and_gradient(&next, &mut gradient);
        if found.is_finite() && found <= value + SUFFICIENT * step * slope {
            return Some(Point { at: next, gradient, value: found });
        }
        step *= 0.5;
    }
    None
}

fn add(to: &mut [f32], share: f64, from: &[f32]) {
    let share = share as f32;
    to.iter_mut().zip(from).for_each(|(to, from)| *to += share * from);
}

/// Summed in eight lanes, which a processor adds at once.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f64::from(*a) * f64::from(*b);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_valley_is_walked_to_its_end() {
        // Least at (1, -2, 3), a hundred times steeper one way than the other.
        let value = |x: &[f32], gradient: &mut Vec<f32>| -> f64 {
            let (least, steep) = ([1.0, -2.0, 3.0], [1.0, 100.0, 10.0]);
            gradient.clear();
            gradient.extend((0..3).map(|at| steep[at] * (x[at] - least[at])));
            (0..3).map(|at| f64::from(0.5 * steep[at] * (x[at] - least[at]).powi(2))).sum()
        };
        let limits = Limits { steps: 100, tolerance: 1e-12 };
        let found = minimise(vec![0.0; 3], limits, &|| true, &value).expect("nobody stops it");
        for (found, least) in found.iter().zip([1.0, -2.0, 3.0]) {
            assert!((found - least).abs() < 1e-3, "{found}");
        }
        assert!(minimise(vec![0.0; 3], limits, &|| false, &value).is_none());
    }
}
