//! What operators watch: health, readiness, and counters by configured names only.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sprat_cascade::{Encoder, Serving};
use sprat_store::{LedgerEntry, ShadowSums};
use sprat_task::{Computed, KeyId, ModelId, Money, OwnProcess, ReleaseId};

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

/// Encoders are named in the configuration, never by clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEncoder {
    encoder: String,
}

/// Models that run in processes of their own; the configuration names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModel {
    model: String,
}

/// The releases that ever watched while this process ran; the store names them, never a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRelease {
    task: String,
    release: String,
}

/// Names of keys are given by whoever runs the gateway, never by clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKey {
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedTo {
    /// Empty where the request showed no key of ours.
    key: String,
    why: &'static str,
}

/// The counters.
pub struct Metrics {
    registry: Registry,
    by_key: Family<OfKey, Counter>,
    key_cost: Family<OfKey, Counter>,
    key_unknown_cost: Family<OfKey, Counter>,
    refused: Family<RefusedTo, Counter>,
    requests: Family<Ended, Counter>,
    cost: Family<OfTask, Counter>,
    unknown_cost: Family<OfTask, Counter>,
    duration: Family<OfTask, Histogram, fn() -> Histogram>,
    watched: Family<OfRelease, Counter>,
    would_answer: Family<OfRelease, Counter>,
    compared: Family<OfRelease, Counter>,
    agreed: Family<OfRelease, Counter>,
    watch_skipped: Family<OfRelease, Counter>,
    encoder_texts: Family<OfEncoder, Counter>,
    encoder_batches: Family<OfEncoder, Counter>,
    model_crashes: Family<OfModel, Counter>,
    model_running: Family<OfModel, Gauge>,
    cut: Counter<u64, AtomicU64>,
    not_recorded: Counter<u64, AtomicU64>,
    not_captured: NotCaptured,
}

/// Requests whose texts a task wanted kept and that could not be, by task.
#[derive(Clone, Default)]
pub(crate) struct NotCaptured(Family<OfTask, Counter>);

impl NotCaptured {
    pub(crate) fn add(&self, task: &str, requests: u64) {
        self.0.get_or_create(&OfTask { task: task.to_owned() }).inc_by(requests);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sprat");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Self {
            by_key: Family::default(),
            key_cost: Family::default(),
            key_unknown_cost: Family::default(),
            refused: Family::default(),
            requests: Family::default(),
            cost: Family::default(),
            unknown_cost: Family::default(),
            duration: Family::new_with_constructor(histogram),
            watched: Family::default(),
            would_answer: Family::default(),
            compared: Family::default(),
            agreed: Family::default(),
            watch_skipped: Family::default(),
            encoder_texts: Family::default(),
            encoder_batches: Family::default(),
            model_crashes: Family::default(),
            model_running: Family::default(),
            cut: Counter::default(),
            not_recorded: Counter::default(),
            not_captured: NotCaptured::default(),
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
        registry.register("shadow_requests", "Requests that a release watched", metrics.watched.clone());
        registry.register(
            "shadow_would_answer",
            "Of these, those it would have answered",
            metrics.would_answer.clone(),
        );
        registry.register(
            "shadow_compared",
            "Of those, the ones of which it is known what was answered",
            metrics.compared.clone(),
        );
        registry.register("shadow_agreed", "Of those, the ones answered the same", metrics.agreed.clone());
        registry.register(
            "shadow_skipped",
            "Requests that there was no room to watch",
            metrics.watch_skipped.clone(),
        );
        registry.register(
            "encoder_texts",
            "Texts that an encoder has made vectors of, by /v1/embeddings",
            metrics.encoder_texts.clone(),
        );
        registry.register(
            "encoder_batches",
            "Batches it took; requests at the same time share one",
            metrics.encoder_batches.clone(),
        );
        registry.register(
            "model_crashes",
            "How often a model's own process ended without being told to",
            metrics.model_crashes.clone(),
        );
        registry.register(
            "model_running",
            "Whether a model's own process runs: it is started when the model is first asked",
            metrics.model_running.clone(),
        );
        registry.register(
            "streams_cut",
            "Streams that ended with an error after they had begun",
            metrics.cut.clone(),
        );
        registry.register("key_requests", "Requests, by key", metrics.by_key.clone());
        registry.register(
            "key_cost_micro_usd",
            "What a key's requests cost, where known",
            metrics.key_cost.clone(),
        );
        registry.register(
            "key_cost_unknown",
            "A key's requests whose cost is unknown",
            metrics.key_unknown_cost.clone(),
        );
        registry.register(
            "refused",
            "Requests refused for their key, its limits or its budget",
            metrics.refused.clone(),
        );
        registry.register(
            "not_recorded",
            "Requests that the ledger could not keep",
            metrics.not_recorded.clone(),
        );
        registry.register(
            "not_captured",
            "Requests whose texts were to be kept and could not be",
            metrics.not_captured.0.clone(),
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
        if let Some(key) = &entry.key {
            self.ended_for_key(key, entry.cost);
        }
    }

    /// A request was refused, for its key's sake.
    pub(crate) fn refused(&self, key: Option<&KeyId>, why: &'static str) {
        let key = key.map(ToString::to_string).unwrap_or_default();
        self.refused.get_or_create(&RefusedTo { key, why }).inc();
    }

    fn ended_for_key(&self, key: &KeyId, cost: Option<Money>) {
        let key = OfKey { key: key.to_string() };
        self.by_key.get_or_create(&key).inc();
        match cost {
            Some(cost) => {
                self.key_cost.get_or_create(&key).inc_by(u64::try_from(cost.micro()).unwrap_or(0));
            }
            None => {
                self.key_unknown_cost.get_or_create(&key).inc();
            }
        }
    }

    pub(crate) fn watched(&self, release: &ReleaseId, sums: &ShadowSums) {
        let of = OfRelease::new(release);
        self.watched.get_or_create(&of).inc_by(sums.requests);
        self.would_answer.get_or_create(&of).inc_by(sums.would_answer);
        self.compared.get_or_create(&of).inc_by(sums.compared);
        self.agreed.get_or_create(&of).inc_by(sums.agreed);
    }

    pub(crate) fn watch_skipped(&self, release: &ReleaseId) {
        self.watch_skipped.get_or_create(&OfRelease::new(release)).inc();
    }

    /// Takes over what an encoder has counted by itself.
    fn computed(&self, encoder: &Encoder) {
        let of = OfEncoder { encoder: encoder.id.to_string() };
        let Computed { texts, batches } = encoder.embed.computed();
        self.encoder_texts.get_or_create(&of).inner().store(texts, Ordering::Relaxed);
        self.encoder_batches.get_or_create(&of).inner().store(batches, Ordering::Relaxed);
    }

    /// Takes over how the processes stand that the models of a ladder run in.
    fn stands(&self, serving: &Serving) {
        for rung in &serving.ladder.rungs {
            if let Some(process) = rung.model.own_process() {
                self.process_stands(rung.model.id(), &process);
            }
        }
    }

    fn process_stands(&self, model: &ModelId, process: &OwnProcess) {
        let of = OfModel { model: model.to_string() };
        self.model_crashes.get_or_create(&of).inner().store(process.crashes, Ordering::Relaxed);
        self.model_running.get_or_create(&of).set(i64::from(process.is_running));
    }

    pub(crate) fn cut(&self) {
        self.cut.inc();
    }

    pub(crate) fn not_captured(&self) -> NotCaptured {
        self.not_captured.clone()
    }

    pub(crate) fn not_recorded(&self) {
        self.not_recorded.inc();
    }
}

impl OfRelease {
    fn new(release: &ReleaseId) -> Self {
        Self { task: release.task.to_string(), release: release.to_string() }
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
        .map(|deployment| {
            let mut standing = standing(&deployment.live);
            standing["task"] = json!(deployment.task().name.as_str());
            standing["canary"] = deployment.canary.as_ref().map_or(Value::Null, |canary| {
                let mut standing = self::standing(&canary.serving);
                standing["share"] = json!(canary.share);
                standing
            });
            standing["shadow"] = deployment.shadow.as_deref().map_or(Value::Null, self::standing);
            standing
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

fn standing(serving: &Serving) -> Value {
    json!({
        "release": serving.release.as_ref().map(ToString::to_string),
        "certificate": serving.standing(),
        "stale": serving.stale,
    })
}

/// The counters as Prometheus reads them.
pub async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    let mut text = String::new();
    let deployed = gateway.current.deployed();
    deployed.encoders.values().for_each(|encoder| gateway.metrics.computed(encoder));
    deployed.tasks.values().for_each(|deployment| gateway.metrics.stands(&deployment.live));
    for remote in deployed.remotes.values() {
        if let Some(process) = remote.upstream.own_process() {
            gateway.metrics.process_stands(remote.upstream.id(), &process);
        }
    }
    if encode(&mut text, &gateway.metrics.registry).is_err() {
        let _ = text.write_str("# the counters can't be written\n");
    }
    let head = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (head, text).into_response()
}
