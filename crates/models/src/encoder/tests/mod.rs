//! The tests of the encoder.

mod computing;
mod loading;
mod reading;

use std::path::{Path, PathBuf};

use super::tiny;

/// A tiny encoder in a folder of its own.
fn tiny_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::write(folder.path(), 7).unwrap();
    folder
}

/// all-MiniLM-L6-v2, where `make minilm` has fetched it; says so loudly where not.
fn minilm() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/all-MiniLM-L6-v2");
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: all-MiniLM-L6-v2 is not in target/models; `make minilm` fetches it");
    None
}
