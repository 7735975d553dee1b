//! `POST /v1/feedback`: what users say about an earlier answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sprat_store::{Feedback, Thumb};
use sprat_task::redact::Redacted;
use sprat_task::{Answer, Input, Kind, RequestId, Task};
use sprat_wire::feedback::{Feedback as Said, Thumbs};
use sprat_wire::parse_body;

use crate::Gateway;
use crate::accept::{Accepted, Arrival};
use crate::encode;
use crate::error::Refusal;

/// Keeps feedback.
pub async fn feedback(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    // The store waits for the disk: not on the threads that serve.
    let kept = tokio::task::spawn_blocking(move || keep(&gateway, &accepted, arrival)).await;
    let kept = kept.unwrap_or_else(|_| Err(Refusal::ours("the feedback could not be kept")));
    encode::named(&id, kept.unwrap_or_else(IntoResponse::into_response))
}

fn keep(gateway: &Gateway, accepted: &Accepted, arrival: Arrival) -> Result<Response, Refusal> {
    let raw = arrival.body;
    let said: Said = parse_body(&raw)
        .map_err(|error| Refusal::request(format!("the body can't be read as feedback: {error}")))?;
    said.check().map_err(|error| Refusal::request(error.to_string()))?;
    let request = RequestId::from(said.request_id.as_str());
    let ours = |error: sprat_store::StoreError| Refusal::ours(error.to_string());
    let records = gateway.store.ledger().request(&request).map_err(ours)?;
    let Some(record) = records.first() else {
        return Err(Refusal::not_found("request_id", format!("no request `{request}` was answered here")));
    };
    let deployed = gateway.current.deployed();
    let task = deployed.tasks.get(record.task.as_str()).map(|deployment| deployment.task());
    let label = right(gateway, &said, &request, task)?;
    let thumb =
        said.thumbs.as_ref().map(|thumbs| if *thumbs == Thumbs::Up { Thumb::Up } else { Thumb::Down });
    if label.is_none() && thumb.is_none() {
        return Err(Refusal::request(
            "only `label`, `thumbs` and, of tasks that extract, a record as `demonstration` are kept yet; give one of them",
        ));
    }
    let feedback = Feedback { request, thumb, label, by: None, time_unix_ms: accepted.time_unix_ms };
    gateway.store.feedback().add(&feedback).map_err(ours)?;
    Ok((StatusCode::OK, Json(json!({ "object": "feedback", "request_id": said.request_id }))).into_response())
}

/// What would have been right, in the task's terms, where somebody said so.
fn right(
    gateway: &Gateway,
    said: &Said,
    request: &RequestId,
    task: Option<&Task>,
) -> Result<Option<Answer>, Refusal> {
    let Some(label) = &said.label else {
        return match (&said.demonstration, task.filter(|task| task.kind == Kind::Extract)) {
            (Some(record), Some(task)) => read_record(gateway, task, request, record).map(Some),
            _ => Ok(None),
        };
    };
    let task =
        task.ok_or_else(|| Refusal::field("label", "that request was no task's, so that it has no label"))?;
    match task.kind {
        kind if kind.has_labels() => read_label(task, label).map(Some),
        Kind::Extract => Err(Refusal::field(
            "label",
            format!(
                "`{}` has no labels; give the record that would have been right as `demonstration`",
                task.name
            ),
        )),
        _ => Err(Refusal::field("label", format!("`{}` has no labels; give `thumbs`", task.name))),
    }
}

/// A record, which is kept beside its text and goes when the text goes.
fn read_record(gateway: &Gateway, task: &Task, request: &RequestId, said: &Value) -> Result<Answer, Refusal> {
    let wrong = |why: String| Refusal::field("demonstration", why);
    let said = said
        .as_object()
        .ok_or_else(|| wrong(format!("it is not an object with the fields of `{}`", task.name)))?;
    // The request may have been answered a moment ago.
    gateway.captures.settle();
    let captured = gateway.store.captured().of_request(&task.name, request);
    let captured = captured.map_err(|error| Refusal::ours(error.to_string()))?.ok_or_else(|| {
        wrong(format!(
            "the text of request `{request}` is not kept, and a record is kept only beside its text: [capture] in the \
             file of task `{}` keeps texts from now on",
            task.name
        ))
    })?;
    let record = task.record(said, &captured.row.text).map_err(|why| wrong(why.to_string()))?;
    let text = Input::new(captured.row.text);
    Redacted::of(&text, task).answer(Answer::Fields(record), &text, task).ok_or_else(|| {
        wrong("without what `redact` blanks out of texts it is no record of the task".to_owned())
    })
}

/// One label, or several joined by `|` where the task allows it.
fn read_label(task: &Task, text: &str) -> Result<Answer, Refusal> {
    let known = |name: &str| {
        task.label(name.trim()).cloned().ok_or_else(|| {
            let labels = task.labels.iter().map(|label| label.as_str()).collect::<Vec<_>>().join(", ");
            Refusal::field("label", format!("`{name}` is no label of `{}`; it has: {labels}", task.name))
        })
    };
    if !task.multi {
        return known(text).map(Answer::Label);
    }
    let names = text.split('|').filter(|name| !name.trim().is_empty());
    Ok(Answer::labels(names.map(known).collect::<Result<Vec<_>, _>>()?))
}
