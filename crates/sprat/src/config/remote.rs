//! A model of kind `remote`: a provider's API, a server of the same shape, or answers from a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sprat_models::remote::{JsonSchema, Provider, RemoteConfig, Secret};
use sprat_task::problem::list;
use sprat_task::{ModelId, Money, Price, Problem, Provenance, Source};
use sprat_wire::Object;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::file::{path, whole};
use super::secret::{self, KeySource};

/// A remote model, as configured: everything but its key.
#[derive(Clone, Debug)]
pub struct Remote {
    /// The settings, without a key; the path of a `replay` as written.
    pub settings: RemoteConfig,
    /// Where the key comes from; `None` sends none.
    pub api_key: Option<KeySource>,
    /// Who is asked where it fails, in order.
    pub fallback: Vec<Spanned<ModelId>>,
}

impl Remote {
    /// The settings with paths resolved against the workspace's folder, still without a key.
    pub fn resolved(&self, root: &Path) -> RemoteConfig {
        let mut settings = self.settings.clone();
        if let Provider::Replay { path } = &mut settings.provider {
            *path = root.join(&*path);
        }
        settings
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
    "max_tokens",
    "temperature",
    "examples",
    "json_schema",
    "logprobs",
    "price",
    "hardware_cost_per_hour",
    "extra",
    "waits",
    "provenance",
    "fallback",
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
    max_tokens: Option<Spanned<i64>>,
    temperature: Option<Spanned<f64>>,
    examples: Option<Spanned<i64>>,
    json_schema: Option<Spanned<String>>,
    logprobs: Option<bool>,
    price: Option<Spanned<PriceTable>>,
    hardware_cost_per_hour: Option<Spanned<f64>>,
    extra: Option<Spanned<toml::Table>>,
    waits: Option<Spanned<bool>>,
    provenance: Option<Spanned<String>>,
    fallback: Option<Vec<Spanned<String>>>,
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

/// Reads a remote model's own keys.
pub(super) fn read(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: Spanned<DeValue<'_>>,
) -> Result<Remote, Problem> {
    let table: RemoteTable = source.parse_part(value)?;
    let provider = provider(source, name, &table)?;
    let api_key = api_key(source, &table, &provider)?;
    let model = model(source, name, &table, &provider)?;
    let mut settings = RemoteConfig::new(provider, model);
    settings.base_url = match (&settings.provider, &table.base_url) {
        (Provider::OpenAi | Provider::Anthropic, Some(url)) => Some(url.get_ref().clone()),
        _ => None,
    };
    if let Some(ms) = whole(source, "timeout_ms", table.timeout_ms.as_ref(), 1, 3_600_000)? {
        settings.timeout = Duration::from_millis(ms);
    }
    if let Some(retries) = whole(source, "max_retries", table.max_retries.as_ref(), 0, 20)? {
        settings.max_retries = u32::try_from(retries).unwrap_or(20);
    }
    if let Some(calls) = whole(source, "max_concurrency", table.max_concurrency.as_ref(), 1, 1_024)? {
        settings.max_concurrency = usize::try_from(calls).unwrap_or(1);
    }
    if let Some(examples) = whole(source, "examples", table.examples.as_ref(), 0, 1_000)? {
        settings.examples = usize::try_from(examples).unwrap_or(0);
    }
    settings.max_tokens = whole(source, "max_tokens", table.max_tokens.as_ref(), 1, 1_000_000)?;
    if let Some(temperature) = &table.temperature {
        settings.temperature = Some(*temperature.get_ref());
    }
    settings.json_schema = json_schema(source, table.json_schema.as_ref())?;
    settings.logprobs = table.logprobs.unwrap_or(settings.logprobs);
    settings.price = table.price.as_ref().map(|price| price_of(source, price.get_ref())).transpose()?;
    settings.hardware_cost_per_hour = hardware(source, table.hardware_cost_per_hour.as_ref())?;
    settings.extra = extra(source, table.extra.as_ref())?;
    settings.replay_waits = table.waits.as_ref().is_some_and(|waits| *waits.get_ref());
    settings.provenance = provenance(source, table.provenance.as_ref(), &settings.provider)?;
    check_together(source, name, &table, &settings)?;
    let named = table.fallback.iter().flatten();
    let fallback =
        named.map(|name| Spanned::new(name.span(), ModelId::from(name.get_ref().as_str()))).collect();
    Ok(Remote { settings, api_key, fallback })
}

/// Where the answers come from, where it isn't a model that gives them.
fn provenance(
    source: &Source,
    word: Option<&Spanned<String>>,
    provider: &Provider,
) -> Result<Provenance, Problem> {
    let Some(word) = word else { return Ok(Provenance::Measured) };
    if !matches!(provider, Provider::Compatible { .. }) {
        return Err(source
            .problem_at(word, "`provenance` belongs to provider = \"compatible\"")
            .hint("a file of answers says in its own lines where they come from"));
    }
    let known = [Provenance::Authored, Provenance::Simulated, Provenance::Recorded, Provenance::Measured];
    known.into_iter().find(|known| known.to_string() == *word.get_ref()).ok_or_else(|| {
        let words = known.map(|known| known.to_string());
        let words = || words.iter().map(String::as_str);
        source
            .problem_at(word, format!("`{}` doesn't say where answers come from", word.get_ref()))
            .allowed(list(words()))
            .did_you_mean(word.get_ref(), words())
    })
}

fn provider(source: &Source, name: &Spanned<DeString<'_>>, table: &RemoteTable) -> Result<Provider, Problem> {
    let Some(word) = &table.provider else {
        return Err(source
            .problem_at(name, format!("model `{}` doesn't say its `provider`", name.get_ref()))
            .allowed(list(Provider::WORDS)));
    };
    let file = match &table.path {
        Some(file) => Some(PathBuf::from(path(source, "path", file.clone())?)),
        None => None,
    };
    let base_url = table.base_url.as_ref().map(|url| url.get_ref().as_str());
    let found = Provider::from_word(word.get_ref(), base_url, file);
    let provider = found.map_err(|problem| placed(source, word, problem))?;
    let is_replay = matches!(provider, Provider::Replay { .. });
    let foreign = |key: &str, owner: &str| {
        format!("`{key}` belongs to provider = \"{owner}\"; this one is \"{}\"", provider.word())
    };
    match (&table.path, &table.waits, &table.base_url) {
        (Some(path), ..) if !is_replay => Err(source.problem_at(path, foreign("path", "replay"))),
        (_, Some(waits), _) if !is_replay => Err(source.problem_at(waits, foreign("waits", "replay"))),
        (.., Some(url)) if is_replay => Err(source
            .problem_at(url, "answers from a file have no address")
            .hint("remove `base_url`, or choose another provider")),
        _ => Ok(provider),
    }
}

fn api_key(source: &Source, table: &RemoteTable, provider: &Provider) -> Result<Option<KeySource>, Problem> {
    let default = |variable: &str| Some(KeySource::Env(variable.to_owned()));
    match (&table.api_key, provider) {
        (Some(key), Provider::Replay { .. }) => Err(source
            .problem_at(key, "answers from a file need no key")
            .hint("remove `api_key`, or choose another provider")),
        (Some(key), _) => secret::read(source, key).map(Some),
        (None, Provider::OpenAi) => Ok(default("OPENAI_API_KEY")),
        (None, Provider::Anthropic) => Ok(default("ANTHROPIC_API_KEY")),
        (None, Provider::Compatible { .. } | Provider::Replay { .. }) => Ok(None),
    }
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
    let Some(value) = value else { return Ok(JsonSchema::Auto) };
    let word = value.get_ref();
    JsonSchema::from_word(word).ok_or_else(|| {
        source
            .problem_at(value, format!("`{word}` is not a value of `json_schema`"))
            .allowed(list(JsonSchema::WORDS))
            .did_you_mean(word, JsonSchema::WORDS)
    })
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

fn hardware(source: &Source, value: Option<&Spanned<f64>>) -> Result<Option<Money>, Problem> {
    let Some(value) = value else { return Ok(None) };
    match Money::from_units(*value.get_ref()) {
        Some(cost) if cost >= Money::ZERO => Ok(Some(cost)),
        _ => Err(source
            .problem_at(value, format!("`hardware_cost_per_hour` = {} is out of range", value.get_ref()))
            .allowed("dollars per hour, 0 or more")),
    }
}

/// More fields for the request's body. TOML's dates and infinities have no counterpart in JSON.
fn extra(source: &Source, value: Option<&Spanned<toml::Table>>) -> Result<Object, Problem> {
    let Some(value) = value else { return Ok(Object::new()) };
    let not_json =
        || source.problem_at(value, "`extra` holds a value that JSON doesn't have, such as a date");
    let has_date = |value: &toml::Value| matches!(value, toml::Value::Datetime(_));
    if value.get_ref().values().any(has_date) {
        return Err(not_json());
    }
    match serde_json::to_value(value.get_ref()) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        _ => Err(not_json()),
    }
}

/// What the model's own check finds wrong; its message begins with the key at fault, which gives the place.
fn check_together(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    table: &RemoteTable,
    settings: &RemoteConfig,
) -> Result<(), Problem> {
    let mut settings = settings.clone();
    // The real key is read only when the model is opened: whether there is one isn't this file's fault.
    settings.api_key = Secret::new("read-later").ok();
    settings.validate().map_err(|problem| {
        let key = problem.message.split('`').nth(1).unwrap_or_default();
        let span = match key {
            "base_url" => table.base_url.as_ref().map(Spanned::span),
            "temperature" => table.temperature.as_ref().map(Spanned::span),
            "hardware_cost_per_hour" => table.hardware_cost_per_hour.as_ref().map(Spanned::span),
            "price" => table.price.as_ref().map(Spanned::span),
            _ => None,
        };
        placed(source, &Spanned::new(span.unwrap_or(name.span()), ()), problem)
    })
}

/// The same problem, at a place of the file.
fn placed<T>(source: &Source, at: &Spanned<T>, problem: Problem) -> Problem {
    Problem { place: source.problem_at(at, "").place, ..problem }
}
