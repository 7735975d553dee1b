//! Anthropic's protocol, and how an OpenAI call becomes one of its own and back.

pub mod convert;
pub mod messages;
