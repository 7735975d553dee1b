//! Who judges texts, and how are they asked while a task is learned? What a judge has said is remembered in the store, by
//! digest: no pair is paid for twice, also after a kill.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sprat_task::{
    Answer, Context, Grading, Input, Judge, Judgements, LabelledRow, Model, Pair, Sha256Hex, Task,
    TrainError, Verdict,
};
use tokio::sync::Semaphore;

use crate::learn::LearnError;
use crate::teacher::Remembered;

/// Callers that are served at the same time; each may ask about several pairs.
const CALLERS: usize = 16;

/// A model as judge: it answers a task whose labels are grades.
pub struct RememberedJudge {
    model: Remembered,
    grading: Grading,
    identity: Sha256Hex,
    callers: Semaphore,
}

impl RememberedJudge {
    /// The judge of a task, with its memory. `identity` changes with whatever the verdicts depend on but the texts.
    pub fn new(model: Remembered, grading: Grading, identity: Sha256Hex) -> Self {
        Self { model, grading, identity, callers: Semaphore::new(CALLERS) }
    }
}

impl Judge for RememberedJudge {
    fn judge<'a>(&'a self, cx: &'a Context, pairs: &'a [Pair]) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            // Never closed, so that it can't fail.
            let _turn = self.callers.acquire().await;
            let inputs: Vec<Input> = pairs.iter().map(Pair::to_input).collect();
            let attempts = self.model.predict(cx, &self.grading.task, &inputs).await;
            attempts.iter().map(|attempt| self.grading.verdict(attempt)).collect()
        })
    }

    fn identity(&self) -> &Sha256Hex {
        &self.identity
    }
}

/// Pairs asked about between two looks at the progress and the wish to stop.
const AT_ONCE: usize = 64;

/// So many pairs that can't be judged, and none that can, are no accident: the judge is out of order.
const OUT_OF_ORDER: usize = 16;

/// How long a judge may take over one batch before its pairs count as not good enough.
const PATIENCE: Duration = Duration::from_secs(600);

/// Told how many pairs of how many are judged; may ask to stop.
pub type OnJudged<'a> = &'a (dyn Fn(usize, usize) -> ControlFlow<()> + Sync);

/// The judge while one task is learned or measured, and what it has said.
pub struct Judging<'a> {
    judge: Option<&'a dyn Judge>,
    progress: OnJudged<'a>,
    judgements: Judgements,
    pairs: usize,
    unclear: usize,
    why: Option<String>,
}

impl<'a> Judging<'a> {
    /// Nothing is judged yet.
    pub fn new(judge: Option<&'a dyn Judge>, progress: OnJudged<'a>) -> Self {
        Self { judge, progress, judgements: Judgements::default(), pairs: 0, unclear: 0, why: None }
    }

    /// What has been judged so far.
    pub fn judgements(&self) -> &Judgements {
        &self.judgements
    }

    /// Asks about those of the pairs that aren't judged yet.
    ///
    /// # Errors
    /// Where it was told to stop; and where the judge can't judge anything at all: to go on would spend time, and a look at the
    /// rows, on nothing.
    pub async fn ask(&mut self, pairs: Vec<Pair>) -> Result<(), LearnError> {
        let pairs = self.judgements.missing(pairs);
        for (batch, done) in pairs.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
            if (self.progress)(done, pairs.len()).is_break() {
                return Err(TrainError::Cancelled.into());
            }
            let cx = Context::until(Instant::now() + PATIENCE, "judge");
            let asked = self.judgements.ask(self.judge, &cx, batch).await;
            self.pairs += asked.pairs;
            self.unclear += asked.unclear;
            self.why = asked.why.or(self.why.take());
            if self.unclear == self.pairs && self.pairs >= OUT_OF_ORDER {
                return Err(LearnError::Unjudged(self.why.clone().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// What whoever reads the figures has to know: how many texts could not be judged.
    pub fn notice(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        Some(format!(
            "{} of {} judged texts could not be judged and count as not good enough; the last reason: {why}",
            self.unclear, self.pairs
        ))
    }
}

/// What has to be judged before a row can be compared: the large model's text beside people's, and whatever was said beside the
/// right one.
pub fn pairs<'a>(task: &Task, row: &LabelledRow, said: impl IntoIterator<Item = &'a Answer>) -> Vec<Pair> {
    let large = row.large.as_ref().zip(row.gold.as_ref());
    let large = large.and_then(|(large, gold)| task.to_judge(&row.input, large, gold));
    let right = |said: &Answer| task.to_judge(&row.input, said, row.target()?);
    large.into_iter().chain(said.into_iter().filter_map(right)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Judges nothing whose text begins with "odd", finds everything else good, and counts.
    struct Says(AtomicUsize, Sha256Hex);

    impl Judge for Says {
        fn judge<'a>(&'a self, _: &'a Context, pairs: &'a [Pair]) -> BoxFuture<'a, Vec<Verdict>> {
            self.0.fetch_add(pairs.len(), Ordering::SeqCst);
            let verdict = |pair: &Pair| match pair.to_input().text.contains("\"said\":\"odd") {
                true => Verdict::Unclear("too odd".to_owned()),
                false => Verdict::Good,
            };
            Box::pin(std::future::ready(pairs.iter().map(verdict).collect()))
        }

        fn identity(&self) -> &Sha256Hex {
            &self.1
        }
    }

    fn says() -> Says {
        Says(AtomicUsize::new(0), Sha256Hex::of(b""))
    }

    fn texts(said: &str, numbers: std::ops::Range<usize>) -> Vec<Pair> {
        numbers.map(|number| Pair::new(&Input::new("a"), &format!("{said} {number}"), "right")).collect()
    }

    const GO_ON: OnJudged<'static> = &|_, _| ControlFlow::Continue(());

    #[test]
    fn a_pair_is_judged_once_and_what_is_unclear_is_told() {
        let judge = says();
        let mut judging = Judging::new(Some(&judge), GO_ON);
        block_on(judging.ask(texts("well", 0..100))).expect("it judges");
        assert_eq!(judging.notice(), None);
        block_on(judging.ask(texts("well", 50..100))).expect("it judges");
        block_on(judging.ask(texts("odd", 0..30))).expect("it has judged others");
        assert_eq!(judge.0.load(Ordering::SeqCst), 130);
        let notice = judging.notice().expect("some are unclear");
        assert!(notice.starts_with("30 of 130 ") && notice.ends_with("too odd"), "{notice}");
        let good = |pair: &Pair| judging.judgements().is_good(pair);
        assert!(good(&texts("well", 3..4)[0]) && !good(&texts("odd", 3..4)[0]));
    }

    #[test]
    fn a_judge_that_can_judge_nothing_ends_it_and_a_few_unclear_texts_do_not() {
        let judge = says();
        let mut judging = Judging::new(Some(&judge), GO_ON);
        block_on(judging.ask(texts("odd", 0..15))).expect("a few may be odd");
        let error = block_on(judging.ask(texts("odd", 15..16))).expect_err("sixteen of sixteen");
        assert_eq!(error.to_string(), "no text could be judged: too odd");
    }

    #[test]
    fn whoever_asks_it_to_stop_is_heard() {
        let judge = says();
        let mut judging = Judging::new(Some(&judge), &|done, of| match done * 2 > of {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        let stopped = block_on(judging.ask(texts("well", 0..200)));
        assert!(matches!(stopped, Err(LearnError::Train(TrainError::Cancelled))), "{stopped:?}");
        assert_eq!(judge.0.load(Ordering::SeqCst), 128, "two batches of 64");
    }
}
