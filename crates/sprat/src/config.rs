//! `sprat.toml`: typed as written, then validated into a [`Config`] that can't be wrong.
//!
//! Each table is read by itself, so that one run tells the faults of all of them.

mod decoder;
mod encoder;
mod fallback;
mod file;
mod model;
mod notices;
mod remote;
mod secret;
pub mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sprat_task::problem::list;
use sprat_task::{ModelId, Problem, Source};
use toml::Spanned;
use toml::de::DeValue;

pub use decoder::{CONTEXT as DECODER_CONTEXT, Decoder};
pub use encoder::Encoder;
pub use model::{Linear, ModelConfig, Tagger};
pub use notices::{NoticeFormat, Notices};
pub use remote::Remote;
pub use secret::KeySource;

/// The file's name, and what marks a workspace.
pub const FILE: &str = "sprat.toml";

/// The names of the models that are there without being declared: each its own kind.
pub const BUILT_IN: [&str; 2] = ["linear", "tagger"];

/// A workspace's settings, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the gateway listens, and what it puts up with.
    pub server: Server,
    /// Where everything is remembered: `sqlite:PATH` or `postgres://…`, as written.
    pub store: String,
    /// The models by name; `linear` is always among them.
    pub models: BTreeMap<ModelId, ModelConfig>,
    /// A price table laid over the one that comes with Sprat: a path relative to the workspace.
    pub prices: Option<String>,
    /// Who is told of alarms; `None`: whoever looks.
    pub notices: Option<Notices>,
    /// What commands use unless told otherwise.
    pub defaults: Defaults,
}

/// Where the gateway listens, and what it puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// For applications.
    pub listen: SocketAddr,
    /// For health checks and metrics.
    pub management: SocketAddr,
    /// How long an answer may take, in milliseconds.
    pub deadline_ms: u64,
    /// How long a client may take to send a request and to take the reply, in milliseconds.
    pub client_timeout_ms: u64,
    /// Requests that may be under way at once.
    pub most_at_once: usize,
    /// Connections that may be open at once.
    pub most_connections: usize,
}

/// What commands use unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The seed of everything random.
    pub seed: u64,
    /// Threads for training and bulk work; `None`: one for each core.
    pub threads: Option<usize>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7077)),
            management: SocketAddr::from(([127, 0, 0, 1], 7078)),
            deadline_ms: 600_000,
            client_timeout_ms: 60_000,
            most_at_once: 1_024,
            most_connections: 10_000,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            store: "sqlite:.sprat/sprat.db".to_owned(),
            models: BTreeMap::from([
                (ModelId::from("linear"), ModelConfig::Linear(Linear::default())),
                (ModelId::from("tagger"), ModelConfig::Tagger(Tagger::default())),
            ]),
            prices: None,
            notices: None,
            defaults: Defaults::default(),
        }
    }
}

/// Reads and validates a `sprat.toml`; what is wrong comes back all at once, in the order of the file.
pub fn read(source: &Source) -> Result<Config, Vec<Problem>> {
    let mut faults = Faults::default();
    let config = read_tables(source, &mut faults);
    let Faults(mut problems) = faults;
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
    Err(problems.into_iter().map(secret::mask).collect())
}

/// What is wrong so far.
#[derive(Default)]
struct Faults(Vec<Problem>);

impl Faults {
    /// The value, or its default once the problem is noted.
    fn keep<T: Default>(&mut self, result: Result<T, Problem>) -> T {
        result.unwrap_or_else(|problem| {
            self.0.push(problem);
            T::default()
        })
    }
}

const TABLES: [&str; 6] = ["server", "store", "models", "prices", "notices", "defaults"];

fn read_tables(source: &Source, faults: &mut Faults) -> Config {
    let mut config = Config::default();
    for (key, value) in faults.keep(source.table()) {
        match key.get_ref().as_ref() {
            "server" => config.server = faults.keep(file::server(source, value)),
            "store" => {
                if let Some(url) = faults.keep(file::store(source, value)) {
                    config.store = url;
                }
            }
            "models" => read_models(source, value, &mut config, faults),
            "prices" => config.prices = faults.keep(file::prices(source, value)),
            "notices" => config.notices = faults.keep(notices::read(source, value)),
            "defaults" => config.defaults = faults.keep(file::defaults(source, value)),
            unknown => faults.0.push(
                source
                    .problem_at(&key, format!("unknown table `{unknown}`"))
                    .allowed(list(TABLES))
                    .did_you_mean(unknown, TABLES),
            ),
        }
    }
    for model in config.models.values_mut() {
        match model {
            ModelConfig::Linear(linear) => linear.seed = config.defaults.seed,
            ModelConfig::Tagger(tagger) => tagger.seed = config.defaults.seed,
            _ => {}
        }
    }
    config
}

fn read_models(source: &Source, value: Spanned<DeValue<'_>>, config: &mut Config, faults: &mut Faults) {
    let span = value.span();
    let DeValue::Table(models) = value.into_inner() else {
        faults.0.push(source.problem(span, "`models` holds tables, one for each model").hint(
            "write [models.NAME] with kind = \"remote\" (or linear, tagger, encoder, decoder) below it",
        ));
        return;
    };
    let declared: Vec<String> = models.iter().map(|(name, _)| name.get_ref().to_string()).collect();
    for (name, table) in models {
        let read = model::read(source, &name, table, faults);
        if let Some(model) = faults.keep(read.map(Some)) {
            config.models.insert(ModelId::from(name.get_ref().as_ref()), model);
        }
    }
    faults.0.extend(fallback::check(source, config, &declared));
}

#[cfg(test)]
mod tests;
