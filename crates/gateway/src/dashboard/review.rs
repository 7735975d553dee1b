//! Rows that wait for a person's label: one at a time, by mouse or by keys, with a way back.

mod record;

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use sprat_store::{Labelled, Reason, ReviewCounts, ReviewRow, Store, StoreError};
use sprat_task::{Answer, Kind, Label, RequestId, Task, TaskName};

use super::format::{percent, segment, shown, shown_within};
use super::frame::{Frame, Part, Trouble, shown as reply};
use super::{Dashboard, now_unix_ms};

/// The cookie that keeps who labels.
const COOKIE: &str = "sprat-labels-as";

/// Who labels, until somebody says.
const NOBODY_SAID: &str = "dashboard";

/// Longest name of somebody who labels, in characters.
const NAME_LIMIT: usize = 64;

/// Longest text that is shown, in characters; what is longer is cut, and says so.
const TEXT_LIMIT: usize = 20_000;

/// What the address may say.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    /// The row that was passed over.
    after: Option<i64>,
    /// The row to show.
    row: Option<i64>,
    /// The row that was labelled just now.
    said: Option<i64>,
}

#[derive(Template)]
#[template(path = "review_tasks.html")]
struct TasksPage {
    frame: Frame,
    tasks: Vec<(String, ReviewCounts)>,
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    name: String,
    path: String,
    by: String,
    multi: bool,
    is_reviewable: bool,
    counts: ReviewCounts,
    /// What was said just now, and the row it can be taken back from.
    said: Option<(i64, String, String)>,
    after: Option<i64>,
    question: Option<Question>,
}

/// A row as a question.
struct Question {
    id: i64,
    text: String,
    cut: bool,
    why: &'static str,
    small: Option<String>,
    confidence: Option<String>,
    large: Option<String>,
    request: Option<String>,
    labels: Vec<Choice>,
    fields: Vec<record::Line>,
}

/// A label to choose.
struct Choice {
    value: String,
    name: String,
    small: bool,
    large: bool,
}

/// `GET /review`.
pub async fn tasks(State(dashboard): State<Arc<Dashboard>>) -> Result<Response, Trouble> {
    dashboard
        .on_disk(|dashboard| {
            let tasks = dashboard.tasks().into_iter().filter(|serving| serving.task.kind.is_reviewable());
            let tasks = tasks.map(|serving| {
                let name = &serving.task.name;
                Ok((shown(name.as_str()), dashboard.store().review().counts(name)?))
            });
            let tasks = tasks.collect::<Result<Vec<_>, StoreError>>()?;
            reply(&TasksPage { frame: Frame::of(dashboard, Part::Review, "Review"), tasks })
        })
        .await
}

/// `GET /review/TASK`.
pub async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    Path(name): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let serving = dashboard.task(&name)?;
    let by = name_in_cookie(&headers).unwrap_or_else(|| NOBODY_SAID.to_owned());
    dashboard.on_disk(move |dashboard| reply(&ReviewPage::read(dashboard, &serving.task, &asked, by)?)).await
}

impl ReviewPage {
    fn read(dashboard: &Dashboard, task: &Task, asked: &Asked, by: String) -> Result<Self, Trouble> {
        let row = match task.kind.is_reviewable() {
            true => next(dashboard.store(), &task.name, asked)?,
            false => None,
        };
        Self::asking(dashboard, task, asked, by, row.map(|row| Question::of(&row, task)))
    }

    fn asking(
        dashboard: &Dashboard,
        task: &Task,
        asked: &Asked,
        by: String,
        question: Option<Question>,
    ) -> Result<Self, Trouble> {
        let store = dashboard.store();
        Ok(Self {
            frame: Frame::of(dashboard, Part::Review, format!("Review {}", task.name)),
            name: shown(task.name.as_str()),
            path: format!("/review/{}", segment(task.name.as_str())),
            by,
            multi: task.multi,
            is_reviewable: task.kind.is_reviewable(),
            counts: store.review().counts(&task.name)?,
            said: said(store, task, asked)?,
            after: asked.after,
            question,
        })
    }
}

/// The row to ask about: the one that was named, the one after those passed over, or the first.
fn next(store: &Store, task: &TaskName, asked: &Asked) -> Result<Option<ReviewRow>, StoreError> {
    let waits = |row: &ReviewRow| row.row.task == *task && row.label.is_none();
    if let Some(row) = asked.row.map(|id| store.review().row(id)).transpose()?.flatten().filter(waits) {
        return Ok(Some(row));
    }
    let rows = match asked.after {
        Some(after) => store.review().next_after(task, after, 1)?,
        None => store.review().next(task, 1)?,
    };
    Ok(rows.into_iter().next())
}

fn said(store: &Store, task: &Task, asked: &Asked) -> Result<Option<(i64, String, String)>, StoreError> {
    let row = asked.said.map(|id| store.review().row(id)).transpose()?.flatten();
    let row = row.filter(|row| row.row.task == task.name);
    Ok(row.and_then(|row| Some((row.id, in_words(&row.label?.answer), shown_within(&row.row.text, 60)))))
}

/// An answer as a reader would say it.
fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Labels(labels) if labels.is_empty() => "none of them".to_owned(),
        Answer::Labels(labels) => {
            shown_within(&labels.iter().map(Label::as_str).collect::<Vec<_>>().join(", "), 200)
        }
        other => shown_within(&other.to_line(), 200),
    }
}

impl Question {
    fn of(row: &ReviewRow, task: &Task) -> Self {
        let ReviewRow { id, row, .. } = row;
        let says = |answer: &Option<Answer>, label: &Label| match answer {
            Some(Answer::Label(said)) => said == label,
            Some(Answer::Labels(said)) => said.contains(label),
            _ => false,
        };
        let line = |answer: &Option<Answer>| answer.as_ref().map(in_words);
        Self {
            id: *id,
            text: shown(&row.text.chars().take(TEXT_LIMIT).collect::<String>()),
            cut: row.text.chars().nth(TEXT_LIMIT).is_some(),
            why: match row.reason {
                Reason::Audit => "An audit: drawn at random from what was answered small.",
                Reason::Unsure => "It is among those that the models were least sure of.",
                Reason::Disagreement => "The small and the large model differ.",
                Reason::Random => "Drawn at random from everything.",
            },
            small: line(&row.small),
            confidence: row.confidence.map(|sure| percent(sure.get())),
            large: line(&row.large),
            request: row.request.as_ref().map(RequestId::as_str).map(segment),
            labels: task
                .labels
                .iter()
                .map(|label| Choice {
                    value: label.to_string(),
                    name: shown(label.as_str()),
                    small: says(&row.small, label),
                    large: says(&row.large, label),
                })
                .collect(),
            fields: record::lines(row, task),
        }
    }
}

/// The fields of a form, in order; a name may come more than once.
type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

fn fields(fields: Fields) -> Result<Vec<(String, String)>, Trouble> {
    fields
        .map(|Form(fields)| fields)
        .map_err(|error| Trouble::Nonsense(format!("The form can’t be read: {error}.")))
}

fn number(fields: &[(String, String)], name: &str) -> Option<i64> {
    fields.iter().find(|(field, _)| field == name)?.1.parse().ok()
}

/// `POST /review/TASK`: what a person said.
pub async fn label(
    State(dashboard): State<Arc<Dashboard>>,
    Path(name): Path<String>,
    form: Fields,
) -> Result<Response, Trouble> {
    let serving = dashboard.task(&name)?;
    let form = fields(form)?;
    dashboard.on_disk(move |dashboard| keep(dashboard, &serving.task, &form)).await
}

fn keep(dashboard: &Dashboard, task: &Task, form: &[(String, String)]) -> Result<Response, Trouble> {
    let store = dashboard.store();
    let row = waiting(store, task, form)?;
    let by = clean(form.iter().find(|(field, _)| field == "by").map_or("", |(_, name)| name));
    let path = format!("/review/{}", segment(task.name.as_str()));
    let after = number(form, "after").map(|after| format!("&after={after}")).unwrap_or_default();
    // Somebody else was quicker: their word stands, and whoever wants to can take it back.
    if row.label.is_none() {
        let answer = match task.kind {
            Kind::Extract => match record::answer(&row.row, task, form) {
                Ok(answer) => answer,
                // What was typed stands there again, with what is wrong beside it.
                Err(fields) => {
                    let question = Question { fields, ..Question::of(&row, task) };
                    let asked = Asked { after: number(form, "after"), ..Asked::default() };
                    return reply(&ReviewPage::asking(dashboard, task, &asked, by, Some(question))?);
                }
            },
            _ => answer(task, form)?,
        };
        let time_unix_ms = now_unix_ms();
        store.review().label(row.id, &Labelled { answer, by: by.clone(), time_unix_ms })?;
    }
    let mut response = Redirect::to(&format!("{path}?said={}{after}", row.id)).into_response();
    let cookie =
        format!("{COOKIE}={}; Path=/review; Max-Age=31536000; HttpOnly; SameSite=Strict", segment(&by));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `POST /review/TASK/undo`: a label is taken back, and its row asked about again.
pub async fn undo(
    State(dashboard): State<Arc<Dashboard>>,
    Path(name): Path<String>,
    form: Fields,
) -> Result<Response, Trouble> {
    let serving = dashboard.task(&name)?;
    let form = fields(form)?;
    dashboard
        .on_disk(move |dashboard| {
            let row = waiting(dashboard.store(), &serving.task, &form)?;
            dashboard.store().review().unlabel(row.id)?;
            let after = number(&form, "after").map(|after| format!("&after={after}")).unwrap_or_default();
            let path = segment(serving.task.name.as_str());
            Ok(Redirect::to(&format!("/review/{path}?row={}{after}", row.id)).into_response())
        })
        .await
}

/// The row that a form is about.
fn waiting(store: &Store, task: &Task, form: &[(String, String)]) -> Result<ReviewRow, Trouble> {
    let id = number(form, "row").ok_or_else(|| Trouble::Nonsense("The form names no row.".to_owned()))?;
    let row = store.review().row(id)?.filter(|row| row.row.task == task.name);
    row.ok_or_else(|| Trouble::NotFound(format!("{} has no row {id} to review.", task.name)))
}

fn answer(task: &Task, form: &[(String, String)]) -> Result<Answer, Trouble> {
    let given = form.iter().filter(|(field, _)| field == "label");
    let labels =
        given.map(|(_, name)| task.label(name).cloned().ok_or(name)).collect::<Result<Vec<Label>, _>>();
    let labels = labels.map_err(|name| {
        let name = shown_within(name, 64);
        Trouble::Nonsense(format!("“{name}” is none of the labels of {}.", task.name))
    })?;
    let answer = match (task.multi, &labels[..]) {
        (true, _) => Answer::labels(labels),
        (false, [only]) => Answer::Label(only.clone()),
        (false, _) => return Err(Trouble::Nonsense("One label is needed.".to_owned())),
    };
    match task.admits(&answer) {
        true => Ok(answer),
        false => Err(Trouble::Nonsense(format!("{} has no such answer.", task.name))),
    }
}

fn name_in_cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, name) = pairs.find(|(name, _)| *name == COOKIE)?;
    Some(clean(&unsegment(name)))
}

/// A name as it is kept: one line, not too long; `dashboard` where nothing is left of it.
fn clean(name: &str) -> String {
    let name: String = name.chars().filter(|char| !char.is_control()).take(NAME_LIMIT).collect();
    let name = name.trim();
    if name.is_empty() { NOBODY_SAID.to_owned() } else { name.to_owned() }
}

/// What [`segment`] was made from.
fn unsegment(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex.filter(|_| byte == b'%') {
            Some(decoded) => {
                plain.push(decoded);
                at += 3;
            }
            None => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_from_its_cookie_cleaned() {
        for (cookie, name) in [
            ("sprat-labels-as=Ada", Some("Ada")),
            ("other=1; sprat-labels-as=Zo%C3%AB%20B", Some("Zoë B")),
            ("sprat-labels-as=%0A%00", Some("dashboard")),
            ("sprat-labels-as=100%", Some("100%")),
            ("other=1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
            assert_eq!(name_in_cookie(&headers).as_deref(), name, "{cookie}");
        }
        assert_eq!(clean(&"x".repeat(99)).len(), NAME_LIMIT);
    }
}
