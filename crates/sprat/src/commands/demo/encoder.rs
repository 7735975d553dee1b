//! Is there an encoder that the demo's ladder can have as a second rung?

use std::path::{Path, PathBuf};

use sprat_task::Problem;

use crate::failure::Failure;
use crate::workspace::shown;

/// Where it is looked for at the hub's cache.
const REPOSITORY: &str = "hf:sentence-transformers/all-MiniLM-L6-v2";
/// Where `make minilm` puts it in this repository.
const FETCHED: &str = "target/models/all-MiniLM-L6-v2";
/// What tells a model's folder from others.
const WEIGHTS: &str = "model.safetensors";

/// The source of an encoder as `sprat.toml` has it: the folder asked for, else a model that was pulled, else what `make minilm`
/// fetched. `None` where there is none.
///
/// # Errors
/// The folder asked for holds no model, or this build has no encoders.
pub(super) fn find(asked: Option<&Path>) -> Result<Option<String>, Failure> {
    if !cfg!(feature = "encoder") {
        return match asked {
            None => Ok(None),
            Some(_) => Err(Problem::new("`--encoder`: this build has no encoders")
                .hint("build sprat with its feature `encoder`, which is on by default")
                .into()),
        };
    }
    if let Some(folder) = asked {
        if !folder.join(WEIGHTS).is_file() {
            return Err(Problem::in_file(shown(folder), format!("this folder has no {WEIGHTS}"))
                .allowed("the folder of a sentence encoder: config.json, model.safetensors, tokenizer.json")
                .hint(format!("sprat models pull {REPOSITORY}, and leave --encoder out"))
                .into());
        }
        return of_folder(folder).map(Some);
    }
    if is_pulled() {
        return Ok(Some(REPOSITORY.to_owned()));
    }
    let fetched = Path::new(FETCHED);
    fetched.join(WEIGHTS).is_file().then(|| of_folder(fetched)).transpose()
}

fn of_folder(folder: &Path) -> Result<String, Failure> {
    let whole: PathBuf = std::path::absolute(folder)
        .map_err(|error| Failure::ours(format!("{} can't be found: {error}", shown(folder))))?;
    Ok(format!("path:{}", whole.display()))
}

#[cfg(feature = "encoder")]
fn is_pulled() -> bool {
    use sprat_models::encoder::classify::Place;

    let source = REPOSITORY.parse();
    source.is_ok_and(|source| matches!(crate::models::place(Path::new("."), &source), Place::Folder(_)))
}

#[cfg(not(feature = "encoder"))]
fn is_pulled() -> bool {
    false
}

/// What `sprat.toml` says of it.
pub(super) fn declared(source: &str) -> String {
    format!(
        "\n[models.encoder]\nkind = \"encoder\"\nsource = {}\n# Its head alone is taught: all of it would take longer than a \
         demo may.\nfine_tune = \"never\"\n",
        // A string of JSON is one of TOML.
        serde_json::Value::from(source)
    )
}

/// What is said where there is none.
pub(super) fn missing() -> String {
    format!(
        "No encoder is on this machine, so the ladder is a linear model alone. `sprat models pull {REPOSITORY}` fetches one \
         (90 MB), as does `make minilm` in the repository, and the next demo has it as a second rung."
    )
}
