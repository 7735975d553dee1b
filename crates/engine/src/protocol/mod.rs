//! What is said between the process that asks and the engine's, and in which bytes?
//!
//! | question | file |
//! |---|---|
//! | Where does a message begin and end? | `frame.rs` |
//! | What can be asked? | `order.rs` |
//! | What can be answered? | `report.rs` |
//!
//! The engine is always the same binary as who asks it, so there are no versions: [`HELLO`] is said first by both, and
//! whoever hears anything else leaves.

mod frame;
mod order;
mod report;
#[cfg(test)]
mod tests;

pub use frame::{FrameError, LONGEST, read, write};
pub use order::{Constraint, Generate, Load, MOST_LIKELIEST, Order, Prompt, Sampling, Score};
pub use report::{End, Loaded, Refusal, Report, Scored, Written};

/// Changes whenever a message does.
pub const HELLO: &str = "sprat engine 4";
