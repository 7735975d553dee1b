//! The smallest of everything.

use sprat_store::{Ending, LedgerEntry, Options, Source, Store};
use sprat_task::release::Origin;
use sprat_task::{
    Answer, Binding, Certificate, Confidence, Guarantee, Money, Outcome, Provenance, Release, ReleaseId,
    Risk, Sha256Hex, Status, Step, TaskName, Tokens, Usage,
};

/// A folder of its own with a store's address in it.
pub struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("sprat.db")
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    pub fn open(&self) -> Store {
        Store::open(&self.url()).unwrap()
    }

    pub fn open_with(&self, options: &Options) -> Store {
        Store::open_with(&self.url(), options).unwrap()
    }
}

pub fn tickets() -> TaskName {
    "tickets".into()
}

pub fn label(text: &str) -> Answer {
    Answer::label(text)
}

pub fn hashes(numbers: std::ops::Range<u32>) -> Vec<Sha256Hex> {
    numbers.map(|number| Sha256Hex::of(&number.to_le_bytes())).collect()
}

pub fn free_step(outcome: Outcome) -> Step {
    Step { model: "linear".into(), usage: Usage::FREE, latency_us: 20, outcome }
}

pub fn large_step(cost: Option<i64>) -> Step {
    let tokens = cost.map(|_| Tokens { input: 100, cached_input: 40, cache_write: 0, output: 5 });
    Step {
        model: "large".into(),
        usage: Usage { tokens, cost: cost.map(Money::from_micro) },
        latency_us: 900_000,
        outcome: Outcome::Last,
    }
}

/// A request that the linear model answered.
pub fn small(request: &str, time_unix_ms: i64) -> LedgerEntry {
    LedgerEntry {
        request: request.into(),
        task: tickets(),
        release: Some(ReleaseId { task: tickets(), version: 3 }),
        time_unix_ms,
        source: Source::Serve,
        ending: Ending::Small,
        answered_by: Some("linear".into()),
        steps: vec![free_step(Outcome::Accepted(Confidence::new(0.97)))],
        cost: Some(Money::ZERO),
        baseline_all_large: Some(Money::from_micro(120)),
        baseline_is_estimated: true,
        provenance: Provenance::Measured,
        latency_us: 25,
        key: None,
        held: None,
    }
}

/// A request that the large model answered for so many micro-units, or for nobody knows how many.
pub fn large(request: &str, time_unix_ms: i64, cost: Option<i64>) -> LedgerEntry {
    LedgerEntry {
        ending: Ending::Large,
        answered_by: Some("large".into()),
        steps: vec![free_step(Outcome::Deferred(Confidence::new(0.4))), large_step(cost)],
        cost: cost.map(Money::from_micro),
        baseline_all_large: cost.map(Money::from_micro),
        baseline_is_estimated: false,
        latency_us: 900_100,
        ..small(request, time_unix_ms)
    }
}

pub fn certificate(status: Status, guarantee: Guarantee) -> Certificate {
    Certificate {
        status,
        risk: Risk::Selective,
        guarantee,
        records: false,
        quality: None,
        alpha: 0.05,
        delta: 0.05,
        look: 1,
        delta_spent: 0.0304,
        n: 500,
        accepted: 421,
        bad: 11,
        bound: Some(0.047),
        selective_interval: Some((0.013, 0.046)),
        more_labels: None,
        note: None,
        recall: Vec::new(),
        binding: Binding::default(),
    }
}

pub fn release(version: u32) -> Release {
    Release {
        id: ReleaseId { task: tickets(), version },
        created_unix_ms: 1_000 + i64::from(version),
        rungs: Vec::new(),
        certificate: certificate(Status::Certified, Guarantee::Gold),
        other_certificates: Vec::new(),
        origin: Origin::default(),
        evidence: serde_json::json!({"accuracy": 0.925, "z first": true, "a last": 1}),
    }
}

pub fn id(version: u32) -> ReleaseId {
    ReleaseId { task: tickets(), version }
}
