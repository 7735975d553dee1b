//! One call to a model, as it is kept: what was asked and answered, by whom, when, and what it cost.

use serde::{Deserialize, Serialize};
use sprat_store::ImportedCall;
use sprat_task::{Money, Price, Sha256Hex, Tokens};
use sprat_wire::LogCall;
use sprat_wire::log::AnswerSource;
use sprat_wire::openai::chat::{FinishReason, Message, ResponseFormat, Role, ToolCall};

/// A call from a log, normalised. What the log doesn't say is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// The log's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was asked, without the answer.
    pub messages: Vec<Message>,
    /// The form the answer had to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// The tools the model could call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_names: Vec<String>,
    /// The text of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Whether the answer stood in the last message, as in fine-tuning files: a person may have written it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answer_in_last_message: bool,
    /// The tools the model called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Why there is no answer, where the log says that the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Tokens, where the log says how many went in and came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none", rename = "cost_micro_usd")]
    pub cost: Option<Money>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_basis: Option<CostBasis>,
    /// Whether it went through the provider's batch interface.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_batch: bool,
    /// When it was asked, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_unix_ms: Option<i64>,
    /// How long it took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<u64>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The end user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// Who says what a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostBasis {
    /// The log itself.
    Log,
    /// The price table, from the tokens the log reports.
    PriceTable,
}

impl Call {
    pub(super) fn new(logged: &LogCall, is_batch: bool, price: &dyn Fn(&str) -> Option<Price>) -> Self {
        let tokens = tokens_of(logged);
        let said = logged.cost_micro_usd.and_then(|micro| i64::try_from(micro).ok()).map(Money::from_micro);
        let computed = || {
            let (price, tokens) = (price(logged.model.as_deref()?)?, tokens?);
            Some(if is_batch { price.batch_cost(tokens) } else { price.cost(tokens) })
        };
        let (cost, cost_basis) = match said {
            Some(cost) => (Some(cost), Some(CostBasis::Log)),
            None => computed().map(|cost| (cost, CostBasis::PriceTable)).unzip(),
        };
        Self {
            id: logged.id.clone(),
            model: logged.model.clone(),
            messages: logged.messages.clone(),
            response_format: logged.response_format.clone(),
            tool_names: logged.tool_names.clone(),
            answer: logged.answer.clone(),
            answer_in_last_message: logged.answer_source == AnswerSource::LastMessage,
            tool_calls: logged.tool_calls.clone(),
            finish_reason: logged.finish_reason.clone(),
            failure: logged.failure.clone(),
            tokens,
            cost,
            cost_basis,
            is_batch,
            time_unix_ms: logged.created_unix_ms,
            latency_us: logged.latency_us,
            session: logged.session.clone(),
            user: logged.user.clone(),
        }
    }

    /// The operator's instructions: system and developer messages, a blank line between them.
    pub fn system_prompt(&self) -> Option<String> {
        let instructions = self.messages.iter().filter(|message| message.is_instruction());
        let texts: Vec<String> = instructions.filter_map(Message::text).collect();
        (!texts.is_empty()).then(|| texts.join("\n\n"))
    }

    /// The text of the last user message.
    pub fn last_user_text(&self) -> Option<String> {
        self.messages.iter().rev().find(|message| message.role == Role::User)?.text()
    }

    /// The schema the answer had to follow.
    pub fn schema(&self) -> Option<&serde_json::Value> {
        self.response_format.as_ref()?.schema()
    }

    /// Whether there was more than one question before this answer.
    pub fn has_several_turns(&self) -> bool {
        self.messages.iter().any(|message| matches!(message.role, Role::Assistant | Role::Tool))
    }

    /// Whether everything asked is text.
    pub fn is_text_only(&self) -> bool {
        let contents = self.messages.iter().filter_map(|message| message.content.as_ref());
        contents.into_iter().all(|content| content.is_text_only())
    }

    /// Whether the log has an answer: a text, or tools called.
    pub fn is_answered(&self) -> bool {
        self.answer.is_some() || !self.tool_calls.is_empty()
    }

    /// A digest of what the log says of the call. What it cost is left out: another price table makes no other call.
    pub(super) fn digest(&self) -> Sha256Hex {
        let said = Self { cost: None, cost_basis: None, ..self.clone() };
        // Strings, numbers and lists of them always serialise.
        Sha256Hex::of(&serde_json::to_vec(&said).unwrap_or_default())
    }

    /// The record the store keeps. The digests stand for the prompt and the schema word for word.
    pub(super) fn record(&self, content: Sha256Hex) -> ImportedCall {
        ImportedCall {
            content,
            model: self.model.clone(),
            system_prompt: self.system_prompt().map(|prompt| Sha256Hex::of(prompt.as_bytes())),
            schema: self.schema().map(|schema| Sha256Hex::of(schema.to_string().as_bytes())),
            time_unix_ms: self.time_unix_ms,
            input_tokens: self.tokens.map(|tokens| tokens.input),
            output_tokens: self.tokens.map(|tokens| tokens.output),
            cost: self.cost,
            session: self.session.clone(),
            call: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}

fn tokens_of(logged: &LogCall) -> Option<Tokens> {
    let usage = logged.usage.as_ref()?;
    Some(Tokens {
        input: usage.prompt_tokens?,
        cached_input: usage.cached_tokens().unwrap_or(0),
        cache_write: 0,
        output: usage.completion_tokens?,
    })
}
