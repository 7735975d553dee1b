//! What a row says, and what is wrong with it: the same rules for every format.

use serde_json::Value;
use sprat_task::extract::Mark;
use sprat_task::problem::list;
use sprat_task::{Answer, Hole, Kind, Label, LabelledRow, NotOne, Problem, Provenance, Task};
use sprat_wire::time;

use super::columns::Role;

/// The cells of one row that matter, as JSON values; CSV's and Parquet's texts are JSON strings here.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// The line the row begins on (Parquet: the row's number), from 1.
    pub line: u64,
    values: [Option<Value>; Role::ALL.len()],
    places: [Option<(u64, u64)>; Role::ALL.len()],
}

impl Cells {
    /// A row without cells.
    pub fn at_line(line: u64) -> Self {
        Self { line, ..Self::default() }
    }

    /// Adds a cell.
    pub fn set(&mut self, role: Role, value: Value) {
        self.values[role.index()] = Some(value);
    }

    /// Says on which line and in which column (characters, from 1) a cell begins.
    pub fn set_place(&mut self, role: Role, place: (u64, u64)) {
        self.places[role.index()] = Some(place);
    }

    fn take(&mut self, role: Role) -> Option<Value> {
        self.values[role.index()].take().filter(|value| !value.is_null())
    }
}

/// A row that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The row.
    pub row: LabelledRow,
    /// Whether the large model's answer is none of the task's. It is kept beside a person's label, where it counts as
    /// wrong; without one the row would teach it, and is bad.
    pub foreign_large: bool,
}

/// Above this many bytes a text is no request but a file that ended up in a cell.
const LONGEST_TEXT: usize = 4 << 20;

/// A row from its cells. Without a task only the text, session and time are read.
pub fn row_of(
    mut cells: Cells,
    task: Option<&Task>,
    file: &str,
    provenance: Provenance,
) -> Result<Row, Problem> {
    let places = cells.places;
    let line = cells.line;
    let placed = |role: Role, problem: Problem| match places[role.index()] {
        Some((line, column)) => problem.at(file, line).column(column),
        None => problem.at(file, line),
    };
    let text = match cells.take(Role::Text) {
        Some(value) => text_of(value).map_err(|problem| placed(Role::Text, problem))?,
        None => return Err(placed(Role::Text, Problem::new("the row has no text"))),
    };
    let mut row = LabelledRow { line, large_provenance: provenance, ..LabelledRow::unlabelled(text) };
    row.session =
        cells.take(Role::Session).map(|value| plain_text(&value)).filter(|session| !session.is_empty());
    if let Some(value) = cells.take(Role::Time) {
        row.time_unix_ms = time_of(&value).map_err(|problem| placed(Role::Time, problem))?;
    }
    let Some(task) = task else { return Ok(Row { row, foreign_large: false }) };
    if let Some(hole) = &task.hole {
        hole.around(&row.input.text).map_err(|wrong| placed(Role::Text, not_one(hole, wrong)))?;
    }
    if let Some(value) = cells.take(Role::Weight) {
        row.weight = weight_of(&value).map_err(|problem| placed(Role::Weight, problem))?;
    }
    if let Some(value) = cells.take(Role::Provenance) {
        row.large_provenance = provenance_of(&value).map_err(|problem| placed(Role::Provenance, problem))?;
    }
    if let Some(value) = cells.take(Role::Label) {
        row.gold = answer_of(value, task, &row.input.text).map_err(|problem| placed(Role::Label, problem))?;
    }
    if let Some(value) = cells.take(Role::Spans).filter(|_| task.kind == Kind::Extract) {
        marked(&mut row, value, task).map_err(|problem| placed(Role::Spans, problem))?;
    }
    let mut foreign_large = false;
    if let Some(value) = cells.take(Role::Large) {
        let as_written = plain_text(&value);
        row.large = match answer_of(value, task, &row.input.text) {
            Ok(answer) => answer,
            Err(_) if row.gold.is_some() => {
                foreign_large = true;
                Some(foreign(&as_written, task))
            }
            Err(problem) => return Err(placed(Role::Large, problem)),
        };
    }
    Ok(Row { row, foreign_large })
}

/// A text whose hole can't be filled.
fn not_one(hole: &Hole, NotOne { times, before }: NotOne) -> Problem {
    let problem = match times {
        0 => Problem::new(format!("the text has no `{hole}`, and this task fills that hole"))
            .hint(format!("write {hole} where the label was taken out")),
        times => Problem::new(format!(
            "`{hole}` stands in the text {times} times, the second time behind {before} characters"
        ))
        .hint(format!("keep the {hole} that the label belongs in, and write what belongs in the others")),
    };
    problem.allowed(format!("`{hole}` once in every text"))
}

/// An answer as a cell has it; `None` where the cell is empty (for `multi` tasks an empty cell is the answer
/// "no label", as an empty list is). A record comes in its one form, `text` being what it is about.
pub fn answer_of(value: Value, task: &Task, text: &str) -> Result<Option<Answer>, Problem> {
    match task.kind {
        kind if kind.has_labels() => labels_of(value, task),
        Kind::Extract => match value {
            Value::String(written) if written.trim().is_empty() => Ok(None),
            Value::String(written) => {
                record_of(serde_json::from_str(&written).unwrap_or_default(), task, text)
            }
            value => record_of(value, task, text),
        },
        _ => Ok(Some(plain_text(&value)).filter(|text| !text.is_empty()).map(Answer::Text)),
    }
}

fn record_of(value: Value, task: &Task, text: &str) -> Result<Option<Answer>, Problem> {
    let Value::Object(said) = value else {
        return Err(Problem::new("the fields are not a JSON object").allowed("{\"name\": \"value\", …}"));
    };
    let record = task.record(&said, text).map_err(|wrong| wrong.problem(task))?;
    Ok(Some(Answer::Fields(record)))
}

/// Takes over where values stand. Without `fields` beside them, what stands there is the record.
fn marked(row: &mut LabelledRow, value: Value, task: &Task) -> Result<(), Problem> {
    const SPANS: &str = "[{\"field\": \"name\", \"start\": 0, \"end\": 5}], counted in characters";
    let value = match value {
        Value::String(written) if written.trim().is_empty() => return Ok(()),
        Value::String(written) => serde_json::from_str(&written).unwrap_or_default(),
        value => value,
    };
    let Value::Array(spans) = value else {
        return Err(Problem::new("the spans are not a JSON array").allowed(SPANS));
    };
    let text = &row.input.text;
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    for span in &spans {
        let number = |name: &str| span.get(name)?.as_u64().and_then(|at| usize::try_from(at).ok());
        let (Some(field), Some(start), Some(end)) =
            (span.get("field").and_then(Value::as_str), number("start"), number("end"))
        else {
            return Err(Problem::new(format!("`{}` is not a span", short(&span.to_string()))).allowed(SPANS));
        };
        if task.field(field).is_none() {
            return Err(sprat_task::WrongRecord::Unknown { name: field.to_owned() }.problem(task));
        }
        let (Some(from), Some(to)) = (ends.get(start), ends.get(end).filter(|_| start < end)) else {
            return Err(Problem::new(format!("there is no text from character {start} to {end}")).allowed(
                format!("the text has {} characters; `end` is the one behind the last", ends.len() - 1),
            ));
        };
        row.marks.push(Mark { field: field.to_owned(), bytes: *from..*to });
    }
    if row.gold.is_none() {
        let record = task.record_of_marks(&row.marks, text).map_err(|wrong| wrong.problem(task))?;
        row.gold = Some(Answer::Fields(record));
    }
    Ok(())
}

fn labels_of(value: Value, task: &Task) -> Result<Option<Answer>, Problem> {
    // `{"label": "x"}` is how an answer is written in Sprat's own files.
    let value = match value {
        Value::Object(mut object) if object.len() == 1 => {
            object.remove("label").or_else(|| object.remove("labels")).unwrap_or(Value::Object(object))
        }
        other => other,
    };
    match (value, task.multi) {
        (Value::Array(items), true) => {
            let labels: Result<Vec<Label>, Problem> =
                items.iter().map(|item| known_label(&plain_text(item), task)).collect();
            Ok(Some(Answer::labels(labels?)))
        }
        (Value::Array(mut items), false) => match (items.len(), items.pop()) {
            (0, _) => Ok(None),
            (1, Some(item)) => labels_of(item, task),
            (count, _) => Err(Problem::new(format!("the row has {count} labels, and this task one a row"))
                .hint("a task with several labels a row says `multi = true`")),
        },
        (Value::Object(_), _) => Err(Problem::new("the label is a JSON object, not a text")),
        (value, true) => {
            let text = plain_text(&value);
            let labels: Result<Vec<Label>, Problem> = text
                .split('|')
                .map(str::trim)
                .filter(|label| !label.is_empty())
                .map(|label| known_label(label, task))
                .collect();
            Ok(Some(Answer::labels(labels?)))
        }
        (value, false) => match plain_text(&value) {
            text if text.trim().is_empty() => Ok(None),
            text => known_label(&text, task).map(|label| Some(Answer::Label(label))),
        },
    }
}

fn known_label(text: &str, task: &Task) -> Result<Label, Problem> {
    let text = text.trim();
    task.label(text).cloned().ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        let labels = || task.labels.iter().map(Label::as_str);
        let problem =
            Problem::new(format!("label `{}` is not one of this task's labels", shown.escape_debug()))
                .allowed(list(labels()))
                .did_you_mean(text, labels());
        if !task.multi && text.contains('|') {
            return problem.hint("a task with several labels a row says `multi = true`");
        }
        problem
    })
}

fn foreign(text: &str, task: &Task) -> Answer {
    if !task.kind.has_labels() {
        return Answer::Text(text.trim().to_owned());
    }
    let label = Label::from(text.trim());
    if task.multi { Answer::labels([label]) } else { Answer::Label(label) }
}

pub(crate) fn text_of(value: Value) -> Result<String, Problem> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(mut object) => match object.remove("text") {
            Some(Value::String(text)) => text,
            _ => {
                return Err(
                    Problem::new("the row's input has no `text`").allowed("{\"input\": {\"text\": \"…\"}}")
                );
            }
        },
        Value::Number(number) => number.to_string(),
        _ => return Err(Problem::new("the text is not a text").allowed("a string")),
    };
    if text.trim().is_empty() {
        return Err(Problem::new("the text is empty"));
    }
    if let Some(at) = text.find('\0') {
        let before = text[..at].chars().count();
        return Err(Problem::new(format!("the text holds a NUL byte after {before} characters"))
            .hint("the file may be UTF-16 or binary; save it as UTF-8 text"));
    }
    if text.len() > LONGEST_TEXT {
        return Err(Problem::new(format!("the text is {} MiB long", text.len() >> 20))
            .allowed(format!("at most {} MiB", LONGEST_TEXT >> 20)));
    }
    Ok(text)
}

fn time_of(value: &Value) -> Result<Option<i64>, Problem> {
    let text = plain_text(value);
    if text.trim().is_empty() {
        return Ok(None);
    }
    time::of_text(&text).map(Some).ok_or_else(|| {
        Problem::new(format!("`{}` is not a time", short(&text)))
            .allowed("2026-11-20T10:15:00Z, or seconds or milliseconds since 1970")
    })
}

fn weight_of(value: &Value) -> Result<f32, Problem> {
    let text = plain_text(value);
    match text.trim() {
        "" => Ok(1.0),
        written => match written.parse::<f32>() {
            Ok(weight) if weight.is_finite() && weight >= 1.0 => Ok(weight),
            _ => Err(Problem::new(format!("`{}` is not a weight", short(written)))
                .allowed("how many identical rows this one stands for, at least 1")),
        },
    }
}

fn provenance_of(value: &Value) -> Result<Provenance, Problem> {
    let text = plain_text(value);
    let known = [Provenance::Measured, Provenance::Recorded, Provenance::Simulated, Provenance::Authored];
    let names = known.map(|provenance| provenance.to_string());
    match names.iter().position(|name| name == text.trim()) {
        Some(index) => Ok(known[index]),
        None if text.trim().is_empty() => Ok(Provenance::default()),
        None => Err(Problem::new(format!("`{}` is not a provenance", short(&text)))
            .allowed(list(names.iter().map(String::as_str)))
            .did_you_mean(&text, names.iter().map(String::as_str))),
    }
}

/// A string as it is, anything else as JSON.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn short(text: &str) -> String {
    text.trim().chars().take(40).collect::<String>().escape_debug().to_string()
}
