//! What is a language model in one GGUF file, and does it fit this machine?

use std::path::Path;

use serde_json::json;
use sprat_engine::gguf::{Gguf, GgufError, Shape, memory};
use sprat_task::Problem;

use super::inspect::Told;
use crate::decoders;
use crate::failure::Failure;
use crate::output::words;
use crate::workspace::shown;

/// What the file says of itself, and what the model needs to look back on `context` tokens.
pub fn told(name: &str, source: &str, file: &Path, context: u32) -> Result<Told, Failure> {
    let (read, shape) = read(file)?;
    let needs = memory(&read, &shape, u64::from(context), decoders::BATCH);
    let may_take = decoders::may_take();
    let fits = may_take.map(|most| needs.total() <= most);
    let kv_heads = shape.kv_heads.iter().max().copied().unwrap_or(0);
    let mut lines = vec![
        ("model", name.to_owned()),
        ("source", source.to_owned()),
        ("file", shown(file)),
        ("format", format!("GGUF {}, mostly {}", read.version, shape.stored_as)),
        ("architecture", shape.architecture.clone()),
        ("layers", words::count(shape.blocks)),
        ("hidden size", words::count(shape.width)),
        ("parameters", words::count(shape.parameters)),
        ("vocabulary", words::counted(shape.vocabulary, "token")),
        ("trained on", format!("{} at a time", words::counted(shape.context, "token"))),
        ("size", words::bytes(read.bytes)),
        (
            "memory",
            format!(
                "{} = {} weights + {} for {} + {} for as many of earlier texts + {} computing",
                words::bytes(needs.total()),
                words::bytes(needs.weights),
                words::bytes(needs.context),
                words::counted(u64::from(context), "token"),
                words::bytes(needs.earlier),
                words::bytes(needs.computing)
            ),
        ),
    ];
    lines.extend(shape.name.iter().map(|name| ("called", name.clone())));
    if let (Some(fits), Some(most)) = (fits, may_take) {
        let fits = if fits { "it fits" } else { "it doesn't fit" };
        lines.push(("this machine", format!("{fits}: models may take {} together", words::bytes(most))));
    }
    Ok(Told {
        lines,
        json: json!({
            "model": name, "kind": "decoder", "source": source, "file": file.display().to_string(),
            "format": format!("GGUF {}", read.version), "stored_as": shape.stored_as,
            "architecture": shape.architecture, "called": shape.name, "layers": shape.blocks,
            "hidden_size": shape.width, "kv_heads": kv_heads, "parameters": shape.parameters,
            "vocabulary": shape.vocabulary, "trained_context": shape.context, "size_bytes": read.bytes,
            "context": context,
            "memory_bytes": {
                "weights": needs.weights, "context": needs.context, "earlier": needs.earlier, "computing": needs.computing,
                "total": needs.total(),
            },
            "may_take_bytes": may_take, "fits": fits,
        }),
    })
}

/// Reads what a file says of itself.
pub fn read(file: &Path) -> Result<(Gguf, Shape), Failure> {
    let read = Gguf::open(file).map_err(|error| refused(file, &error))?;
    let shape = Shape::of(&read).map_err(|error| refused(file, &error))?;
    Ok((read, shape))
}

fn refused(file: &Path, error: &GgufError) -> Failure {
    Problem::new(format!("{} {error}", shown(file)))
        .hint("fetch it again, or another file of the model")
        .into()
}
