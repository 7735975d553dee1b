//! `releases`, `promote`, `rollback`, `status`, `cost`, `feedback` over a store that the test has filled.

use serde_json::json;
use sprat_store::{Ending, LedgerEntry, Source, Store};
use sprat_task::{
    Binding, Certificate, Confidence, Guarantee, Money, Outcome, Provenance, Release, ReleaseId, Risk,
    Sha256Hex, Status, Step, Tokens, Usage,
};

use crate::workspace::{Workspace, shows};

const CONFIG: &str = "[models.large]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n";
pub const TASK: &str =
    "kind = \"classify\"\nlabels = [\"billing\", \"refund\", \"technical\"]\nlarge = \"large\"\n";

/// 2026-11-20 12:00 UTC: a fixed day, so that sums by the hour are the same on every run.
pub const NOON: i64 = 1_795_176_000_000;

pub fn workspace() -> Workspace {
    Workspace::with(CONFIG, TASK)
}

pub fn release(version: u32, status: Status) -> Release {
    Release {
        id: ReleaseId { task: "tickets".into(), version },
        created_unix_ms: NOON + i64::from(version),
        rungs: Vec::new(),
        certificate: Certificate {
            status,
            risk: Risk::Selective,
            guarantee: Guarantee::Gold,
            records: false,
            quality: None,
            alpha: 0.05,
            delta: 0.05,
            look: version,
            delta_spent: 0.0304,
            n: 600,
            accepted: 421,
            bad: 11,
            bound: Some(0.047),
            selective_interval: Some((0.013, 0.046)),
            more_labels: (status == Status::Underpowered).then_some(300),
            note: None,
            recall: Vec::new(),
            binding: Binding::default(),
        },
        other_certificates: Vec::new(),
        origin: sprat_task::release::Origin {
            data: Some(Sha256Hex::of(b"rows")),
            rows: 1_400 + u64::from(version),
            code_version: "0.0.1".into(),
            seed: 0,
        },
        evidence: json!(null),
    }
}

/// One request: tried small, and answered small or by the large model.
pub fn entry(id: &str, small: bool, cost: Option<i64>, baseline: Option<i64>) -> LedgerEntry {
    let tried = Step {
        model: "linear".into(),
        usage: Usage::FREE,
        latency_us: 20,
        outcome: match small {
            true => Outcome::Accepted(Confidence::new(0.98)),
            false => Outcome::Deferred(Confidence::new(0.5)),
        },
    };
    let asked = Step {
        model: "large".into(),
        usage: Usage {
            tokens: cost.map(|_| Tokens { input: 120, output: 6, ..Tokens::default() }),
            cost: cost.map(Money::from_micro),
        },
        latency_us: 400_000,
        outcome: Outcome::Last,
    };
    let steps = if small { vec![tried] } else { vec![tried, asked] };
    LedgerEntry {
        request: id.into(),
        task: "tickets".into(),
        release: Some(ReleaseId { task: "tickets".into(), version: 1 }),
        time_unix_ms: NOON,
        source: Source::Run,
        ending: if small { Ending::Small } else { Ending::Large },
        answered_by: Some(if small { "linear".into() } else { "large".into() }),
        latency_us: steps.iter().map(|step| step.latency_us).sum(),
        steps,
        cost: if small { Some(Money::ZERO) } else { cost.map(Money::from_micro) },
        baseline_all_large: baseline.map(Money::from_micro),
        baseline_is_estimated: small,
        provenance: Provenance::Authored,
        key: None,
        held: None,
    }
}

fn add(store: &Store, status: &[Status]) {
    for (version, status) in (1..).zip(status) {
        store.registry().add(&release(version, *status)).unwrap();
    }
}

#[test]
fn before_anything_is_learned_each_command_says_what_to_do() {
    let workspace = workspace();
    shows!("releases of nothing", workspace.sprat(&["releases", "tickets"]));
    shows!("promote of nothing", workspace.sprat(&["promote", "tickets"]));
    shows!("promote of a release that isn't", workspace.sprat(&["promote", "tickets", "7"]));
    shows!("rollback of nothing", workspace.sprat(&["rollback", "tickets"]));
    shows!("status of nothing", workspace.sprat(&["status"]));
    shows!("cost of nothing", workspace.sprat(&["cost"]));
    shows!("feedback on nothing", workspace.sprat(&["feedback", "req-1", "--up"]));
}

#[test]
fn a_task_that_isn_t_is_told_with_the_nearest() {
    let workspace = workspace();
    shows!("unknown task", workspace.sprat(&["status", "tickts"]));
    for command in ["releases", "promote", "rollback", "cost"] {
        let ran = workspace.sprat(&[command, "tickts"]);
        assert!(ran.code == 1 && ran.stderr.contains("did you mean `tickets`?"), "{ran}");
    }
}

#[test]
fn releases_are_promoted_rolled_back_and_listed_with_their_history() {
    let workspace = workspace();
    add(&workspace.store(), &[Status::Certified, Status::Underpowered]);
    shows!("promote the first", workspace.sprat(&["promote", "tickets", "1"]));
    shows!("promote the newest", workspace.sprat(&["promote", "tickets", "--reason", "more rows"]));
    shows!("releases", workspace.sprat(&["releases", "tickets"]));
    shows!("rollback", workspace.sprat(&["rollback", "tickets", "--reason", "complaints"]));
    shows!("rollback too far", workspace.sprat(&["rollback", "tickets"]));
    shows!("releases compared", workspace.sprat(&["releases", "tickets", "--compare", "1", "2"]));
    shows!("compared with one that isn't", workspace.sprat(&["releases", "tickets", "--compare", "1", "9"]));
    let json = workspace.sprat(&["releases", "tickets", "--json"]).json();
    assert_eq!(json["live"]["live"], json!({"task": "tickets", "version": 1}));
    assert_eq!(json["releases"].as_array().unwrap().len(), 2);
    let history: Vec<&str> =
        json["history"].as_array().unwrap().iter().map(|record| record["reason"].as_str().unwrap()).collect();
    assert_eq!(history, ["complaints", "more rows", "sprat promote"]);
}

#[test]
fn a_release_whose_files_are_gone_answers_nothing_and_status_says_so() {
    let workspace = workspace();
    let mut lost = release(1, Status::Certified);
    lost.rungs.push(sprat_task::RungRecord {
        model: "linear".into(),
        kind: "linear".into(),
        weights: Some(artifact("linear.bin")),
        calibrator: artifact("linear.calibrator.json"),
        threshold: Some(0.9),
        scorer_version: 1,
    });
    workspace.store().registry().add(&lost).unwrap();
    assert_eq!(workspace.sprat(&["promote", "tickets"]).code, 0);
    let json = workspace.sprat(&["status", "tickets", "--json"]).json();
    let standing = &json["tasks"][0];
    assert_eq!((&standing["live"], &standing["status"]), (&"tickets@1".into(), &"stale".into()));
    assert!(!standing["stale"].as_array().unwrap().is_empty(), "{standing}");
    assert_eq!(standing["certificate"]["status"], "certified");
}

fn artifact(file: &str) -> sprat_task::Artifact {
    sprat_task::Artifact { file: file.into(), sha256: Sha256Hex::of(b""), bytes: 0 }
}

#[test]
fn how_many_labels_are_missing_is_the_newest_release_s_to_say() {
    let workspace = workspace();
    let store = workspace.store();
    let missing =
        || workspace.sprat(&["review", "tickets", "--no-ask", "--json"]).json()["more_labels"].clone();
    add(&store, &[Status::Underpowered]);
    assert_eq!(missing(), 300);
    store.registry().add(&release(2, Status::Certified)).unwrap();
    assert_eq!(missing(), json!(null));
}

#[test]
fn costs_are_shown_net_with_the_unknown_as_unknown() {
    let workspace = workspace();
    let store = workspace.store();
    for request in 0..8 {
        store.ledger().append(&entry(&format!("small-{request}"), true, None, Some(1_500))).unwrap();
    }
    store.ledger().append(&entry("large", false, Some(1_600), Some(1_600))).unwrap();
    store.ledger().append(&entry("broken", false, None, None)).unwrap();
    let teacher = LedgerEntry {
        source: Source::Teacher,
        baseline_all_large: None,
        ..entry("label", false, Some(2_400), None)
    };
    store.ledger().append(&teacher).unwrap();
    store.ledger().settle().unwrap();
    drop(store);
    shows!("cost", workspace.sprat(&["cost"]));
    shows!("cost as json", workspace.sprat(&["cost", "tickets", "--json"]));
    let later = workspace.sprat(&["cost", "--since", "2026-11-21", "--json"]).json();
    assert_eq!(later["net"]["requests"], 0);
    let json = workspace.sprat(&["status", "--json"]).json();
    let standing = &json["tasks"][0];
    assert_eq!((&standing["requests"], &standing["answered_small"]), (&10.into(), &8.into()));
}

#[test]
fn a_ladder_that_costs_more_than_the_large_model_says_so() {
    let workspace = workspace();
    let store = workspace.store();
    store.ledger().append(&entry("dear", false, Some(2_000), Some(1_500))).unwrap();
    store.ledger().settle().unwrap();
    let ran = workspace.sprat(&["cost"]);
    assert!(ran.stdout.contains("it cost $0.0005 more than the large model alone would have"), "{ran}");
    assert!(ran.stdout.contains("don't use it"), "{ran}");
}

#[test]
fn feedback_is_kept_for_a_known_request_and_only_with_the_task_s_labels() {
    let workspace = workspace();
    let store = workspace.store();
    store.ledger().append(&entry("req-1", true, None, Some(1_500))).unwrap();
    store.ledger().settle().unwrap();
    shows!("feedback", workspace.sprat(&["feedback", "req-1", "--label", "refund", "--by", "ann"]));
    shows!("feedback with an unknown label", workspace.sprat(&["feedback", "req-1", "--label", "refnud"]));
    shows!(
        "feedback with two labels",
        workspace.sprat(&["feedback", "req-1", "--label", "refund", "--label", "billing"])
    );
    assert_eq!(workspace.sprat(&["feedback", "req-1", "--down", "--json"]).json()["thumb"], "down");
    let kept = store.feedback().of_request(&"req-1".into()).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].by.as_deref(), Some("ann"));
    assert_eq!(kept[0].label, Some(sprat_task::Answer::label("refund")));
}
