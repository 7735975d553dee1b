//! What a release promises, in words and numbers: of its answers, and of each category that must not be missed.

use sprat_store::{Store, StoreError};
use sprat_task::certificate::percent;
use sprat_task::{Certificate, Guarantee, PromisedRecall, Risk, Status, TaskName};

use super::format::{UNKNOWN, closed, count, shown};

/// The promise in words.
pub struct Promise {
    /// What counts as bad.
    pub kind: &'static str,
    /// For a manager.
    pub sentence: String,
    /// Why it isn't certified, or with what qualification.
    pub note: Option<String>,
    /// Its numbers by name.
    pub facts: Vec<(&'static str, String)>,
    /// Each category that must not be missed.
    pub recall: Vec<Recall>,
}

/// A category that must not be missed.
pub struct Recall {
    /// Its name.
    pub category: String,
    /// The share of its texts that is promised to be flagged or escalated.
    pub promised: String,
    /// Fresh rows that belong to it.
    pub rows: String,
    /// Of these, answered small with it,
    pub flagged: String,
    /// left to the end of the ladder,
    pub escalated: String,
    /// and answered small without it.
    pub missed: String,
    /// Upper bound on the share that is missed.
    pub bound: String,
}

impl Promise {
    /// Of a certificate, and why it no longer holds.
    pub fn of(certificate: &Certificate, stale: &[String]) -> Self {
        let mut now = certificate.clone();
        if !stale.is_empty() {
            now.status = Status::Stale;
        }
        Self {
            kind: match now.guarantee {
                Guarantee::Gold => "Against labels that people gave (gold)",
                Guarantee::Agreement => "Against the large model’s answers (agreement)",
                Guarantee::Harm => "Against the large model where it is right (harm)",
            },
            sentence: closed(&now.sentence()),
            note: now.note.as_deref().map(closed),
            facts: facts(&now),
            recall: now.recall.iter().map(Recall::of).collect(),
        }
    }
}

impl Recall {
    fn of(promised: &PromisedRecall) -> Self {
        let PromisedRecall { label, max_missed, positives, missed, flagged, bound } = promised;
        Self {
            category: shown(label.as_str()),
            promised: percent(1.0 - max_missed),
            rows: count(*positives),
            flagged: count(*flagged),
            escalated: count(positives.saturating_sub(missed + flagged)),
            missed: count(*missed),
            bound: bound.map_or_else(|| UNKNOWN.to_owned(), percent),
        }
    }
}

fn facts(certificate: &Certificate) -> Vec<(&'static str, String)> {
    let answers = if certificate.records { "records filled" } else { "answers given" };
    let bad = if certificate.records { "with a wrong field" } else { "bad" };
    vec![
        (
            "Error that is bounded",
            match (certificate.risk, certificate.records) {
                (Risk::Selective, false) => "bad answers among the answers given small (selective)",
                (Risk::Selective, true) => "records with a wrong field among those filled small (selective)",
                (Risk::Joint, false) => "bad small answers among all requests (joint)",
                (Risk::Joint, true) => "records filled small with a wrong field among all requests (joint)",
            }
            .to_owned(),
        ),
        ("Largest error promised", percent(certificate.alpha)),
        ("Upper bound found", certificate.bound.map_or_else(|| UNKNOWN.to_owned(), percent)),
        ("Confidence", percent(1.0 - certificate.delta)),
        (
            "Fresh rows",
            format!(
                "{}; {} {answers} small, {} of these {bad}",
                count(certificate.n),
                count(certificate.accepted),
                count(certificate.bad)
            ),
        ),
        ("Look", format!("number {}", certificate.look)),
    ]
}

/// How the newest release of a task stands that has nothing live, in a sentence; `None` where there is none.
pub fn newest(store: &Store, task: &TaskName) -> Result<Option<String>, StoreError> {
    let newest = store.registry().releases(task)?.into_iter().next();
    Ok(newest.map(|newest| {
        let certificate = &newest.certificate;
        let status = certificate.status;
        closed(&format!("The newest release, {}, is {status}: {}", newest.id, certificate.sentence()))
    }))
}
