//! What was answered, in any dialect.

use serde_json::Value;

use super::LogLineError;
use super::prompt::{decode, join, keys_of, kind_of, text_of, wrong};
use crate::Object;
use crate::openai::chat::{ChatChunk, ChunkAccumulator, FinishReason, ToolCall};

/// What a reply says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: Option<String>,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) failure: Option<String>,
}

impl Answer {
    fn from_text(text: Option<String>) -> Self {
        Self { text, ..Self::default() }
    }

    fn failed(error: &Value) -> Self {
        let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
        Self { failure: Some(message.map_or_else(|| error.to_string(), str::to_owned)), ..Self::default() }
    }
}

/// Whether a value is a reply in its envelope, so that JSON in a string is worth decoding: an answer that is itself
/// JSON must stay text.
pub(super) fn is_reply(value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some();
    has("choices") || (has("role") && has("content")) || (has("output") && has("object"))
}

/// What a reply says. With `bare`, an object in no known envelope is itself the answer, as where a log keeps what
/// the caller had parsed.
pub(super) fn answer_of(reply: &Value, path: &str, bare: bool) -> Result<Answer, LogLineError> {
    match reply {
        Value::Null => Ok(Answer::default()),
        Value::String(text) => match decode(text).filter(is_reply) {
            Some(decoded) => answer_of(&decoded, path, false),
            None => Ok(Answer::from_text(Some(text.clone()))),
        },
        Value::Array(items) => answer_of_list(items, path, bare),
        Value::Object(object) => answer_of_object(object, path, bare),
        other if bare => Ok(Answer::from_text(Some(other.to_string()))),
        other => Err(wrong(path, format!("it is {}; it must be a reply or a text", kind_of(other)))),
    }
}

fn answer_of_object(object: &Object, path: &str, bare: bool) -> Result<Answer, LogLineError> {
    let some = |name: &str| object.get(name).filter(|value| !value.is_null());
    if let Some(choices) = some("choices") {
        return answer_of_choices(choices, object, &join(path, "choices"));
    }
    if let Some(error) = some("error").filter(|error| error.is_object() || error.is_string()) {
        return Ok(Answer::failed(error));
    }
    if object.contains_key("content") && (object.contains_key("role") || object.contains_key("type")) {
        return Ok(answer_of_message(object));
    }
    for name in [
        "body",
        "message",
        "output",
        "messages",
        "output_text",
        "completion",
        "text",
        "content",
        "answer",
        "response",
    ] {
        if let Some(inner) = some(name) {
            return answer_of(inner, &join(path, name), bare);
        }
    }
    if bare {
        return Ok(Answer::from_text(Some(Value::Object(object.clone()).to_string())));
    }
    Err(wrong(
        path,
        format!("it has {}; a reply has `choices`, `content`, `output` or `error`", keys_of(object)),
    ))
}

fn answer_of_choices(choices: &Value, reply: &Object, path: &str) -> Result<Answer, LogLineError> {
    let Some(first) = choices.get(0) else {
        return match reply.get("error").filter(|error| !error.is_null()) {
            Some(error) => Ok(Answer::failed(error)),
            None => Err(wrong(path, "it has no choice; a reply has at least one".to_owned())),
        };
    };
    let mut answer = match first.get("message").and_then(Value::as_object) {
        Some(message) => answer_of_message(message),
        None => match first.get("text").and_then(Value::as_str) {
            Some(text) => Answer::from_text(Some(text.to_owned())),
            None => return Err(wrong(&format!("{path}[0]"), "it needs a `message`".to_owned())),
        },
    };
    let reason = first.get("finish_reason").and_then(Value::as_str);
    answer.finish_reason = reason.map(FinishReason::from).or(answer.finish_reason);
    Ok(answer)
}

/// A message of OpenAI's or a whole reply of Anthropic's.
fn answer_of_message(message: &Object) -> Answer {
    let content = message.get("content").unwrap_or(&Value::Null);
    let from_openai = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    let mut tool_calls: Vec<ToolCall> =
        from_openai.filter_map(|call| serde_json::from_value(call.clone()).ok()).collect();
    tool_calls.extend(content.as_array().into_iter().flatten().filter_map(anthropic_tool_call));
    let stop_reason = message.get("stop_reason").and_then(Value::as_str);
    Answer {
        text: text_of(content).filter(|text| !text.is_empty() || tool_calls.is_empty()),
        tool_calls,
        finish_reason: stop_reason.map(|reason| crate::anthropic::convert::finish_reason_of(&reason.into())),
        failure: message.get("refusal").and_then(Value::as_str).map(|refusal| format!("refused: {refusal}")),
    }
}

fn anthropic_tool_call(block: &Value) -> Option<ToolCall> {
    if block.get("type")? != "tool_use" {
        return None;
    }
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    let arguments = block.get("input").map(Value::to_string).unwrap_or_default();
    Some(ToolCall::function(text("id").unwrap_or_default(), text("name")?, arguments))
}

/// The pieces of a stream, the items of a Responses reply, blocks of content, or messages of which the last counts.
fn answer_of_list(items: &[Value], path: &str, bare: bool) -> Result<Answer, LogLineError> {
    let is_stream = items.iter().any(|item| item.pointer("/choices/0/delta").is_some());
    if is_stream {
        return Ok(answer_of_chunks(items));
    }
    let of_type =
        |kind: &str| items.iter().filter(|item| item.get("type").is_some_and(|found| found == kind)).count();
    if of_type("message") + of_type("function_call") > 0 {
        return Ok(answer_of_items(items));
    }
    if let Some(last) = items.last().filter(|item| item.get("role").is_some()) {
        return answer_of(last, &format!("{path}[{}]", items.len() - 1), bare);
    }
    let are_blocks = items.iter().all(Value::is_object);
    if let Some(text) = text_of(&Value::Array(items.to_vec())).filter(|_| are_blocks) {
        return Ok(Answer::from_text(Some(text)));
    }
    if bare {
        return Ok(Answer::from_text(Some(Value::Array(items.to_vec()).to_string())));
    }
    Err(wrong(path, "it is a list of neither messages, blocks nor chunks".to_owned()))
}

fn answer_of_chunks(items: &[Value]) -> Answer {
    let mut pieces = ChunkAccumulator::new();
    for item in items {
        if let Ok(chunk) = serde_json::from_value::<ChatChunk>(item.clone()) {
            pieces.push(&chunk);
        }
    }
    let Some(choice) = pieces.finish().and_then(|reply| reply.choices.into_iter().next()) else {
        return Answer::default();
    };
    let text = choice.message.text();
    Answer {
        text,
        tool_calls: choice.message.tool_calls.unwrap_or_default(),
        finish_reason: choice.finish_reason,
        failure: None,
    }
}

fn answer_of_items(items: &[Value]) -> Answer {
    let mut answer = Answer::default();
    for item in items {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "message" => {
                if let Some(said) = item.get("content").and_then(text_of) {
                    answer.text.get_or_insert_default().push_str(&said);
                }
            }
            "function_call" => {
                answer.tool_calls.push(ToolCall::function(text("call_id"), text("name"), text("arguments")));
            }
            _ => {}
        }
    }
    answer
}
