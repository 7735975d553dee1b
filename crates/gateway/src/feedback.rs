//! `POST /v1/feedback`: what users say about an earlier answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sprat_store::{Feedback, Thumb};
use sprat_task::{Answer, RequestId, Task};
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
    let label = match (&said.label, gateway.current.deployed().tasks.get(record.task.as_str())) {
        (None, _) => None,
        (Some(label), Some(deployment)) => Some(read_label(deployment.task(), label)?),
        (Some(_), None) => {
            return Err(Refusal::field("label", "that request was no task's, so that it has no label"));
        }
    };
    let thumb =
        said.thumbs.as_ref().map(|thumbs| if *thumbs == Thumbs::Up { Thumb::Up } else { Thumb::Down });
    if label.is_none() && thumb.is_none() {
        return Err(Refusal::request("only `label` and `thumbs` are kept yet; give one of them"));
    }
    let feedback = Feedback { request, thumb, label, by: None, time_unix_ms: accepted.time_unix_ms };
    gateway.store.feedback().add(&feedback).map_err(ours)?;
    Ok((StatusCode::OK, Json(json!({ "object": "feedback", "request_id": said.request_id }))).into_response())
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
