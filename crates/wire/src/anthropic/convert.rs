//! An OpenAI call as one of Anthropic, and its reply back.
use super::messages::StopReason;
use crate::openai::chat::FinishReason;
/// Why an answer ended, in the words of OpenAI; unknown words survive.
pub fn finish_reason_of(reason: &StopReason) -> FinishReason {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => FinishReason::Stop,
        StopReason::MaxTokens | StopReason::ContextWindowExceeded => FinishReason::Length,
        StopReason::ToolUse => FinishReason::ToolCalls,
        StopReason::Refusal => FinishReason::ContentFilter,
        other => FinishReason::Other(other.as_str().to_owned()),
    }
}
