//! A message of a conversation.

use serde::{Deserialize, Serialize};

use super::ToolCall;
use crate::{Object, TextOrList};

open_enum! {
    /// Who speaks.
    Role {
        /// The operator's instructions.
        System = "system",
        /// The operator's instructions, as newer models call them.
        Developer = "developer",
        /// The person, or the program that asks.
        User = "user",
        /// The model.
        Assistant = "assistant",
        /// The result of a tool call.
        Tool = "tool",
    }
}

/// What a message says: a string, or a list of parts.
pub type Content = TextOrList<ContentPart>;

impl Content {
    /// The text of it all: a string as it is, text parts and refusals one after the other.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(parts) => parts.iter().filter_map(ContentPart::text).collect(),
        }
    }

    /// Whether every part is text, so that [`Content::text`] leaves nothing out.
    pub fn is_text_only(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::List(parts) => parts.iter().all(|part| part.text().is_some()),
        }
    }
}

tagged_enum! {
    /// One part of a message.
    ContentPart {
        /// Text.
        Text(TextPart) = "text",
        /// An image, by address or in place.
        ImageUrl(ImagePart) = "image_url",
        /// The model's refusal.
        Refusal(RefusalPart) = "refusal",
    }
}

impl ContentPart {
    /// A part of plain text.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::Text(TextPart { text: text.into(), rest: Object::new() })
    }

    /// The text of a text part or a refusal.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(part) => Some(&part.text),
            Self::Refusal(part) => Some(&part.refusal),
            Self::ImageUrl(_) | Self::Other(_) => None,
        }
    }
}

/// A part of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextPart {
    /// The text.
    pub text: String,
    /// Fields not named here, `cache_control` among them.
    #[serde(flatten)]
    pub rest: Object,
}

/// A part that is an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImagePart {
    /// Where the image is.
    pub image_url: ImageUrl,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Where an image is, and how closely to look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// `https://…`, or `data:image/png;base64,…`.
    pub url: String,
    /// `auto`, `low` or `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A part in which the model declines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalPart {
    /// What it said.
    pub refusal: String,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A message, in a request or as an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said. `None` is written as null: clients look for the key in a message that only calls tools.
    #[serde(default)]
    pub content: Option<Content>,
    /// Which of several speakers in one role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The tools the model wants called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call that a `tool` message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// What the model said when it declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Fields not named here, `reasoning_content` and `function_call` among them.
    #[serde(flatten)]
    pub rest: Object,
}

impl Message {
    /// A message in which a role says something.
    pub fn new(role: Role, content: impl Into<Content>) -> Self {
        Self { content: Some(content.into()), ..Self::empty(role) }
    }

    /// The operator's instructions.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// What the person says.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model says.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// A message that says nothing yet.
    pub fn empty(role: Role) -> Self {
        Self {
            role,
            content: None,
            name: None,
            tool_calls: None,
            tool_call_id: None,
            refusal: None,
            rest: Object::new(),
        }
    }

    /// The text it says; `None` where the content is null.
    pub fn text(&self) -> Option<String> {
        self.content.as_ref().map(Content::text)
    }

    /// Whether the operator speaks: `system` or `developer`.
    pub fn is_instruction(&self) -> bool {
        matches!(self.role, Role::System | Role::Developer)
    }
}
