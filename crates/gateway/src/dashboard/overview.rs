//! The first page: what was saved, how much is answered small, how the tasks stand.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use sprat_cascade::Serving;
use sprat_store::{Filter, Search, Spend, Store, StoreError, Totals};

use super::beside::Seen;
use super::evidence::{self, Evidence};
use super::format::{closed, count, counted, duration_or_unknown, known, share, shown};
use super::frame::{Frame, Part, Trouble, shown as reply};
use super::savings::{Saving, against_large, both, caution};
use super::series::{Beside, Row, Series, Span, rows};
use super::watching::alarm;
use super::{Dashboard, now_unix_ms};

/// What the address may ask for.
#[derive(Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    pub(super) span: Span,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    here: &'static str,
    series: Series,
    rows: Vec<Row>,
    caution: Option<(&'static str, &'static str)>,
    /// Why the sums are not complete, a sentence each.
    warnings: Vec<String>,
    saving: Saving,
    /// What the live releases would have answered while everything goes to the large model.
    in_shadow: Option<Seen>,
    figures: Vec<Figure>,
    tasks: Vec<TaskLine>,
    spending: Vec<Spending>,
    /// Whether anything was asked in this time, for an answer or not.
    anything_spent: bool,
    /// Nothing has ever been served.
    empty: Option<Empty>,
}

/// A number that a reader looks for first.
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// The number.
    pub value: String,
    /// What it is out of, or how it came about.
    pub note: String,
}

struct TaskLine {
    name: String,
    standing: &'static str,
    certified: bool,
    /// What its audits say, where something is to be done.
    alarm: Option<&'static str>,
    release: Option<String>,
    requests: String,
    coverage: String,
    cost: String,
    savings: [Saving; 2],
    waiting: u64,
}

struct Spending {
    on: &'static str,
    requests: String,
    cost: String,
}

/// What to do before there is anything to see.
struct Empty {
    address: String,
    task: Option<String>,
}

/// `GET /`.
pub async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Trouble> {
    // An address that asks for something else gets the usual span.
    let span = asked.map(|Query(asked)| asked.span).unwrap_or_default();
    dashboard.on_disk(move |dashboard| reply(&OverviewPage::read(dashboard, span)?)).await
}

impl OverviewPage {
    fn read(dashboard: &Dashboard, span: Span) -> Result<Self, Trouble> {
        let store = dashboard.store();
        let series = Series::read(store, None, span, now_unix_ms())?;
        let of = |spend| Filter { spend, period: Some(series.period.clone()), ..Filter::default() };
        let (all, served) =
            (store.ledger().totals(&of(None))?, store.ledger().totals(&of(Some(Spend::Serving)))?);
        let beside = Beside::of(&all, &served);
        let mut tasks = Vec::new();
        for serving in dashboard.tasks() {
            tasks.push(TaskLine::read(store, &serving, &of)?);
        }
        let answers = Search { spend: Some(Spend::Serving), ..Search::default() };
        let ever = served.requests > 0 || !store.ledger().search(&answers, 1)?.entries.is_empty();
        let empty = (!ever).then(|| Empty {
            address: dashboard.gateway.client_address(),
            task: tasks.first().map(|task| task.name.clone()),
        });
        Ok(Self {
            frame: Frame::of(dashboard, Part::Overview, "Overview"),
            here: "/",
            rows: rows(&series, None),
            caution: caution(served.provenance),
            warnings: warnings(store, &all)?,
            saving: against_large(&served, beside),
            in_shadow: in_shadow(dashboard)?,
            figures: figures(&served),
            tasks,
            spending: spending(store, &of)?,
            anything_spent: all.requests > 0,
            empty,
            series,
        })
    }
}

/// What the live releases of all tasks have seen; `None` where they answer.
fn in_shadow(dashboard: &Dashboard) -> Result<Option<Seen>, StoreError> {
    if !dashboard.gateway.settings.shadow {
        return Ok(None);
    }
    let mut all = Seen::default();
    for release in dashboard.tasks().iter().filter_map(|serving| serving.release.as_ref()) {
        all = all.plus(Seen::of(dashboard.store(), release)?);
    }
    Ok(Some(all))
}

/// The figures of what was served.
pub fn figures(served: &Totals) -> Vec<Figure> {
    let of_all = |part: u64| match served.requests {
        0 => "nothing was served".to_owned(),
        all => format!("{} of {}", count(part), counted(all, "request")),
    };
    let time = |share| duration_or_unknown(served.latency.quantile_us(share));
    vec![
        Figure {
            name: "Answered small",
            value: share(served.small, served.requests),
            note: of_all(served.small),
        },
        Figure {
            name: "Escalated",
            value: share(served.escalated, served.requests),
            note: of_all(served.escalated),
        },
        Figure {
            name: "Failed",
            value: count(served.failed),
            note: "without an answer, because the large model failed".to_owned(),
        },
        Figure {
            name: "Cost of answers",
            value: known(served.cost, served.cost_unknown, served.requests.max(1)),
            note: match served.cost_unknown {
                0 => "every step of every request".to_owned(),
                some => format!("{} whose cost nobody knows", counted(some, "request")),
            },
        },
        Figure { name: "Median time", value: time(0.5), note: format!("99th percentile {}", time(0.99)) },
    ]
}

/// Why sums are not complete.
pub fn warnings(store: &Store, all: &Totals) -> Result<Vec<String>, StoreError> {
    let mut warnings = Vec::new();
    if all.lost > 0 {
        warnings.push(format!(
            "{} could not be recorded and {} in none of these numbers.",
            counted(all.lost, "request"),
            if all.lost == 1 { "is" } else { "are" }
        ));
    }
    let waiting = store.ledger().waiting()?;
    if waiting > 0 {
        let why = store.ledger().trouble().map(|trouble| closed(&trouble.to_string())).unwrap_or_default();
        warnings.push(format!(
            "{} not in these numbers yet: the database can’t take them. {why}",
            counted(waiting, "record")
        ));
    }
    Ok(warnings)
}

impl TaskLine {
    fn read(
        store: &Store,
        serving: &Serving,
        of: &impl Fn(Option<Spend>) -> Filter,
    ) -> Result<Self, StoreError> {
        let name = &serving.task.name;
        let of_task = |spend| Filter { task: Some(name.clone()), ..of(spend) };
        let served = store.ledger().totals(&of_task(Some(Spend::Serving)))?;
        let beside = Beside::of(&store.ledger().totals(&of_task(None))?, &served);
        let evidence = evidence::live(store, name)?.map(|release| Evidence::of(&release)).unwrap_or_default();
        let standing = serving.standing();
        Ok(Self {
            name: shown(name.as_str()),
            standing,
            certified: standing == "certified",
            alarm: serving.release.as_ref().map(|live| alarm(store, live)).transpose()?.flatten(),
            release: serving.release.as_ref().map(|release| format!("release {}", release.version)),
            requests: count(served.requests),
            coverage: share(served.small, served.requests),
            cost: known(served.cost, served.cost_unknown, served.requests.max(1)),
            savings: both(&serving.task, &served, beside, &evidence),
            waiting: store.review().counts(name)?.waiting,
        })
    }
}

fn spending(store: &Store, of: &impl Fn(Option<Spend>) -> Filter) -> Result<Vec<Spending>, StoreError> {
    let all = [
        (Spend::Serving, "answers"),
        (Spend::Labels, "labels from the large model"),
        (Spend::Training, "training"),
        (Spend::Audits, "audits"),
        (Spend::Evaluation, "evaluation"),
        (Spend::Judgements, "judgements of texts"),
    ];
    let mut lines = Vec::new();
    for (spend, on) in all {
        let totals = store.ledger().totals(&of(Some(spend)))?;
        lines.push(Spending {
            on,
            requests: count(totals.requests),
            cost: known(totals.cost, totals.cost_unknown, totals.requests.max(1)),
        });
    }
    Ok(lines)
}
