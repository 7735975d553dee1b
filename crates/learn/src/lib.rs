//! Rows to data sets to models to evidence to releases; bulk runs; what a log says about the work in it.

pub mod advice;
pub mod bulk;
pub mod certify;
pub mod choose;
pub mod curate;
pub mod discover;
pub mod evaluate;
pub mod evidence;
pub mod gains;
pub mod import;
pub mod judge;
pub mod learn;
pub mod observe;
pub mod release;
pub mod relook;
pub mod report;
pub mod rows;
pub mod savings;
pub mod split;
pub mod teacher;
pub mod train;
