//! What operators watch: health, readiness, and counters by configured names only.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sprat_store::LedgerEntry;

use crate::Gateway;

/// Seconds: from a small model's answer to a slow large one's.
const BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    task: String,
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: String,
}

/// The counters.
pub struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    cost: Family<OfTask, Counter>,
    unknown_cost: Family<OfTask, Counter>,
    duration: Family<OfTask, Histogram, fn() -> Histogram>,
    watched: Family<OfTask, Counter>,
    would_answer: Family<OfTask, Counter>,
    agreed: Family<OfTask, Counter>,
    cut: Counter<u64, AtomicU64>,
    not_recorded: Counter<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sprat");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            requests: Family::default(),
            cost: Family::default(),
            unknown_cost: Family::default(),
            duration: Family::new_with_constructor(histogram),
            watched: Family::default(),
            would_answer: Family::default(),
            agreed: Family::default(),
            cut: Counter::default(),
            not_recorded: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests, by task and how they ended", metrics.requests.clone());
        registry.register("cost_micro_usd", "What requests cost, where known", metrics.cost.clone());
        registry.register("cost_unknown", "Requests whose cost is unknown", metrics.unknown_cost.clone());
        registry.register(
            "request_duration_seconds",
            "From accepting a request to its answer",
            metrics.duration.clone(),
        );
        registry.register("shadow_requests", "Requests that small models watched", metrics.watched.clone());
        registry.register(
            "shadow_would_answer",
            "Of these, those they would have answered",
            metrics.would_answer.clone(),
        );
        registry.register(
            "shadow_agreed",
            "Of these, those on which small and large agree",
            metrics.agreed.clone(),
        );
        registry.register(
            "streams_cut",
            "Streams that ended with an error after they had begun",
            metrics.cut.clone(),
        );
        registry.register(
            "not_recorded",
            "Requests that the ledger could not keep",
            metrics.not_recorded.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub(crate) fn ended(&self, entry: &LedgerEntry) {
        let task = OfTask { task: entry.task.to_string() };
        self.requests.get_or_create(&Ended { task: task.task.clone(), ending: entry.ending.word() }).inc();
        match entry.cost {
            Some(cost) => {
                self.cost.get_or_create(&task).inc_by(u64::try_from(cost.micro()).unwrap_or(0));
            }
            None => {
                self.unknown_cost.get_or_create(&task).inc();
            }
        }
        self.duration.get_or_create(&task).observe(entry.latency_us as f64 / 1e6);
    }

    pub(crate) fn watched(&self, task: &str, would_answer: bool, agreed: Option<bool>) {
        let task = OfTask { task: task.to_owned() };
        self.watched.get_or_create(&task).inc();
        if would_answer {
            self.would_answer.get_or_create(&task).inc();
            if agreed == Some(true) {
                self.agreed.get_or_create(&task).inc();
            }
        }
    }

    pub(crate) fn cut(&self) {
        self.cut.inc();
    }

    pub(crate) fn not_recorded(&self) {
        self.not_recorded.inc();
    }
}

/// The process is alive.
pub async fn health() -> Json<Value> {
    Json(json!({ "status": "ok", "product": "sprat", "version": env!("CARGO_PKG_VERSION") }))
}

/// Ladders are loaded: requests can be answered.
pub async fn readiness(State(gateway): State<Arc<Gateway>>) -> Response {
    let deployed = gateway.current.deployed();
    let tasks: Vec<Value> = deployed
        .tasks
        .values()
        .map(|serving| {
            json!({
                "task": serving.task.name.as_str(),
                "release": serving.release.as_ref().map(ToString::to_string),
                "certificate": serving.standing(),
                "stale": serving.stale,
            })
        })
        .collect();
    let ready = deployed.generation.is_some();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ready" } else { "loading" }, "product": "sprat", "version": env!("CARGO_PKG_VERSION"),
        "tasks": tasks,
    });
    (status, Json(body)).into_response()
}

/// The counters as Prometheus reads them.
pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let mut text = String::new();
    if encode(&mut text, &gateway.metrics.registry).is_err() {
        let _ = text.write_str("# the counters can't be written\n");
    }
    let head = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (head, text).into_response()
}
