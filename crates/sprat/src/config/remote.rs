//! A model of kind `remote`: a provider's API, a server of the same shape, or answers from a file.

use serde::Deserialize;
use sprat_task::problem::list;
use sprat_task::{Problem, Source};
use sprat_task::{money::Price, names::nearest};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::file::{path, whole};
use super::secret::{self, KeySource};

/// A remote model, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Whose API it is.
    pub provider: Provider,
    /// The model's name there; for `replay` the name its answers are shown under.
    pub model: String,
    /// Where the key comes from; `None` sends none.
    pub api_key: Option<KeySource>,
    /// The longest one call may take, in milliseconds.
    pub timeout_ms: u64,
    /// Tries after the first.
    pub max_retries: u64,
    /// Calls in flight at once.
    pub max_concurrency: u64,
    /// The longest answer, in tokens.
    pub max_output_tokens: u64,
    /// Labelled rows shown to the model beside each input.
    pub examples: u64,
    /// Whether answers are constrained by a JSON schema.
    pub json_schema: JsonSchema,
    /// A price instead of the price table's.
    pub price: Option<Price>,
    /// What the machine behind a `compatible` server costs, in dollars per hour; charged by time instead of by token.
    pub machine_cost_per_hour: Option<f64>,
}

/// Whose API a remote model has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Anything with OpenAI's API: vLLM, TGI, llama-server, Ollama.
    Compatible {
        /// `http://host/v1`.
        base_url: String,
    },
    /// Answers from a file.
    Replay {
        /// JSONL, relative to the workspace.
        path: String,
    },
}

/// Whether answers are constrained by a JSON schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonSchema {
    /// Where the provider can.
    #[default]
    Auto,
    /// Always: a provider that can't is an error.
    On,
    /// Never.
    Off,
}

impl Provider {
    /// The word after `provider =`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Compatible { .. } => "compatible",
            Self::Replay { .. } => "replay",
        }
    }
}

impl JsonSchema {
    /// The word after `json_schema =`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

pub(super) const KEYS: &[&str] = &[
    "kind",
    "provider",
    "model",
    "base_url",
    "path",
    "api_key",
    "timeout_ms",
    "max_retries",
    "max_concurrency",
    "max_output_tokens",
    "examples",
    "json_schema",
    "price",
    "machine_cost_per_hour",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteTable {
    provider: Option<Spanned<String>>,
    model: Option<Spanned<String>>,
    base_url: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    api_key: Option<Spanned<toml::Value>>,
    timeout_ms: Option<Spanned<i64>>,
    max_retries: Option<Spanned<i64>>,
    max_concurrency: Option<Spanned<i64>>,
    max_output_tokens: Option<Spanned<i64>>,
    examples: Option<Spanned<i64>>,
    json_schema: Option<Spanned<String>>,
    price: Option<PriceTable>,
    machine_cost_per_hour: Option<Spanned<f64>>,
}

/// Dollars per million tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceTable {
    input: Spanned<f64>,
    output: Spanned<f64>,
    cached_input: Option<Spanned<f64>>,
    cache_write: Option<Spanned<f64>>,
    batch_input: Option<Spanned<f64>>,
    batch_output: Option<Spanned<f64>>,
}

const PROVIDERS: [&str; 4] = ["openai", "anthropic", "compatible", "replay"];

/// Reads a remote model's own keys.
pub(super) fn read(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: Spanned<DeValue<'_>>,
) -> Result<Remote, Problem> {
    let table: RemoteTable = source.parse_part(value)?;
    let provider = provider(source, name, &table)?;
    let api_key = match (&table.api_key, &provider) {
        (Some(key), Provider::Replay { .. }) => {
            return Err(source
                .problem_at(key, "answers from a file need no key")
                .hint("remove `api_key`, or choose another provider"));
        }
        (Some(key), _) => Some(secret::read(source, key)?),
        (None, Provider::OpenAi) => Some(KeySource::Env("OPENAI_API_KEY".to_owned())),
        (None, Provider::Anthropic) => Some(KeySource::Env("ANTHROPIC_API_KEY".to_owned())),
        (None, _) => None,
    };
    let number = |key: &str, value: &Option<Spanned<i64>>, range: (i64, i64), default: u64| {
        Ok::<u64, Problem>(whole(source, key, value.as_ref(), range.0, range.1)?.unwrap_or(default))
    };
    Ok(Remote {
        model: model(source, name, &table, &provider)?,
        api_key,
        timeout_ms: number("timeout_ms", &table.timeout_ms, (1, 3_600_000), 60_000)?,
        max_retries: number("max_retries", &table.max_retries, (0, 20), 4)?,
        max_concurrency: number("max_concurrency", &table.max_concurrency, (1, 1_024), 8)?,
        max_output_tokens: number("max_output_tokens", &table.max_output_tokens, (1, 1_000_000), 1_024)?,
        examples: number("examples", &table.examples, (0, 200), 8)?,
        json_schema: json_schema(source, table.json_schema.as_ref())?,
        price: table.price.map(|price| price_of(source, &price)).transpose()?,
        machine_cost_per_hour: machine_cost(source, table.machine_cost_per_hour.as_ref(), &provider)?,
        provider,
    })
}

fn provider(source: &Source, name: &Spanned<DeString<'_>>, table: &RemoteTable) -> Result<Provider, Problem> {
    let Some(word) = &table.provider else {
        return Err(source
            .problem_at(name, format!("model `{}` doesn't say its `provider`", name.get_ref()))
            .allowed(list(PROVIDERS)));
    };
    let known = PROVIDERS.into_iter().find(|known| known == word.get_ref()).ok_or_else(|| {
        source
            .problem_at(word, format!("`{}` is not a provider", word.get_ref()))
            .allowed(list(PROVIDERS))
            .did_you_mean(word.get_ref(), PROVIDERS)
    })?;
    if let (Some(url), false) = (&table.base_url, known == "compatible") {
        return Err(source
            .problem_at(
                url,
                format!("`base_url` belongs to provider = \"compatible\"; this one is \"{known}\""),
            )
            .hint("provider = \"compatible\" speaks OpenAI's protocol to any server"));
    }
    if let (Some(path), false) = (&table.path, known == "replay") {
        return Err(source
            .problem_at(path, format!("`path` belongs to provider = \"replay\"; this one is \"{known}\"")));
    }
    match known {
        "openai" => Ok(Provider::OpenAi),
        "anthropic" => Ok(Provider::Anthropic),
        "compatible" => match &table.base_url {
            Some(url) => Ok(Provider::Compatible { base_url: base_url(source, url)? }),
            None => Err(source
                .problem_at(word, "provider = \"compatible\" needs `base_url`")
                .hint("for example base_url = \"http://127.0.0.1:8000/v1\"")),
        },
        _ => match &table.path {
            Some(file) => Ok(Provider::Replay { path: path(source, "path", file.clone())? }),
            None => Err(source
                .problem_at(word, "provider = \"replay\" needs `path`, the file its answers are in")
                .hint("for example path = \"answers.jsonl\"")),
        },
    }
}

fn base_url(source: &Source, url: &Spanned<String>) -> Result<String, Problem> {
    let wrong = |message: &str| {
        source
            .problem_at(url, message.to_owned())
            .allowed("http:// or https://, a host, and the path up to /v1")
            .hint("for example \"http://127.0.0.1:8000/v1\"")
    };
    let parsed: http::Uri =
        url.get_ref().parse().map_err(|_| wrong("`base_url` is not an address that can be called"))?;
    if !matches!(parsed.scheme_str(), Some("http" | "https")) {
        return Err(wrong("`base_url` doesn't begin with http:// or https://"));
    }
    let authority = parsed.authority().map_or("", http::uri::Authority::as_str);
    if authority.contains('@') {
        return Err(source
            .problem_at(url, "`base_url` holds a user name or password")
            .hint("keep it in the environment: api_key = { env = \"NAME\" }"));
    }
    if parsed.host().is_none_or(str::is_empty) || parsed.query().is_some() {
        return Err(wrong("`base_url` is not the address of an API"));
    }
    Ok(url.get_ref().trim_end_matches('/').to_owned())
}

fn model(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    table: &RemoteTable,
    provider: &Provider,
) -> Result<String, Problem> {
    match &table.model {
        Some(model) if model.get_ref().trim().is_empty() => {
            Err(source.problem_at(model, "`model` is empty").allowed("the model's name at its provider"))
        }
        Some(model) => Ok(model.get_ref().clone()),
        None if matches!(provider, Provider::Replay { .. }) => Ok(name.get_ref().to_string()),
        None => Err(source
            .problem_at(
                name,
                format!("model `{}` doesn't say which `model` of its provider it is", name.get_ref()),
            )
            .hint("for example model = \"gpt-5-mini\"")),
    }
}

fn json_schema(source: &Source, value: Option<&Spanned<String>>) -> Result<JsonSchema, Problem> {
    const WORDS: [&str; 3] = ["auto", "on", "off"];
    let Some(value) = value else { return Ok(JsonSchema::Auto) };
    match value.get_ref().as_str() {
        "auto" => Ok(JsonSchema::Auto),
        "on" => Ok(JsonSchema::On),
        "off" => Ok(JsonSchema::Off),
        other => {
            let problem = source.problem_at(value, format!("`{other}` is not a value of `json_schema`"));
            let near = nearest(other, WORDS).unwrap_or("auto");
            Err(problem.allowed(list(WORDS)).hint(format!("did you mean `{near}`?")))
        }
    }
}

fn price_of(source: &Source, table: &PriceTable) -> Result<Price, Problem> {
    let micro = |name: &str, value: &Spanned<f64>| {
        let dollars = *value.get_ref();
        if (0.0..=1e6).contains(&dollars) {
            return Ok((dollars * 1e6).round() as u64);
        }
        Err(source
            .problem_at(value, format!("`{name}` = {dollars} is not a price"))
            .allowed("dollars per million tokens, 0 or more"))
    };
    let optional =
        |name: &str, value: &Option<Spanned<f64>>| value.as_ref().map(|value| micro(name, value)).transpose();
    Ok(Price {
        input: micro("input", &table.input)?,
        output: micro("output", &table.output)?,
        cached_input: optional("cached_input", &table.cached_input)?,
        cache_write: optional("cache_write", &table.cache_write)?,
        batch_input: optional("batch_input", &table.batch_input)?,
        batch_output: optional("batch_output", &table.batch_output)?,
    })
}

fn machine_cost(
    source: &Source,
    value: Option<&Spanned<f64>>,
    provider: &Provider,
) -> Result<Option<f64>, Problem> {
    match value {
        None => Ok(None),
        Some(value) if !matches!(provider, Provider::Compatible { .. }) => Err(source.problem_at(
            value,
            "`machine_cost_per_hour` belongs to provider = \"compatible\": a machine of your own",
        )),
        Some(value) if value.get_ref().is_finite() && *value.get_ref() >= 0.0 => Ok(Some(*value.get_ref())),
        Some(value) => Err(source
            .problem_at(value, format!("`machine_cost_per_hour` = {} is out of range", value.get_ref()))
            .allowed("dollars per hour, 0 or more")),
    }
}
