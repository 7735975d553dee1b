//! Requests passed on to a remote model as they came, nothing dropped, and what the reply cost read on the way. Where
//! that model fails before it has answered anything, those that are declared to stand in for it are asked in order.

use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use serde_json::{Map, Value};
use sprat_cascade::{Climbed, Protocol, Remote};
use sprat_task::{Outcome, TaskName};
use sprat_wire::parse_body;

use crate::Gateway;
use crate::accept::{Accepted, Arrival};
use crate::attempt::{Asked, Setback, ask};
use crate::decode::Call;
use crate::dialect::Dialect;
use crate::error::Refusal;
use crate::quote;
use crate::record::{NO_TASK, Record};
use crate::resolve::{self, Route};

/// A remote model's reply.
pub struct Passed {
    /// Who replied.
    pub model: String,
    /// What the climb came to; `None` while a stream still runs.
    pub climbed: Option<Climbed>,
    /// The reply, ready to send.
    pub response: Response,
}

/// Passes a chat call on: to the remote model it is for, then to those that stand in for it, until one answers. The
/// deadline of the request bounds them all together. After the first content nothing else is asked.
pub async fn chat(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    call: &Call,
    remote: &Arc<Remote>,
    start: Climbed,
    mut record: Record,
) -> Result<Passed, Refusal> {
    let chain: Vec<&Arc<Remote>> = std::iter::once(remote).chain(&remote.fallback).collect();
    let mut climbed = start;
    let mut setback: Option<Setback> = None;
    for (place, remote) in chain.iter().enumerate() {
        let (request, dialect) = match Dialect::speak(call, remote, accepted) {
            Ok(said) => said,
            Err(refusal) if setback.is_none() => return Err(refusal),
            // A stand-in that can't be asked this leaves the failure as it is.
            Err(_) => continue,
        };
        let most = quote::chat(remote, call.raw.len(), &call.chat);
        match record.reserve(accepted, &climbed.steps, remote.upstream.id(), most).await {
            Ok(()) => {}
            Err(refusal) if setback.is_none() => {
                record.not_asked(&climbed);
                return Err(refusal);
            }
            // Nor does one that the key can't pay for.
            Err(_) => continue,
        }
        record.asking(&climbed.steps, remote);
        let mut asked = Asked::about_to(remote, climbed);
        let patience = accepted.cx.sharing(chain.len() - place, Instant::now()).deadline;
        match ask(&accepted.cx, patience, &mut asked, request, dialect).await {
            Ok(begun) => return Ok(asked.pass(gateway, accepted, begun, record)),
            Err(failed) => {
                climbed = asked.ended(failed.usage, Outcome::Failed(failed.error.clone()));
                let is_last_word = !failed.another_may_answer;
                setback = Some(failed);
                if is_last_word {
                    break;
                }
            }
        }
    }
    record.finish(&climbed);
    match setback {
        Some(setback) => setback.tell(climbed),
        None => Err(Refusal::ours("there was nobody to ask")),
    }
}

/// Passes a request of another sort than a chat on to the remote model that it names.
pub(crate) async fn other(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    arrival: Arrival,
    path: &str,
) -> Result<Response, Refusal> {
    let raw = arrival.body;
    let asked: Map<String, Value> =
        parse_body(&raw).map_err(|error| Refusal::request(format!("the body can't be read: {error}")))?;
    let Some(name) = asked.get("model").and_then(Value::as_str) else {
        return Err(Refusal::field("model", "`model` must name a model"));
    };
    let remote = resolve::remote(&gateway.current.deployed(), name)?;
    resolve::permitted(accepted, Route::Remote(remote.clone()))?;
    if remote.protocol != Protocol::OpenAi {
        return Err(Refusal::field("model", format!("`{name}` doesn't serve {path}")));
    }
    let mut record = Record::of(gateway, accepted, TaskName::from(NO_TASK), remote.provenance);
    let (request, dialect) = Dialect::as_it_is(path, &arrival.headers, &raw, &remote.model)?;
    record.reserve(accepted, &[], remote.upstream.id(), quote::other(&remote, raw.len())).await?;
    record.asking(&[], &remote);
    let mut asked = Asked::about_to(&remote, Climbed::starting());
    // Nobody stands in here: vectors of another model mean something else.
    match ask(&accepted.cx, accepted.cx.deadline, &mut asked, request, dialect).await {
        Ok(begun) => Ok(asked.pass(gateway, accepted, begun, record).response),
        Err(failed) => {
            let climbed = asked.ended(failed.usage, Outcome::Failed(failed.error.clone()));
            record.finish(&climbed);
            failed.tell(climbed).map(|passed| passed.response)
        }
    }
}
