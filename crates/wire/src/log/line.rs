//! From a line to a call: which half of it asked, which half answered, and what stands beside them.

use std::borrow::Cow;

use serde_json::Value;

use super::answer::{Answer, answer_of};
use super::fields::Places;
use super::prompt::{
    decode, is_request, join, keys_of, kind_of, messages_of, response_format_of, tool_names_of, wrong,
};
use super::{AnswerSource, LogCall, LogLineError};
use crate::Object;
use crate::openai::batch::{BatchLine, BatchOutputLine};
use crate::openai::chat::{Message, Role};

const REQUEST_NAMES: [&str; 8] =
    ["request", "request_body", "requestBody", "kwargs", "body", "inputs", "input", "prompt"];

/// With each name, whether an object in no known envelope may be the answer itself.
const REPLY_NAMES: [(&str, bool); 10] = [
    ("response", false),
    ("response_body", false),
    ("responseBody", false),
    ("outputs", true),
    ("output", true),
    ("completion", true),
    ("result", true),
    ("answer", true),
    ("response_text", true),
    ("return_value", false),
];

/// The call that a line of a log records, given as bytes.
pub fn parse_log_bytes(line: &[u8]) -> Result<LogCall, LogLineError> {
    let text = std::str::from_utf8(line)
        .map_err(|error| LogLineError::NotUtf8 { column: error.valid_up_to() + 1 })?;
    parse_log_line(text)
}

/// The call that a line of a log records; see the [module](super) for the shapes it knows.
pub fn parse_log_line(line: &str) -> Result<LogCall, LogLineError> {
    let line = line.trim_start_matches('\u{feff}').trim_end();
    if line.trim_start().is_empty() {
        return Err(LogLineError::Empty);
    }
    let value: Value = serde_json::from_str(line).map_err(not_json)?;
    let Value::Object(line) = &value else {
        return Err(LogLineError::NotAnObject { found: kind_of(&value) });
    };
    let request = Half::request(line)?;
    let reply = Half::reply(line);
    call_of(line, &request, reply.as_ref())
}

pub(super) fn from_batch(input: &BatchLine, output: &BatchOutputLine) -> Result<LogCall, LogLineError> {
    let mut line = Object::new();
    line.insert("custom_id".to_owned(), Value::String(input.custom_id.clone()));
    line.insert("request".to_owned(), input.body.clone());
    if let Some(response) = &output.response {
        line.insert("response".to_owned(), response.body.clone());
    } else if let Some(error) = &output.error {
        let said = error.message.as_ref().or(error.code.as_ref());
        line.insert(
            "response".to_owned(),
            serde_json::json!({ "error": said.map_or("no reply", String::as_str) }),
        );
    }
    let reply = Half::reply(&line);
    call_of(&line, &Half::request(&line)?, reply.as_ref())
}

fn not_json(error: serde_json::Error) -> LogLineError {
    let full = error.to_string();
    let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason).to_owned();
    LogLineError::NotJson { column: error.column(), reason }
}

/// The request or the reply of a line: what the line has under the name, and the body inside it.
struct Half<'a> {
    path: String,
    outer: Cow<'a, Value>,
    has_body: bool,
    bare: bool,
}

impl<'a> Half<'a> {
    fn request(line: &'a Object) -> Result<Self, LogLineError> {
        if line.get("messages").is_some_and(|messages| !messages.is_null()) {
            return Ok(Self::new(String::new(), Cow::Owned(Value::Object(line.clone())), false));
        }
        for name in REQUEST_NAMES {
            let Some(value) = line.get(name).filter(|value| !value.is_null()) else { continue };
            // The line of the Responses API is itself the request: its instructions stand beside `input`.
            if name == "input" && line.contains_key("instructions") {
                return Ok(Self::new(String::new(), Cow::Owned(Value::Object(line.clone())), false));
            }
            let decoded = value.as_str().and_then(decode).filter(is_request);
            return Ok(Self::new(name.to_owned(), decoded.map_or(Cow::Borrowed(value), Cow::Owned), false));
        }
        match line.get("custom_id").and_then(Value::as_str) {
            Some(custom_id) if line.contains_key("response") => {
                Err(LogLineError::BatchOutput { custom_id: custom_id.to_owned() })
            }
            _ => Err(LogLineError::NoPrompt { keys: keys_of(line) }),
        }
    }

    fn reply(line: &'a Object) -> Option<Self> {
        if line.get("choices").is_some_and(Value::is_array) {
            return Some(Self::new(String::new(), Cow::Owned(Value::Object(line.clone())), false));
        }
        REPLY_NAMES.into_iter().find_map(|(name, bare)| {
            let value = line.get(name).filter(|value| !value.is_null())?;
            let is_body = name.ends_with("body") || name.ends_with("Body");
            let decoded = value.as_str().filter(|_| is_body).and_then(decode);
            Some(Self::new(name.to_owned(), decoded.map_or(Cow::Borrowed(value), Cow::Owned), bare))
        })
    }

    fn new(path: String, outer: Cow<'a, Value>, bare: bool) -> Self {
        let own_content = ["messages", "input", "prompt", "choices", "content"];
        let has_body = outer.get("body").is_some_and(|body| !body.is_null())
            && own_content.iter().all(|name| outer.get(*name).is_none());
        Self { path, outer, has_body, bare }
    }

    /// The body, decoded where the log keeps it as JSON in a string.
    fn body(&self) -> (String, Cow<'_, Value>) {
        let Some(body) = self.outer.get("body").filter(|_| self.has_body) else {
            return (self.path.clone(), Cow::Borrowed(&*self.outer));
        };
        let decoded = body.as_str().and_then(decode);
        (join(&self.path, "body"), decoded.map_or(Cow::Borrowed(body), Cow::Owned))
    }
}

fn call_of(line: &Object, request: &Half<'_>, reply: Option<&Half<'_>>) -> Result<LogCall, LogLineError> {
    let (request_path, request_body) = request.body();
    let mut messages = messages_of(&request_body, &request_path)?;

    let reply_body = reply.map(Half::body);
    let (answer, answer_source) = match (&reply_body, reply) {
        (Some((path, body)), Some(reply)) => {
            let mut answer = answer_of(body, path, reply.bare)?;
            fail_by_status(&reply.outer, &mut answer);
            drop_repeated_answer(&mut messages, &answer);
            (answer, AnswerSource::Reply)
        }
        _ => answer_in_last_message(&mut messages),
    };
    if messages.is_empty() {
        return Err(wrong(
            &join(&request_path, "messages"),
            "it has an answer, but nothing that was asked".to_owned(),
        ));
    }

    let empty = Object::new();
    let request_fields = request_body.as_object().unwrap_or(&empty);
    let reply_fields = reply_body.as_ref().and_then(|(_, body)| body.as_object());
    let reply_outer = reply.and_then(|reply| reply.outer.as_object());
    let parameters = ["modelParameters", "model_parameters", "invocation_params", "optional_params"]
        .iter()
        .find_map(|name| line.get(*name)?.as_object());
    let asked = Places::new(&[Some(request_fields), parameters, Some(line)]);
    let answered = Places::new(&[reply_fields]);
    let everywhere = Places::new(&[
        Some(line),
        request.outer.as_object(),
        reply_outer,
        Some(request_fields),
        reply_fields,
    ]);

    let has_answer = answer.text.is_some() || !answer.tool_calls.is_empty() || answer.failure.is_some();
    Ok(LogCall {
        id: everywhere.id(),
        model: answered.text(&["model"]).or_else(|| asked.text(&["model", "model_name", "ls_model_name"])),
        messages,
        response_format: [Some(request_fields), parameters, Some(line)]
            .into_iter()
            .flatten()
            .find_map(response_format_of),
        tool_names: asked
            .find("tools")
            .or_else(|| asked.find("functions"))
            .map(tool_names_of)
            .unwrap_or_default(),
        answer: answer.text,
        answer_source: if has_answer { answer_source } else { AnswerSource::Missing },
        tool_calls: answer.tool_calls,
        finish_reason: answer.finish_reason,
        failure: answer.failure,
        usage: answered.usage().or_else(|| everywhere.usage()),
        created_unix_ms: everywhere.created_unix_ms(),
        latency_us: everywhere.latency_us(),
        cost_micro_usd: everywhere.cost_micro_usd(),
        session: everywhere.session(),
        user: everywhere.user(),
    })
}

/// An HTTP status of 4xx or 5xx beside the body means that what the body says is no answer.
fn fail_by_status(outer: &Value, answer: &mut Answer) {
    let status = outer.get("status_code").or_else(|| outer.get("status")).and_then(Value::as_u64);
    if let Some(status) = status.filter(|status| *status >= 400) {
        answer.failure.get_or_insert_with(|| format!("status {status}"));
        answer.text = None;
    }
}

/// Some logs write the conversation after the call, so that the answer stands in it once more.
fn drop_repeated_answer(messages: &mut Vec<Message>, answer: &Answer) {
    let repeats =
        |last: &Message| last.role == Role::Assistant && last.text().is_some() && last.text() == answer.text;
    if messages.len() > 1 && messages.last().is_some_and(repeats) {
        messages.pop();
    }
}

fn answer_in_last_message(messages: &mut Vec<Message>) -> (Answer, AnswerSource) {
    let Some(last) = messages.pop_if(|last| last.role == Role::Assistant) else {
        return (Answer::default(), AnswerSource::Missing);
    };
    let text = last.text();
    let answer = Answer { text, tool_calls: last.tool_calls.unwrap_or_default(), ..Answer::default() };
    (answer, AnswerSource::LastMessage)
}
