//! models

pub mod hub;
pub mod linear;
pub mod remote;
pub mod retrieval;
