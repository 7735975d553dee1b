//! `POST /v1/moderations`: answered by a task that moderates, in OpenAI's shape.
//!
//! `model` names the task; where it is absent, `auto` or one of OpenAI's moderation models, and nobody else has that name,
//! the only task that moderates answers. Every other name is passed on. Each text of a list is a request of its own: it
//! climbs by itself, has its line in the ledger, and may be audited.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;
use sprat_cascade::ladder::categories;
use sprat_cascade::{Climbed, Deployment, End};
use sprat_task::{Answer, Input, Kind, Task};
use sprat_wire::openai::moderations::{
    ModerationInput, ModerationRequest, ModerationResponse, ModerationResult,
};
use sprat_wire::{Object, TextOrList, parse_body};

use crate::Gateway;
use crate::accept::{Accepted, Arrival};
use crate::answer::{decide, failed};
use crate::audit;
use crate::capture::Capture;
use crate::current::ByName;
use crate::encode;
use crate::error::Refusal;
use crate::pass;
use crate::record::Record;
use crate::resolve::{AUTO, Question, Route, permitted, remote};
use crate::shape::Shape;
use crate::watch::Watch;

/// Texts of one request.
const MOST_INPUTS: usize = 1_024;
/// Texts under way at once: only the large model makes them wait.
const AT_ONCE: usize = 8;
/// What OpenAI calls its own models for this.
const OPENAI_S: [&str; 2] = ["omni-moderation", "text-moderation"];

/// `POST /v1/moderations`.
pub async fn moderations(State(gateway): State<Arc<Gateway>>, arrival: Arrival) -> Response {
    let accepted = match Accepted::accept(&gateway, &arrival) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.into_response(),
    };
    let id = accepted.id.clone();
    let answered = answer(&gateway, &accepted, arrival).await;
    encode::named(&id, answered.unwrap_or_else(IntoResponse::into_response))
}

async fn answer(gateway: &Arc<Gateway>, accepted: &Accepted, arrival: Arrival) -> Result<Response, Refusal> {
    let unreadable =
        |error| Refusal::request(format!("the body can't be read as a moderation request: {error}"));
    // First only the name: what is passed on is not ours to read.
    let Named { model } = parse_body(&arrival.body).map_err(unreadable)?;
    let deployed = gateway.current.deployed();
    let Some(deployment) = moderating(&deployed, model.as_deref())? else {
        return pass::other(gateway, accepted, arrival, "/moderations").await;
    };
    let request: ModerationRequest = parse_body(&arrival.body).map_err(unreadable)?;
    let texts = texts(request.input)?;
    let alone = texts.len() == 1;
    let judged: Vec<Judged> = stream::iter(texts.into_iter().enumerate())
        .map(|(number, text)| {
            let accepted = if alone { accepted.clone() } else { accepted.of_many(number) };
            judge(gateway, accepted, &deployment, text)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let task = deployment.task();
    let reply = ModerationResponse {
        id: format!("modr-{}", accepted.id),
        model: task.name.to_string(),
        results: judged.iter().map(|judged| result(task, &judged.climbed)).collect(),
        rest: Object::new(),
    };
    let mut reply = Json(reply).into_response();
    let only = judged.first().filter(|_| alone).map(|judged| &judged.climbed);
    let serving = judged.first().and_then(|judged| judged.route.serving());
    encode::behind(reply.headers_mut(), accepted, serving.map(|serving| &**serving), only);
    Ok(judged.into_iter().filter_map(|judged| judged.watch).fold(reply, |reply, watch| watch.after(reply)))
}

/// As much of a request as says whose it is.
#[derive(Deserialize)]
struct Named {
    model: Option<String>,
}

/// The task that judges; `None` where the request is for somebody else.
fn moderating(deployed: &ByName, model: Option<&str>) -> Result<Option<Arc<Deployment>>, Refusal> {
    if let Some(named) = model.and_then(|name| deployed.tasks.get(name)) {
        let task = named.task();
        return match task.kind {
            Kind::Moderate => Ok(Some(named.clone())),
            kind => Err(Refusal::field(
                "model",
                format!("task `{}` is of kind `{kind}`; only tasks of kind `moderate` judge here", task.name),
            )),
        };
    }
    let is_open = model.is_none_or(|name| {
        name == AUTO || (OPENAI_S.iter().any(|own| name.starts_with(own)) && remote(deployed, name).is_err())
    });
    if !is_open {
        return Ok(None);
    }
    let moderates = |deployment: &&Arc<Deployment>| deployment.task().kind == Kind::Moderate;
    let all: Vec<&Arc<Deployment>> = deployed.tasks.values().filter(moderates).collect();
    match all[..] {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        _ => {
            let names: Vec<&str> = all.iter().map(|deployment| deployment.task().name.as_str()).collect();
            let names = names.join(", ");
            Err(Refusal::field("model", format!("more than one task moderates; name one of them: {names}")))
        }
    }
}

/// The texts to judge; parts of a message are one text together.
fn texts(input: TextOrList<ModerationInput>) -> Result<Vec<String>, Refusal> {
    let items = match input {
        TextOrList::Text(text) => return Ok(vec![text]),
        TextOrList::List(items) => items,
    };
    if items.is_empty() || items.len() > MOST_INPUTS {
        let many = items.len();
        return Err(Refusal::field(
            "input",
            format!("`input` has {many} texts; it may have 1 to {MOST_INPUTS}"),
        ));
    }
    let (mut texts, mut parts) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            ModerationInput::Text(text) => texts.push(text),
            ModerationInput::Part(part) => parts.push(part.text().map(str::to_owned).ok_or_else(|| {
                Refusal::field(
                    "input",
                    "small models read text only, and a part of `input` is something else",
                )
            })?),
        }
    }
    if !parts.is_empty() {
        texts.push(parts.join("\n"));
    }
    Ok(texts)
}

/// One text's way.
struct Judged {
    climbed: Climbed,
    route: Route,
    watch: Option<Watch>,
}

async fn judge(
    gateway: &Arc<Gateway>,
    accepted: Accepted,
    deployment: &Deployment,
    text: String,
) -> Result<Judged, Refusal> {
    let question = Question { input: Input::new(text), single: true };
    let serving = deployment.choose(accepted.id.as_str()).clone();
    let route = Route::Task { serving, shadow: deployment.shadow.clone(), question, shape: Shape::Plain };
    let route = permitted(&accepted, route)?;
    let Route::Task { serving, question, .. } = &route else {
        return Err(Refusal::ours("a task's request has become another's"));
    };
    let watch = Watch::of(gateway, &accepted, &route);
    let record = Record::begin(gateway, &accepted, &route)
        .capturing(Capture::of_text(&accepted, &route), &route)
        .watched_by(watch.as_ref(), &route);
    let climbed = decide(&accepted, serving, question, record).await?;
    if climbed.end == End::Failed {
        return Err(failed(&climbed));
    }
    audit::watch(gateway, &accepted, serving, &question.input, &climbed);
    Ok(Judged { climbed, route, watch })
}

/// A judgement. What nobody could judge is flagged, and its categories are null: the text waits for somebody. Scores are
/// the small model's probabilities where it answered; of any other verdict they are 1 and 0, the verdict itself.
fn result(task: &Task, climbed: &Climbed) -> ModerationResult {
    let named = match &climbed.answer {
        Some(Answer::Labels(labels)) => Some(labels),
        _ => None,
    };
    let verdict = |name: &str| named.map(|labels| labels.iter().any(|label| label.as_str() == name));
    let own = climbed.own.as_ref().map(|(_, prediction, _)| categories(prediction)).unwrap_or_default();
    let probability = |name: &str| {
        let scored = own.iter().find(|scored| scored.name == name)?;
        Some(scored.score.exp().clamp(0.0, 1.0)).filter(|probability| probability.is_finite())
    };
    let score = |name: &str| match (climbed.end, verdict(name)) {
        (End::Small, Some(given)) => probability(name).unwrap_or(f64::from(u8::from(given))),
        (_, Some(given)) => f64::from(u8::from(given)),
        (_, None) => probability(name).unwrap_or(1.0),
    };
    let names = || task.labels.iter().map(|label| label.as_str());
    let categories: BTreeMap<String, Option<bool>> =
        names().map(|name| (name.to_owned(), verdict(name))).collect();
    let more = json!({
        "answered_by": climbed.answered_by,
        "escalated": climbed.escalated(),
        "confidence": climbed.confidence().map(|confidence| confidence.get()),
    });
    ModerationResult {
        flagged: named.is_none_or(|labels| !labels.is_empty()),
        categories,
        category_scores: names().map(|name| (name.to_owned(), score(name))).collect(),
        rest: Object::from_iter([("sprat".to_owned(), more)]),
    }
}
