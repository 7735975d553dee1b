//! How often may one look at a growing sample?

/// A further look is offered only when the sample has grown by this factor since the last.
///
/// Smaller steps would spend delta on samples that say nearly the same.
pub const LEAST_GROWTH: f64 = 1.3;

/// The part of `delta` that look `look` (from 1) spends: 6 delta / (pi^2 look^2), 0.608, 0.152, 0.068, ... of it.
///
/// The parts of all looks that could ever be taken sum to `delta`. Look 0 is read as look 1.
pub fn delta_of_look(delta: f64, look: u32) -> f64 {
    let look = f64::from(look.max(1));
    6.0 * delta / (std::f64::consts::PI.powi(2) * look * look)
}

/// Whether a sample of `rows` rows has grown enough since a look at `rows_at_last_look` to deserve another.
pub fn is_look_offered(rows_at_last_look: u64, rows: u64) -> bool {
    rows as f64 >= LEAST_GROWTH * rows_at_last_look as f64 && rows > rows_at_last_look
}
