//! How is a JSON file of a model's folder read, and what is said of one that can't be?

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;
use sprat_task::Problem;

/// Reads a file; `None` where there is none.
pub(super) fn json_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Problem> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Problem::in_file(path.display(), format!("the file can't be read: {error}")));
        }
    };
    match serde_json::from_str(&text) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(Problem::new(format!("the file can't be understood: {error}"))
            .at(path.display(), error.line() as u64)
            .column(error.column() as u64)
            .hint("fetch the model again")),
    }
}
