//! Rows to data sets to models to evidence to releases; bulk runs; what a log says about the work in it.

pub mod evidence;
