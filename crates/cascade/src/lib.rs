//! Climb a ladder until one rung is confident enough; charge for each step.
//!
//! | question | file |
//! |---|---|
//! | What is a ladder, and when may a rung answer? | [`ladder`] |
//! | How does a request climb it? | [`climb`] |
//! | What answers a task now, and who loads it for a server? | [`deployment`] |
//! | What did that cost, and what would it have cost otherwise? | [`ledger`] |

pub mod climb;
pub mod deployment;
pub mod ladder;
pub mod ledger;

pub use climb::{Climbed, End, Pace, Reach, Told};
pub use deployment::{Deployed, LadderLoader, Protocol, Remote, Serving};
pub use ladder::{Ladder, LadderEnd, Rung, Threshold};
pub use ledger::{Account, Spent};
/// What makes a rung's scores confidences.
pub use sprat_stats::calibration;
