//! `[models.NAME]` with `kind = "decoder"`: where the model's file is, and how it is run.

use std::path::PathBuf;

use serde::Deserialize;
use sprat_models::hub::ModelSource;
use sprat_task::{ModelId, Problem, Source};
use toml::Spanned;
use toml::de::DeString;

use super::file;
use super::model::checked_place;

/// A decoder, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Where the GGUF file is.
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
pub const KEYS: &[&str] = &["kind", "source", "context", "threads", "adapter", "fallback"];

/// Room for a prompt and some dozens of short texts at a time.
pub const CONTEXT: u32 = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    source: Option<Spanned<String>>,
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
    Ok(Decoder {
        adapter: adapter.transpose()?,
        fallback,
        source: checked_place(source, name, table.source)?,
        context: context.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(CONTEXT),
        threads: threads.and_then(|threads| u32::try_from(threads).ok()),
    })
}
