//! Encode: the answer in the form that the client asked for, and what stood behind it in headers.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sprat_cascade::cache::CACHE;
use sprat_cascade::{Climbed, End, Serving, Spent};
use sprat_task::{Confidence, Outcome, RequestId};
use sprat_wire::openai::chat::{ChatResponse, Usage, chunks_of};
use sprat_wire::sse::write_data;

use crate::accept::{Accepted, new_id};
use crate::answer::Answered;
use crate::decode::Call;
use crate::pass::Passed;
use crate::record::micros;
use crate::resolve::Route;
use crate::shape::Shape;

/// The reply.
pub fn encode(accepted: &Accepted, route: &Route, call: &Call, answered: Answered) -> Response {
    let mut response = reply(accepted, route, call, answered);
    if let Route::Recognised { hash, .. } = route {
        set(response.headers_mut(), "x-sprat-call-hash", hash.as_str());
    }
    response
}

fn reply(accepted: &Accepted, route: &Route, call: &Call, answered: Answered) -> Response {
    match answered {
        Answered::Decided(climbed) => {
            let shape = route.shape().unwrap_or(&Shape::Plain);
            let mut response = decided(accepted, call, shape, &climbed);
            behind(
                response.headers_mut(),
                accepted,
                route.serving().map(|serving| &**serving),
                Some(&climbed),
            );
            response
        }
        Answered::Passed(passed) => {
            let Passed { model, climbed, mut response } = *passed;
            let headers = response.headers_mut();
            behind(headers, accepted, route.serving().map(|serving| &**serving), climbed.as_ref());
            set(headers, "x-sprat-answered-by", &model);
            response
        }
    }
}

/// The same reply with the request's name.
pub fn named(id: &RequestId, mut response: Response) -> Response {
    set(response.headers_mut(), "x-request-id", id.as_str());
    response
}

/// The same for replies that no stage has named: a request that was not accepted, a path that nobody serves.
pub async fn always_named(response: Response) -> Response {
    if response.headers().contains_key("x-request-id") { response } else { named(&new_id(), response) }
}

fn decided(accepted: &Accepted, call: &Call, shape: &Shape, climbed: &Climbed) -> Response {
    let text = climbed.answer.as_ref().map(|answer| shape.write(answer)).unwrap_or_default();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = format!("chatcmpl-{}", accepted.id);
    let reply = ChatResponse::from_text(&id, since.as_secs(), &call.chat.model, &text, usage(climbed));
    if !call.chat.is_stream() {
        return Json(reply).into_response();
    }
    let mut events = String::new();
    for chunk in chunks_of(&reply, call.chat.wants_stream_usage()) {
        write_data(&serde_json::to_string(&chunk).unwrap_or_default(), &mut events);
    }
    write_data("[DONE]", &mut events);
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (head, events).into_response()
}

/// Tokens of language models: none where small models answered alone; `None` where a model didn't say.
fn usage(climbed: &Climbed) -> Option<Usage> {
    if climbed.end == End::Small && climbed.steps.iter().all(|step| step.usage.tokens.is_none()) {
        return Some(Usage::new(0, 0));
    }
    let asked = climbed.steps.last()?;
    asked.usage.tokens.map(|tokens| Usage::new(tokens.input, tokens.output))
}

/// What stood behind the answer.
pub(crate) fn behind(
    headers: &mut HeaderMap,
    accepted: &Accepted,
    serving: Option<&Serving>,
    climbed: Option<&Climbed>,
) {
    if let Some(serving) = serving {
        set(headers, "x-sprat-task", serving.task.name.as_str());
        set(headers, "x-sprat-certificate", serving.standing());
        if let Some(release) = &serving.release {
            set(headers, "x-sprat-release", &release.to_string());
        }
    }
    if let Some(climbed) = climbed {
        set(headers, "x-sprat-escalated", if climbed.escalated() { "true" } else { "false" });
        if let Some(model) = &climbed.answered_by {
            set(headers, "x-sprat-answered-by", model.as_str());
        }
        if let Some(confidence) = climbed.confidence() {
            set(headers, "x-sprat-confidence", &format!("{:.6}", confidence.get()));
        }
        if let Some(threshold) = serving.and_then(|serving| threshold(serving, climbed)) {
            set(headers, "x-sprat-threshold", &format!("{threshold:.6}"));
        }
        if let Some(serving) = serving {
            let account = serving.account(climbed);
            let all = [
                ("x-sprat-cost-micro-usd", account.spent.exact()),
                ("x-sprat-baseline-micro-usd", account.all_large),
            ];
            for (name, amount) in all.into_iter().filter_map(|(name, amount)| Some((name, amount?))) {
                set(headers, name, &amount.micro().to_string());
            }
        } else if let Some(cost) = Spent::of(&climbed.steps).exact() {
            set(headers, "x-sprat-cost-micro-usd", &cost.micro().to_string());
        }
        // Ours is what the models did not take.
        let models: u64 = climbed.steps.iter().map(|step| step.latency_us).sum();
        set(headers, "x-sprat-overhead-us", &micros(accepted.began).saturating_sub(models).to_string());
    }
}

/// The threshold of the rung that decided: the accepting one, else the last that had an opinion.
fn threshold(serving: &Serving, climbed: &Climbed) -> Option<f64> {
    let mut opinions = climbed.steps.iter().filter(|step| {
        let confidence: Option<Confidence> = step.outcome.confidence();
        confidence.is_some() && !matches!(step.outcome, Outcome::Last)
    });
    let step = opinions.next_back()?;
    // What was remembered passed the threshold of whoever said it.
    let by = match &climbed.own {
        Some((model, ..)) if step.model.as_str() == CACHE => model,
        _ => &step.model,
    };
    serving.ladder.rungs.iter().find(|rung| rung.model.id() == by)?.threshold.value()
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
