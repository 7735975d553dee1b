//! The rungs, and what trains them.
//!
//! | question | module |
//! |---|---|
//! | Which n-grams speak for which label? | [`linear`] |
//! | What vector does a small transformer read a text into? | `encoder`, with the feature of that name |
//! | What does a small language model on this machine say? | [`decoder`] |
//! | How are a task's fields asked for, and a record read from what is said? | `fields` |
//! | Where are a model's files, and how do they come here? | [`hub`] |
//! | Which probability does a model's own stand for? | `platt` |
//! | What does a model behind an address say? | [`remote`] |
//! | Which of many texts are most like this one? | [`retrieval`] |
//! | Which fields stand in a text, and where? | [`tagger`] |
//! | How is a training given as many threads as its caller allows? | `threads` |

pub mod decoder;
#[cfg(feature = "encoder")]
pub mod encoder;
mod fields;
pub mod hub;
pub mod linear;
mod platt;
pub mod remote;
pub mod retrieval;
pub mod tagger;
mod threads;
