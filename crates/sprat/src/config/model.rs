//! One `[models.NAME]`: its `kind` is read first, then that kind's own keys, so that a fault keeps its place.

use serde::Deserialize;
use sprat_cascade::cache::CACHE;
use sprat_models::hub::ModelSource;
use sprat_models::hub::source::FORMS;
use sprat_models::{linear, tagger};
use sprat_task::names::is_plain_name;
use sprat_task::problem::list;
use sprat_task::{Problem, Source};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::decoder::{self, Decoder};
use super::encoder::{self, Encoder};
use super::remote::{self, Remote};
use super::{BUILT_IN, Faults, file};

/// A model, as configured.
#[derive(Clone, Debug)]
pub enum ModelConfig {
    /// Hashed n-grams and a linear classifier, trained here.
    Linear(Linear),
    /// Finds fields in a text, trained here.
    Tagger(Tagger),
    /// A small transformer that reads text into vectors, with a head trained here.
    Encoder(Encoder),
    /// A small language model on this machine.
    Decoder(Decoder),
    /// A model behind an API, or recorded answers.
    Remote(Box<Remote>),
}

/// Settings of a linear model. Its seed is that of `[defaults]`.
pub type Linear = linear::Config;

/// Settings of a tagger. Its seed is that of `[defaults]`.
pub type Tagger = tagger::Config;

impl ModelConfig {
    /// The word after `kind =`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Tagger(_) => "tagger",
            Self::Encoder(_) => "encoder",
            Self::Decoder(_) => "decoder",
            Self::Remote(_) => "remote",
        }
    }
}

/// The keys of each kind, as the structs below have them.
pub const KEYS: [(&str, &[&str]); 5] = [
    ("linear", &["kind", "cost", "epochs", "tolerance", "balance", "in_scope_loss", "max_features"]),
    ("tagger", &["kind", "epochs", "rate", "decay", "least_count", "max_features"]),
    ("encoder", encoder::KEYS),
    ("decoder", decoder::KEYS),
    ("remote", remote::KEYS),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindTable {
    kind: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinearTable {
    cost: Option<Spanned<f64>>,
    epochs: Option<Spanned<i64>>,
    tolerance: Option<Spanned<f64>>,
    balance: Option<Spanned<f64>>,
    in_scope_loss: Option<Spanned<f64>>,
    max_features: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaggerTable {
    epochs: Option<Spanned<i64>>,
    rate: Option<Spanned<f64>>,
    decay: Option<Spanned<f64>>,
    least_count: Option<Spanned<i64>>,
    max_features: Option<Spanned<i64>>,
}

/// Reads one model. Keys it doesn't have are noted in `faults`, all of them; the first other fault comes back.
pub(super) fn read(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: Spanned<DeValue<'_>>,
    faults: &mut Faults,
) -> Result<ModelConfig, Problem> {
    let span = value.span();
    let DeValue::Table(mut table) = value.into_inner() else {
        return Err(source
            .problem_at(name, format!("`{}` is not a table", name.get_ref()))
            .hint(format!("write [models.{}] with its settings below it", name.get_ref())));
    };
    if !is_plain_name(name.get_ref()) {
        return Err(source
            .problem_at(name, format!("`{}` can't name a model", name.get_ref()))
            .allowed("1 to 64 letters, digits, `_`, `-` and `.`"));
    }
    if name.get_ref() == CACHE {
        return Err(source
            .problem_at(
                name,
                format!("`{CACHE}` is what answers are said to come from that were given before"),
            )
            .hint("give this model another name"));
    }
    let kind = kind(source, name, &mut table)?;
    let rest = Spanned::new(span, DeValue::Table(own_keys(source, kind, table, faults)));
    match kind {
        "linear" => linear(source, source.parse_part(rest)?).map(ModelConfig::Linear),
        "tagger" => tagger(source, source.parse_part(rest)?).map(ModelConfig::Tagger),
        "encoder" => encoder::read(source, name, source.parse_part(rest)?).map(ModelConfig::Encoder),
        "decoder" => decoder::read(source, name, source.parse_part(rest)?).map(ModelConfig::Decoder),
        _ => remote::read(source, name, rest).map(|remote| ModelConfig::Remote(Box::new(remote))),
    }
}

/// Takes `kind` out of the table.
fn kind(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    table: &mut DeTable<'_>,
) -> Result<&'static str, Problem> {
    let mut first = DeTable::new();
    if let Some((key, value)) = table.remove_entry("kind") {
        first.insert(key, value);
    }
    let read: KindTable = source.parse_part(Spanned::new(name.span(), DeValue::Table(first)))?;
    let kinds = KEYS.map(|(kind, _)| kind);
    let Some(word) = read.kind else {
        return Err(source
            .problem_at(name, format!("model `{}` doesn't say its `kind`", name.get_ref()))
            .allowed(list(kinds)));
    };
    let kind = kinds.into_iter().find(|kind| kind == word.get_ref()).ok_or_else(|| {
        source
            .problem_at(&word, format!("`{}` is not a kind of model", word.get_ref()))
            .allowed(list(kinds))
            .did_you_mean(word.get_ref(), kinds)
    })?;
    if BUILT_IN.contains(&name.get_ref().as_ref()) && kind != name.get_ref() {
        return Err(source
            .problem_at(&word, format!("`{0}` is the name of the {0} model that is built in", name.get_ref()))
            .hint(format!("give this {kind} another name")));
    }
    Ok(kind)
}

/// The table with this kind's own keys; every other key is noted.
fn own_keys<'a>(source: &Source, kind: &str, table: DeTable<'a>, faults: &mut Faults) -> DeTable<'a> {
    let own = KEYS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| keys);
    let (kept, foreign): (Vec<_>, Vec<_>) =
        table.into_iter().partition(|(key, _)| own.contains(&key.get_ref().as_ref()));
    for (key, _) in foreign {
        let name = key.get_ref().as_ref();
        let allowed = list(own.iter().copied());
        faults.0.push(match KEYS.iter().find(|(_, keys)| keys.contains(&name)) {
            Some((other, _)) => source
                .problem_at(
                    &key,
                    format!("key `{name}` belongs to kind = \"{other}\"; this model is \"{kind}\""),
                )
                .allowed(allowed),
            None => source
                .problem_at(&key, format!("unknown key `{name}`"))
                .allowed(allowed)
                .did_you_mean(name, own.iter().copied()),
        });
    }
    kept.into_iter().collect()
}

fn linear(source: &Source, table: LinearTable) -> Result<Linear, Problem> {
    let defaults = Linear::default();
    let number = |name: &str, value: &Option<Spanned<f64>>, default: f32, most: f64| match value {
        None => Ok(default),
        Some(value) if *value.get_ref() > 0.0 && *value.get_ref() <= most => Ok(*value.get_ref() as f32),
        Some(value) => Err(source
            .problem_at(value, format!("`{name}` = {} is out of range", value.get_ref()))
            .allowed(format!("more than 0 and at most {most}"))),
    };
    let epochs = file::whole(source, "epochs", table.epochs.as_ref(), 1, 1_000)?;
    let max_features = file::whole(source, "max_features", table.max_features.as_ref(), 1_000, 10_000_000)?;
    Ok(Linear {
        seed: defaults.seed,
        cost: number("cost", &table.cost, defaults.cost, 1e6)?,
        epochs: epochs.and_then(|epochs| u32::try_from(epochs).ok()).unwrap_or(defaults.epochs),
        tolerance: number("tolerance", &table.tolerance, defaults.tolerance, 1.0)?,
        balance: share(source, "balance", &table.balance, defaults.balance)?,
        in_scope_loss: share(source, "in_scope_loss", &table.in_scope_loss, defaults.in_scope_loss)?,
        max_features: max_features
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(defaults.max_features),
    })
}

/// A number from 0 to 1.
pub(super) fn share(
    source: &Source,
    name: &str,
    value: &Option<Spanned<f64>>,
    default: f32,
) -> Result<f32, Problem> {
    match value {
        None => Ok(default),
        Some(value) if (0.0..=1.0).contains(value.get_ref()) => Ok(*value.get_ref() as f32),
        Some(value) => Err(source
            .problem_at(value, format!("`{name}` = {} is out of range", value.get_ref()))
            .allowed("0 to 1")),
    }
}

fn tagger(source: &Source, table: TaggerTable) -> Result<Tagger, Problem> {
    let defaults = Tagger::default();
    let number = |name: &str, value: &Option<Spanned<f64>>, default: f32| match value {
        None => Ok(default),
        Some(value) if *value.get_ref() > 0.0 && *value.get_ref() <= 1.0 => Ok(*value.get_ref() as f32),
        Some(value) => Err(source
            .problem_at(value, format!("`{name}` = {} is out of range", value.get_ref()))
            .allowed("more than 0 and at most 1")),
    };
    let whole = |name: &str, value: &Option<Spanned<i64>>, least, most| {
        file::whole(source, name, value.as_ref(), least, most)
    };
    let small = |number: Option<u64>, default: u32| {
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    Ok(Tagger {
        seed: defaults.seed,
        epochs: small(whole("epochs", &table.epochs, 1, 1_000)?, defaults.epochs),
        rate: number("rate", &table.rate, defaults.rate)?,
        decay: number("decay", &table.decay, defaults.decay)?,
        least_count: small(whole("least_count", &table.least_count, 1, 1_000)?, defaults.least_count),
        max_features: whole("max_features", &table.max_features, 1_000, 10_000_000)?
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(defaults.max_features),
    })
}

/// Where a model's files are: `hf:OWNER/NAME` or `path:PATH`.
pub(super) fn checked_place(
    source: &Source,
    name: &Spanned<DeString<'_>>,
    place: Option<Spanned<String>>,
) -> Result<ModelSource, Problem> {
    let Some(place) = place else {
        return Err(source
            .problem_at(name, format!("model `{}` doesn't say its `source`", name.get_ref()))
            .allowed(FORMS)
            .hint("for example source = \"hf:sentence-transformers/all-MiniLM-L6-v2\""));
    };
    let read: Result<ModelSource, Problem> = place.get_ref().parse();
    read.map_err(|wrong| Problem {
        allowed: wrong.allowed,
        hint: wrong.hint,
        ..source.problem_at(&place, wrong.message)
    })
}
