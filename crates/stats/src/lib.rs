//! Numbers in, numbers out: intervals, calibration, guaranteed thresholds, e-processes, drift tests.
//!
//! The mathematics of Sprat, and nothing else: no I/O, no clock, no async, none of our other crates. The same
//! input gives the same output on every machine; where chance is needed, there is a seed.
//!
//! | question | module | start with |
//! |---|---|---|
//! | How likely is a model to be right, given what it says of itself? | [`calibration`] | [`calibration::Calibrator`] |
//! | Does confidence keep what it says? | [`reliability`] | [`reliability::reliability_bins`], [`reliability::risk_coverage`] |
//! | Which thresholds may answer, so that the declared error holds? | [`risk_control`] | [`risk_control::certify`] |
//! | How likely is so small a number of bad rows? | [`binomial`] | [`binomial::cdf`], [`binomial::kmax`] |
//! | How far off may a counted share be? | [`interval`] | [`interval::clopper_pearson`], [`interval::wilson`] |
//! | Which of two systems is better on the same rows? | [`paired`] | [`paired::paired_difference`], [`paired::non_inferiority`] |
//! | An interval for F1, ROUGE, cost, ...? | [`bootstrap`] | [`bootstrap::Bootstrap`] |
//! | How right are we between audits? | [`prediction_powered`] | [`prediction_powered::prediction_powered_mean`] |
//! | How many labels will it take? | [`sample_size`] | [`sample_size::rows_to_certify`] |
//! | Has the error risen above what was promised? | [`alarm`] | [`alarm::Alarm`] |
//! | Does what comes in look like what came in before? | [`drift`] | [`drift::stability`], [`drift::holm`] |
//!
//! A certificate in a few lines:
//!
//! ```
//! use sprat_stats::risk_control::{Costs, Promise, Risk, Sample, certify};
//!
//! // One rung, as pairs of confidence and "was bad": T out of fold from the training rows, S fresh.
//! let row = |row: u32| (Some(f64::from(row) / 1_000.0), row < 200 && row % 10 == 0);
//! let (tuning, fresh) = (Sample::of_one_rung((1..1_000).map(row)), Sample::of_one_rung((1..1_000).map(row)));
//!
//! let promise = Promise::new(0.05, Risk::Selective);
//! let result = certify(&promise, &Costs::of_coverage(1), &tuning, &fresh)?;
//! let certified = result.certified().expect("few rows are bad");
//! assert!(certified.deployed.bound <= 0.05 && certified.deployed.coverage > 0.9);
//! # Ok::<(), sprat_stats::risk_control::RiskControlError>(())
//! ```

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
