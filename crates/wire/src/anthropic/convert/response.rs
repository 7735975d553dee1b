//! A reply of Anthropic's as an OpenAI chat reply.

use serde_json::json;

use crate::Object;
use crate::anthropic::messages::{self as anthropic, ContentBlock, MessagesResponse, StopReason};
use crate::openai::chat::{
    ChatResponse, Choice, Content, FinishReason, Message, PromptTokensDetails, Role, ToolCall, Usage,
};
use crate::openai::error;

/// A reply of Anthropic's as an OpenAI chat reply.
///
/// `answer_tool` is what [`Converted::answer_tool`](super::Converted::answer_tool) said: a call of that tool is the
/// answer's text. `created` is now, in seconds since 1970, which Anthropic does not say.
pub fn to_openai(reply: &MessagesResponse, answer_tool: Option<&str>, created: u64) -> ChatResponse {
    let mut text: Option<String> = None;
    let mut answer: Option<String> = None;
    let mut reasoning = String::new();
    let mut tool_calls = Vec::new();
    for block in &reply.content {
        match block {
            ContentBlock::Text(block) => text.get_or_insert_default().push_str(&block.text),
            ContentBlock::Thinking(block) => reasoning.push_str(&block.thinking),
            ContentBlock::ToolUse(call) if answer_tool == Some(call.name.as_str()) => {
                answer = Some(call.input.to_string());
            }
            ContentBlock::ToolUse(call) => {
                tool_calls.push(ToolCall::function(
                    call.id.as_str(),
                    call.name.as_str(),
                    call.input.to_string(),
                ));
            }
            ContentBlock::Image(_) | ContentBlock::ToolResult(_) | ContentBlock::Other(_) => {}
        }
    }
    let finish_reason = reply.stop_reason.as_ref().map(finish_reason_of);
    let finish_reason = finish_reason.map(|reason| reason_without_tools(reason, tool_calls.is_empty()));
    let mut message = Message::empty(Role::Assistant);
    // What the model says beside the form asked for is not part of the answer: a client parses the whole content.
    message.content = answer.or(text).map(Content::Text);
    message.tool_calls = (!tool_calls.is_empty()).then_some(tool_calls);
    if !reasoning.is_empty() {
        message.rest.insert("reasoning_content".to_owned(), json!(reasoning));
    }
    let choice = Choice { index: 0, message, finish_reason, logprobs: None, rest: Object::new() };
    ChatResponse {
        id: reply.id.clone(),
        object: "chat.completion".to_owned(),
        created: Some(created),
        model: reply.model.clone(),
        choices: vec![choice],
        usage: usage_of(&reply.usage),
        system_fingerprint: None,
        rest: Object::new(),
    }
}

/// Why an answer ended, in OpenAI's words; a word without a counterpart stays as it is.
pub fn finish_reason_of(reason: &StopReason) -> FinishReason {
    match reason {
        StopReason::EndTurn | StopReason::StopSequence => FinishReason::Stop,
        StopReason::MaxTokens | StopReason::ContextWindowExceeded => FinishReason::Length,
        StopReason::ToolUse => FinishReason::ToolCalls,
        StopReason::Refusal => FinishReason::ContentFilter,
        StopReason::PauseTurn | StopReason::Other(_) => FinishReason::Other(reason.as_str().to_owned()),
    }
}

/// Where the only tool called was the answer's own, the client hears that the model was done.
pub(super) fn reason_without_tools(reason: FinishReason, is_without_tools: bool) -> FinishReason {
    if reason == FinishReason::ToolCalls && is_without_tools { FinishReason::Stop } else { reason }
}

/// Tokens in OpenAI's terms, where the prompt includes what was read from the cache and written to it. What was
/// written has its own price, so it stays in `rest` as `cache_creation_input_tokens`. `None` where nothing was said.
pub fn usage_of(usage: &anthropic::Usage) -> Option<Usage> {
    let cached = usage.cache_read_input_tokens;
    let written = usage.cache_creation_input_tokens;
    let prompt_tokens = usage
        .input_tokens
        .map(|input| input.saturating_add(cached.unwrap_or(0)).saturating_add(written.unwrap_or(0)));
    if prompt_tokens.is_none() && usage.output_tokens.is_none() {
        return None;
    }
    let mut rest = Object::new();
    if let Some(written) = written {
        rest.insert("cache_creation_input_tokens".to_owned(), json!(written));
    }
    Some(Usage {
        prompt_tokens,
        completion_tokens: usage.output_tokens,
        total_tokens: prompt_tokens
            .zip(usage.output_tokens)
            .map(|(prompt, output)| prompt.saturating_add(output)),
        prompt_tokens_details: cached
            .map(|cached| PromptTokensDetails { cached_tokens: Some(cached), rest: Object::new() }),
        completion_tokens_details: None,
        rest,
    })
}

/// An error of Anthropic's in OpenAI's shape, with the code that OpenAI's clients look for.
pub fn error_to_openai(detail: &anthropic::ErrorDetail) -> error::ErrorBody {
    let body = error::ErrorBody::new(&detail.kind, detail.message.as_str());
    let code = match detail.kind.as_str() {
        "invalid_request_error" if detail.message.contains("prompt is too long") => "context_length_exceeded",
        "not_found_error" if detail.message.starts_with("model:") => "model_not_found",
        "rate_limit_error" => "rate_limit_exceeded",
        _ => return body,
    };
    body.with_code(code)
}
