//! JSON lines: an object a line.

use serde_json::{Map, Value};
use sprat_task::Problem;

use super::cells::Cells;
use super::columns::{Columns, Role};
use super::delimited::not_utf8;
use super::lines::{Line, Lines};
use super::source::{Opened, cannot_read};
use super::{Sink, missing_column};

pub(super) fn read(opened: Opened, sink: &mut Sink<'_>) -> Result<(), Problem> {
    let Opened { name, bytes, .. } = opened;
    let broken_off = |error| cannot_read(&name, &error);
    let mut lines = Lines::new(bytes.into_reader()).map_err(broken_off)?;
    let (columns, labelled) = (&sink.wanted.options.columns, sink.wanted.needs_labels());
    while let Some(line) = lines.read().map_err(broken_off)? {
        if line.content().trim_ascii().is_empty() {
            continue;
        }
        let raw = || String::from_utf8_lossy(line.content()).into_owned();
        match object_of(&line, &name).and_then(|object| {
            cells_of(object, columns, labelled, line.number).map_err(|problem| problem.at(&name, line.number))
        }) {
            Ok(cells) => sink.cells(cells, raw),
            Err(problem) => sink.broken(problem, raw()),
        }
    }
    Ok(())
}

/// The object on a line.
pub(crate) fn object_of(line: &Line<'_>, file: &str) -> Result<Map<String, Value>, Problem> {
    let content = line.content();
    let text = std::str::from_utf8(content)
        .map_err(|error| not_utf8(file, line.number, error.valid_up_to() as u64 + 1))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Array(_)) => Err(Problem::new("the line is a JSON array, not an object")
            .at(file, line.number)
            .hint("one object a line; jq -c '.[]' turns an array into lines")),
        Ok(_) => Err(Problem::new("the line is not a JSON object")
            .at(file, line.number)
            .allowed("{\"text\": \"…\", \"label\": \"…\"}")),
        Err(error) => Err(json_problem(&error, text, line, file)),
    }
}

fn json_problem(error: &serde_json::Error, text: &str, line: &Line<'_>, file: &str) -> Problem {
    // serde_json counts columns in bytes, people in characters.
    let bytes = error.column().saturating_sub(1);
    let column = text.char_indices().take_while(|(at, _)| *at < bytes).count() as u64 + 1;
    let said = error.to_string();
    let reason = said.split(" at line ").next().unwrap_or(&said);
    if error.is_eof() {
        if line.number == 1 && text.trim() == "[" || text.trim() == "{" {
            return Problem::new("the JSON is spread over several lines")
                .at(file, line.number)
                .hint("one object a line; jq -c . (or jq -c '.[]' for an array) makes it so");
        }
        let problem = Problem::new("the line breaks off in the middle").at(file, line.number).column(column);
        return if line.is_ended() {
            problem.hint("a line break inside a text is written \\n in JSON")
        } else {
            problem.hint("the file was cut off while it was written; remove its last line")
        };
    }
    if reason.contains("surrogate") || reason.contains("hex escape") {
        return Problem::new("a \\u escape is half a character (a lone surrogate)")
            .at(file, line.number)
            .column(column)
            .hint("write both halves, such as \\ud83d\\ude00, or take it out; --rejects FILE sets such rows aside");
    }
    Problem::new(format!("the line is not JSON: {reason}")).at(file, line.number).column(column)
}

fn cells_of(
    mut object: Map<String, Value>,
    columns: &Columns,
    labelled: bool,
    line: u64,
) -> Result<Cells, Problem> {
    let names: Vec<String> = object.keys().cloned().collect();
    let mut cells = Cells::at_line(line);
    let mut has = [false; Role::ALL.len()];
    for role in Role::ALL {
        if let Some(index) = columns.find(role, names.iter().map(String::as_str)) {
            has[role.index()] = true;
            // Taken by name: an index would shift once something is removed.
            if let Some(value) = object.get_mut(&names[index]) {
                cells.set(role, value.take());
            }
        }
    }
    let names = || names.iter().map(String::as_str);
    if !has[Role::Text.index()] {
        return Err(missing_column(columns.name_of(Role::Text), names()));
    }
    let labels = [Role::Label, Role::Spans, Role::Large];
    if labelled && !labels.iter().any(|role| has[role.index()]) {
        return Err(missing_column(columns.name_of(Role::Label), names()));
    }
    Ok(cells)
}
