//! What a provider has been found not to know, learnt from its refusals and remembered.

use std::sync::{Mutex, PoisonError};

use sprat_wire::openai::error::ApiError;

use super::config::{JsonSchema, Provider, RemoteConfig};

/// Which optional things a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    /// The answer's JSON schema (for Anthropic: a tool that must be called).
    pub schema: bool,
    /// The temperature.
    pub temperature: bool,
    /// The wish for log-probabilities.
    pub logprobs: bool,
    /// `max_completion_tokens` instead of `max_tokens`.
    pub completion_limit: bool,
}

/// How to speak to one provider.
#[derive(Debug)]
pub(super) struct Dialect {
    now: Mutex<Speech>,
    may_drop_schema: bool,
    /// A provider whose refusals needn't name what they refuse.
    is_strange: bool,
}

impl Dialect {
    pub(super) fn new(config: &RemoteConfig) -> Self {
        let reasons = is_reasoning_model(&config.model);
        let is_openai = config.provider == Provider::OpenAi;
        let speech = Speech {
            schema: config.json_schema != JsonSchema::Off,
            temperature: config.temperature.is_some() && !(is_openai && reasons),
            logprobs: config.logprobs && config.provider != Provider::Anthropic && !(is_openai && reasons),
            completion_limit: is_openai,
        };
        Self {
            now: Mutex::new(speech),
            may_drop_schema: config.json_schema == JsonSchema::Auto,
            is_strange: matches!(config.provider, Provider::Compatible { .. }),
        }
    }

    /// How to speak, as far as is known.
    pub(super) fn speech(&self) -> Speech {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A provider understood this.
    pub(super) fn remember(&self, speech: Speech) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = speech;
    }

    /// What to say instead after a 400 or 422; `None` where the fault is not in anything optional.
    pub(super) fn concede(&self, said: Speech, refusal: Option<&ApiError>) -> Option<Speech> {
        let words = refusal.map_or_else(String::new, |error| {
            let parts = [Some(error.message.as_str()), error.param.as_deref(), error.code.as_deref()];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase()
        });
        let names = |any: &[&str]| any.iter().any(|word| words.contains(word));
        if said.temperature && names(&["temperature"]) {
            return Some(Speech { temperature: false, ..said });
        }
        if said.logprobs && names(&["logprobs"]) {
            return Some(Speech { logprobs: false, ..said });
        }
        if names(&["max_completion_tokens"]) {
            // Either it asks for the new name, or it doesn't know it.
            return Some(Speech { completion_limit: !said.completion_limit, ..said });
        }
        let may_drop = said.schema && self.may_drop_schema;
        if may_drop && names(&["response_format", "json_schema", "schema", "tool", "grammar", "guided"]) {
            return Some(Speech { schema: false, ..said });
        }
        let is_about_length = names(&["context", "too long", "length"]);
        if self.is_strange && !is_about_length && (may_drop || said.logprobs) {
            return Some(Speech { schema: said.schema && !may_drop, logprobs: false, ..said });
        }
        None
    }
}

/// Models that think before they answer, refuse a temperature and spend answer tokens on thinking; by OpenAI's
/// naming of November 2025.
pub(super) fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let thinks_by_name = ["reasoner", "thinking", "deepseek-r1", "magistral", "gpt-oss", "qwq"];
    o_series
        || (name.starts_with("gpt-5") && !name.contains("-chat"))
        || thinks_by_name.iter().any(|part| name.to_lowercase().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(provider: Provider, model: &str) -> Dialect {
        Dialect::new(&RemoteConfig::new(provider, model))
    }

    fn compatible() -> Dialect {
        dialect(Provider::Compatible { base_url: "http://127.0.0.1:1/v1".into() }, "llama")
    }

    fn refusal(message: &str, param: Option<&str>) -> ApiError {
        ApiError { message: message.into(), param: param.map(Into::into), ..ApiError::default() }
    }

    #[test]
    fn reasoning_models_are_known_by_name() {
        for (model, reasons) in [
            ("o3-mini", true),
            ("gpt-5-nano-2025-08-07", true),
            ("gpt-5-chat-latest", false),
            ("gpt-4o", false),
            ("openai/o4-mini", true),
            ("deepseek-reasoner", true),
            ("olmo-2", false),
        ] {
            assert_eq!(is_reasoning_model(model), reasons, "{model}");
        }
    }

    #[test]
    fn a_refusal_that_names_its_reason_costs_just_that() {
        let openai = dialect(Provider::OpenAi, "gpt-4o");
        let all = openai.speech();
        let rows = [
            (refusal("Unsupported value", Some("temperature")), Speech { temperature: false, ..all }),
            (refusal("logprobs are not supported", None), Speech { logprobs: false, ..all }),
            (
                refusal("Unknown parameter: 'max_completion_tokens'", None),
                Speech { completion_limit: false, ..all },
            ),
            (refusal("Invalid schema for response_format", None), Speech { schema: false, ..all }),
        ];
        for (said, next) in rows {
            assert_eq!(openai.concede(all, Some(&said)), Some(next), "{said:?}");
        }
        assert_eq!(openai.concede(all, Some(&refusal("no", None))), None);
    }

    #[test]
    fn a_strange_server_is_asked_once_more_without_what_is_optional() {
        let strange = compatible();
        let all = strange.speech();
        let plain = strange.concede(all, None).expect("a second try");
        assert!(!plain.schema && !plain.logprobs && plain.temperature);
        assert_eq!(strange.concede(plain, None), None);
        assert_eq!(strange.concede(all, Some(&refusal("context length exceeded", None))), None);
    }

    #[test]
    fn a_schema_that_was_ordered_stays() {
        let mut config = RemoteConfig::new(Provider::Compatible { base_url: String::new() }, "m");
        config.json_schema = JsonSchema::On;
        config.logprobs = false;
        let strict = Dialect::new(&config);
        assert_eq!(strict.concede(strict.speech(), Some(&refusal("response_format", None))), None);
    }
}
