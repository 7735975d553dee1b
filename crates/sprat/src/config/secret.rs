//! Where a key comes from. The key itself is never in a file of the workspace, and never in what Sprat shows.

use std::path::Path;

use serde::Deserialize;
use sprat_task::{Problem, Source};
use toml::Spanned;

/// Where an API key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An environment variable.
    Env(String),
    /// A file that holds the key and nothing else; relative to the workspace.
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    env: Option<String>,
    file: Option<String>,
}

const RIGHT: &str = "{ env = \"NAME\" } or { file = \"PATH\" }";

impl KeySource {
    /// The key, or why there is none; the reason never quotes it.
    pub fn read(&self, root: &Path) -> Result<String, String> {
        let (key, place) = match self {
            Self::Env(name) => (
                std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))?,
                format!("the environment variable {name}"),
            ),
            Self::File(path) => (
                std::fs::read_to_string(root.join(path))
                    .map_err(|error| format!("the key file {path} can't be read: {}", error.kind()))?,
                format!("the key file {path}"),
            ),
        };
        match key.trim() {
            "" => Err(format!("{place} is empty")),
            key => Ok(key.to_owned()),
        }
    }
}

/// Reads `api_key = …`; a key written into the file is refused without being repeated.
pub fn read(source: &Source, value: &Spanned<toml::Value>) -> Result<KeySource, Problem> {
    read_as(source, "api_key", value)
}

/// The same for a secret by another name.
pub fn read_as(source: &Source, name: &str, value: &Spanned<toml::Value>) -> Result<KeySource, Problem> {
    let toml::Value::Table(_) = value.get_ref() else {
        return Err(source
            .problem_at(value, "a key doesn't belong in a file that is shared and committed")
            .allowed(RIGHT)
            .hint("put the key into an environment variable; if this file was ever shared, revoke the key"));
    };
    let unsaid = || format!("`{name}` doesn't say where the key comes from");
    let table: KeyTable =
        value.get_ref().clone().try_into().map_err(|_| source.problem_at(value, unsaid()).allowed(RIGHT))?;
    match (table.env, table.file) {
        (Some(name), None) if is_variable(&name) => Ok(KeySource::Env(name)),
        (Some(_), None) => Err(source
            .problem_at(value, "`env` is not the name of an environment variable")
            .allowed("letters, digits and `_`, such as OPENAI_API_KEY")
            .hint("the name of the variable goes here, not the key")),
        (None, Some(path)) if !path.trim().is_empty() => Ok(KeySource::File(path)),
        _ => Err(source.problem_at(value, unsaid()).allowed(RIGHT).hint("give one of the two")),
    }
}

/// The problem without the value in its excerpt, where the line may hold a secret: a key typed into the wrong place
/// must not reach a terminal that somebody records.
pub fn mask(mut problem: Problem) -> Problem {
    const TELLING: [&str; 6] = ["key", "token", "secret", "password", "hook", "@"];
    if let Some((line, width)) = problem.place.as_mut().and_then(|place| place.excerpt.as_mut()) {
        let lower = line.to_lowercase().replace("max_tokens", "");
        if let Some(at) = line.find('=')
            && TELLING.iter().any(|word| lower.contains(word))
        {
            line.replace_range(at + 1.., " …");
            *width = 1;
        }
    }
    problem
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
