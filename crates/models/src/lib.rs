//! models

pub mod linear;
pub mod retrieval;
