//! The shapes of OpenAI's and Anthropic's protocols, unknown fields kept, and server-sent events.
//!
//! Pure types and parsing: nothing here reads a file, a socket or a clock. Every type serialises and parses,
//! so that the same one serves a client of a remote model and the gateway that imitates it.
//!
//! | question | module |
//! |---|---|
//! | What does an OpenAI client say, and hear? | [`openai`] |
//! | What does Anthropic say, and how does an OpenAI call become one of its own? | [`anthropic`] |
//! | Which events are in these bytes? | [`sse`] |
//! | Which call does this line of a log record? | [`log`] |
//! | What does a client tell us about an earlier answer? | [`feedback`] |
//! | When was it? | [`time`] |
//! | What of a body can be changed without touching the rest? | [`RawObject`] |
//!
//! Three habits hold throughout. A field we do not know stays in `rest`, in the order it came. A name we do not
//! know (a role, a finish reason) survives as `Other`. A number that was not said is `None`, never 0.

#[macro_use]
mod macros;

pub mod anthropic;
mod body;
pub mod feedback;
mod lenient;
pub mod log;
#[cfg(test)]
mod mutated;
pub mod openai;
mod raw;
pub mod sse;
mod text_or_list;
pub mod time;

pub use body::{BodyError, parse_body};
pub use log::{LogCall, LogLineError, parse_log_line};
pub use raw::RawObject;
pub use text_or_list::TextOrList;

/// A JSON object as it was written: keys in their order.
pub type Object = serde_json::Map<String, serde_json::Value>;
