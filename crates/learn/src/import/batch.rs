//! A batch keeps what was asked and what was answered in two files: which lines belong together?
//!
//! The half that is met first is remembered by its place in the file, so that a batch of any size takes a few bytes a
//! line, and either file may come first.

use std::collections::HashMap;

use serde_json::Value;
use sprat_task::Problem;
use sprat_wire::log::LogCall;
use sprat_wire::openai::batch::{BatchLine, BatchOutputLine};

use super::lines::Line;
use super::log::{Log, unreadable};

/// A line of one of a batch's files.
pub(super) enum Half {
    Asked(BatchLine),
    Answered(BatchOutputLine),
}

impl Half {
    /// The half of a call that a line is; `None` where it is something else.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"\"custom_id\"";
        // Most lines of other logs are told apart without parsing them twice.
        line.windows(NAME.len()).find(|window| *window == NAME)?;
        let value: Value = serde_json::from_slice(line).ok()?;
        let has = |name: &str| value.get(name).is_some_and(|value| !value.is_null());
        let has_prompt = ["messages", "request", "input", "prompt", "kwargs"].iter().any(|name| has(name));
        let has_reply = has("response") || has("error");
        match (has("custom_id") && !has_prompt, has("body"), has_reply) {
            (true, true, false) => serde_json::from_value(value).ok().map(Self::Asked),
            (true, false, true) => serde_json::from_value(value).ok().map(Self::Answered),
            _ => None,
        }
    }

    fn custom_id(&self) -> &str {
        match self {
            Self::Asked(line) => &line.custom_id,
            Self::Answered(line) => &line.custom_id,
        }
    }

    fn is_answer(&self) -> bool {
        matches!(self, Self::Answered(_))
    }
}

/// What became of a half.
pub(super) enum Met {
    Waits,
    Pair(Box<LogCall>),
    Wrong(String),
}

/// Halves whose other half has not been met yet, by `custom_id`.
#[derive(Default)]
pub(super) struct Halves(HashMap<String, Place>);

#[derive(Clone, Copy)]
struct Place {
    log: usize,
    line: u64,
    start: u64,
    length: u64,
    is_answer: bool,
}

impl Halves {
    pub(super) fn meet(
        &mut self,
        logs: &[&dyn Log],
        log: usize,
        line: &Line,
        half: &Half,
    ) -> Result<Met, Problem> {
        let id = half.custom_id();
        let Some(waiting) = self.0.get(id).copied() else {
            let place = Place {
                log,
                line: line.number,
                start: line.start,
                length: line.length,
                is_answer: half.is_answer(),
            };
            self.0.insert(id.to_owned(), place);
            return Ok(Met::Waits);
        };
        if waiting.is_answer == half.is_answer() {
            return Ok(Met::Wrong(format!(
                "`{id}` stands in {}:{} too, so that nobody can tell what belongs together; import one batch at a time",
                logs[waiting.log].name(),
                waiting.line
            )));
        }
        self.0.remove(id);
        let other = Half::of(&read(logs, waiting)?);
        Ok(match (half, &other) {
            (Half::Asked(asked), Some(Half::Answered(answered)))
            | (Half::Answered(answered), Some(Half::Asked(asked))) => {
                match LogCall::from_batch(asked, answered) {
                    Ok(call) => Met::Pair(Box::new(call)),
                    Err(error) => Met::Wrong(error.to_string()),
                }
            }
            _ => Met::Wrong(format!("{} has changed while it was read", logs[waiting.log].name())),
        })
    }

    /// The halves that stayed alone, in the order of the logs, with what is wrong with them.
    pub(super) fn single(&self, logs: &[&dyn Log]) -> Result<Vec<(usize, Line, String)>, Problem> {
        let mut places: Vec<(&String, &Place)> = self.0.iter().collect();
        places.sort_by_key(|(_, place)| (place.log, place.line));
        let lines = places.into_iter().map(|(id, place)| {
            let line = Line { number: place.line, bytes: read(logs, *place)?, ..Line::default() };
            let reason = if place.is_answer {
                format!("`{id}` is answered here, but nothing asks it; import the batch's input file together with it")
            } else {
                format!("`{id}` is asked here, but nothing answers it; import the batch's output file together with it")
            };
            Ok((place.log, line, reason))
        });
        lines.collect()
    }
}

fn read(logs: &[&dyn Log], place: Place) -> Result<Vec<u8>, Problem> {
    let log = logs[place.log];
    let mut bytes = log.read_at(place.start, place.length).map_err(|error| unreadable(log, &error))?;
    bytes.truncate(bytes.trim_ascii_end().len());
    Ok(bytes)
}
