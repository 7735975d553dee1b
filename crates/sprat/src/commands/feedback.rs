//! `sprat feedback`: what a person says about an answer.

use serde_json::{Map, Value, json};
use sprat_store::{Feedback, Store, Thumb};
use sprat_task::file::unknown_label;
use sprat_task::redact::Redacted;
use sprat_task::{Answer, Input, Kind, Label, Problem, RequestId, Task};

use crate::app::App;
use crate::failure::Failure;

/// Say whether an answer was right, or what would have been
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sprat feedback req-1f3a9c --up
  sprat feedback req-1f3a9c --label refund
  sprat feedback req-1f3a9c --label refund --label urgent     where a row may carry several labels
  sprat feedback req-1f3a9c --fields '{\"guests\": 5}'          the record, where the task extracts

`sprat ask` shows a request's id, and the gateway's replies carry it in x-request-id. Feedback is
volunteered, not drawn at random: it is shown and learned from, and proves nothing.")]
#[command(group = clap::ArgGroup::new("said").required(true).multiple(false).args(["label", "fields", "up", "down"]))]
pub struct Args {
    /// The request's id
    request: String,
    /// The right label
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// The right record, as JSON
    #[arg(long, value_name = "JSON")]
    fields: Option<String>,
    /// The answer was good
    #[arg(long)]
    up: bool,
    /// The answer was bad
    #[arg(long)]
    down: bool,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub fn run(args: Args, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace()?;
    let store = workspace.store()?;
    let request = RequestId::from(args.request.as_str());
    let entries = store.ledger().request(&request)?;
    let Some(entry) = entries.first() else {
        return Err(Problem::new(format!("no request `{request}` is known"))
            .hint("`sprat ask` shows a request's id; the gateway's replies carry it in x-request-id")
            .into());
    };
    let task = || workspace.task(entry.task.as_str());
    let label = match (args.label.as_slice(), &args.fields) {
        ([], None) => None,
        ([], Some(fields)) => Some(record(task()?, &store, &request, fields)?),
        (labels, _) => Some(answer(task()?, labels)?),
    };
    let thumb = match (args.up, args.down) {
        (true, _) => Some(Thumb::Up),
        (_, true) => Some(Thumb::Down),
        _ => None,
    };
    let feedback =
        Feedback { request, thumb, label: label.clone(), by: args.by, time_unix_ms: app.now_unix_ms() };
    store.feedback().add(&feedback)?;
    let result = json!({
        "request": feedback.request, "task": entry.task, "answered_by": entry.answered_by, "thumb": thumb, "label": label,
    });
    app.out().show(&result, |out| {
        let by = entry.answered_by.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        out.line(format!("noted for {} (task {}, answered by {by})", feedback.request, entry.task));
    });
    Ok(())
}

/// The right record. It is kept beside the request's text, and goes when the text goes.
fn record(task: &Task, store: &Store, request: &RequestId, fields: &str) -> Result<Answer, Failure> {
    if task.kind != Kind::Extract {
        return Err(Problem::new(format!("task `{}` has no fields", task.name))
            .hint(format!("sprat feedback {request} --label LABEL"))
            .into());
    }
    let said: Map<String, Value> = serde_json::from_str(fields).map_err(|error| {
        Problem::new(format!("--fields is not a JSON object: {error}"))
            .allowed("an object with the fields of the record, such as '{\"day\": \"2026-12-24\"}'")
    })?;
    let captured = store.captured().of_request(&task.name, request)?.ok_or_else(|| {
        Problem::new(format!(
            "the text of request `{request}` is not kept, and a record is kept only beside its text"
        ))
        .hint(format!(
            "put text and record into a file of rows for `sprat learn`; [capture] in tasks/{}.toml keeps the texts that \
             `sprat serve` is asked",
            task.name
        ))
    })?;
    let record = task.record(&said, &captured.row.text).map_err(|wrong| wrong.problem(task))?;
    let text = Input::new(captured.row.text);
    let kept = Redacted::of(&text, task).answer(Answer::Fields(record), &text, task);
    Ok(kept.ok_or_else(|| {
        Problem::new("without what `redact` blanks out of texts it is no record of the task")
            .hint("leave such values out, or `redact` what the task doesn't look for")
    })?)
}

/// The right answer, which must be one that the task could give.
fn answer(task: &Task, labels: &[String]) -> Result<Answer, Problem> {
    if task.kind == Kind::Extract {
        return Err(Problem::new(format!("task `{}` has fields, and no labels", task.name))
            .hint("give the right record as JSON with --fields"));
    }
    for label in labels {
        if task.label(label).is_none() {
            let problem =
                Problem::new(format!("label `{label}` is not one of the labels of task `{}`", task.name));
            return Err(unknown_label(problem, label, &task.labels));
        }
    }
    let labels: Vec<Label> = labels.iter().map(|label| Label::from(label.as_str())).collect();
    match labels.as_slice() {
        _ if task.multi => Ok(Answer::labels(labels)),
        [label] => Ok(Answer::Label(label.clone())),
        _ => Err(Problem::new(format!(
            "task `{}` has one label a row, and {} are given",
            task.name,
            labels.len()
        ))
        .hint("give --label once")),
    }
}
