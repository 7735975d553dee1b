//! Everything remembered, in SQLite; the only place with SQL.
//!
//! A [`Store`] is opened once and shared. Its calls wait for the disk, so that async code calls them from a blocking
//! thread; [`Ledger::append`] alone is quick enough for the path of a request. No call reads the clock: times are
//! passed in, in milliseconds since 1970.
//!
//! | question | file |
//! |---|---|
//! | How is a store opened, and where is everything? | [`store`] |
//! | What can go wrong, and what is to be done then? | [`error`] |
//! | What did every request do and cost? | [`ledger`], [`spool`] |
//! | Which release is live, and which were? | [`registry`] |
//! | Which certification rows have been looked at? | [`datasets`] |
//! | What has been paid for already? | [`teacher`], [`runs`] |
//! | What stood in the imported logs? | [`calls`] |
//! | What do people say? | [`review`], [`feedback`] |
//! | What is there to do? | [`jobs`] |
//!
//! One thread owns the write connection (`writer`): writes asked for at about the same time share one commit and one
//! fsync. Reads have connections of their own and see one moment each. Several processes may have one file open.

pub mod calls;
mod columns;
pub mod datasets;
pub mod error;
pub mod feedback;
pub mod jobs;
pub mod ledger;
mod migrations;
mod pages;
pub mod registry;
pub mod review;
pub mod runs;
pub mod spool;
mod sqlite;
pub mod store;
pub mod teacher;
mod writer;

pub use calls::{CallFilter, Calls, Import, ImportedCall};
pub use datasets::{Datasets, Look, LookRecord, LookResult, Sample};
pub use error::StoreError;
pub use feedback::{Feedback, FeedbackBook, Judged, Thumb};
pub use jobs::{Job, JobState, Jobs, NewJob};
pub use ledger::{
    Compared, Ending, Filter, Found, Latency, Ledger, LedgerEntry, ModelTotals, Search, Source, Spend, Totals,
};
pub use registry::{Action, CertificateRecord, Deployment, DeploymentRecord, Registry};
pub use review::{Labelled, NewReview, Reason, Review, ReviewCounts, ReviewRow};
pub use runs::{Run, RunKey, RunRow, Runs};
pub use spool::SpoolSync;
pub use store::{Options, Store};
pub use teacher::{TeacherAnswer, TeacherAnswers, TeacherKey};
