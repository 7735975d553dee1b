//! Every value in force and where it came from: what `sprat config show` prints.

use serde::Serialize;
use serde_json::{Value, json};
use sprat_models::remote::Provider;
use sprat_task::task::{Audit, InputRule};
use sprat_task::{Kind, Last, Money, Price, Source, Task};

use super::{Config, KeySource, ModelConfig, Remote};

/// One value in force.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// The key with its tables: `models.large.timeout_ms`.
    pub key: String,
    /// The value; `null` where nothing is set and nothing holds instead.
    pub value: Value,
    /// The file that says so; `None`: a default.
    pub file: Option<String>,
    /// The line in that file.
    pub line: Option<u64>,
    /// What a value means that can't be shown, such as whether a key is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Setting {
    /// `sprat.toml:3`, or `default`.
    pub fn origin(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => "default".to_owned(),
        }
    }
}

/// Collects settings of one file.
struct Settings<'a> {
    source: Option<&'a Source>,
    list: Vec<Setting>,
}

impl Settings<'_> {
    fn add(&mut self, path: &[&str], value: impl Into<Value>) {
        self.add_noted(path, value, None);
    }

    fn add_noted(&mut self, path: &[&str], value: impl Into<Value>, note: Option<String>) {
        let line = self.source.and_then(|source| source.line_of_key(path));
        let file = line.and_then(|_| self.source.map(|source| source.file().to_owned()));
        self.list.push(Setting { key: path.join("."), value: value.into(), file, line, note });
    }

    fn add_or(&mut self, path: &[&str], value: Option<impl Into<Value>>, otherwise: &str) {
        match value {
            Some(value) => self.add(path, value),
            None => self.add_noted(path, Value::Null, Some(otherwise.to_owned())),
        }
    }
}

/// The values of `sprat.toml`.
pub fn of_config(config: &Config, source: &Source, root: &std::path::Path) -> Vec<Setting> {
    let mut all = Settings { source: Some(source), list: Vec::new() };
    all.add(&["server", "listen"], config.server.listen.to_string());
    all.add(&["server", "management"], config.server.management.to_string());
    all.add(&["server", "deadline_ms"], config.server.deadline_ms);
    all.add(&["server", "client_timeout_ms"], config.server.client_timeout_ms);
    all.add(&["server", "most_at_once"], config.server.most_at_once);
    all.add(&["server", "most_connections"], config.server.most_connections);
    all.add(&["store", "url"], without_password(&config.store));
    all.add_or(&["prices", "file"], config.prices.clone(), "the table that comes with Sprat");
    if let Some(notices) = &config.notices {
        of_key(&mut all, &["notices", "webhook"], Some(&notices.webhook), root);
        all.add(&["notices", "format"], notices.format.word());
    }
    all.add(&["defaults", "seed"], config.defaults.seed);
    all.add_or(&["defaults", "threads"], config.defaults.threads, "one for each core");
    for (name, model) in &config.models {
        let name = name.as_str();
        all.add(&["models", name, "kind"], model.kind());
        match model {
            ModelConfig::Linear(linear) => {
                all.add(&["models", name, "cost"], short(linear.cost));
                all.add(&["models", name, "epochs"], linear.epochs);
                all.add(&["models", name, "tolerance"], short(linear.tolerance));
                all.add(&["models", name, "balance"], short(linear.balance));
                all.add(&["models", name, "in_scope_loss"], short(linear.in_scope_loss));
                all.add(&["models", name, "max_features"], linear.max_features);
            }
            ModelConfig::Tagger(tagger) => {
                all.add(&["models", name, "epochs"], tagger.epochs);
                all.add(&["models", name, "rate"], short(tagger.rate));
                all.add(&["models", name, "decay"], short(tagger.decay));
                all.add(&["models", name, "least_count"], tagger.least_count);
                all.add(&["models", name, "max_features"], tagger.max_features);
            }
            ModelConfig::Encoder(encoder) => {
                all.add(&["models", name, "source"], encoder.source.to_string());
                all.add(&["models", name, "precision"], encoder.precision);
                all.add(&["models", name, "fine_tune"], encoder.fine_tune);
                all.add_or(&["models", name, "epochs"], encoder.epochs, "by the number of rows");
                all.add(&["models", name, "learning_rate"], short(encoder.learning_rate));
                all.add(&["models", name, "balance"], short(encoder.balance));
                all.add(&["models", name, "in_scope_loss"], short(encoder.in_scope_loss));
            }
            ModelConfig::Decoder(decoder) => {
                all.add(&["models", name, "source"], decoder.source.to_string());
                all.add(&["models", name, "context"], decoder.context);
                all.add_or(&["models", name, "threads"], decoder.threads, "as many as the machine has");
            }
            ModelConfig::Remote(remote) => of_remote(&mut all, name, remote, root),
        }
    }
    all.list
}

fn of_remote(all: &mut Settings<'_>, name: &str, remote: &Remote, root: &std::path::Path) {
    let settings = &remote.settings;
    all.add(&["models", name, "provider"], settings.provider.word());
    match &settings.provider {
        Provider::Compatible { base_url } => all.add(&["models", name, "base_url"], base_url.clone()),
        Provider::Replay { path } => all.add(&["models", name, "path"], path.display().to_string()),
        Provider::OpenAi | Provider::Anthropic => {
            all.add_or(&["models", name, "base_url"], settings.base_url.clone(), "the provider's own");
        }
    }
    all.add(&["models", name, "model"], settings.model.clone());
    of_key(all, &["models", name, "api_key"], remote.api_key.as_ref(), root);
    all.add_or(&["models", name, "price"], settings.price.map(price), "from the price table");
    let fallback: Vec<&str> = remote.fallback.iter().map(|other| other.get_ref().as_str()).collect();
    let named = (!fallback.is_empty()).then(|| json!(fallback));
    all.add_or(&["models", name, "fallback"], named, "nobody is asked where it fails");
    if matches!(settings.provider, Provider::Replay { .. }) {
        all.add(&["models", name, "waits"], settings.replay_waits);
        return;
    }
    let timeout_ms = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
    all.add(&["models", name, "timeout_ms"], timeout_ms);
    all.add(&["models", name, "max_retries"], settings.max_retries);
    all.add(&["models", name, "max_concurrency"], settings.max_concurrency);
    all.add_or(&["models", name, "max_tokens"], settings.max_tokens, "enough for the labels");
    all.add_or(&["models", name, "temperature"], settings.temperature, "not sent");
    all.add(&["models", name, "examples"], settings.examples);
    all.add(&["models", name, "json_schema"], settings.json_schema.word());
    all.add(&["models", name, "logprobs"], settings.logprobs);
    all.add(&["models", name, "extra"], Value::Object(settings.extra.clone()));
    if matches!(settings.provider, Provider::Compatible { .. }) {
        let cost = settings.hardware_cost_per_hour.map(Money::units);
        all.add_or(&["models", name, "hardware_cost_per_hour"], cost, "charged by the token");
        all.add(&["models", name, "provenance"], settings.provenance.to_string());
    }
}

/// Where a key comes from and whether it is there, never the key.
fn of_key(all: &mut Settings<'_>, path: &[&str], from: Option<&KeySource>, root: &std::path::Path) {
    let Some(from) = from else {
        return all.add_noted(path, Value::Null, Some("none is sent".to_owned()));
    };
    let value = match from {
        KeySource::Env(variable) => json!({ "env": variable }),
        KeySource::File(file) => json!({ "file": file }),
    };
    let note = match (from.read(root), from) {
        (Ok(_), _) => "set".to_owned(),
        (Err(_), KeySource::Env(_)) => "not set".to_owned(),
        (Err(why), KeySource::File(_)) => why,
    };
    all.add_noted(path, value, Some(note));
}

/// A price in dollars per million tokens, as it is written in the file.
fn price(price: Price) -> Value {
    let dollars = |micro: u64| Money::from_micro(micro.try_into().unwrap_or(i64::MAX)).units();
    json!({
        "input": dollars(price.input),
        "output": dollars(price.output),
        "cached_input": price.cached_input.map(dollars),
        "cache_write": price.cache_write.map(dollars),
        "batch_input": price.batch_input.map(dollars),
        "batch_output": price.batch_output.map(dollars),
    })
}

/// The values of a task file.
pub fn of_task(task: &Task, source: &Source) -> Vec<Setting> {
    let mut all = Settings { source: Some(source), list: Vec::new() };
    all.add(&["kind"], task.kind.word());
    if task.kind.has_labels() {
        let labels: Vec<&str> = task.labels.iter().map(sprat_task::Label::as_str).collect();
        let from_file = source.line_of_key(&["labels_from"]).is_some();
        all.add(if from_file { &["labels_from"] } else { &["labels"] }, json!(labels));
        all.add(&["multi"], task.multi);
        let out_of_scope = task.out_of_scope.as_ref().map(|label| label.as_str().to_owned());
        all.add_or(&["out_of_scope"], out_of_scope, "no label means none of these");
    }
    if !task.fields.is_empty() {
        all.add(&["fields"], json!(task.fields));
    }
    all.add(&["instructions"], task.instructions.clone());
    if task.kind == Kind::Generate {
        let long = task.long.map(|long| long.word());
        all.add_or(&["long"], long, "a text that is too long for a small model goes to the large one");
        let marker = task.hole.as_ref().map(|hole| hole.marker().to_owned());
        all.add_or(&["hole"], marker, "texts are asked about as they are");
    }
    all.add(&["rungs"], json!(task.rungs));
    match &task.last {
        Last::Large(model) => all.add(&["large"], model.as_str()),
        Last::People => all.add(&["last"], "people"),
        Last::NoAnswer => all.add(&["last"], "no-answer"),
    }
    of_target(&mut all, task);
    if let Some(matching) = &task.matching {
        all.add(&["match", "system_prompt_contains"], matching.system_prompt_contains.clone());
        all.add(
            &["match", "input"],
            match &matching.input {
                InputRule::LastUserMessage => "last_user_message".to_owned(),
                InputRule::Pattern { before, after } => format!("{before}{{input}}{after}"),
            },
        );
        all.add(&["match", "plain"], matching.plain);
        all.add(&["match", "lower"], matching.lower);
        all.add(&["match", "bound_to"], json!(matching.bound_to));
    }
    all.add(&["capture", "enabled"], task.capture.enabled);
    all.add(&["capture", "retention_days"], task.capture.retention_days);
    all.add(&["capture", "redact"], json!(task.capture.redact));
    match task.audit {
        Audit::Auto => all.add(&["audit", "rate"], "auto"),
        Audit::Rate(rate) => all.add(&["audit", "rate"], rate),
    }
    all.add(&["cache", "exact"], task.exact_cache);
    all.list
}

fn of_target(all: &mut Settings<'_>, task: &Task) {
    let target = &task.target;
    all.add(&["target", "max_error"], target.max_error);
    all.add(&["target", "confidence"], target.confidence);
    all.add(&["target", "risk"], target.risk.to_string());
    let guarantee = target.guarantee.map(|guarantee| guarantee.to_string());
    all.add_or(&["target", "guarantee"], guarantee, "gold where rows carry gold labels, else agreement");
    all.add(&["target", "max_error_when_answered"], target.max_error_when_answered);
    all.add(&["target", "smallest_coverage"], target.smallest_coverage);
    all.add_or(&["target", "mistake_cost"], target.mistake_cost.map(Money::units), "not declared");
    all.add_or(&["target", "latency_p95_ms"], target.latency_p95_ms, "no limit");
    all.add_or(&["target", "saving"], target.saving, "not declared");
    all.add(&["target", "non_inferiority_margin"], target.non_inferiority_margin);
    for recall in &target.recall {
        all.add(&["target", "category", recall.label.as_str(), "max_missed"], recall.max_missed);
    }
    if !target.slices.is_empty() {
        let slices = target.slices.iter();
        let slices = slices.map(|slice| json!({"label": slice.label, "max_error": slice.max_error}));
        all.add(&["target", "slice"], slices.collect::<Value>());
    }
}

/// An `f32` with the digits it was written with: 0.1, not 0.10000000149.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

/// A store's address without the password it may carry.
pub fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &url[at..]),
        _ => url.to_owned(),
    }
}
