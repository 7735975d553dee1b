//! What may a call cost at most? Reserved before it; never shown as what it did cost.

use serde_json::Value;
use sprat_cascade::{Protocol, Remote};
use sprat_task::{Tokens, Usage};
use sprat_wire::openai::chat::ChatRequest;

/// Tokens of an answer that names no limit. A longer one is charged what it cost, and the budget then goes over by
/// what is beyond this.
pub const UNLIMITED_ANSWER: u64 = 4_096;

/// Tokens of a part that isn't text, such as an image: more than a large one has at any provider.
const PART: u64 = 8_192;

/// What providers tell a model about how to call tools.
const TOOLS: u64 = 1_024;

/// The most that a chat call can use. No text has more tokens than bytes, and a message's tokens of its own are fewer
/// than the bytes of JSON around it.
pub fn chat(remote: &Remote, body_bytes: usize, call: &ChatRequest) -> Usage {
    let unlimited = match remote.protocol {
        Protocol::OpenAi => UNLIMITED_ANSWER,
        Protocol::Anthropic { max_tokens } => max_tokens,
    };
    let limit = call.max_completion_tokens.or(call.max_tokens).unwrap_or(unlimited);
    let answers = u64::from(call.n.unwrap_or(1).max(1));
    let parts: u64 = call
        .messages
        .iter()
        .filter(|message| message.content.as_ref().is_some_and(|content| !content.is_text_only()))
        .map(|message| serde_json::to_value(message).map_or(1, |message| parts_of(&message)))
        .sum();
    let tools = if call.tools.as_ref().is_some_and(|tools| !tools.is_empty()) { TOOLS } else { 0 };
    let input = (body_bytes as u64).saturating_add(parts.saturating_mul(PART)).saturating_add(tools);
    usage(remote, input, limit.saturating_mul(answers))
}

/// The most that two calls can use one after the other.
pub fn together(one: Usage, other: Usage) -> Usage {
    Usage {
        tokens: one.tokens.zip(other.tokens).map(|(one, other)| one + other),
        cost: one.cost.zip(other.cost).map(|(one, other)| one + other),
    }
}

/// The most that a call without an answer in words can use: embeddings, moderations.
pub fn other(remote: &Remote, body_bytes: usize) -> Usage {
    usage(remote, body_bytes as u64, 0)
}

fn usage(remote: &Remote, input: u64, output: u64) -> Usage {
    let tokens = Tokens { input, output, ..Tokens::default() };
    Usage { tokens: Some(tokens), cost: remote.price.map(|price| price.at_most(tokens)) }
}

fn parts_of(message: &Value) -> u64 {
    message.get("content").and_then(Value::as_array).map_or(1, |parts| parts.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sprat_task::model::{NoReply, WireReply, WireRequest};
    use sprat_task::{Context, ModelError, ModelId, Money, Price, Provenance, Upstream};
    use std::sync::Arc;

    struct Nobody(ModelId);

    impl Upstream for Nobody {
        fn id(&self) -> &ModelId {
            &self.0
        }

        fn send<'a>(
            &'a self,
            _: &'a Context,
            _: WireRequest,
        ) -> futures::future::BoxFuture<'a, Result<WireReply, NoReply>> {
            Box::pin(async { Err(NoReply::unsent(ModelError::Timeout)) })
        }
    }

    fn remote(price: Option<Price>) -> Remote {
        Remote {
            upstream: Arc::new(Nobody("large".into())),
            model: "big-1".into(),
            protocol: Protocol::OpenAi,
            fallback: Vec::new(),
            price,
            provenance: Provenance::Measured,
        }
    }

    const PRICE: Price = Price {
        input: 1_000_000,
        output: 2_000_000,
        cached_input: None,
        cache_write: None,
        batch_input: None,
        batch_output: None,
    };

    fn most(extra: Value) -> i64 {
        let mut call = json!({"model": "large", "messages": [{"role": "user", "content": "hi"}]});
        call.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let call: ChatRequest = serde_json::from_value(call).unwrap();
        chat(&remote(Some(PRICE)), 100, &call).cost.unwrap().micro()
    }

    #[test]
    fn a_call_costs_at_most_its_bytes_and_the_answers_it_allows() {
        let image =
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]);
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        for (extra, expected) in [
            (json!({"max_tokens": 10}), 100 + 20),
            (json!({"max_tokens": 10, "max_completion_tokens": 50}), 100 + 100),
            (json!({"max_tokens": 10, "n": 3}), 100 + 60),
            (json!({}), 100 + 8_192),
            (json!({"max_tokens": 10, "messages": image}), 100 + 8_192 + 20),
            (json!({"max_tokens": 10, "tools": tools}), 100 + 1_024 + 20),
        ] {
            assert_eq!(most(extra.clone()), expected, "{extra}");
        }
        assert!(most(json!({"max_tokens": u64::MAX, "n": u32::MAX})) > 0, "a number too large stays large");
    }

    #[test]
    fn a_cache_that_is_dearer_to_write_is_counted_as_written() {
        let price = Price { cache_write: Some(1_250_000), ..PRICE };
        assert_eq!(other(&remote(Some(price)), 100).cost, Some(Money::from_micro(125)));
        assert_eq!(other(&remote(None), 100).cost, None, "what has no price has no upper end");
    }
}
