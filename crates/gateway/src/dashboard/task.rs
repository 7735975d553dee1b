//! One task: what it promises, what it saved, what it was asked.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use sprat_cascade::Serving;
use sprat_store::{Action, Filter, ModelTotals, Search, Spend, Store, StoreError};
use sprat_task::certificate::percent as short_percent;
use sprat_task::{Provenance, Release, Status};

use super::beside::{Seen, beside, unwatched};
use super::evidence::{self, Evidence, Quality};
use super::format::{
    When, closed, count, counted, duration_or_unknown, known, percent, probability, quoted, shown,
};
use super::frame::{Frame, Part, Trouble, shown as reply};
use super::overview::{Asked, Figure, figures, warnings};
use super::promise::{self, Promise};
use super::requests::Line;
use super::savings::{Saving, both, caution};
use super::series::{Beside, Row, Series, Span, rows};
use super::watching::Watching;
use super::{Dashboard, now_unix_ms};

/// Requests shown on a task's page.
const LATEST: usize = 10;

/// Changes of what is live that are shown.
const CHANGES: usize = 10;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    frame: Frame,
    here: String,
    name: String,
    standing: &'static str,
    certified: bool,
    /// Whether audits have taken something away from the small models.
    held_back: bool,
    release: Option<String>,
    since: Option<When>,
    promise: Option<Promise>,
    /// Why the promise no longer holds.
    stale: Vec<String>,
    /// The newest release, where nothing is live, in a sentence.
    newest: Option<String>,
    /// What the live release would have answered while everything went to the large model.
    in_shadow: Option<Seen>,
    /// What is missing where everything goes to the large model and nothing watches.
    unwatched: Option<String>,
    /// What the audits say; `None` where nothing is live.
    watching: Option<Watching>,
    /// The releases beside the live one, a sentence each.
    beside: Vec<String>,
    series: Series,
    rows: Vec<Row>,
    caution: Option<(&'static str, &'static str)>,
    warnings: Vec<String>,
    savings: [Saving; 2],
    /// The cheapest single model, as the chart names it.
    single: Option<String>,
    quality: Option<QualityLine>,
    has_large: bool,
    figures: Vec<Figure>,
    models: Vec<ModelLine>,
    /// Models whose own processes ended by themselves.
    crashed: Vec<String>,
    changes: Vec<Change>,
    lines: Vec<Line>,
    waiting: u64,
}

/// How good the whole is beside the large model alone.
struct QualityLine {
    sentence: String,
    verdict: &'static str,
    provenance: Provenance,
}

struct ModelLine {
    model: String,
    threshold: String,
    steps: String,
    answered: String,
    failed: String,
    cost: String,
    p50: String,
    p99: String,
}

struct Change {
    when: When,
    what: String,
    why: String,
}

/// `GET /tasks/NAME`.
pub async fn page(
    State(dashboard): State<Arc<Dashboard>>,
    Path(name): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Trouble> {
    let span = asked.map(|Query(asked)| asked.span).unwrap_or_default();
    let serving = dashboard.task(&name)?;
    dashboard.on_disk(move |dashboard| reply(&TaskPage::read(dashboard, &serving, span)?)).await
}

impl TaskPage {
    fn read(dashboard: &Dashboard, serving: &Serving, span: Span) -> Result<Self, Trouble> {
        let store = dashboard.store();
        let task = &serving.task.name;
        let series = Series::read(store, Some(task), span, now_unix_ms())?;
        let of = |spend| Filter { task: Some(task.clone()), spend, period: Some(series.period.clone()) };
        let (all, served) =
            (store.ledger().totals(&of(None))?, store.ledger().totals(&of(Some(Spend::Serving)))?);
        let spent_beside = Beside::of(&all, &served);
        let release = evidence::live(store, task)?;
        let evidence = release.as_ref().map(Evidence::of).unwrap_or_default();
        // Where the large model is itself the cheapest, one line says both.
        let single = single(&evidence)
            .filter(|(model, _)| serving.task.large().is_none_or(|large| large.as_str() != *model));
        let models = store.ledger().per_model(&of(Some(Spend::Serving)))?;
        let latest = Search { task: Some(task.clone()), spend: Some(Spend::Serving), ..Search::default() };
        let watching = release.as_ref().map(|release| Watching::read(store, &release.id, now_unix_ms()));
        let watching = watching.transpose()?;
        let standing = serving.standing();
        Ok(Self {
            frame: Frame::of(dashboard, Part::Overview, shown(task.as_str())),
            here: format!("/tasks/{task}"),
            name: shown(task.as_str()),
            standing,
            certified: standing == Status::Certified.word(),
            release: serving.release.as_ref().map(ToString::to_string),
            since: store.registry().live(task)?.map(|live| When::minute(live.since_unix_ms)),
            promise: serving.certificate.as_ref().map(|certificate| Promise::of(certificate, &serving.stale)),
            stale: serving.stale.iter().map(|why| closed(&quoted(why))).collect(),
            newest: match release {
                Some(_) => None,
                None => promise::newest(store, task)?,
            },
            in_shadow: in_shadow(dashboard, serving)?,
            unwatched: match &serving.release {
                None if dashboard.gateway.settings.shadow => Some(unwatched(store, &serving.task)?),
                _ => None,
            },
            rows: rows(&series, single.map(|(_, each)| each)),
            held_back: watching.as_ref().is_some_and(|watching| !watching.taken.is_empty()),
            watching,
            beside: beside(store, task)?,
            caution: caution(served.provenance),
            warnings: warnings(store, &all)?,
            savings: both(&serving.task, &served, spent_beside, &evidence),
            single: single.map(|(model, _)| format!("{} alone", shown(model))),
            quality: evidence.quality.as_ref().map(quality),
            has_large: serving.task.large().is_some(),
            figures: figures(&served),
            models: models.into_iter().map(|model| ModelLine::of(model, release.as_ref())).collect(),
            crashed: crashed(serving),
            changes: changes(store, serving)?,
            lines: store.ledger().search(&latest, LATEST)?.entries.iter().map(Line::of).collect(),
            waiting: store.review().counts(task)?.waiting,
            series,
        })
    }
}

/// Whose process ended without being told to since this server started, how often, and how the last time.
fn crashed(serving: &Serving) -> Vec<String> {
    let models = serving.ladder.rungs.iter().map(|rung| &rung.model);
    let of = models.filter_map(|model| model.own_process().map(|process| (model.id(), process)));
    of.filter(|(_, process)| process.crashes > 0)
        .map(|(model, process)| {
            let often = counted(process.crashes, "time");
            let last = process.last.map(|last| format!(" The last time: {}", closed(&quoted(&last))));
            let model = shown(model.as_str());
            format!(
                "{model}: its process ended by itself, {often} since the server started.{}",
                last.unwrap_or_default()
            )
        })
        .collect()
}

/// What the live release has seen while it only watched; `None` where it always answered.
fn in_shadow(dashboard: &Dashboard, serving: &Serving) -> Result<Option<Seen>, StoreError> {
    let Some(release) = &serving.release else { return Ok(None) };
    let seen = Seen::of(dashboard.store(), release)?;
    Ok(Some(seen).filter(|seen| dashboard.gateway.settings.shadow || !seen.is_empty()))
}

/// The cheapest single model, and what it costs a request in millionths.
fn single(evidence: &Evidence) -> Option<(&str, f64)> {
    let savings = evidence.savings.as_ref()?;
    let (model, cost) = savings.cheapest_single.as_ref()?;
    Some((model.as_str(), cost.micro() as f64 / savings.requests.max(1) as f64))
}

fn quality(quality: &Quality) -> QualityLine {
    let points = |share: f64| format!("{:+.1}", share * 100.0).replace('-', "−");
    let (low, high) = quality.interval;
    QualityLine {
        sentence: format!(
            "Right end to end {}, the large model alone {}, on the same {} rows: {} points ({} interval {} to {}).",
            percent(quality.cascade_accuracy),
            percent(quality.large_accuracy),
            count(quality.rows),
            points(quality.difference),
            short_percent(quality.confidence),
            points(low),
            points(high)
        ),
        verdict: if quality.non_inferior {
            "not worse than the large model"
        } else if high < -quality.margin {
            "worse than the large model"
        } else {
            "not settled"
        },
        provenance: quality.provenance,
    }
}

impl ModelLine {
    fn of(model: ModelTotals, release: Option<&Release>) -> Self {
        let rung = release.and_then(|release| release.rungs.iter().find(|rung| rung.model == model.model));
        Self {
            model: shown(model.model.as_str()),
            threshold: match rung.map(|rung| rung.threshold) {
                Some(Some(threshold)) => probability(threshold),
                Some(None) => "never".to_owned(),
                None => "none".to_owned(),
            },
            steps: count(model.steps),
            answered: count(model.answered),
            failed: count(model.failed),
            cost: known(model.cost, model.cost_unknown, model.steps),
            p50: duration_or_unknown(model.latency.quantile_us(0.5)),
            p99: duration_or_unknown(model.latency.quantile_us(0.99)),
        }
    }
}

fn changes(store: &Store, serving: &Serving) -> Result<Vec<Change>, StoreError> {
    let records = store.registry().history(&serving.task.name)?;
    let change = |record: &sprat_store::DeploymentRecord| Change {
        when: When::minute(record.time_unix_ms),
        what: match record.action {
            Action::Promote => format!("{} went live", record.release),
            Action::Rollback => format!("back to {}", record.release),
            Action::Canary => format!("{} answers a share of the traffic", record.release),
            Action::EndCanary => format!("{} is no canary any more", record.release),
            Action::Shadow => format!("{} watches", record.release),
            Action::EndShadow => format!("{} watches no more", record.release),
        },
        why: shown(&record.reason),
    };
    Ok(records.iter().take(CHANGES).map(change).collect())
}
