//! Exact cache: a text that a small model has answered is answered the same again, without asking.
//!
//! The promise holds as before, because what is served stays the same function of the text: a rung on this machine gives
//! the same text the same answer with the same confidence, so that remembering it changes neither what is accepted nor
//! what is said. Therefore only this is kept: an answer that a rung on this machine was sure enough of, where every rung
//! below it did its part. A rung over the network may answer otherwise the next time, the large model's answers are not
//! under the promise, and a rung that failed would have had its say: none of these is kept. Audits are drawn for
//! remembered answers as for all others.
//!
//! A cache belongs to one loaded release; whatever loads another (a release, an alarm, a promotion) begins a new one.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lru::LruCache;
use sprat_task::{Answer, Confidence, Input, ModelId, Money, Outcome, Prediction, Sha256Hex, Step, Usage};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::climb::{Climbed, End};
use crate::ladder::Ladder;

/// The name of its step, in the ledger and in `x-sprat-answered-by`. No model may be called so.
pub const CACHE: &str = "cache";

/// Answers that are kept.
const MOST_ENTRIES: usize = 10_000;
/// Bytes that they may take together, roughly: texts are not among them, only their hashes.
const MOST_BYTES: usize = 16 << 20;

/// What the small models have answered since the release was loaded, the least lately asked forgotten first.
pub struct Cache(Mutex<Kept>);

struct Kept {
    answers: LruCache<Sha256Hex, Known>,
    bytes: usize,
    most_entries: usize,
    most_bytes: usize,
}

/// An answer, and who was sure of it.
#[derive(Clone)]
struct Known {
    model: ModelId,
    prediction: Prediction,
    confidence: Confidence,
}

impl Default for Cache {
    fn default() -> Self {
        Self::holding(MOST_ENTRIES, MOST_BYTES)
    }
}

impl Cache {
    /// A cache that keeps nothing.
    pub fn off() -> Self {
        Self::holding(0, 0)
    }

    fn holding(most_entries: usize, most_bytes: usize) -> Self {
        Self(Mutex::new(Kept { answers: LruCache::unbounded(), bytes: 0, most_entries, most_bytes }))
    }

    /// The climb of a text that was answered before, for the same tenant. `None`: the rungs have to be asked, also where
    /// the answer belongs to what the audits have taken away meanwhile.
    pub fn recall(&self, ladder: &Ladder, tenant: Option<&str>, input: &Input) -> Option<Climbed> {
        let began = Instant::now();
        let Known { model, prediction, confidence } = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.answers.is_empty() {
                return None;
            }
            kept.answers.get(&key(tenant, &input.text))?.clone()
        };
        if ladder.holds_back(&prediction.answer, input).is_some() {
            return None;
        }
        let step = Step {
            model: ModelId::from(CACHE),
            usage: Usage { tokens: None, cost: Some(Money::ZERO) },
            latency_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            outcome: Outcome::Accepted(confidence),
        };
        Some(Climbed {
            steps: vec![step],
            answer: Some(prediction.answer.clone()),
            answered_by: Some(ModelId::from(CACHE)),
            end: End::Small,
            own: Some((model, prediction, confidence)),
            held_back: None,
        })
    }

    /// Remembers a climb, where the same text would climb the same again.
    pub fn keep(&self, ladder: &Ladder, tenant: Option<&str>, input: &Input, climbed: &Climbed) {
        let Some(known) = repeatable(ladder, climbed) else { return };
        let size = size(&known);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if size > kept.most_bytes || kept.most_entries == 0 {
            return;
        }
        if let Some((_, before)) = kept.answers.push(key(tenant, &input.text), known) {
            kept.bytes -= self::size(&before);
        }
        kept.bytes += size;
        while kept.bytes > kept.most_bytes || kept.answers.len() > kept.most_entries {
            let Some((_, oldest)) = kept.answers.pop_lru() else { return };
            kept.bytes -= self::size(&oldest);
        }
    }
}

/// The answer of a climb that would end the same if it were climbed again.
fn repeatable(ladder: &Ladder, climbed: &Climbed) -> Option<Known> {
    let (model, prediction, confidence) = climbed.own.as_ref().filter(|_| climbed.end == End::Small)?;
    let is_local = |step: &Step| {
        ladder.rungs.iter().any(|rung| *rung.model.id() == step.model && !rung.model.is_remote())
    };
    let is_sound = |step: &Step| is_local(step) && !matches!(step.outcome, Outcome::Failed(_));
    let known = Known { model: model.clone(), prediction: prediction.clone(), confidence: *confidence };
    climbed.steps.iter().all(is_sound).then_some(known)
}

/// One text, in whichever of Unicode's equal spellings (NFC); upper and lower case are different texts.
fn key(tenant: Option<&str>, text: &str) -> Sha256Hex {
    let composed: String;
    let text = match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text,
        _ => {
            composed = text.nfc().collect();
            &composed
        }
    };
    let who = [&[u8::from(tenant.is_some())], tenant.unwrap_or("").as_bytes()].concat();
    Sha256Hex::of_parts([who.as_slice(), text.as_bytes()])
}

/// Roughly what an entry takes, its key and its place in the list included.
fn size(known: &Known) -> usize {
    const FIXED: usize = 256;
    let words = match &known.prediction.answer {
        Answer::Label(label) => label.as_str().len(),
        Answer::Labels(labels) => labels.iter().map(|label| label.as_str().len() + 16).sum(),
        other @ (Answer::Fields(_) | Answer::Text(_)) => other.to_line().len(),
    };
    let alternatives = known.prediction.alternatives.iter().map(|(label, _)| label.as_str().len() + 24);
    FIXED + words + alternatives.sum::<usize>() + known.prediction.features.0.len() * 4
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;
    use sprat_stats::calibration::{Calibrator, Temperature};
    use sprat_task::{Attempt, Context, Features, Model, ModelError, Score, Slice, Task};

    use super::*;
    use crate::ladder::{HeldBack, LadderEnd, Rung, Threshold};

    /// A rung that nobody asks: the tests climb by hand.
    struct Silent {
        id: ModelId,
        is_remote: bool,
    }

    impl Model for Silent {
        fn id(&self) -> &ModelId {
            &self.id
        }

        fn is_remote(&self) -> bool {
            self.is_remote
        }

        fn predict<'a>(&'a self, _: &'a Context, _: &'a Task, _: &'a [Input]) -> BoxFuture<'a, Vec<Attempt>> {
            Box::pin(std::future::ready(Vec::new()))
        }
    }

    fn ladder() -> Ladder {
        let rung = |id: &str, is_remote| Rung {
            model: Arc::new(Silent { id: id.into(), is_remote }),
            calibrator: Calibrator::Temperature(Temperature::ONE),
            threshold: Threshold::Above(0.5),
        };
        Ladder::new(vec![rung("s", false), rung("m", false), rung("r", true)], LadderEnd::NoAnswer)
    }

    fn step(model: &str, outcome: Outcome) -> Step {
        Step { model: model.into(), usage: Usage::UNKNOWN, latency_us: 9, outcome }
    }

    fn sure() -> Confidence {
        Confidence::new(0.9)
    }

    /// A climb that the last of these steps answered.
    fn climbed(steps: Vec<Step>) -> Climbed {
        let by = steps.last().unwrap().model.clone();
        let prediction = Prediction {
            answer: Answer::label("a"),
            score: Score(1.0),
            features: Features::default(),
            alternatives: Vec::new(),
        };
        Climbed {
            answer: Some(prediction.answer.clone()),
            answered_by: Some(by.clone()),
            end: End::Small,
            own: Some((by, prediction, sure())),
            steps,
            held_back: None,
        }
    }

    fn answered() -> Climbed {
        climbed(vec![step("s", Outcome::Accepted(sure()))])
    }

    #[test]
    fn a_text_is_answered_the_same_again_at_no_cost() {
        let (cache, ladder) = (Cache::default(), ladder());
        assert!(cache.recall(&ladder, None, &Input::new("hello")).is_none());
        cache.keep(&ladder, None, &Input::new("hello"), &answered());
        let again = cache.recall(&ladder, None, &Input::new("hello")).unwrap();
        assert_eq!((again.answer, again.end), (answered().answer, End::Small));
        assert_eq!(again.own, answered().own);
        let [step] = &again.steps[..] else { panic!("{:?}", again.steps) };
        assert_eq!((step.model.as_str(), step.usage.cost), (CACHE, Some(Money::ZERO)));
    }

    #[test]
    fn equal_spellings_are_one_text_and_case_white_space_and_tenants_are_not() {
        let (cache, ladder) = (Cache::default(), ladder());
        cache.keep(&ladder, Some("a"), &Input::new("caf\u{e9}"), &answered());
        let known =
            |tenant: Option<&str>, text: &str| cache.recall(&ladder, tenant, &Input::new(text)).is_some();
        assert!(known(Some("a"), "cafe\u{301}"));
        for (tenant, text) in [
            (Some("a"), "Caf\u{e9}"),
            (Some("a"), "caf\u{e9} "),
            (Some("b"), "caf\u{e9}"),
            (Some(""), "caf\u{e9}"),
            (None, "caf\u{e9}"),
            (None, "acaf\u{e9}"),
        ] {
            assert!(!known(tenant, text), "{tenant:?} {text}");
        }
    }

    #[test]
    fn only_what_would_be_answered_the_same_is_kept() {
        let deferred = || step("s", Outcome::Deferred(sure()));
        let large = Climbed { end: End::Large, ..answered() };
        let rows = [
            (
                "a rung below was unsure",
                climbed(vec![deferred(), step("m", Outcome::Accepted(sure()))]),
                true,
            ),
            (
                "a rung below failed",
                climbed(vec![
                    step("s", Outcome::Failed(ModelError::Timeout)),
                    step("m", Outcome::Accepted(sure())),
                ]),
                false,
            ),
            (
                "a rung over the network",
                climbed(vec![deferred(), step("r", Outcome::Accepted(sure()))]),
                false,
            ),
            ("a rung that nobody knows", climbed(vec![step("x", Outcome::Accepted(sure()))]), false),
            ("what was remembered already", climbed(vec![step(CACHE, Outcome::Accepted(sure()))]), false),
            ("the large model's answer", large, false),
            ("no answer", Climbed::starting(), false),
        ];
        for (name, climb, kept) in rows {
            let (cache, ladder) = (Cache::default(), ladder());
            cache.keep(&ladder, None, &Input::new("t"), &climb);
            assert_eq!(cache.recall(&ladder, None, &Input::new("t")).is_some(), kept, "{name}");
        }
    }

    #[test]
    fn what_the_audits_have_taken_away_is_not_recalled() {
        let (cache, mut ladder) = (Cache::default(), ladder());
        cache.keep(&ladder, None, &Input::new("t"), &answered());
        ladder.held_back = vec![HeldBack { slice: Slice::Label("a".into()), share: 0.0 }];
        assert!(cache.recall(&ladder, None, &Input::new("t")).is_none());
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_forgets_the_least_lately_asked() {
        let ladder = ladder();
        let input = |number: usize| Input::new(format!("text {number}"));
        for (entries, bytes) in
            [(3, usize::MAX), (usize::MAX, 3 * size(&repeatable(&ladder, &answered()).unwrap()))]
        {
            let cache = Cache::holding(entries, bytes);
            let known = |number: usize| cache.recall(&ladder, None, &input(number)).is_some();
            for number in 0..3 {
                cache.keep(&ladder, None, &input(number), &answered());
            }
            // The same again takes no more room.
            cache.keep(&ladder, None, &input(2), &answered());
            assert!(known(0), "asked again, it is the latest");
            cache.keep(&ladder, None, &input(3), &answered());
            assert_eq!([0, 1, 2, 3].map(known), [true, false, true, true]);
        }
        let off = Cache::off();
        off.keep(&ladder, None, &input(0), &answered());
        assert!(off.recall(&ladder, None, &input(0)).is_none());
    }
}
