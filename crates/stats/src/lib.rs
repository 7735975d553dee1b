//! Numbers in, numbers out: intervals, calibration, guaranteed thresholds, e-processes, drift tests.

pub mod alarm;
pub mod binomial;
pub mod bootstrap;
pub mod calibration;
pub mod distribution;
pub mod drift;
pub mod interval;
mod linear_algebra;
pub mod paired;
pub mod prediction_powered;
mod random;
pub mod reliability;
pub mod risk_control;
pub mod sample_size;
