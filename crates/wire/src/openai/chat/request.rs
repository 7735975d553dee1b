//! What is asked of a chat model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Message, Role, Tool, ToolChoice};
use crate::{Object, TextOrList};

/// The body of `POST /v1/chat/completions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// A model's name; for our gateway also a task's name, or `auto`.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The form the answer must take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Randomness of sampling, 0 to 2; `None` is the server's default, 1 at OpenAI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Sample only from the likeliest tokens of this total probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens of answer: the older name, which compatible servers know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Most tokens of answer, reasoning included: the newer name, which OpenAI's reasoning models require.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    /// Texts that end the answer; they are left out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Asks for the same answer to the same request, as far as the server can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// How many answers; `None` is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Whether the answer comes in pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// What else a stream carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// Tools the model may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Whether, and which, a tool must be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether several tools may be called at once; `None` allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Whether the answer carries the log-probabilities of its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// How many alternatives for each token, 0 to 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// The end user, as the caller names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The caller's own notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Object>,
    /// Whether the server may keep the call for its own distillation and evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// Fields not named here: passed upstream, never dropped.
    #[serde(flatten)]
    pub rest: Object,
}

impl ChatRequest {
    /// A request with nothing but a model and a conversation.
    pub fn new(model: impl Into<String>, messages: Vec<Message>) -> Self {
        Self { model: model.into(), messages, ..Self::default() }
    }

    /// The operator's instructions: system and developer messages, a blank line between them.
    pub fn system_prompt(&self) -> Option<String> {
        system_prompt_of(&self.messages)
    }

    /// The text of the last user message.
    pub fn last_user_text(&self) -> Option<String> {
        self.messages.iter().rev().find(|message| message.role == Role::User)?.text()
    }

    /// Whether the answer comes in pieces.
    pub fn is_stream(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether the client asked for a last chunk with the usage.
    pub fn wants_stream_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true))
    }
}

/// System and developer messages, a blank line between them; `None` where there are none.
pub(crate) fn system_prompt_of(messages: &[Message]) -> Option<String> {
    let texts: Vec<String> =
        messages.iter().filter(|message| message.is_instruction()).filter_map(Message::text).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// One text that ends the answer, or several.
pub type Stop = TextOrList<String>;

/// What else a stream carries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Whether a last chunk, without choices, carries the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_usage: Option<bool>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

open_enum! {
    /// The form an answer must take.
    ResponseFormatKind {
        /// Any text.
        Text = "text",
        /// Some JSON object.
        JsonObject = "json_object",
        /// JSON that follows a schema.
        JsonSchema = "json_schema",
    }
}

/// The form the answer must take, with its schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponseFormat {
    /// Which form.
    #[serde(rename = "type")]
    pub kind: ResponseFormatKind,
    /// The schema, where the form is `json_schema`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchemaFormat>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ResponseFormat {
    /// A form without a schema.
    pub fn new(kind: ResponseFormatKind) -> Self {
        Self { kind, json_schema: None, rest: Object::new() }
    }

    /// JSON that follows this schema strictly.
    pub fn json_schema(name: impl Into<String>, schema: Value) -> Self {
        let format = JsonSchemaFormat {
            name: name.into(),
            description: None,
            schema: Some(schema),
            strict: Some(true),
            rest: Object::new(),
        };
        Self { json_schema: Some(format), ..Self::new(ResponseFormatKind::JsonSchema) }
    }

    /// The schema the answer must follow, where one was given.
    pub fn schema(&self) -> Option<&Value> {
        self.json_schema.as_ref()?.schema.as_ref()
    }
}

/// A named schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JsonSchemaFormat {
    /// Letters, digits, `_` and `-`, at most 64.
    #[serde(default)]
    pub name: String,
    /// What the answer is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The schema itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Whether the answer must follow the schema exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}
