//! `[models.NAME]` with `kind = "decoder"`: where the model's file is, and how it is run.

use std::path::PathBuf;

use serde::Deserialize;
use sprat_models::hub::ModelSource;
use sprat_models::hub::source::is_file;
use sprat_task::{ModelId, Problem, Source};
use toml::Spanned;
use toml::de::DeString;

use super::file;
use super::model::checked_place;

/// A decoder, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Where the GGUF file is. One of the hub names its repository and, behind `#` or as `file`, which of its files.
    pub source: ModelSource,
    /// Tokens that all requests together can look back on.
    pub context: u32,
    /// Threads it computes on; as many as the machine has where it isn't set.
    pub threads: Option<u32>,
    /// The adapter that it is run with: a GGUF file, or a folder that PEFT has written. Models of one file share its
    /// process, whatever their adapters.
    pub adapter: Option<PathBuf>,
    /// The remote models that are asked where it fails a call that names it.
    pub fallback: Vec<Spanned<ModelId>>,
}

/// The keys.
pub const KEYS: &[&str] = &["kind", "source", "file", "context", "threads", "adapter", "fallback"];

/// Room for a prompt and some dozens of short texts at a time.
pub const CONTEXT: u32 = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    source: Option<Spanned<String>>,
    file: Option<Spanned<String>>,
    context: Option<Spanned<i64>>,
    threads: Option<Spanned<i64>>,
    adapter: Option<Spanned<String>>,
    fallback: Option<Vec<Spanned<String>>>,
}

pub(super) fn read(source: &Source, name: &Spanned<DeString<'_>>, table: Table) -> Result<Decoder, Problem> {
    let context = file::whole(source, "context", table.context.as_ref(), 256, 1 << 20)?;
    let threads = file::whole(source, "threads", table.threads.as_ref(), 1, 512)?;
    let adapter = table.adapter.as_ref().map(|adapter| match adapter.get_ref().strip_prefix("path:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(source
            .problem_at(adapter, format!("`{}` is not where an adapter is", adapter.get_ref()))
            .allowed(
                "path: and a GGUF file, or a folder with adapter_config.json and adapter_model.safetensors",
            )),
    });
    let named = table.fallback.iter().flatten();
    let fallback =
        named.map(|name| Spanned::new(name.span(), ModelId::from(name.get_ref().as_str()))).collect();
    let place = checked_place(source, name, table.source)?;
    Ok(Decoder {
        adapter: adapter.transpose()?,
        fallback,
        source: with_file(source, place, table.file)?,
        context: context.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(CONTEXT),
        threads: threads.and_then(|threads| u32::try_from(threads).ok()),
    })
}

/// The place, with the file of it that `file` names.
fn with_file(
    source: &Source,
    mut place: ModelSource,
    file: Option<Spanned<String>>,
) -> Result<ModelSource, Problem> {
    let Some(file) = file else { return Ok(place) };
    let name = file.get_ref();
    let wrong = |why: String| source.problem_at(&file, why);
    match &mut place {
        ModelSource::Path(_) => {
            Err(wrong("`file` is for models of the hub; this `source` is a path".to_owned())
                .hint("write the whole path into `source`"))
        }
        ModelSource::Hub(repository) if repository.file.is_some() => {
            Err(wrong("`file` and the `#` in `source` both say which file is meant".to_owned())
                .hint("take one of them away"))
        }
        ModelSource::Hub(repository) => match is_file(name) {
            true => {
                repository.file = Some(name.clone());
                Ok(place)
            }
            false => Err(wrong(format!("`{name}` can't be a file of the repository"))
                .allowed("a file's name, such as small-Q4_K_M.gguf, or a quantization, such as q4_k_m")),
        },
    }
}
