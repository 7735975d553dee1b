//! Answer: the ladder's, or the large model's as it came.

use std::sync::Arc;

use sprat_cascade::{Climbed, End, Reach, Serving};
use sprat_task::{Input, Outcome, Usage};

use crate::Gateway;
use crate::accept::{Accepted, Mode};
use crate::audit;
use crate::decode::Call;
use crate::error::Refusal;
use crate::pass::{self, Passed};
use crate::quote;
use crate::record::Record;
use crate::resolve::{Question, Route};

/// What there is to say.
pub enum Answered {
    /// An answer in a task's terms; it is recorded.
    Decided(Box<Climbed>),
    /// A remote model's reply as it came.
    Passed(Box<Passed>),
}

/// Finds the answer. A failure is recorded with what it cost.
pub async fn answer(
    gateway: &Arc<Gateway>,
    accepted: &Accepted,
    route: &Route,
    call: &Call,
    mut record: Record,
) -> Result<Answered, Refusal> {
    match route {
        Route::Task { serving, question, .. } => {
            let climbed = decide(accepted, serving, question, record).await?;
            audit::watch(gateway, accepted, serving, &question.input, &climbed);
            say(serving, climbed).map(|climbed| Answered::Decided(Box::new(climbed)))
        }
        Route::Recognised { serving, reading, lowered, remote, .. } => {
            let start = match reading {
                Some(reading) if *lowered => {
                    let reach = reach(accepted, serving, true);
                    through_the_rungs(accepted, serving, &reading.input, reach).await
                }
                _ => Climbed::starting(),
            };
            if start.end == End::Small {
                record.finish(&start);
                if let Some(reading) = reading {
                    audit::watch(gateway, accepted, serving, &reading.input, &start);
                }
                return Ok(Answered::Decided(Box::new(start)));
            }
            if accepted.mode == Mode::SmallOnly {
                record.finish(&start);
                return say(serving, start).map(|climbed| Answered::Decided(Box::new(climbed)));
            }
            if let (Some(_), Some(reading)) = (&start.held_back, reading) {
                record.listen(serving, reading);
            }
            let passed = pass::chat(gateway, accepted, call, remote, start, record).await?;
            Ok(Answered::Passed(Box::new(passed)))
        }
        Route::Remote(remote) => {
            let passed = pass::chat(gateway, accepted, call, remote, Climbed::starting(), record).await?;
            Ok(Answered::Passed(Box::new(passed)))
        }
    }
}

/// How far up a request for a task may climb.
pub(crate) fn reach(accepted: &Accepted, serving: &Serving, single: bool) -> Reach {
    let too_lax = accepted
        .max_error
        .is_some_and(|most| serving.promised_error().is_none_or(|promised| promised > most));
    match accepted.mode {
        Mode::SmallOnly => Reach::BelowTheEnd,
        Mode::LargeOnly | Mode::Shadow => Reach::LargeOnly,
        Mode::Auto if too_lax || !single => Reach::LargeOnly,
        Mode::Auto => Reach::Whole,
    }
}

pub(crate) async fn decide(
    accepted: &Accepted,
    serving: &Serving,
    question: &Question,
    mut record: Record,
) -> Result<Climbed, Refusal> {
    let (task, input) = (&serving.task, &question.input);
    let reach = reach(accepted, serving, question.single);
    let mut climbed = through_the_rungs(accepted, serving, input, reach).await;
    if climbed.end != End::Small && reach != Reach::BelowTheEnd {
        let models = serving.ladder.last.models();
        if let Some(large) = models.first() {
            // A small answer costs what it costs; only here is there anything to reserve.
            let most = models.iter().map(|model| model.at_most(task, input)).reduce(quote::together);
            let most = most.unwrap_or(Usage::UNKNOWN);
            if let Err(refusal) = record.reserve(accepted, &climbed.steps, large.id(), most).await {
                record.not_asked(&climbed);
                return Err(refusal);
            }
            record.asking_large(&climbed.steps, large.id());
        }
        climbed = serving.ladder.climb_on(&accepted.cx, task, input, climbed).await;
    }
    record.finish(&climbed);
    Ok(climbed)
}

/// The rungs alone, as far as they may answer; what they have answered before they are not asked again.
async fn through_the_rungs(accepted: &Accepted, serving: &Serving, input: &Input, reach: Reach) -> Climbed {
    match reach {
        Reach::LargeOnly => Climbed::starting(),
        _ => {
            let tenant = accepted.lease.as_ref().map(|lease| lease.id().as_str());
            if let Some(again) = serving.cache.recall(&serving.ladder, tenant, input) {
                return again;
            }
            let inputs = std::slice::from_ref(input);
            let climb = serving.ladder.climb(&accepted.cx, &serving.task, inputs, Reach::BelowTheEnd);
            let climbed = climb.await.pop().unwrap_or_else(Climbed::starting);
            serving.cache.keep(&serving.ladder, tenant, input, &climbed);
            climbed
        }
    }
}

/// Why a climb failed.
pub(crate) fn failed(climbed: &Climbed) -> Refusal {
    match climbed.steps.last() {
        Some(step) => match &step.outcome {
            Outcome::Failed(error) => Refusal::model(step.model.as_str(), error),
            _ => Refusal::ours("the climb failed at a step that did not"),
        },
        None => Refusal::ours("the climb failed without a step"),
    }
}

/// A climb that ended with an answer; else why there is none.
fn say(serving: &Serving, climbed: Climbed) -> Result<Climbed, Refusal> {
    let name = serving.task.name.as_str();
    match climbed.end {
        End::Small | End::Large => Ok(climbed),
        End::Failed => Err(failed(&climbed)),
        End::Stopped => Err(Refusal::no_answer(
            name,
            "no small model was sure enough, and only small ones were to be asked",
        )),
        End::People => {
            Err(Refusal::no_answer(name, "no small model was sure enough; a person has to decide"))
        }
        End::NoAnswer => {
            Err(Refusal::no_answer(name, "no small model was sure enough, and it has no large model"))
        }
    }
}
