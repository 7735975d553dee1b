//! Rows to data sets to models to evidence to releases; bulk runs; what a log says about the work in it.

pub mod certify;
pub mod evaluate;
pub mod evidence;
pub mod observe;
pub mod release;
pub mod savings;
pub mod train;
