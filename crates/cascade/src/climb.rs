//! How requests climb: each rung sees only what the rungs below it left unanswered.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt, StreamExt, stream};
use sprat_task::{
    Answer, Attempt, Confidence, Context, Input, Model, ModelError, ModelId, Outcome, Prediction, Slice,
    Step, Task,
};
use tokio_util::sync::CancellationToken;

use crate::ladder::{Ladder, LadderEnd, Rung, Threshold};

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Climbed {
    /// What each rung did, in order.
    pub steps: Vec<Step>,
    /// The answer; `None` where the ladder ends without one.
    pub answer: Option<Answer>,
    /// Whose answer it is.
    pub answered_by: Option<ModelId>,
    /// How the climb ended.
    pub end: End,
    /// The small models' own answer: the accepting rung's, else that of the last rung that had one. Shown in shadow
    /// and evaluation, never sent in place of the large model's.
    pub own: Option<(ModelId, Prediction, Confidence)>,
    /// The part of the traffic that the audits have taken away from the small models, where `own` is sure enough and
    /// belongs to it.
    pub held_back: Option<Slice>,
}

/// How a climb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A rung was confident enough.
    Small,
    /// The large model answered.
    Large,
    /// It waits for a person.
    People,
    /// Nobody answers; the caller is told so.
    NoAnswer,
    /// The large model was asked and failed.
    Failed,
    /// The climb was told to stop below the large model.
    Stopped,
}

/// How far up a climb may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the end of the ladder.
    Whole,
    /// Only the rungs, and also those that may not answer: for evaluation and shadow.
    SmallOnly,
    /// Only the rungs that may answer: for a request that somebody else passes on to the large model as it came.
    BelowTheEnd,
    /// Only the end: everything to the large model.
    LargeOnly,
}

/// Told of climbs as they end: each with its input's place.
pub type Told<'a> = dyn Fn(Vec<(usize, Climbed)>) + Send + Sync + 'a;

/// How the large model is asked by [`Ladder::climb_telling`].
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// Requests under way at the same time, at least 1.
    pub at_once: usize,
    /// Cancelled when no more should begin.
    pub stop: &'a CancellationToken,
}

impl Ladder {
    /// Sends every input up the ladder; the answers come in the order of the inputs. A rung that fails, panics or
    /// gives an answer that the task doesn't have is a recorded step, and the request goes on upwards.
    pub async fn climb(&self, cx: &Context, task: &Task, inputs: &[Input], reach: Reach) -> Vec<Climbed> {
        let (mut climbs, waiting) = self.through_the_rungs(cx, task, inputs, reach).await;
        let asked: Vec<(usize, &Input)> = waiting.iter().map(|&row| (row, &inputs[row])).collect();
        let starts =
            waiting.iter().map(|&row| std::mem::replace(&mut climbs[row], Climbed::starting())).collect();
        for (row, climbed) in self.end(cx, task, asked, starts, reach).await {
            climbs[row] = climbed;
        }
        climbs
    }

    /// Sends a climb that the rungs have left open on to the end of the ladder: what [`climb`](Self::climb) does last,
    /// for a caller who must know before it that the large model will be asked.
    pub async fn climb_on(&self, cx: &Context, task: &Task, input: &Input, start: Climbed) -> Climbed {
        let ended = self.end(cx, task, vec![(0, input)], vec![start], Reach::LargeOnly).await;
        ended.into_iter().next().map_or_else(Climbed::starting, |(_, climbed)| climbed)
    }

    /// The same as [`climb`](Self::climb), telling of each climb once, as soon as it has ended: those that the rungs answer first, then the large
    /// model's, one by one, `pace.at_once` of them under way. What a caller keeps when told is not lost with the rest.
    /// Once `pace.stop` is cancelled the large model is asked nothing new; climbs that never got to it are not told of.
    pub async fn climb_telling(
        &self,
        cx: &Context,
        task: &Task,
        inputs: &[Input],
        reach: Reach,
        pace: Pace<'_>,
        told: &Told<'_>,
    ) {
        let (climbs, waiting) = self.through_the_rungs(cx, task, inputs, reach).await;
        let (climbing, ended): (Vec<_>, Vec<_>) =
            climbs.into_iter().enumerate().partition(|(row, _)| waiting.binary_search(row).is_ok());
        if !ended.is_empty() {
            told(ended);
        }
        let going_on = climbing.into_iter().take_while(|_| !pace.stop.is_cancelled());
        let ends = stream::iter(going_on)
            .map(|(row, start)| self.end(cx, task, vec![(row, &inputs[row])], vec![start], reach))
            .buffer_unordered(pace.at_once.max(1));
        let mut together = std::pin::pin!(ends.ready_chunks(pace.at_once.max(1)));
        while let Some(ended) = together.next().await {
            told(ended.concat());
        }
    }

    /// What the rungs make of the inputs, and which of these go on to the end of the ladder, in order.
    async fn through_the_rungs(
        &self,
        cx: &Context,
        task: &Task,
        inputs: &[Input],
        reach: Reach,
    ) -> (Vec<Climbed>, Vec<usize>) {
        let mut climbs: Vec<Climbed> = inputs.iter().map(|_| Climbed::starting()).collect();
        let mut waiting: Vec<usize> = (0..inputs.len()).collect();
        if reach != Reach::LargeOnly {
            for rung in &self.rungs {
                if reach != Reach::SmallOnly && rung.threshold == Threshold::Never {
                    continue;
                }
                let attempts = ask(rung.model.as_ref(), cx, task, inputs, &waiting).await;
                let left = settle(rung, task, attempts, &waiting, &mut climbs);
                if reach != Reach::SmallOnly {
                    self.hold_back(inputs, &waiting, &mut climbs);
                }
                waiting = left;
            }
        }
        let goes_on = |row: &usize| climbs[*row].answer.is_none();
        let waiting = (0..inputs.len()).filter(goes_on).collect();
        (climbs, waiting)
    }

    /// Takes back what these rows were just answered, where the audits have taken that part of the traffic away: it goes
    /// straight to the end of the ladder.
    fn hold_back(&self, inputs: &[Input], rows: &[usize], climbs: &mut [Climbed]) {
        if self.held_back.is_empty() {
            return;
        }
        for &row in rows {
            let climb = &mut climbs[row];
            let Some(answer) = &climb.answer else { continue };
            let Some(slice) = self.holds_back(answer, &inputs[row]) else { continue };
            climb.held_back = Some(slice.clone());
            (climb.answer, climb.answered_by, climb.end) = (None, None, End::Stopped);
            if let Some(Step { outcome, .. }) = climb.steps.last_mut()
                && let Outcome::Accepted(confidence) = *outcome
            {
                *outcome = Outcome::HeldBack(confidence);
            }
        }
    }

    /// The end of the ladder, for climbs that no rung ended.
    async fn end(
        &self,
        cx: &Context,
        task: &Task,
        asked: Vec<(usize, &Input)>,
        mut climbs: Vec<Climbed>,
        reach: Reach,
    ) -> Vec<(usize, Climbed)> {
        match (&self.last, reach) {
            (_, Reach::SmallOnly | Reach::BelowTheEnd) => {}
            (LadderEnd::Remote(_) | LadderEnd::Remotes(_), _) => {
                let inputs: Vec<Input> = asked.iter().map(|(_, input)| (*input).clone()).collect();
                ask_in_order(self.last.models(), cx, task, &inputs, &mut climbs).await;
            }
            (LadderEnd::People, _) => climbs.iter_mut().for_each(|climbed| climbed.end = End::People),
            (LadderEnd::NoAnswer, _) => climbs.iter_mut().for_each(|climbed| climbed.end = End::NoAnswer),
        }
        asked.into_iter().map(|(row, _)| row).zip(climbs).collect()
    }
}

impl Climbed {
    /// A climb at the foot of the ladder.
    pub fn starting() -> Self {
        Self {
            steps: Vec::new(),
            answer: None,
            answered_by: None,
            end: End::Stopped,
            own: None,
            held_back: None,
        }
    }

    /// The confidence of the small models' own answer.
    pub fn confidence(&self) -> Option<Confidence> {
        self.own.as_ref().map(|(_, _, confidence)| *confidence)
    }

    /// Whether it went past every rung that may answer.
    pub fn escalated(&self) -> bool {
        self.end != End::Small
    }

    /// The same, after the request went on to the large model as it came: `step` says what that took, and whether it
    /// was answered.
    pub fn passed_on(mut self, step: Step) -> Self {
        self.end = if step.outcome == Outcome::Last { End::Large } else { End::Failed };
        self.answered_by = (self.end == End::Large).then(|| step.model.clone());
        self.steps.push(step);
        self
    }

    fn end_with_large(&mut self, large: &ModelId, attempt: Attempt) {
        let latency_us = micros(&attempt);
        let outcome = match attempt.result {
            Ok(Some(prediction)) => {
                self.answer = Some(prediction.answer);
                self.answered_by = Some(large.clone());
                self.end = End::Large;
                Outcome::Last
            }
            Ok(None) => {
                self.end = End::NoAnswer;
                Outcome::Abstained
            }
            Err(error) => {
                self.end = End::Failed;
                Outcome::Failed(error)
            }
        };
        self.steps.push(Step { model: large.clone(), usage: attempt.usage, latency_us, outcome });
    }
}

/// Asks a model about the waiting rows only: one attempt for each, whatever the model does.
async fn ask(
    model: &dyn Model,
    cx: &Context,
    task: &Task,
    inputs: &[Input],
    waiting: &[usize],
) -> Vec<Attempt> {
    if waiting.is_empty() {
        return Vec::new();
    }
    let chosen: Vec<Input>;
    let asked: &[Input] = if waiting.len() == inputs.len() {
        inputs
    } else {
        chosen = waiting.iter().map(|&row| inputs[row].clone()).collect();
        &chosen
    };
    // A panic in a model must not take the other requests with it.
    let attempts = match AssertUnwindSafe(model.predict(cx, task, asked)).catch_unwind().await {
        Ok(attempts) => attempts,
        Err(_) => return vec![Attempt::failed(ModelError::Failed("the model panicked".into())); asked.len()],
    };
    if attempts.len() == asked.len() {
        return attempts;
    }
    let why = format!("gave {} attempts for {} inputs", attempts.len(), asked.len());
    vec![Attempt::failed(ModelError::Failed(why)); asked.len()]
}

/// Asks the models at the end of a ladder in order: each about what those before it could not answer for reasons of
/// their own. Every attempt is a step.
async fn ask_in_order(
    models: &[Arc<dyn Model>],
    cx: &Context,
    task: &Task,
    inputs: &[Input],
    climbs: &mut [Climbed],
) {
    let mut waiting: Vec<usize> = (0..inputs.len()).collect();
    for (place, model) in models.iter().enumerate() {
        let cx = cx.sharing(models.len() - place, Instant::now());
        let attempts = ask(model.as_ref(), &cx, task, inputs, &waiting).await;
        let mut left = Vec::new();
        for (attempt, row) in attempts.into_iter().zip(waiting) {
            let attempt = admitted(attempt, task);
            if attempt.result.as_ref().is_err_and(ModelError::another_may_answer) {
                left.push(row);
            }
            climbs[row].end_with_large(model.id(), attempt);
        }
        waiting = left;
    }
}

/// Enters each attempt into its climb and returns the rows that go on.
fn settle(
    rung: &Rung,
    task: &Task,
    attempts: Vec<Attempt>,
    waiting: &[usize],
    climbs: &mut [Climbed],
) -> Vec<usize> {
    let mut left = Vec::new();
    for (attempt, &row) in attempts.into_iter().zip(waiting) {
        let climb = &mut climbs[row];
        let attempt = admitted(attempt, task);
        let (usage, latency_us) = (attempt.usage, micros(&attempt));
        let outcome = match attempt.result {
            Ok(Some(prediction)) => {
                let confidence = rung.confidence(&prediction);
                let accepted = rung.threshold.accepts(confidence);
                if accepted {
                    climb.answer = Some(prediction.answer.clone());
                    climb.answered_by = Some(rung.model.id().clone());
                    climb.end = End::Small;
                }
                climb.own = Some((rung.model.id().clone(), prediction, confidence));
                if accepted { Outcome::Accepted(confidence) } else { Outcome::Deferred(confidence) }
            }
            Ok(None) => Outcome::Abstained,
            Err(error) => Outcome::Failed(error),
        };
        if !outcome.answered() {
            left.push(row);
        }
        climb.steps.push(Step { model: rung.model.id().clone(), usage, latency_us, outcome });
    }
    left
}

/// An answer that the task doesn't have is a failure, whoever gave it.
fn admitted(mut attempt: Attempt, task: &Task) -> Attempt {
    if let Ok(Some(prediction)) = &attempt.result
        && !task.admits(&prediction.answer)
    {
        attempt.result = Err(ModelError::BadAnswer("a label that the task doesn't have".into()));
    }
    attempt
}

fn micros(attempt: &Attempt) -> u64 {
    u64::try_from(attempt.latency.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
