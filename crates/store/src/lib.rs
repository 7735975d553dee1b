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
//! | Which release is live, canary or shadow, and which were? | [`registry`] |
//! | What would a watching release have done? | [`shadow`] |
//! | Which certification rows have been looked at? | [`datasets`] |
//! | What has been paid for already? | [`teacher`], [`runs`] |
//! | What stood in the imported logs? | [`calls`] |
//! | What do people say? | [`review`], [`feedback`] |
//! | What did the checks of small answers say, and what was taken away for it? | [`audits`], [`step_backs`] |
//! | What was asked and answered, where a task keeps it? | [`captured`] |
//! | What should somebody be told? | [`notices`] |
//! | What is there to do? | [`jobs`] |
//! | Who may ask, and for how much? | [`keys`] |
//!
//! One thread owns the write connection (`writer`): writes asked for at about the same time share one commit and one
//! fsync. Reads have connections of their own and see one moment each. Several processes may have one file open.

pub mod audits;
pub mod calls;
pub mod captured;
mod columns;
pub mod datasets;
pub mod error;
pub mod feedback;
pub mod jobs;
pub mod keys;
pub mod ledger;
mod migrations;
pub mod notices;
mod pages;
pub mod registry;
pub mod review;
pub mod runs;
pub mod shadow;
pub mod spool;
mod sqlite;
pub mod step_backs;
pub mod store;
pub mod teacher;
mod writer;

pub use audits::{Audit, AuditCounts, Audits, NewAudit};
pub use calls::{CallFilter, Calls, Import, ImportedCall};
pub use captured::{CapturedBook, CapturedRow, NewCaptured};
pub use datasets::{Datasets, Look, LookRecord, LookResult, Sample};
pub use error::StoreError;
pub use feedback::{Feedback, FeedbackBook, Judged, Thumb};
pub use jobs::{Job, JobState, Jobs, NewJob};
pub use keys::{Key, Keys};
pub use ledger::{
    Compared, Ending, Filter, Found, KeyTotals, Latency, Ledger, LedgerEntry, ModelTotals, Search, Source,
    Spend, Totals,
};
pub use notices::{Level, NewNotice, Notice, NoticeBook};
pub use registry::{Action, Beside, Canary, CertificateRecord, Deployment, DeploymentRecord, Registry};
pub use review::{Labelled, NewReview, Reason, Review, ReviewCounts, ReviewRow};
pub use runs::{Run, RunKey, RunRow, Runs};
pub use shadow::{ShadowBook, ShadowHour, ShadowSums};
pub use spool::SpoolSync;
pub use step_backs::{NewStepBack, StepBack, StepBacks, WayBack};
pub use store::{Options, Store};
pub use teacher::{TeacherAnswer, TeacherAnswers, TeacherKey};
