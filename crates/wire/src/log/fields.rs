//! Finding a fact that logs keep in different places and under different names.

use serde_json::Value;

use crate::Object;
use crate::lenient::count_of;
use crate::openai::chat::{PromptTokensDetails, Usage};
use crate::time::unix_ms;

const CREATED: [&str; 13] = [
    "created_at",
    "createdAt",
    "request_created_at",
    "start_time",
    "startTime",
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "created",
    "started_at",
];
const ENDED: [&str; 6] =
    ["end_time", "endTime", "response_created_at", "completed_at", "completedAt", "ended_at"];
const LATENCY: [(&str, f64); 12] = [
    ("latency_us", 1.0),
    ("duration_us", 1.0),
    ("latency_ms", 1e3),
    ("latencyMs", 1e3),
    ("duration_ms", 1e3),
    ("durationMs", 1e3),
    ("delay_ms", 1e3),
    ("response_ms", 1e3),
    ("elapsed_ms", 1e3),
    ("latency_s", 1e6),
    ("latency_seconds", 1e6),
    ("duration_s", 1e6),
];
const COST_MICRO_USD: &str = "cost_micro_usd";
const COST_USD: [&str; 10] = [
    "cost_usd",
    "costUSD",
    "costUsd",
    "response_cost",
    "calculatedTotalCost",
    "calculated_total_cost",
    "totalCost",
    "total_cost",
    "cost",
    "spend",
];
const SESSION: [&str; 8] = [
    "session_id",
    "sessionId",
    "session",
    "Helicone-Session-Id",
    "conversation_id",
    "conversationId",
    "thread_id",
    "trace_id",
];
const USER: [&str; 7] =
    ["user_id", "userId", "request_user_id", "end_user", "endUser", "user", "safety_identifier"];
const ID: [&str; 4] = ["custom_id", "id", "request_id", "requestId"];
const PROMPT_TOKENS: [&str; 5] = ["prompt_tokens", "promptTokens", "input_tokens", "inputTokens", "input"];
const COMPLETION_TOKENS: [&str; 5] =
    ["completion_tokens", "completionTokens", "output_tokens", "outputTokens", "output"];
const TOTAL_TOKENS: [&str; 3] = ["total_tokens", "totalTokens", "total"];
const SIDE_NOTES: [&str; 4] = ["metadata", "properties", "request_properties", "extra"];

/// Where to look, in order: the line, what wraps request and response, they themselves, then their side notes.
pub(super) struct Places<'a>(Vec<&'a Object>);

impl<'a> Places<'a> {
    pub(super) fn new(main: &[Option<&'a Object>]) -> Self {
        let main: Vec<&Object> = main.iter().copied().flatten().collect();
        let notes =
            main.iter().flat_map(|place| SIDE_NOTES.iter().filter_map(|name| place.get(*name)?.as_object()));
        Self(main.iter().copied().chain(notes).collect())
    }

    pub(super) fn id(&self) -> Option<String> {
        self.first(&ID, short_text)
    }

    pub(super) fn session(&self) -> Option<String> {
        self.first(&SESSION, short_text)
    }

    pub(super) fn user(&self) -> Option<String> {
        self.first(&USER, short_text)
    }

    pub(super) fn created_unix_ms(&self) -> Option<i64> {
        self.first(&CREATED, unix_ms)
    }

    pub(super) fn latency_us(&self) -> Option<u64> {
        let named =
            LATENCY.iter().find_map(|(name, us)| self.first(&[name], |value| non_negative(value, *us)));
        named.or_else(|| {
            let took_ms = self.first(&ENDED, unix_ms)?.checked_sub(self.created_unix_ms()?)?;
            u64::try_from(took_ms).ok()?.checked_mul(1_000)
        })
    }

    pub(super) fn cost_micro_usd(&self) -> Option<u64> {
        let exact = self.first(&[COST_MICRO_USD], count_of);
        let usages = || Places(self.0.iter().filter_map(|place| place.get("usage")?.as_object()).collect());
        exact
            .or_else(|| self.first(&COST_USD, |value| non_negative(value, 1e6)))
            .or_else(|| usages().first(&["cost"], |value| non_negative(value, 1e6)))
    }

    /// Tokens from a `usage` of any dialect, else from the places themselves.
    pub(super) fn usage(&self) -> Option<Usage> {
        ["usage", "usageDetails", "usage_details", "token_usage"]
            .iter()
            .find_map(|name| self.first(&[name], |value| usage_of(value.as_object()?)))
            .or_else(|| self.0.iter().find_map(|place| flat_usage_of(place)))
    }

    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.first(names, |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find_map(|place| place.get(name).filter(|value| !value.is_null()))
    }

    fn first<T>(&self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|place| names.iter().find_map(|name| read(place.get(*name)?)))
    }
}

fn short_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn non_negative(value: &Value, factor: f64) -> Option<u64> {
    const MOST: f64 = 9e15; // below 2^53, so that the rounding is exact
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Some((number * factor).round()).filter(|scaled| (0.0..MOST).contains(scaled)).map(|scaled| scaled as u64)
}

fn count_in(object: &Object, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| count_of(object.get(*name)?))
}

/// OpenAI's usage as it is; of Anthropic's, the Responses API's and Langfuse's, what they have in common with it.
fn usage_of(object: &Object) -> Option<Usage> {
    if object.contains_key("prompt_tokens") {
        return serde_json::from_value(Value::Object(object.clone())).ok();
    }
    let cache_read = count_in(object, &["cache_read_input_tokens"]);
    let cache_written = count_in(object, &["cache_creation_input_tokens"]);
    let in_details =
        object.get("input_tokens_details").and_then(|details| count_of(details.get("cached_tokens")?));
    let uncached = count_in(object, &PROMPT_TOKENS);
    let prompt_tokens = uncached.map(|tokens| {
        tokens.saturating_add(cache_read.unwrap_or(0)).saturating_add(cache_written.unwrap_or(0))
    });
    let completion_tokens = count_in(object, &COMPLETION_TOKENS);
    if prompt_tokens.is_none() && completion_tokens.is_none() {
        return None;
    }
    let cached_tokens = cache_read.or(in_details);
    Some(Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: count_in(object, &TOTAL_TOKENS)
            .or_else(|| prompt_tokens?.checked_add(completion_tokens?)),
        prompt_tokens_details: cached_tokens
            .map(|tokens| PromptTokensDetails { cached_tokens: Some(tokens), rest: Object::new() }),
        completion_tokens_details: None,
        rest: Object::new(),
    })
}

/// Counts that stand in the line itself; `input` and `output` are not counts there.
fn flat_usage_of(object: &Object) -> Option<Usage> {
    let prompt_tokens = count_in(object, &PROMPT_TOKENS[..4]);
    let completion_tokens = count_in(object, &COMPLETION_TOKENS[..4]);
    if prompt_tokens.is_none() && completion_tokens.is_none() {
        return None;
    }
    let total_tokens =
        count_in(object, &TOTAL_TOKENS[..2]).or_else(|| prompt_tokens?.checked_add(completion_tokens?));
    Some(Usage { prompt_tokens, completion_tokens, total_tokens, ..Usage::default() })
}
