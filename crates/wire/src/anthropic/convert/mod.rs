//! An OpenAI call as one of Anthropic's, and the reply back: whole, or as a stream.
//!
//! What cannot be said in Anthropic's protocol is refused by name where it would change the answer, and listed in
//! [`Converted::left_out`] where it would not.

mod request;
mod response;
mod stream;

pub use request::{ConvertError, Converted, DEFAULT_MAX_TOKENS, to_anthropic};
pub use response::{error_to_openai, finish_reason_of, to_openai, usage_of};
pub use stream::StreamTranslator;

#[cfg(test)]
mod tests;
