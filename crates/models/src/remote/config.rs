//! What can be set about a remote model, and whether it makes sense.

use std::path::PathBuf;
use std::time::Duration;

use sprat_task::problem::list;
use sprat_task::{Money, Price, Problem, Provenance};
use sprat_wire::Object;

use super::secret::Secret;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Whoever speaks OpenAI's protocol: vLLM, TGI, llama-server, Ollama, hosts of open models.
    Compatible {
        /// Where, as `http://host:8000/v1`; paths such as `/chat/completions` are appended.
        base_url: String,
    },
    /// A file of answers.
    Replay {
        /// The file, JSON lines.
        path: PathBuf,
    },
}

impl Provider {
    /// The words of `provider = "…"`, in the order the documentation has them.
    pub const WORDS: [&'static str; 4] = ["openai", "anthropic", "compatible", "replay"];

    /// The word in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Compatible { .. } => "compatible",
            Self::Replay { .. } => "replay",
        }
    }

    /// The provider of a word, with what that provider needs beside it.
    ///
    /// # Errors
    /// An unknown word; `compatible` without an address; `replay` without a file. The caller adds the place.
    pub fn from_word(word: &str, base_url: Option<&str>, path: Option<PathBuf>) -> Result<Self, Problem> {
        match (word, base_url, path) {
            ("openai", ..) => Ok(Self::OpenAi),
            ("anthropic", ..) => Ok(Self::Anthropic),
            ("compatible", Some(base_url), _) => Ok(Self::Compatible { base_url: base_url.to_owned() }),
            ("compatible", None, _) => Err(Problem::new("provider `compatible` needs a `base_url`")
                .hint("for a server on this machine: base_url = \"http://127.0.0.1:8000/v1\"")),
            ("replay", _, Some(path)) => Ok(Self::Replay { path }),
            ("replay", _, None) => Err(Problem::new("provider `replay` needs a `path`")
                .hint("name the file of answers: path = \"answers.jsonl\"")),
            _ => Err(Problem::new(format!("`{word}` is not a provider"))
                .allowed(list(Self::WORDS))
                .did_you_mean(word, Self::WORDS)),
        }
    }
}

/// Whether the provider is asked to hold the answer to a JSON schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonSchema {
    /// Asked; a provider that doesn't know schemas is asked once more without, and that is remembered.
    #[default]
    Auto,
    /// Asked, and a refusal is an error.
    On,
    /// Not asked.
    Off,
}

impl JsonSchema {
    /// The words in the configuration.
    pub const WORDS: [&'static str; 3] = ["auto", "on", "off"];

    /// The setting of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "auto" => Some(Self::Auto),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// All that can be set about one remote model. [`RemoteConfig::new`] gives every default.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Who answers.
    pub provider: Provider,
    /// The model's name at the provider.
    pub model: String,
    /// Another address for `openai` and `anthropic`, such as a proxy of one's own.
    pub base_url: Option<String>,
    /// The key, resolved by the caller from the environment or a file. `compatible` and `replay` may have none.
    pub api_key: Option<Secret>,
    /// Longest wait for one try, and for each next piece of a stream, beside the deadline of the request.
    /// Default 60 s.
    pub timeout: Duration,
    /// Longest wait for a connection. Default 10 s.
    pub connect_timeout: Duration,
    /// How many times a call is tried again. Default 3; 0 is never.
    pub max_retries: u32,
    /// The first pause between tries; it doubles, and chance shortens it. Default 500 ms.
    pub backoff: Duration,
    /// Most calls at once. Default 8.
    pub max_concurrency: usize,
    /// Failures in a row after which nothing is sent for a while. Default 8.
    pub breaker_failures: u32,
    /// For how long nothing is sent then; it doubles while the trouble lasts, up to 16 times. Default 5 s.
    pub breaker_pause: Duration,
    /// The price, where the price table has none or another. In micro-units per million tokens.
    pub price: Option<Price>,
    /// What an hour of one's own hardware costs, for `compatible`: each call is charged its share of the time
    /// during which calls were running.
    pub hardware_cost_per_hour: Option<Money>,
    /// Most tokens of answer; `None` is enough for the task's labels, with room to reason where the model does.
    pub max_tokens: Option<u64>,
    /// Randomness of sampling; default 0. `None` is not sent, nor is it sent to models that refuse it.
    pub temperature: Option<f64>,
    /// How many examples the prompt shows. Default 0.
    pub examples: usize,
    /// Whether the answer is held to a schema. Default auto.
    pub json_schema: JsonSchema,
    /// Whether log-probabilities are asked for, which make the score. Default yes where the provider has them.
    pub logprobs: bool,
    /// More fields for the request's body, such as `reasoning_effort`; they win over ours.
    pub extra: Object,
    /// Most bytes of reply that are read into memory. Default 8 MiB.
    pub max_reply_bytes: usize,
    /// Whether `replay` also waits as long as the recorded call took. Default no.
    pub replay_waits: bool,
    /// Where its answers come from, where nobody is behind it: a server of tests or demonstrations says so here. Default
    /// measured. A file of answers says so itself.
    pub provenance: Provenance,
}

impl RemoteConfig {
    /// A remote model with every default.
    pub fn new(provider: Provider, model: impl Into<String>) -> Self {
        Self {
            provider,
            model: model.into(),
            base_url: None,
            api_key: None,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            max_retries: 3,
            backoff: Duration::from_millis(500),
            max_concurrency: 8,
            breaker_failures: 8,
            breaker_pause: Duration::from_secs(5),
            price: None,
            hardware_cost_per_hour: None,
            max_tokens: None,
            temperature: Some(0.0),
            examples: 0,
            json_schema: JsonSchema::Auto,
            logprobs: true,
            extra: Object::new(),
            max_reply_bytes: 8 << 20,
            replay_waits: false,
            provenance: Provenance::Measured,
        }
    }

    /// What is wrong with it, if something is. The message begins with the key at fault in backticks, so that the
    /// caller can add its place.
    pub fn validate(&self) -> Result<(), Problem> {
        let fault = |wrong: bool, message: &str| if wrong { Err(Problem::new(message)) } else { Ok(()) };
        let replays = matches!(self.provider, Provider::Replay { .. });
        fault(
            self.model.trim().is_empty() && !replays,
            "`model` is missing: the model's name at the provider",
        )?;
        fault(self.timeout.is_zero(), "`timeout` must be above 0")?;
        fault(self.connect_timeout.is_zero(), "`connect_timeout` must be above 0")?;
        fault(self.max_retries > 20, "`max_retries` must be at most 20")?;
        fault(!(1..=1024).contains(&self.max_concurrency), "`max_concurrency` must be 1 to 1024")?;
        fault(self.breaker_failures == 0, "`breaker_failures` must be at least 1")?;
        fault(self.max_tokens == Some(0), "`max_tokens` must be at least 1")?;
        fault(self.examples > 1000, "`examples` must be at most 1000")?;
        fault(self.max_reply_bytes < 1024, "`max_reply_bytes` must be at least 1024")?;
        fault(self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)), "`temperature` must be 0 to 2")?;
        fault(
            self.hardware_cost_per_hour.is_some_and(|cost| cost < Money::ZERO),
            "`hardware_cost_per_hour` must not be negative",
        )?;
        fault(
            self.hardware_cost_per_hour.is_some() && !matches!(self.provider, Provider::Compatible { .. }),
            "`hardware_cost_per_hour` is for provider `compatible` only: the others are paid by the token",
        )?;
        fault(
            self.hardware_cost_per_hour.is_some() && self.price.is_some(),
            "`price` and `hardware_cost_per_hour` can't both be charged for one call",
        )?;
        let keyless =
            self.api_key.is_none() && matches!(self.provider, Provider::OpenAi | Provider::Anthropic);
        if keyless {
            let (word, variable) = match self.provider {
                Provider::Anthropic => ("anthropic", "ANTHROPIC_API_KEY"),
                _ => ("openai", "OPENAI_API_KEY"),
            };
            return Err(Problem::new(format!("`api_key` is missing: provider `{word}` needs one"))
                .hint(format!("api_key = {{ env = \"{variable}\" }}")));
        }
        if replays { Ok(()) } else { self.endpoint().map(drop) }
    }

    /// Where calls go, without a slash at its end.
    pub(super) fn endpoint(&self) -> Result<reqwest::Url, Problem> {
        let text = match (&self.provider, &self.base_url) {
            (Provider::Compatible { base_url }, _) => base_url.as_str(),
            (_, Some(base_url)) => base_url.as_str(),
            (Provider::OpenAi, None) => "https://api.openai.com/v1",
            (Provider::Anthropic, None) => "https://api.anthropic.com/v1",
            (Provider::Replay { .. }, None) => return Err(Problem::new("a file of answers has no address")),
        };
        let example = "http://127.0.0.1:8000/v1";
        // The address itself is not quoted where it may hold a password.
        let url = reqwest::Url::parse(text.trim_end_matches('/')).map_err(|error| {
            Problem::new(format!("`base_url` is not an address: {error}")).allowed(example)
        })?;
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(Problem::new("`base_url` must not hold a user, a password, a query or a fragment")
                .allowed(example)
                .hint("a key goes into `api_key`"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Problem::new("`base_url` must begin with http:// or https://").allowed(example));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compatible(base_url: &str) -> RemoteConfig {
        RemoteConfig::new(Provider::Compatible { base_url: base_url.into() }, "m")
    }

    #[test]
    fn a_provider_is_known_by_its_word_and_needs_what_it_needs() {
        let path = Some(PathBuf::from("a.jsonl"));
        for word in Provider::WORDS {
            let provider = Provider::from_word(word, Some("http://h/v1"), path.clone()).unwrap();
            assert_eq!(provider.word(), word);
        }
        for (word, said) in [
            ("compatible", "needs a `base_url`"),
            ("replay", "needs a `path`"),
            ("opnai", "did you mean `openai`?"),
        ] {
            let problem = Provider::from_word(word, None, None).expect_err(word).to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        type Spoil = fn(&mut RemoteConfig);
        let rows: [(Spoil, &str); 10] = [
            (|c| c.model.clear(), "`model`"),
            (|c| c.timeout = Duration::ZERO, "`timeout`"),
            (|c| c.max_concurrency = 0, "`max_concurrency`"),
            (|c| c.max_retries = 21, "`max_retries`"),
            (|c| c.temperature = Some(f64::NAN), "`temperature`"),
            (|c| c.max_tokens = Some(0), "`max_tokens`"),
            (|c| c.provider = Provider::OpenAi, "`api_key`"),
            (|c| c.provider = Provider::Compatible { base_url: "localhost:8000".into() }, "`base_url`"),
            (|c| c.provider = Provider::Compatible { base_url: "not an address".into() }, "`base_url`"),
            (
                |c| {
                    c.provider = Provider::OpenAi;
                    c.hardware_cost_per_hour = Some(Money::ZERO);
                },
                "`hardware_cost_per_hour`",
            ),
        ];
        for (spoil, said) in rows {
            let mut config = compatible("http://127.0.0.1:1/v1");
            config.validate().unwrap();
            spoil(&mut config);
            let problem = config.validate().expect_err(said).to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_shown() {
        for address in ["http://me:hunter2@host/v1", "http://host/v1?key=hunter2"] {
            let problem = compatible(address).validate().expect_err(address).to_string();
            assert!(problem.contains("api_key") && !problem.contains("hunter2"), "{problem}");
        }
    }
}
