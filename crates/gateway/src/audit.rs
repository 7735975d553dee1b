//! Audit: was the small answer right? The reply doesn't wait for it.
//!
//! A coin that knows nothing of a request's content decides whether its small answer is checked, so that the checked ones
//! are a uniform sample of what was answered small. A small answer that was kept back, so that the large model answered
//! instead, is held against that answer: these are the labels by which a part of the traffic comes back.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use sprat_cascade::{Climbed, End, Reach, Serving};
use sprat_store::{Ending, LedgerEntry, NewAudit, NewReview, Reason, Source, StoreError};
use sprat_task::redact::Redacted;
use sprat_task::task::Audit as Rate;
use sprat_task::{Answer, Context, Input, Money, RequestId};
use tokio::sync::Semaphore;

use crate::Gateway;
use crate::accept::Accepted;
use crate::record::now_unix_ms;

/// Audits under way at once; a further one is recorded as missing.
const MOST_AT_ONCE: usize = 32;

/// Who is checked, and how many at once.
pub struct Auditor {
    rates: RwLock<BTreeMap<String, f64>>,
    places: Arc<Semaphore>,
    coin: Coin,
}

impl Default for Auditor {
    fn default() -> Self {
        Self {
            rates: RwLock::default(),
            places: Arc::new(Semaphore::new(MOST_AT_ONCE)),
            coin: Coin::default(),
        }
    }
}

impl Auditor {
    /// Sets the share of a task's small answers that is checked, where the task leaves that to us.
    pub fn set_rate(&self, task: &str, rate: f64) {
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        rates.insert(task.to_owned(), rate.clamp(0.0, 1.0));
    }

    /// The share of a task's small answers that is checked.
    pub fn rate(&self, task: &str, declared: Rate) -> f64 {
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        rates.get(task).copied().unwrap_or_else(|| declared.rate(0.0))
    }
}

/// Tosses that nobody can foresee: a keyed hash of a counter, the key drawn by the operating system.
#[derive(Default)]
struct Coin {
    key: RandomState,
    tosses: AtomicU64,
}

impl Coin {
    /// True with this probability.
    fn falls(&self, probability: f64) -> bool {
        let toss = self.key.hash_one(self.tosses.fetch_add(1, Ordering::Relaxed));
        ((toss >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }
}

/// Sees to it that a decided request is checked, where it is to be.
pub(crate) fn watch(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    serving: &Arc<Serving>,
    input: &Input,
    climbed: &Climbed,
) {
    match (climbed.end, &climbed.held_back, &climbed.answer) {
        (End::Small, _, _) => draw(gateway, accepted, serving, input, climbed),
        (End::Large, Some(_), Some(large)) => {
            held_back(gateway, &accepted.id, serving, input, climbed, large.clone());
        }
        _ => {}
    }
}

/// Holds a small answer that was kept back against what the large model answered instead.
pub(crate) fn held_back(
    gateway: &Arc<Gateway>,
    request: &RequestId,
    serving: &Arc<Serving>,
    input: &Input,
    climbed: &Climbed,
    large: Answer,
) {
    let Some(audit) = audit(request, serving, input, climbed, 1.0) else { return };
    // A judge takes its time. Whom there is no place for is left out, whatever was answered.
    let place = match &serving.judge {
        Some(_) => match gateway.auditor.places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => return,
        },
        None => None,
    };
    let (gateway, serving, input, climbed) =
        (gateway.clone(), serving.clone(), input.clone(), climbed.clone());
    let background = gateway.background.clone();
    background.spawn(async move {
        let large = beside(&gateway, &serving, &input, &climbed, &audit, &large).await;
        drop(place);
        let store = gateway.store.clone();
        let kept = tokio::task::spawn_blocking(move || store.audits().compare(&audit, &large));
        match kept.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("a comparison with the large model can't be kept: {error}"),
            Err(_) => tracing::warn!("a comparison with the large model can't be kept"),
        }
    });
}

/// The large model's answer without its words; as the small one where that is as good. A judge is asked where it takes one.
async fn beside(
    gateway: &Gateway,
    serving: &Serving,
    input: &Input,
    climbed: &Climbed,
    audit: &NewAudit,
    large: &Answer,
) -> Answer {
    let Some((_, own, _)) = &climbed.own else { return large.without_words() };
    let cx = Context::until(Instant::now() + gateway.settings.deadline, audit.request.clone());
    let compared = serving.compare(&cx, input, &own.answer, large).await;
    if let Some(why) = compared.unclear {
        tracing::warn!("a small text could not be judged, and counts as not good enough: {why}");
    }
    if compared.is_as_good { own.answer.without_words() } else { large.without_words() }
}

fn draw(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    serving: &Arc<Serving>,
    input: &Input,
    climbed: &Climbed,
) {
    if serving.ladder.last.models().is_empty() {
        return;
    }
    let rate = serving
        .audit_rate
        .unwrap_or_else(|| gateway.auditor.rate(serving.task.name.as_str(), serving.task.audit));
    if !gateway.auditor.coin.falls(rate) {
        return;
    }
    let Some(audit) = audit(&accepted.id, serving, input, climbed, rate) else { return };
    let small = climbed.own.as_ref().map(|(_, own, _)| own.answer.clone());
    let (gateway, serving, input, climbed) =
        (gateway.clone(), serving.clone(), input.clone(), climbed.clone());
    let background = gateway.background.clone();
    background.spawn(async move {
        let store = gateway.store.clone();
        let entered = tokio::task::spawn_blocking({
            let (audit, row) = (audit.clone(), to_review(&serving, &input, small, &audit));
            move || {
                let id = store.audits().draw(&audit)?;
                store.review().add(row.into_iter().collect(), audit.time_unix_ms)?;
                Ok::<_, StoreError>(id)
            }
        });
        let Ok(Ok(id)) = entered.await else {
            tracing::warn!("an audit can't be kept");
            return;
        };
        let checked = match gateway.auditor.places.try_acquire() {
            Ok(_place) => match check(&gateway, &serving, &input, &audit).await {
                Ok(large) => Ok(beside(&gateway, &serving, &input, &climbed, &audit, &large).await),
                Err(why) => Err(why),
            },
            Err(_) => Err("too many audits were under way".to_owned()),
        };
        let store = gateway.store.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let large = checked.as_ref().map_err(String::as_str);
            store.audits().settle(id, large, now_unix_ms())
        });
        if !matches!(settled.await, Ok(Ok(()))) {
            tracing::warn!("what the large model says of an audited answer can't be kept");
        }
    });
}

/// The row for a person to say what is right of, where the task keeps texts and its answers are of a sort that people can give.
fn to_review(serving: &Serving, input: &Input, small: Option<Answer>, audit: &NewAudit) -> Option<NewReview> {
    if !serving.task.capture.enabled || !serving.task.kind.is_reviewable() {
        return None;
    }
    let redacted = Redacted::of(input, &serving.task);
    Some(NewReview {
        task: serving.task.name.clone(),
        small: redacted.answer(small?, input, &serving.task),
        text: redacted.text,
        // Not shown: whoever labels should not lean on it.
        large: None,
        confidence: Some(audit.confidence),
        reason: Reason::Audit,
        propensity: audit.propensity,
        priority: 0.0,
        request: Some(audit.request.clone()),
    })
}

/// Asks the large model the same, and charges for it.
async fn check(
    gateway: &Gateway,
    serving: &Serving,
    input: &Input,
    audit: &NewAudit,
) -> Result<Answer, String> {
    let deadline = Instant::now() + gateway.settings.deadline;
    let cx = Context::until(deadline, audit.request.clone());
    let climb = serving.ladder.climb(&cx, &serving.task, std::slice::from_ref(input), Reach::LargeOnly);
    let Some(climbed) = climb.await.pop() else { return Err("nobody was asked".to_owned()) };
    charge(gateway, serving, audit, &climbed);
    match (climbed.answer, climbed.steps.last().map(|step| &step.outcome)) {
        (Some(large), _) => Ok(large),
        (None, Some(sprat_task::Outcome::Failed(error))) => Err(error.to_string()),
        (None, _) => Err("the large model had no answer".to_owned()),
    }
}

fn charge(gateway: &Gateway, serving: &Serving, audit: &NewAudit, climbed: &Climbed) {
    let entry = LedgerEntry {
        request: audit.request.clone(),
        task: serving.task.name.clone(),
        release: serving.release.clone(),
        time_unix_ms: now_unix_ms(),
        source: Source::Audit,
        ending: if climbed.end == End::Large { Ending::Large } else { Ending::Failed },
        answered_by: climbed.answered_by.clone(),
        steps: climbed.steps.clone(),
        cost: serving.account(climbed).spent.exact(),
        // Who asks the large model for everything has nothing to check.
        baseline_all_large: Some(Money::ZERO),
        baseline_is_estimated: false,
        provenance: serving.provenance,
        latency_us: climbed.steps.iter().map(|step| step.latency_us).sum(),
        // A check is the owner's, whoever's answer it checks.
        key: None,
        held: None,
    };
    if gateway.store.ledger().append(&entry).is_err() {
        gateway.metrics.not_recorded();
    }
}

fn audit(
    request: &RequestId,
    serving: &Serving,
    input: &Input,
    climbed: &Climbed,
    propensity: f64,
) -> Option<NewAudit> {
    let (_, small, confidence) = climbed.own.as_ref()?;
    Some(NewAudit {
        release: serving.release.clone()?,
        request: request.clone(),
        held: climbed.held_back.clone(),
        // What was found in the text is not kept: audits ask only whether two answers are the same.
        small: small.answer.without_words(),
        groups: input.groups.clone(),
        confidence: *confidence,
        propensity,
        time_unix_ms: now_unix_ms(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coin_falls_as_often_as_it_should() {
        let coin = Coin::default();
        for (probability, least, most) in [(0.0, 0, 0), (0.1, 850, 1_150), (1.0, 10_000, 10_000)] {
            let fell = (0..10_000).filter(|_| coin.falls(probability)).count();
            assert!((least..=most).contains(&fell), "{fell} of 10,000 at {probability}");
        }
    }
}
