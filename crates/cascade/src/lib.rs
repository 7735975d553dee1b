//! Climb a ladder until one rung is confident enough; charge for each step.
//!
//! | question | file |
//! |---|---|
//! | What is a ladder, and when may a rung answer? | [`ladder`] |
//! | How does a request climb it? | [`climb`] |
//! | What need not be asked again? | [`cache`] |
//! | What answers a task now, and who loads it for a server? | [`deployment`] |
//! | What did that cost, and what would it have cost otherwise? | [`ledger`] |
//! | Do the audits say that something has gone wrong? | [`watch`], [`alarm`] |
//! | When may it be answered small again? | [`way_back`] |

pub mod alarm;
pub mod cache;
pub mod climb;
pub mod deployment;
pub mod ladder;
pub mod ledger;
pub mod watch;
pub mod way_back;

pub use cache::Cache;
pub use climb::{Climbed, End, Pace, Reach, Told};
pub use deployment::{
    Canary, Compared, Deployed, Deployment, Encoder, LadderLoader, Protocol, Remote, Serving,
};
pub use ladder::{HeldBack, Ladder, LadderEnd, Rung, Threshold};
pub use ledger::{Account, Spent};
/// What makes a rung's scores confidences.
pub use sprat_stats::calibration;
