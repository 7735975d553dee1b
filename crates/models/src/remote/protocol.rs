//! Our question in a provider's protocol, and its reply in our words.

use serde_json::Value;
use sprat_task::{ModelError, Tokens};
use sprat_wire::{Object, anthropic::messages as anthropic, openai::chat as openai, parse_body};

use super::config::{Provider, RemoteConfig};
use super::dialect::Speech;
use super::prompt::Prompt;

/// Names the schema at OpenAI and the tool at Anthropic.
const ANSWER: &str = "answer";

/// What a provider said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// Its words, JSON where a schema was asked for; or why there are none.
    pub text: Result<String, String>,
    /// `None` unless the provider told both input and output.
    pub tokens: Option<Tokens>,
    /// Probability of the whole answer given the prompt: exp of the sum of its tokens' log-probabilities.
    pub probability: Option<f64>,
}

/// The path below the provider's base address.
pub(super) fn path(provider: &Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "/messages",
        _ => "/chat/completions",
    }
}

/// The request's body.
pub(super) fn ask(config: &RemoteConfig, speech: Speech, prompt: &Prompt, max_tokens: u64) -> Vec<u8> {
    let body = match config.provider {
        Provider::Anthropic => serde_json::to_value(ask_anthropic(config, speech, prompt, max_tokens)),
        _ => serde_json::to_value(ask_openai(config, speech, prompt, max_tokens)),
    };
    // These types hold nothing that JSON can't; an empty body would be refused with a 400.
    let Ok(Value::Object(mut body)) = body else { return Vec::new() };
    body.extend(config.extra.clone());
    Value::Object(body).to_string().into_bytes()
}

/// The reply's meaning.
///
/// # Errors
/// A body that is not of this protocol; in words that quote nothing of it.
pub(super) fn hear(provider: &Provider, body: &[u8]) -> Result<Said, ModelError> {
    let no_reply = |error| ModelError::Failed(format!("the reply is not one of this protocol: {error}"));
    match provider {
        Provider::Anthropic => parse_body(body).map(|reply| hear_anthropic(&reply)).map_err(no_reply),
        _ => parse_body(body).map(|reply| hear_openai(&reply)).map_err(no_reply),
    }
}

fn ask_openai(
    config: &RemoteConfig,
    speech: Speech,
    prompt: &Prompt,
    max_tokens: u64,
) -> openai::ChatRequest {
    let messages =
        vec![openai::Message::system(prompt.system.as_str()), openai::Message::user(prompt.user.as_str())];
    openai::ChatRequest {
        response_format: speech
            .schema
            .then(|| openai::ResponseFormat::json_schema(ANSWER, prompt.schema.clone())),
        temperature: config.temperature.filter(|_| speech.temperature),
        max_tokens: (!speech.completion_limit).then_some(max_tokens),
        max_completion_tokens: speech.completion_limit.then_some(max_tokens),
        logprobs: speech.logprobs.then_some(true),
        ..openai::ChatRequest::new(&config.model, messages)
    }
}

fn hear_openai(reply: &openai::ChatResponse) -> Said {
    let choice = reply.choices.first();
    let text = match choice {
        None => Err("the reply has no choices".to_owned()),
        Some(choice) => match (&choice.finish_reason, choice.message.text(), &choice.message.refusal) {
            (Some(openai::FinishReason::ContentFilter), ..) => {
                Err("a content filter cut the answer".to_owned())
            }
            (_, _, Some(refusal)) if !refusal.is_empty() => Err("the model declined to answer".to_owned()),
            (Some(openai::FinishReason::Length), ..) => Err(cut_short()),
            (_, Some(text), _) if !text.trim().is_empty() => Ok(text),
            _ => Err("it is empty".to_owned()),
        },
    };
    let usage = reply.usage.as_ref();
    let tokens = usage.and_then(|usage| {
        let (input, output) = (usage.prompt_tokens?, usage.completion_tokens?);
        // DeepSeek reports the cache in a field of its own.
        let cached = usage.cached_tokens().or_else(|| usage.rest.get("prompt_cache_hit_tokens")?.as_u64());
        Some(Tokens { input, cached_input: cached.unwrap_or(0), cache_write: 0, output })
    });
    let content = choice.and_then(|choice| choice.logprobs.as_ref()?.content.as_ref());
    let sum = content.filter(|tokens| !tokens.is_empty()).and_then(|tokens| {
        tokens.iter().map(|token| token.logprob.filter(|logprob| logprob.is_finite())).sum::<Option<f64>>()
    });
    Said { text, tokens, probability: sum.map(|sum| sum.exp().clamp(0.0, 1.0)) }
}

fn ask_anthropic(
    config: &RemoteConfig,
    speech: Speech,
    prompt: &Prompt,
    max_tokens: u64,
) -> anthropic::MessagesRequest {
    let user = anthropic::InputMessage {
        role: anthropic::Role::User,
        content: prompt.user.as_str().into(),
        rest: Object::new(),
    };
    let tool = || anthropic::Tool {
        name: ANSWER.to_owned(),
        description: Some("Gives the answer.".to_owned()),
        input_schema: Some(prompt.schema.clone()),
        rest: Object::new(),
    };
    anthropic::MessagesRequest {
        model: config.model.clone(),
        max_tokens,
        system: Some(prompt.system.as_str().into()),
        messages: vec![user],
        stop_sequences: None,
        temperature: config.temperature.filter(|_| speech.temperature).map(|t| t.min(1.0)),
        top_p: None,
        top_k: None,
        stream: None,
        tools: speech.schema.then(|| vec![tool()]),
        tool_choice: speech.schema.then(|| anthropic::ToolChoice::tool(ANSWER)),
        metadata: None,
        rest: Object::new(),
    }
}

fn hear_anthropic(reply: &anthropic::MessagesResponse) -> Said {
    let called = reply.content.iter().find_map(|block| match block {
        anthropic::ContentBlock::ToolUse(call) if call.name == ANSWER => Some(call.input.to_string()),
        _ => None,
    });
    let words = called.unwrap_or_else(|| reply.text());
    let text = match &reply.stop_reason {
        Some(anthropic::StopReason::Refusal) => Err("the model declined to answer".to_owned()),
        Some(anthropic::StopReason::MaxTokens | anthropic::StopReason::ContextWindowExceeded) => {
            Err(cut_short())
        }
        _ if words.trim().is_empty() => Err("it is empty".to_owned()),
        _ => Ok(words),
    };
    let usage = &reply.usage;
    let tokens = usage.input_tokens.zip(usage.output_tokens).map(|(plain, output)| {
        let cached_input = usage.cache_read_input_tokens.unwrap_or(0);
        let cache_write = usage.cache_creation_input_tokens.unwrap_or(0);
        let input = plain.saturating_add(cached_input).saturating_add(cache_write);
        Tokens { input, cached_input, cache_write, output }
    });
    Said { text, tokens, probability: None }
}

fn cut_short() -> String {
    "it was cut at the limit of tokens (raise `max_tokens`)".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(provider: Provider) -> RemoteConfig {
        RemoteConfig::new(provider, "m-1")
    }

    fn prompt() -> Prompt {
        Prompt {
            system: "sort".into(),
            user: "<text>\nhi\n</text>".into(),
            schema: json!({"type": "object"}),
        }
    }

    const ALL: Speech = Speech { schema: true, temperature: true, logprobs: true, completion_limit: true };
    const NOTHING: Speech =
        Speech { schema: false, temperature: false, logprobs: false, completion_limit: false };

    fn asked(config: &RemoteConfig, speech: Speech) -> Value {
        serde_json::from_slice(&ask(config, speech, &prompt(), 64)).unwrap()
    }

    #[test]
    fn the_question_has_openais_shape() {
        assert_eq!(
            asked(&config(Provider::OpenAi), ALL),
            json!({
                "model": "m-1",
                "messages": [{"role": "system", "content": "sort"}, {"role": "user", "content": "<text>\nhi\n</text>"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": true}},
                "temperature": 0.0,
                "max_completion_tokens": 64,
                "logprobs": true,
            })
        );
        let mut plain = config(Provider::OpenAi);
        plain.extra.insert("max_tokens".into(), json!(7));
        plain.extra.insert("reasoning_effort".into(), json!("minimal"));
        let body = asked(&plain, NOTHING);
        assert_eq!((&body["max_tokens"], &body["reasoning_effort"]), (&json!(7), &json!("minimal")));
        assert!(body.get("temperature").is_none() && body.get("response_format").is_none());
    }

    #[test]
    fn the_question_has_anthropics_shape() {
        assert_eq!(
            asked(&config(Provider::Anthropic), ALL),
            json!({
                "model": "m-1",
                "max_tokens": 64,
                "system": "sort",
                "messages": [{"role": "user", "content": "<text>\nhi\n</text>"}],
                "temperature": 0.0,
                "tools": [{"name": "answer", "description": "Gives the answer.", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "tool", "name": "answer"},
            })
        );
        assert!(asked(&config(Provider::Anthropic), NOTHING).get("tools").is_none());
    }

    #[test]
    fn a_reply_of_openais_is_heard_with_its_tokens_and_its_probability() {
        let body = json!({
            "id": "1", "object": "chat.completion", "created": 1, "model": "m-1-2025",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "refund"},
                "logprobs": {"content": [{"token": "ref", "logprob": -0.5}, {"token": "und", "logprob": -0.5}]}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 64}},
        });
        let said = hear(&Provider::OpenAi, body.to_string().as_bytes()).unwrap();
        assert_eq!(said.text.as_deref(), Ok("refund"));
        assert_eq!(said.tokens, Some(Tokens { input: 100, cached_input: 64, cache_write: 0, output: 2 }));
        assert!((said.probability.unwrap() - (-1.0f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn a_reply_of_anthropics_is_heard_with_all_three_kinds_of_input() {
        let body = json!({
            "id": "1", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "t", "name": "answer", "input": {"label": "refund"}}],
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 5, "output_tokens": 9},
        });
        let said = hear(&Provider::Anthropic, body.to_string().as_bytes()).unwrap();
        assert_eq!(said.text.as_deref(), Ok("{\"label\":\"refund\"}"));
        assert_eq!(said.tokens, Some(Tokens { input: 95, cached_input: 80, cache_write: 5, output: 9 }));
    }

    #[test]
    fn a_reply_without_an_answer_says_why_and_is_still_paid_for() {
        let reply = |choice: Value| json!({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 1}});
        for (choice, why) in [
            (
                json!({"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}),
                "cut at the limit",
            ),
            (json!({"message": {"role": "assistant", "content": null, "refusal": "I can't"}}), "declined"),
            (
                json!({"message": {"role": "assistant", "content": "x"}, "finish_reason": "content_filter"}),
                "filter",
            ),
            (json!({"message": {"role": "assistant", "content": null}}), "empty"),
        ] {
            let said = hear(&Provider::OpenAi, reply(choice).to_string().as_bytes()).unwrap();
            assert!(said.text.as_ref().is_err_and(|said| said.contains(why)), "{said:?}");
            assert!(said.tokens.is_some());
        }
    }

    #[test]
    fn tokens_that_were_not_told_are_unknown() {
        let body = br#"{"choices":[{"message":{"role":"assistant","content":"refund"}}],"usage":{"prompt_tokens":5}}"#;
        assert_eq!(hear(&Provider::OpenAi, body).unwrap().tokens, None);
    }
}
