//! `POST /v1/messages`: what is asked, what is answered, the events of a stream, and errors.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Object, TextOrList, lenient};

/// The body of `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessagesRequest {
    /// The model's name.
    pub model: String,
    /// Most tokens of answer. The protocol requires it.
    pub max_tokens: u64,
    /// The operator's instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Content>,
    /// The conversation so far, beginning with the user.
    pub messages: Vec<InputMessage>,
    /// Texts that end the answer; they are left out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_sequences: Option<Vec<String>>,
    /// Randomness of sampling, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Sample only from the likeliest tokens of this total probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Sample only from this many likeliest tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// Whether the answer comes as events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Tools the model may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Tool>>,
    /// Whether, and which, a tool must be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// The end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Fields not named here, `thinking` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// Whom the call is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// An opaque name of the end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

open_enum! {
    /// Who speaks.
    Role {
        /// The person; tool results too.
        User = "user",
        /// The model.
        Assistant = "assistant",
    }
}

/// A message of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Content,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// What a message says: a string, or a list of blocks.
pub type Content = TextOrList<ContentBlock>;

impl Content {
    /// The text of it all: a string as it is, text blocks one after the other.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(blocks) => blocks.iter().filter_map(ContentBlock::text).collect(),
        }
    }
}

tagged_enum! {
    /// One block of a message.
    ContentBlock {
        /// Text.
        Text(TextBlock) = "text",
        /// An image.
        Image(ImageBlock) = "image",
        /// A call the model wants made.
        ToolUse(ToolUseBlock) = "tool_use",
        /// What a call gave.
        ToolResult(ToolResultBlock) = "tool_result",
        /// The model's reasoning.
        Thinking(ThinkingBlock) = "thinking",
    }
}

impl ContentBlock {
    /// A block of plain text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::Text(TextBlock { text: text.into(), rest: Object::new() })
    }

    /// The text of a text block.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(block) => Some(&block.text),
            _ => None,
        }
    }
}

/// A block of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextBlock {
    /// The text.
    pub text: String,
    /// Fields not named here, `cache_control` and `citations` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// A block that is an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageBlock {
    /// Where the image is.
    pub source: ImageSource,
    /// Fields not named here, `cache_control` among them.
    #[serde(flatten)]
    pub rest: Object,
}

tagged_enum! {
    /// Where an image is.
    ImageSource {
        /// In place.
        Base64(Base64Source) = "base64",
        /// At an address.
        Url(UrlSource) = "url",
    }
}

/// An image in place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base64Source {
    /// As `image/png`.
    pub media_type: String,
    /// Its bytes in base64.
    pub data: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// An image at an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UrlSource {
    /// The address.
    pub url: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A call the model wants made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolUseBlock {
    /// Names the call, so that its result can be matched to it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, an object.
    #[serde(default)]
    pub input: Value,
    /// Fields not named here, `cache_control` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResultBlock {
    /// The call it answers.
    pub tool_use_id: String,
    /// What it gave; `None` is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Whether the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// Fields not named here, `cache_control` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// The model's reasoning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThinkingBlock {
    /// In words.
    pub thinking: String,
    /// Proves to the server that the words are its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// The name it is called by.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its parameters, a JSON schema; the server's own tools have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// Fields not named here, `type` and `cache_control` among them.
    #[serde(flatten)]
    pub rest: Object,
}

open_enum! {
    /// Whether a tool must be called.
    ToolChoiceKind {
        /// The model decides.
        Auto = "auto",
        /// Some tool must be.
        Any = "any",
        /// This tool must be.
        Tool = "tool",
        /// None may be.
        None = "none",
    }
}

/// Whether, and which, a tool must be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolChoice {
    /// Whether.
    #[serde(rename = "type")]
    pub kind: ToolChoiceKind,
    /// Which, where the kind is `tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether only one may be called at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_parallel_tool_use: Option<bool>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ToolChoice {
    /// A choice without a name.
    pub fn new(kind: ToolChoiceKind) -> Self {
        Self { kind, name: None, disable_parallel_tool_use: None, rest: Object::new() }
    }

    /// This tool must be called.
    pub fn tool(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::new(ToolChoiceKind::Tool) }
    }
}

/// The reply to `POST /v1/messages`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessagesResponse {
    /// Names the reply.
    pub id: String,
    /// `message`.
    #[serde(rename = "type", default = "message_kind")]
    pub kind: String,
    /// Who speaks: the model.
    pub role: Role,
    /// What it says.
    pub content: Vec<ContentBlock>,
    /// The model that answered.
    pub model: String,
    /// Why it ended; null at the start of a stream.
    #[serde(default)]
    pub stop_reason: Option<StopReason>,
    /// The text that ended it, where one did.
    #[serde(default)]
    pub stop_sequence: Option<String>,
    /// The tokens it took.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub usage: Usage,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl MessagesResponse {
    /// The text of the answer, text blocks one after the other.
    pub fn text(&self) -> String {
        self.content.iter().filter_map(ContentBlock::text).collect()
    }
}

open_enum! {
    /// Why an answer ended.
    StopReason {
        /// The model was done.
        EndTurn = "end_turn",
        /// The limit of tokens was reached.
        MaxTokens = "max_tokens",
        /// One of the stop texts came.
        StopSequence = "stop_sequence",
        /// The model wants tools called.
        ToolUse = "tool_use",
        /// The server paused a long turn.
        PauseTurn = "pause_turn",
        /// The model declined.
        Refusal = "refusal",
        /// The model's context was full.
        ContextWindowExceeded = "model_context_window_exceeded",
    }
}

/// Tokens of a call. The three counts of input exclude one another. What was not said is `None`: unknown, not 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of prompt neither read from the cache nor written to it.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of prompt written to the cache, at a higher price.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Tokens of prompt read from the cache, at a lower price.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// Tokens of answer.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl Usage {
    /// Takes over what a later event of the stream says.
    pub fn update(&mut self, later: &Self) {
        for (known, new) in [
            (&mut self.input_tokens, later.input_tokens),
            (&mut self.cache_creation_input_tokens, later.cache_creation_input_tokens),
            (&mut self.cache_read_input_tokens, later.cache_read_input_tokens),
            (&mut self.output_tokens, later.output_tokens),
        ] {
            *known = new.or(*known);
        }
        for (key, value) in &later.rest {
            self.rest.insert(key.clone(), value.clone());
        }
    }
}

tagged_enum! {
    /// One event of a streamed reply; the event's name on the wire is its `type`.
    StreamEvent {
        /// The reply begins.
        MessageStart(MessageStart) = "message_start",
        /// A block begins.
        ContentBlockStart(ContentBlockStart) = "content_block_start",
        /// A block goes on.
        ContentBlockDelta(ContentBlockDelta) = "content_block_delta",
        /// A block ends.
        ContentBlockStop(ContentBlockStop) = "content_block_stop",
        /// The reply is about to end: why, and the tokens so far.
        MessageDelta(MessageDelta) = "message_delta",
        /// The reply ends.
        MessageStop(Empty) = "message_stop",
        /// Nothing; keeps the connection open.
        Ping(Empty) = "ping",
        /// The server gave up in the middle.
        Error(ErrorEvent) = "error",
    }
}

/// An event that says nothing more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Empty {
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The reply begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageStart {
    /// The reply, with no content yet and the tokens of the prompt.
    pub message: MessagesResponse,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A block begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentBlockStart {
    /// Which block of the reply.
    pub index: u32,
    /// The block, with nothing in it yet.
    pub content_block: ContentBlock,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A block goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentBlockDelta {
    /// Which block of the reply.
    pub index: u32,
    /// What to append.
    pub delta: BlockDelta,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

tagged_enum! {
    /// What to append to a block.
    BlockDelta {
        /// Text.
        Text(TextDelta) = "text_delta",
        /// A piece of a tool's arguments, as JSON text.
        InputJson(InputJsonDelta) = "input_json_delta",
        /// Reasoning.
        Thinking(ThinkingDelta) = "thinking_delta",
        /// The signature of the reasoning.
        Signature(SignatureDelta) = "signature_delta",
    }
}

/// Text to append.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextDelta {
    /// The text.
    pub text: String,
}

/// A piece of a tool's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputJsonDelta {
    /// JSON text to append; it parses once the block has ended.
    pub partial_json: String,
}

/// Reasoning to append.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThinkingDelta {
    /// In words.
    pub thinking: String,
}

/// The signature of the reasoning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignatureDelta {
    /// To append.
    pub signature: String,
}

/// A block ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentBlockStop {
    /// Which block of the reply.
    pub index: u32,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The reply is about to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageDelta {
    /// Why.
    pub delta: StopDelta,
    /// The tokens of the whole reply so far.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub usage: Usage,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Why a reply ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StopDelta {
    /// Why.
    #[serde(default)]
    pub stop_reason: Option<StopReason>,
    /// The text that ended it, where one did.
    #[serde(default)]
    pub stop_sequence: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The server gave up in the middle of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorEvent {
    /// What went wrong.
    pub error: ErrorDetail,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// The body of a reply that is an error: `{"type": "error", "error": {"type", "message"}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// `error`.
    #[serde(rename = "type", default = "error_kind")]
    pub kind: String,
    /// What went wrong.
    pub error: ErrorDetail,
    /// The server's name for the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl ErrorBody {
    /// An error with its kind, as `invalid_request_error` or `overloaded_error`.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        let error = ErrorDetail { kind: kind.into(), message: message.into(), rest: Object::new() };
        Self { kind: error_kind(), error, request_id: None, rest: Object::new() }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A word for a program, as `overloaded_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A sentence for a person.
    #[serde(default)]
    pub message: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

pub(super) fn message_kind() -> String {
    "message".to_owned()
}

fn error_kind() -> String {
    "error".to_owned()
}
