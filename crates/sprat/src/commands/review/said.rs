//! What does a person say of a row? Read from their lines, asked again where a line makes no sense.

use std::io::Write;

use serde_json::{Map, Value};
use sprat_store::NewReview;
use sprat_task::problem::list;
use sprat_task::{Answer, Field, Kind, Label, Problem, Task};

use crate::output::{Output, words};

/// Lines as they are typed.
pub type Lines<'a> = dyn Iterator<Item = std::io::Result<String>> + 'a;

/// What a person says of a row.
pub enum Said {
    /// What is right.
    Answer(Answer),
    /// Nothing, for now.
    Skip,
    /// That it is enough.
    Quit,
}

/// Asks on stderr what is right, until there is an answer or somebody has had enough.
pub fn ask(out: &Output, task: &Task, row: &NewReview, lines: &mut Lines<'_>) -> Said {
    if task.kind == Kind::Extract {
        return record(out, task, row, lines);
    }
    let labels = task.labels.iter().enumerate().map(|(number, label)| format!("{} {label}", number + 1));
    out.aside(&format!("  {}\n", labels.collect::<Vec<_>>().join("   ")));
    loop {
        match line(out, "label> ", lines) {
            Line::Said(line) => match labelled(task, &line) {
                Ok(answer) => return Said::Answer(answer),
                Err(problem) => out.problem(&problem),
            },
            Line::Skip => return Said::Skip,
            Line::Quit => return Said::Quit,
        }
    }
}

/// A line that was typed.
enum Line {
    Said(String),
    Skip,
    Quit,
}

fn line(out: &Output, prompt: &str, lines: &mut Lines<'_>) -> Line {
    out.aside(prompt);
    let _ = std::io::stderr().flush();
    let Some(Ok(line)) = lines.next() else { return Line::Quit };
    match line.trim() {
        "q" | "quit" => Line::Quit,
        "s" | "skip" => Line::Skip,
        said => Line::Said(said.to_owned()),
    }
}

/// Labels by their names or numbers.
fn labelled(task: &Task, line: &str) -> Result<Answer, Problem> {
    let label = |word: &str| {
        let by_number = word.parse::<usize>().ok().and_then(|number| task.labels.get(number.checked_sub(1)?));
        by_number.or_else(|| task.label(word)).cloned().ok_or_else(|| {
            let names = || task.labels.iter().map(Label::as_str);
            Problem::new(format!("`{word}` is not one of this task's labels"))
                .allowed(list(names()))
                .did_you_mean(word, names())
        })
    };
    let words = line.split('|').map(str::trim).filter(|word| !word.is_empty());
    let labels: Vec<Label> = words.map(label).collect::<Result<_, _>>()?;
    if task.multi {
        return Ok(Answer::labels(labels));
    }
    <[Label; 1]>::try_from(labels)
        .map(|[label]| Answer::Label(label))
        .map_err(|_| Problem::new("one label is needed").allowed("a number or a label; s skips, q ends"))
}

/// A record field by field, beginning with what a model has found; or all of it as a JSON object.
fn record(out: &Output, task: &Task, row: &NewReview, lines: &mut Lines<'_>) -> Said {
    let found = row.large.as_ref().or(row.small.as_ref());
    let mut record = match found {
        Some(Answer::Fields(record)) => record.clone(),
        _ => Map::new(),
    };
    loop {
        for field in &task.fields {
            match ask_field(out, field, record.get(&field.name), lines) {
                OfField::Keep => {}
                OfField::NotThere => drop(record.remove(&field.name)),
                OfField::Value(value) => drop(record.insert(field.name.clone(), value)),
                OfField::Record(whole) => {
                    record = whole;
                    break;
                }
                OfField::Skip => return Said::Skip,
                OfField::Quit => return Said::Quit,
            }
        }
        match task.record(&record, &row.text) {
            Ok(record) => return Said::Answer(Answer::Fields(record)),
            Err(wrong) => out.problem(&wrong.problem(task)),
        }
    }
}

/// What a person says of a field.
enum OfField {
    Keep,
    NotThere,
    Value(Value),
    Record(Map<String, Value>),
    Skip,
    Quit,
}

fn ask_field(out: &Output, field: &Field, found: Option<&Value>, lines: &mut Lines<'_>) -> OfField {
    let found = found.map(|value| format!(" [{}]", words::plain(&field.written(value)))).unwrap_or_default();
    let prompt = format!("  {}{found}> ", field.name);
    loop {
        let said = match line(out, &prompt, lines) {
            Line::Said(said) => said,
            Line::Skip => return OfField::Skip,
            Line::Quit => return OfField::Quit,
        };
        match said.as_str() {
            "" => return OfField::Keep,
            "-" => return OfField::NotThere,
            _ => {}
        }
        if let Some(value) = field.said(&said) {
            return OfField::Value(value);
        }
        if let Ok(Value::Object(whole)) = serde_json::from_str(&said) {
            return OfField::Record(whole);
        }
        let short: String = said.chars().take(60).collect();
        let problem =
            Problem::new(format!("`{}` is not a value of field `{}`", words::plain(&short), field.name));
        let values = list(field.values.iter().map(String::as_str));
        let allowed = if field.values.is_empty() { field.kind.looks_like().to_owned() } else { values };
        out.problem(
            &problem.allowed(format!(
                "{allowed}; Enter keeps what stands in brackets, - says that it isn't there"
            )),
        );
    }
}
