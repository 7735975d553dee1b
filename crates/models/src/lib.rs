//! models

pub mod linear;
