//! Who is asked where a remote model fails?

use std::collections::BTreeMap;

use sprat_task::problem::list;
use sprat_task::{ModelId, Problem, Source};
use toml::Spanned;

use super::{Config, ModelConfig};

impl Config {
    /// The remote models that are asked where a model fails, in order: those it names, each followed by those that one
    /// names; nobody twice.
    pub fn fallbacks(&self, id: &ModelId) -> Vec<&ModelId> {
        let mut found = Vec::new();
        collect(&self.models, id, &mut found);
        found.retain(|found| *found != id);
        found
    }
}

fn collect<'a>(models: &'a BTreeMap<ModelId, ModelConfig>, id: &ModelId, found: &mut Vec<&'a ModelId>) {
    for named in named(models, id).iter().map(Spanned::get_ref) {
        if !found.contains(&named) {
            found.push(named);
            collect(models, named, found);
        }
    }
}

fn named<'a>(models: &'a BTreeMap<ModelId, ModelConfig>, id: &ModelId) -> &'a [Spanned<ModelId>] {
    match models.get(id) {
        Some(ModelConfig::Remote(remote)) => &remote.fallback,
        Some(ModelConfig::Decoder(decoder)) => &decoder.fallback,
        _ => &[],
    }
}

/// What is wrong with who is asked instead of whom. `declared` are all names in the file, also of models that have
/// faults of their own.
pub(super) fn check(source: &Source, config: &Config, declared: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for id in config.models.keys() {
        let names = named(&config.models, id);
        for (place, name) in names.iter().enumerate() {
            let other = name.get_ref();
            let is_again = names[..place].iter().any(|before| before.get_ref() == other);
            let why = if other == id {
                format!("model `{id}` can't stand in for itself")
            } else if is_again {
                format!("`{other}` is named twice")
            } else if config.fallbacks(other).contains(&id) {
                format!("`{other}` falls back on `{id}` in its turn, so that neither is the last")
            } else {
                problems.extend(unfit(source, config, declared, name));
                continue;
            };
            problems.push(source.problem_at(name, why).hint("remove it from `fallback`"));
        }
    }
    problems
}

/// A name of no remote model.
fn unfit(source: &Source, config: &Config, declared: &[String], name: &Spanned<ModelId>) -> Option<Problem> {
    let word = name.get_ref().as_str();
    let why = match config.models.get(name.get_ref()) {
        Some(ModelConfig::Remote(_)) => return None,
        Some(other) => {
            format!("`{word}` is a model of kind \"{}\"; only remote ones can stand in", other.kind())
        }
        // It has a fault of its own, and that one is told.
        None if declared.iter().any(|known| known == word) => return None,
        None => format!("there is no model `{word}`"),
    };
    let is_remote = |(_, model): &(&ModelId, &ModelConfig)| matches!(model, ModelConfig::Remote(_));
    let remotes = config.models.iter().filter(is_remote).map(|(id, _)| id.as_str());
    Some(source.problem_at(name, why).allowed(list(remotes.clone())).did_you_mean(word, remotes))
}
