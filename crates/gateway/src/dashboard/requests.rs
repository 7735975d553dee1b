//! What was asked lately, over all tasks, and one request with everything that is known of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sprat_store::{Ending, LedgerEntry, Search, Spend, Store, StoreError};
use sprat_task::RequestId;

use super::Dashboard;
use super::format::{When, duration_us, money, probability, segment, shown, shown_within};
use super::frame::{Frame, Part, Trouble, shown as reply};
use super::why::{self, Record};
use crate::record::NO_TASK;

/// Requests of a page.
const A_PAGE: usize = 50;

/// The endings, and how they are called.
const ENDINGS: [(Ending, &str); 6] = [
    (Ending::Small, "answered small"),
    (Ending::Large, "escalated"),
    (Ending::People, "left to people"),
    (Ending::NoAnswer, "no answer"),
    (Ending::Failed, "failed"),
    (Ending::Stopped, "stopped"),
];

/// What the address may ask for; an empty text asks for all.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    task: String,
    #[serde(default)]
    ending: String,
    before: Option<i64>,
    /// The newest request that the browser shows already.
    seen: Option<String>,
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    frame: Frame,
    tasks: Vec<Choice>,
    endings: Vec<Choice>,
    list: List,
}

/// What a reader may choose.
struct Choice {
    value: String,
    name: String,
    chosen: bool,
}

/// The list by itself: what is fetched again and again.
#[derive(Template)]
#[template(path = "requests_list.html")]
pub struct List {
    lines: Vec<Line>,
    /// The address of the list alone, with the newest request that it shows.
    again: String,
    /// The address of the next page.
    older: Option<String>,
    /// Whether this is the newest page, which is kept up to date.
    live: bool,
    /// Whether anything was asked for beyond all of it.
    filtered: bool,
}

/// A request on one line.
pub struct Line {
    /// Its name.
    pub id: String,
    /// The same in a path.
    pub path: String,
    /// When it was answered.
    pub when: When,
    /// Whose it was; `None` where it was no task's.
    pub task: Option<String>,
    /// How it ended: a word for style sheets.
    pub ending: &'static str,
    /// How it ended, for people.
    pub ending_text: &'static str,
    /// Who answered.
    pub answered_by: String,
    /// How sure the last small model was.
    pub confidence: Option<String>,
    /// What it cost.
    pub cost: String,
    /// How long it took.
    pub latency: String,
}

/// `GET /requests`.
pub async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Trouble> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    dashboard.on_disk(move |dashboard| reply(&RequestsPage::read(dashboard, &asked)?)).await
}

/// `GET /parts/requests`: the list alone; nothing where there is nothing new.
pub async fn newer(
    State(dashboard): State<Arc<Dashboard>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Trouble> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    dashboard
        .on_disk(move |dashboard| {
            let list = List::read(dashboard.store(), &asked)?;
            match asked.seen.as_deref() == Some(list.newest()) {
                true => Ok(StatusCode::NO_CONTENT.into_response()),
                false => reply(&list),
            }
        })
        .await
}

impl RequestsPage {
    fn read(dashboard: &Dashboard, asked: &Asked) -> Result<Self, Trouble> {
        let choice = |value: &str, name: &str, of: &str| Choice {
            value: value.to_owned(),
            name: shown(name),
            chosen: value == of,
        };
        let tasks = dashboard.tasks();
        let names = tasks.iter().map(|serving| serving.task.name.as_str());
        let tasks = names.map(|name| choice(name, name, &asked.task));
        let tasks = tasks.chain([choice(NO_TASK, "no task: passed through", &asked.task)]);
        Ok(Self {
            frame: Frame::of(dashboard, Part::Requests, "Requests"),
            tasks: tasks.collect(),
            endings: ENDINGS.map(|(ending, name)| choice(ending.word(), name, &asked.ending)).into(),
            list: List::read(dashboard.store(), asked)?,
        })
    }
}

impl List {
    fn read(store: &Store, asked: &Asked) -> Result<Self, StoreError> {
        let ending = ENDINGS.iter().find(|(ending, _)| ending.word() == asked.ending);
        let search = Search {
            task: (!asked.task.is_empty()).then(|| asked.task.as_str().into()),
            ending: ending.map(|(ending, _)| *ending),
            spend: Some(Spend::Serving),
            before: asked.before,
        };
        let found = store.ledger().search(&search, A_PAGE)?;
        let wanted = format!(
            "task={}&ending={}",
            segment(&asked.task),
            ending.map_or("", |(ending, _)| ending.word())
        );
        let lines: Vec<Line> = found.entries.iter().map(Line::of).collect();
        let newest = lines.first().map_or("", |line| line.id.as_str());
        Ok(Self {
            again: format!("/parts/requests?{wanted}&seen={}", segment(newest)),
            older: found.older.map(|before| format!("/requests?{wanted}&before={before}")),
            live: asked.before.is_none(),
            filtered: search.task.is_some() || search.ending.is_some(),
            lines,
        })
    }

    fn newest(&self) -> &str {
        self.lines.first().map_or("", |line| line.id.as_str())
    }
}

impl Line {
    /// Of a record.
    pub fn of(entry: &LedgerEntry) -> Self {
        let ending = ENDINGS.iter().find(|(ending, _)| *ending == entry.ending);
        let sure = entry.steps.iter().rev().find_map(|step| step.outcome.confidence());
        Self {
            id: entry.request.to_string(),
            path: segment(entry.request.as_str()),
            when: When::second(entry.time_unix_ms),
            task: (entry.task.as_str() != NO_TASK).then(|| shown(entry.task.as_str())),
            ending: entry.ending.word(),
            ending_text: ending.map_or("", |(_, name)| *name),
            answered_by: entry
                .answered_by
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), |by| shown(by.as_str())),
            confidence: sure.map(|sure| probability(sure.get())),
            cost: entry.cost.map_or_else(|| super::format::UNKNOWN.to_owned(), money),
            latency: duration_us(entry.latency_us),
        }
    }
}

#[derive(Template)]
#[template(path = "request.html")]
struct RequestPage {
    frame: Frame,
    id: String,
    task: Option<String>,
    records: Vec<Record>,
    /// What users said of it.
    said: Vec<(When, String)>,
}

#[derive(Template)]
#[template(path = "why.html")]
struct WhyPart {
    records: Vec<Record>,
    path: String,
}

/// `GET /requests/ID`.
pub async fn one(
    State(dashboard): State<Arc<Dashboard>>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    dashboard.on_disk(move |dashboard| reply(&RequestPage::read(dashboard, &id)?)).await
}

/// `GET /parts/requests/ID`: its steps alone.
pub async fn why(
    State(dashboard): State<Arc<Dashboard>>,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    dashboard
        .on_disk(move |dashboard| {
            let records = records(dashboard, &id)?;
            reply(&WhyPart { records, path: segment(&id) })
        })
        .await
}

impl RequestPage {
    fn read(dashboard: &Dashboard, id: &str) -> Result<Self, Trouble> {
        let records = records(dashboard, id)?;
        let store = dashboard.store();
        let request = RequestId::from(id);
        let task = store.ledger().request(&request)?.first().map(|entry| entry.task.clone());
        let said = store.feedback().of_request(&request)?;
        Ok(Self {
            frame: Frame::of(dashboard, Part::Requests, format!("Request {}", shown_within(id, 64))),
            id: shown(id),
            task: task.filter(|task| task.as_str() != NO_TASK).map(|task| task.to_string()),
            records,
            said: said.iter().map(|said| (When::second(said.time_unix_ms), why::said(said))).collect(),
        })
    }
}

fn records(dashboard: &Dashboard, id: &str) -> Result<Vec<Record>, Trouble> {
    let found = why::of_request(dashboard.store(), &RequestId::from(id))?;
    found.ok_or_else(|| Trouble::NotFound(format!("The ledger knows no request “{}”.", shown_within(id, 64))))
}
