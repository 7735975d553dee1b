//! `POST /v1/feedback`: what a client tells us about an earlier answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Object;

/// A correction, a thumb or a better answer, for an earlier request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The `x-request-id` of the reply it is about.
    pub request_id: String,
    /// The label that would have been right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether the answer was good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbs: Option<Thumbs>,
    /// The answer that would have been right: a text, or an object of fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demonstration: Option<Value>,
    /// Anything in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Fields not named here.
    #[serde(flatten)]
    pub rest: Object,
}

open_enum! {
    /// Whether an answer was good.
    Thumbs {
        /// It was.
        Up = "up",
        /// It was not.
        Down = "down",
    }
}

/// Feedback that says nothing, or says it in unknown words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// Nothing to learn from.
    #[error("feedback needs one of `label`, `thumbs`, `demonstration` or `comment`")]
    Empty,
    /// Neither up nor down.
    #[error("`thumbs` is `{found}`; it must be `up` or `down`")]
    Thumbs {
        /// What it was.
        found: String,
    },
}

impl Feedback {
    /// Whether there is something to learn from.
    pub fn check(&self) -> Result<(), FeedbackError> {
        if let Some(Thumbs::Other(found)) = &self.thumbs {
            return Err(FeedbackError::Thumbs { found: found.clone() });
        }
        let says_something = self.label.is_some()
            || self.thumbs.is_some()
            || self.demonstration.is_some()
            || self.comment.is_some();
        if says_something { Ok(()) } else { Err(FeedbackError::Empty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_body;

    #[test]
    fn feedback_must_say_something_in_known_words() {
        let rows = [
            (r#"{"request_id":"r1","label":"refund"}"#, Ok(())),
            (r#"{"request_id":"r1","thumbs":"down"}"#, Ok(())),
            (r#"{"request_id":"r1","demonstration":{"total":"12.50"}}"#, Ok(())),
            (
                r#"{"request_id":"r1","thumbs":"sideways"}"#,
                Err(FeedbackError::Thumbs { found: "sideways".into() }),
            ),
            (r#"{"request_id":"r1","lable":"refund"}"#, Err(FeedbackError::Empty)),
        ];
        for (body, expected) in rows {
            assert_eq!(parse_body::<Feedback>(body.as_bytes()).unwrap().check(), expected, "{body}");
        }
    }

    const WHOLE: &str = r#"{"request_id": "req-1", "label": "refund", "thumbs": "up", "demonstration": {"a": [1, null]},
        "comment": "it was late", "more": {"x": 0.5}}"#;

    proptest::proptest! {
        #[test]
        fn whatever_is_read_as_feedback_is_written_and_read_again(body in crate::mutated::mutated(WHOLE)) {
            if let Ok(read) = parse_body::<Feedback>(body.as_bytes()) {
                let _ = read.check();
                let written = serde_json::to_vec(&read).unwrap();
                proptest::prop_assert_eq!(parse_body::<Feedback>(&written).unwrap(), read);
            }
        }
    }
}
