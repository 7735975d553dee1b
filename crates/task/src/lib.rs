//! What is asked, what is answered, who may answer, and what is remembered of it.
//!
//! No I/O, no clock, no runtime: a [`Task`] comes from text somebody else read, an answer's age is
//! passed in. Everything else of Sprat speaks in these words.
//!
//! | question | file |
//! |---|---|
//! | What does a task file say, and where is it wrong? | [`file`], [`source`], [`problem`] |
//! | What is a task, once it can't be wrong? | [`task`], [`kind`], [`target`] |
//! | What is asked and answered? | [`input`], [`prediction`] |
//! | Is a text good enough beside the right one, and who says so? | [`quality`], [`judge`] |
//! | What becomes of a text that is too long? | [`long`] |
//! | Where is the hole in a text? | [`hole`] |
//! | Which fields are looked for, how is a value written, and where does it stand? | [`extract`] |
//! | Who may answer, who trains? | [`model`] |
//! | What is blanked out of a text before it is kept? | [`redact`] |
//! | Which ordinary call is it? | [`call`] |
//! | What did one rung do, and what did it cost? | [`step`], [`money`] |
//! | Which parts of the traffic are watched by themselves? | [`slice`] |
//! | What is promised, and by which release? | [`certificate`], [`release`] |
//! | How much of the traffic is meant? | [`share`] |
//! | What may a virtual key do, and until when? | [`key`], [`calendar`] |

pub mod calendar;
pub mod call;
pub mod certificate;
pub mod extract;
pub mod file;
pub mod hash;
pub mod hole;
pub mod input;
pub mod judge;
pub mod key;
pub mod kind;
pub mod long;
pub mod model;
pub mod money;
pub mod names;
pub mod prediction;
pub mod problem;
pub mod provenance;
pub mod quality;
pub mod redact;
pub mod release;
pub mod share;
pub mod slice;
pub mod source;
pub mod step;
pub mod target;
pub mod task;

pub use certificate::{Binding, Certificate, PromisedRecall, Status};
pub use extract::{Field, FieldType, Record, WrongRecord};
pub use file::read_task;
pub use hash::Sha256Hex;
pub use hole::{Around, Hole, NotOne};
pub use input::{Input, LabelledRow};
pub use judge::{Asked, Grading, Judge, Judgements, Pair, Verdict};
pub use key::{Allowance, Budget, KeyDigest, KeySecret, Period};
pub use kind::Kind;
pub use long::Long;
pub use model::{
    Attempt, Computed, Context, Embed, Embedded, Fitted, Generate, Model, ModelError, NearRow, Nearest,
    OwnProcess, Told, TrainError, Trainer, Training, Upstream,
};
pub use money::{Currency, Money, Price, Tokens, Usage};
pub use names::{KeyId, Label, ModelId, RequestId, TaskName};
pub use prediction::{Answer, Confidence, Features, Prediction, Score};
pub use problem::Problem;
pub use provenance::Provenance;
pub use quality::{JudgeModel, Likeness, Metric, Quality, Tests};
pub use redact::{Redaction, redact};
pub use release::{Artifact, Release, ReleaseId, RungRecord};
pub use share::{NotAShare, Share};
pub use slice::Slice;
pub use source::Source;
pub use step::{Outcome, Step};
pub use target::{Guarantee, Risk, Target};
pub use task::{Last, Task};
