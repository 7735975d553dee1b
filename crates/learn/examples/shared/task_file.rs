//! A task's file, read without a workspace around it.

use std::path::Path;

use sprat_task::{Source, Task, read_task};

/// The task, with the labels that stand in a file beside it.
pub fn open(path: &Path) -> Result<Task, Box<dyn std::error::Error>> {
    let source = Source::new(path.display().to_string(), std::fs::read_to_string(path)?);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let beside = |file: &str| {
        let labels = path.parent().unwrap_or(Path::new(".")).join(file);
        std::fs::read_to_string(labels).map_err(|error| error.to_string())
    };
    Ok(read_task(&name, &source, beside)?)
}
