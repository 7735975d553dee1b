//! What was asked: the messages, the form of the answer and the tools of a request in any dialect.

use serde_json::{Value, json};

use super::LogLineError;
use crate::Object;
use crate::openai::chat::{Message, ResponseFormat};

/// Whether a value could be a request, so that JSON in a string is worth decoding.
pub(super) fn is_request(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            ["messages", "input", "prompt", "body"].iter().any(|name| object.contains_key(*name))
        }
        Value::Array(items) => items.iter().any(|item| item.get("role").is_some()),
        _ => false,
    }
}

/// The messages of a request: an object with them, a list of them, or a plain text.
pub(super) fn messages_of(request: &Value, path: &str) -> Result<Vec<Message>, LogLineError> {
    match request {
        Value::String(text) => Ok(vec![Message::user(text.as_str())]),
        Value::Array(items) => messages_in(items, path),
        Value::Object(object) => messages_of_object(object, path),
        other => Err(wrong(
            path,
            format!("it is {}; it must be an object, a list of messages or a text", kind_of(other)),
        )),
    }
}

fn messages_of_object(object: &Object, path: &str) -> Result<Vec<Message>, LogLineError> {
    let Some((name, asked)) = ["messages", "input", "prompt"]
        .iter()
        .find_map(|name| Some((*name, object.get(*name).filter(|v| !v.is_null())?)))
    else {
        return Err(wrong(path, format!("it has {}; it needs `messages`", keys_of(object))));
    };
    let inner = join(path, name);
    let decoded = asked.as_str().and_then(decode).filter(is_request);
    let mut messages = match decoded.as_ref().unwrap_or(asked) {
        Value::Array(items) => messages_in(items, &inner)?,
        Value::Object(nested) => messages_of_object(nested, &inner)?,
        other if name == "messages" => {
            return Err(wrong(&inner, format!("it is {}; it must be a list of messages", kind_of(other))));
        }
        other => messages_of(other, &inner)?,
    };
    // Anthropic keeps the system prompt beside the messages, and so does the Responses API.
    for name in ["system", "instructions"] {
        if let Some(prompt) = object.get(name).filter(|prompt| prompt.is_string() || prompt.is_array()) {
            messages
                .insert(0, message_of(json!({ "role": "system", "content": prompt }), &join(path, name))?);
            break;
        }
    }
    Ok(messages)
}

fn messages_in(items: &[Value], path: &str) -> Result<Vec<Message>, LogLineError> {
    if let [Value::Array(inner)] = items {
        return messages_in(inner, &format!("{path}[0]")); // LangSmith keeps a list of conversations
    }
    if items.is_empty() {
        return Err(wrong(path, "it is empty; it needs at least one message".to_owned()));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| message_of(item.clone(), &format!("{path}[{index}]")))
        .collect()
}

/// One message, its dialect turned into OpenAI's.
pub(super) fn message_of(mut value: Value, path: &str) -> Result<Message, LogLineError> {
    let Some(object) = value.as_object_mut() else {
        return Err(wrong(
            path,
            format!("it is {}; a message is an object with `role` and `content`", kind_of(&value)),
        ));
    };
    if !object.contains_key("role") {
        let Some(role) = object.get("type").and_then(Value::as_str).and_then(role_of_type) else {
            return Err(wrong(
                path,
                format!("it has {}; a message needs `role` and `content`", keys_of(object)),
            ));
        };
        object.insert("role".to_owned(), json!(role));
    }
    if let Some(Value::Array(parts)) = object.get_mut("content") {
        parts.iter_mut().for_each(name_text_parts_as_chat_does);
    }
    serde_json::from_value(value).map_err(|error| wrong(path, error.to_string()))
}

/// LangChain tells speakers apart by `type`; items of the Responses API that are no messages have types too.
fn role_of_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "human" | "HumanMessage" => "user",
        "ai" | "AIMessage" | "function_call" | "reasoning" => "assistant",
        "system" | "SystemMessage" => "system",
        "tool" | "ToolMessage" | "function_call_output" => "tool",
        _ => return None,
    })
}

fn name_text_parts_as_chat_does(part: &mut Value) {
    match part {
        Value::String(text) => *part = json!({ "type": "text", "text": text }),
        Value::Object(object) => {
            if matches!(object.get("type").and_then(Value::as_str), Some("input_text" | "output_text")) {
                object.insert("type".to_owned(), json!("text"));
            }
        }
        _ => {}
    }
}

/// The form the answer had to take; `None` too where a log kept only a description of it.
pub(super) fn response_format_of(request: &Object) -> Option<ResponseFormat> {
    if let Some(format) = request.get("response_format").filter(|format| format.is_object()) {
        return serde_json::from_value(format.clone()).ok();
    }
    let format = request.get("text")?.get("format")?.as_object()?; // the Responses API's
    if format.get("type")? != "json_schema" {
        return serde_json::from_value(Value::Object(format.clone())).ok();
    }
    let mut schema = format.clone();
    schema.shift_remove("type");
    serde_json::from_value(json!({ "type": "json_schema", "json_schema": schema })).ok()
}

/// The names of the tools the model could call.
pub(super) fn tool_names_of(tools: &Value) -> Vec<String> {
    let name = |tool: &Value| {
        let named = tool.get("function").or_else(|| tool.get("custom")).unwrap_or(tool);
        named.get("name").or_else(|| tool.get("type"))?.as_str().map(str::to_owned)
    };
    tools.as_array().into_iter().flatten().filter_map(name).collect()
}

/// JSON that a log keeps in a string.
pub(super) fn decode(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

/// The names of an object's fields for a sentence, shortened.
pub(super) fn keys_of(object: &Object) -> String {
    const MOST: usize = 8;
    const LONGEST: usize = 40;
    if object.is_empty() {
        return "no fields".to_owned();
    }
    let quote = |key: &String| format!("`{}`", key.chars().take(LONGEST).collect::<String>().escape_debug());
    let mut keys: Vec<String> = object.keys().take(MOST).map(quote).collect();
    if object.len() > MOST {
        keys.push(format!("{} more", object.len() - MOST));
    }
    keys.join(", ")
}

/// What a value is, with its article.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(super) fn wrong(path: &str, reason: String) -> LogLineError {
    let path = if path.is_empty() { "the line" } else { path };
    LogLineError::Field { path: path.to_owned(), reason }
}

/// The text of a content in any dialect, where it has one.
pub(super) fn text_of(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let mut parts = parts.clone();
            parts.iter_mut().for_each(name_text_parts_as_chat_does);
            let texts: Vec<&str> = parts
                .iter()
                .filter(|part| part.get("type").is_none_or(|kind| kind == "text"))
                .filter_map(|part| part.get("text")?.as_str())
                .collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}
