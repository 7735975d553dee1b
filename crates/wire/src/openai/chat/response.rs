//! What a chat model answers.

use serde::{Deserialize, Serialize};

use super::{Message, Role};
use crate::{Object, lenient};

/// The reply to `POST /v1/chat/completions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatResponse {
    /// Names the reply; empty where the server gave none.
    #[serde(default)]
    pub id: String,
    /// `chat.completion`.
    #[serde(default = "response_object")]
    pub object: String,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "lenient::seconds", skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// The model that answered, often a dated version of the one asked.
    #[serde(default)]
    pub model: String,
    /// The answers; one unless more were asked for.
    pub choices: Vec<Choice>,
    /// The tokens it took; `None` where the server did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The server's configuration, which `seed` depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// Fields not named here, `service_tier` among them.
    #[serde(flatten)]
    pub rest: Object,
}

impl ChatResponse {
    /// A reply with one answer of plain text.
    pub fn from_text(id: &str, created: u64, model: &str, text: &str, usage: Option<Usage>) -> Self {
        let choice = Choice {
            index: 0,
            message: Message::assistant(text),
            finish_reason: Some(FinishReason::Stop),
            logprobs: None,
            rest: Object::new(),
        };
        Self {
            id: id.to_owned(),
            object: response_object(),
            created: Some(created),
            model: model.to_owned(),
            choices: vec![choice],
            usage,
            system_fingerprint: None,
            rest: Object::new(),
        }
    }

    /// The text of the first answer; `None` where it only calls tools or refuses.
    pub fn text(&self) -> Option<String> {
        self.choices.first()?.message.text()
    }
}

/// One of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which of the answers.
    #[serde(default)]
    pub index: u32,
    /// What the model says.
    pub message: Message,
    /// Why it ended; null while it has not.
    #[serde(default)]
    pub finish_reason: Option<FinishReason>,
    /// The log-probabilities of its tokens, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Logprobs>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl Choice {
    /// An answer in which nothing has been said yet.
    pub(super) fn empty(index: u32) -> Self {
        Self {
            index,
            message: Message::empty(Role::Assistant),
            finish_reason: None,
            logprobs: None,
            rest: Object::new(),
        }
    }
}

open_enum! {
    /// Why an answer ended.
    FinishReason {
        /// The model was done, or a stop text came.
        Stop = "stop",
        /// The limit of tokens was reached.
        Length = "length",
        /// The model wants tools called.
        ToolCalls = "tool_calls",
        /// The model wants a function called, in the older protocol.
        FunctionCall = "function_call",
        /// A filter cut it.
        ContentFilter = "content_filter",
    }
}

/// Tokens of a call. What the server did not say is `None`: unknown, not 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of prompt, the cached ones included.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// Tokens of answer, reasoning included.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    /// The sum of both.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<PromptTokensDetails>,
    /// Of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens_details: Option<CompletionTokensDetails>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

impl Usage {
    /// A usage of prompt and answer with their sum.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens: Some(prompt_tokens),
            completion_tokens: Some(completion_tokens),
            total_tokens: Some(prompt_tokens.saturating_add(completion_tokens)),
            ..Self::default()
        }
    }

    /// Tokens of prompt read from the server's cache.
    pub fn cached_tokens(&self) -> Option<u64> {
        self.prompt_tokens_details.as_ref()?.cached_tokens
    }

    /// Tokens of answer spent on reasoning.
    pub fn reasoning_tokens(&self) -> Option<u64> {
        self.completion_tokens_details.as_ref()?.reasoning_tokens
    }
}

/// Tokens of the prompt by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptTokensDetails {
    /// Read from the server's cache, at a lower price.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Tokens of the answer by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompletionTokensDetails {
    /// Spent on reasoning that the client does not see.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// Log-probabilities of an answer's tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logprobs {
    /// Of the content.
    #[serde(default)]
    pub content: Option<Vec<TokenLogprob>>,
    /// Of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Vec<TokenLogprob>>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A token, how likely it was, and what else it might have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token's text; half a character is shown as the server shows it.
    pub token: String,
    /// The natural logarithm of its probability; `None` where the server said it was not a number.
    #[serde(default)]
    pub logprob: Option<f64>,
    /// The token's bytes, where its text is only half a character.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this place, likeliest first.
    #[serde(default, deserialize_with = "lenient::null_as_default")]
    pub top_logprobs: Vec<TopLogprob>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

/// A token that was likely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopLogprob {
    /// The token's text.
    pub token: String,
    /// The natural logarithm of its probability; `None` where the server said it was not a number.
    #[serde(default)]
    pub logprob: Option<f64>,
    /// The token's bytes.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

pub(super) fn response_object() -> String {
    "chat.completion".to_owned()
}
