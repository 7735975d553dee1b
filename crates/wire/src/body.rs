//! Parsing a body, with the place of what is wrong in it.

use serde::de::DeserializeOwned;

/// A body that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct BodyError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1; 0 when the parser could not say.
    pub column: usize,
    /// What was wrong, without the body's own text beyond a field's name.
    pub reason: String,
    /// Whether it was JSON at all: false means a syntax error, true a field of the wrong kind.
    pub is_json: bool,
}

impl From<serde_json::Error> for BodyError {
    fn from(error: serde_json::Error) -> Self {
        let full = error.to_string();
        let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason);
        Self {
            line: error.line(),
            column: error.column(),
            reason: reason.to_owned(),
            is_json: error.is_data(),
        }
    }
}

/// A body of type `T`. Bytes that are not UTF-8, lone surrogates and nesting deeper than 128 are errors.
pub fn parse_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    Ok(serde_json::from_slice(body)?)
}
