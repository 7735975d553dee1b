//! A request's steps in words: who was asked, how sure it was, and why the next one was asked.

use std::collections::BTreeMap;

use sprat_store::{Ending, Feedback, LedgerEntry, Source, Store, StoreError, Thumb};
use sprat_task::{ModelId, Outcome, Release, RequestId, Step};

use super::format::{When, closed, count, duration_us, money, probability, shown};

/// A record of the ledger in words.
pub struct Record {
    /// What was asked for: an answer, or an audit.
    pub heading: &'static str,
    /// When it was answered.
    pub when: When,
    /// How it ended, in a sentence.
    pub ending: String,
    /// The steps in order.
    pub steps: Vec<Told>,
    /// Facts by name.
    pub facts: Vec<(&'static str, String)>,
}

/// A step in words.
pub struct Told {
    /// Which model.
    pub model: String,
    /// What came of it, in a word.
    pub word: &'static str,
    /// Why.
    pub why: String,
    /// How sure it was, and what would have been enough, both of a hundred.
    pub bar: Option<Bar>,
    /// How long it took.
    pub latency: String,
    /// What it cost.
    pub cost: String,
    /// Tokens, where the model counts any.
    pub tokens: Option<String>,
}

/// A confidence beside its threshold, both of a hundred.
pub struct Bar {
    /// How sure it was.
    pub confidence: String,
    /// How sure it had to be.
    pub threshold: Option<String>,
}

/// All that is known of a request; `None` where nobody knows it.
pub fn of_request(store: &Store, id: &RequestId) -> Result<Option<Vec<Record>>, StoreError> {
    let entries = store.ledger().request(id)?;
    let mut releases: BTreeMap<u32, Option<Release>> = BTreeMap::new();
    let mut records = Vec::new();
    for entry in &entries {
        if let Some(id) = &entry.release
            && !releases.contains_key(&id.version)
        {
            // A release that is gone takes its thresholds with it, and nothing else.
            releases.insert(id.version, store.registry().release(id).ok());
        }
        let release = entry.release.as_ref().and_then(|id| releases.get(&id.version)?.as_ref());
        records.push(Record::of(entry, release));
    }
    Ok((!records.is_empty()).then_some(records))
}

impl Record {
    /// Of a record, beside the release that was live for it.
    pub fn of(entry: &LedgerEntry, release: Option<&Release>) -> Self {
        let threshold = |model: &ModelId| {
            let rung = release?.rungs.iter().find(|rung| rung.model == *model)?;
            Some(rung.threshold)
        };
        Self {
            heading: match entry.source {
                Source::Audit => "Audit",
                Source::Teacher => "Label bought",
                Source::Train => "Training",
                Source::Eval => "Evaluation",
                Source::Shadow => "Watched",
                Source::Judge => "Judged",
                Source::Ask | Source::Run | Source::Serve | Source::Demo => "Answer",
            },
            when: When::second(entry.time_unix_ms),
            ending: ending(entry),
            steps: entry.steps.iter().map(|step| told(step, threshold(&step.model))).collect(),
            facts: facts(entry),
        }
    }
}

fn ending(entry: &LedgerEntry) -> String {
    let by = entry.answered_by.as_ref().map_or_else(|| "nobody".to_owned(), |model| shown(model.as_str()));
    let only_the_end = entry.steps.len() == 1 && entry.ending == Ending::Large;
    match entry.ending {
        Ending::Small => format!("Answered small, by {by}."),
        Ending::Large if only_the_end => {
            format!(
                "Answered by {by}: no small model was asked, because none may answer or the request was for {by}."
            )
        }
        Ending::Large => format!("Escalated, and answered by {by}."),
        Ending::People => "Escalated: it waits for a person.".to_owned(),
        Ending::NoAnswer => {
            "Nobody was sure enough, and the ladder has no large model: it got no answer.".to_owned()
        }
        Ending::Failed => "Escalated, and the large model failed: it got no answer.".to_owned(),
        Ending::Stopped => {
            "Stopped below the large model: the client left, or only small models were to be asked."
                .to_owned()
        }
    }
}

fn facts(entry: &LedgerEntry) -> Vec<(&'static str, String)> {
    let unknown = || super::format::UNKNOWN.to_owned();
    let baseline = entry.baseline_all_large.map_or_else(unknown, |cost| match entry.baseline_is_estimated {
        true => format!("about {} (estimated: it wasn’t asked)", money(cost)),
        false => money(cost),
    });
    let saved = entry.baseline_all_large.zip(entry.cost).map(|(large, cost)| large - cost);
    vec![
        ("cost", entry.cost.map_or_else(unknown, money)),
        ("the large model alone", baseline),
        ("saved", saved.map_or_else(unknown, money)),
        ("time", duration_us(entry.latency_us)),
        ("release", entry.release.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)),
        ("asked through", entry.source.word().to_owned()),
        ("provenance", entry.provenance.to_string()),
    ]
}

/// `threshold`: `None` where it isn't known, `Some(None)` where the rung may never answer.
fn told(step: &Step, threshold: Option<Option<f64>>) -> Told {
    let sure = step.outcome.confidence().map(|confidence| confidence.get());
    let of_hundred = |share: f64| format!("{:.2}", share.clamp(0.0, 1.0) * 100.0);
    Told {
        model: shown(step.model.as_str()),
        word: match step.outcome {
            Outcome::Accepted(_) | Outcome::Last => "answered",
            Outcome::Deferred(_) => "passed on",
            Outcome::HeldBack(_) => "held back",
            Outcome::Abstained => "abstained",
            Outcome::Failed(_) => "failed",
        },
        why: why(&step.outcome, threshold),
        bar: sure
            .map(|sure| Bar { confidence: of_hundred(sure), threshold: threshold.flatten().map(of_hundred) }),
        latency: duration_us(step.latency_us),
        cost: step.usage.cost.map_or_else(|| super::format::UNKNOWN.to_owned(), money),
        tokens: step
            .usage
            .tokens
            .map(|tokens| format!("{} tokens in, {} out", count(tokens.input), count(tokens.output))),
    }
}

fn why(outcome: &Outcome, threshold: Option<Option<f64>>) -> String {
    match outcome {
        Outcome::Accepted(sure) => match threshold.flatten() {
            Some(least) => {
                format!(
                    "Its confidence {} exceeds its threshold {}.",
                    probability(sure.get()),
                    probability(least)
                )
            }
            None => format!("Its confidence {} was enough.", probability(sure.get())),
        },
        Outcome::Deferred(sure) => {
            let sure = sure.get();
            match threshold {
                Some(Some(least)) if sure > least => format!(
                    "Its confidence {} would exceed its threshold {}, but it was not allowed to answer just then.",
                    probability(sure),
                    probability(least)
                ),
                Some(Some(least)) => format!(
                    "Its confidence {} does not exceed its threshold {}.",
                    probability(sure),
                    probability(least)
                ),
                Some(None) => {
                    format!("Its confidence was {}; in this release it never answers.", probability(sure))
                }
                None => format!("Its confidence {} was not enough.", probability(sure)),
            }
        }
        Outcome::HeldBack(sure) => format!(
            "Its confidence {} was enough, but the audits have taken such answers away from it for now.",
            probability(sure.get())
        ),
        Outcome::Abstained => "It had no answer to give.".to_owned(),
        Outcome::Failed(error) => closed(&error.to_string()),
        Outcome::Last => {
            "The end of the ladder answers whatever is left; no threshold applies there.".to_owned()
        }
    }
}

/// What a user said, in words.
pub fn said(feedback: &Feedback) -> String {
    let thumb = feedback.thumb.map(|thumb| match thumb {
        Thumb::Up => "thumbs up",
        Thumb::Down => "thumbs down",
    });
    let label =
        feedback.label.as_ref().map(|label| format!("the right answer is {}", shown(&label.to_line())));
    let by = feedback.by.as_ref().map(|by| format!("by {}", shown(by)));
    [thumb.map(str::to_owned), label, by].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::{Confidence, ModelError};

    #[test]
    fn every_step_says_why_the_next_one_was_asked() {
        let sure = Confidence::new(0.95);
        for (outcome, threshold, says) in [
            (Outcome::Accepted(sure), Some(Some(0.9)), "Its confidence 0.9500 exceeds its threshold 0.9000."),
            (Outcome::Accepted(sure), None, "Its confidence 0.9500 was enough."),
            (
                Outcome::Deferred(sure),
                Some(Some(0.97)),
                "Its confidence 0.9500 does not exceed its threshold 0.9700.",
            ),
            (
                Outcome::Deferred(sure),
                Some(Some(0.95)),
                "Its confidence 0.9500 does not exceed its threshold 0.9500.",
            ),
            (
                Outcome::Deferred(sure),
                Some(Some(0.9)),
                "Its confidence 0.9500 would exceed its threshold 0.9000, but it was not allowed to answer just then.",
            ),
            (
                Outcome::Deferred(sure),
                Some(None),
                "Its confidence was 0.9500; in this release it never answers.",
            ),
            (Outcome::Failed(ModelError::Timeout), None, "No answer before the deadline."),
        ] {
            assert_eq!(why(&outcome, threshold), says);
        }
    }
}
