//! Numbers in, numbers out: intervals, calibration, guaranteed thresholds, e-processes, drift tests.

pub mod binomial;
pub mod distribution;
pub mod interval;
mod random;
pub mod risk_control;
pub mod sample_size;
