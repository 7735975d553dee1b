//! models

pub mod linear;
pub mod remote;
pub mod retrieval;
