//! How requests climb: each rung sees only what the rungs below it left unanswered.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use sprat_task::{
    Answer, Attempt, Confidence, Context, Input, Model, ModelError, ModelId, Outcome, Prediction, Step, Task,
};

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
    /// Only the end: everything to the large model.
    LargeOnly,
}

impl Ladder {
    /// Sends every input up the ladder; the answers come in the order of the inputs. A rung that fails, panics or
    /// gives an answer that the task doesn't have is a recorded step, and the request goes on upwards.
    pub async fn climb(&self, cx: &Context, task: &Task, inputs: &[Input], reach: Reach) -> Vec<Climbed> {
        let mut climbs: Vec<Climbed> = inputs.iter().map(|_| Climbed::starting()).collect();
        let mut waiting: Vec<usize> = (0..inputs.len()).collect();
        if reach != Reach::LargeOnly {
            for rung in &self.rungs {
                if reach == Reach::Whole && rung.threshold == Threshold::Never {
                    continue;
                }
                let attempts = ask(rung.model.as_ref(), cx, task, inputs, &waiting).await;
                waiting = settle(rung, task, attempts, &waiting, &mut climbs);
            }
        }
        match (&self.last, reach) {
            (_, Reach::SmallOnly) => {}
            (LadderEnd::Remote(large), _) => {
                let attempts = ask(large.as_ref(), cx, task, inputs, &waiting).await;
                for (attempt, &row) in attempts.into_iter().zip(&waiting) {
                    climbs[row].end_with_large(large.id(), admitted(attempt, task));
                }
            }
            (LadderEnd::People, _) => waiting.iter().for_each(|&row| climbs[row].end = End::People),
            (LadderEnd::NoAnswer, _) => waiting.iter().for_each(|&row| climbs[row].end = End::NoAnswer),
        }
        climbs
    }
}

impl Climbed {
    fn starting() -> Self {
        Self { steps: Vec::new(), answer: None, answered_by: None, end: End::Stopped, own: None }
    }

    /// The confidence of the small models' own answer.
    pub fn confidence(&self) -> Option<Confidence> {
        self.own.as_ref().map(|(_, _, confidence)| *confidence)
    }

    /// Whether it went past every rung that may answer.
    pub fn escalated(&self) -> bool {
        self.end != End::Small
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
