//! What the checks of small answers say: how right they are, how loud the alarms, how long a slip would go unseen, and
//! what has been taken away.

use serde::Serialize;
use sprat_cascade::alarm::Ear;
use sprat_cascade::watch::Watched;
use sprat_stats::alarm::AlarmLevel;
use sprat_stats::prediction_powered::prediction_powered_mean;
use sprat_store::{Audit, Ending, Store};
use sprat_task::{Outcome, ReleaseId};

use crate::failure::Failure;
use crate::output::{Mark, Output, words};

/// Audits and answers that the estimates are made from.
const ENOUGH: usize = 5_000;

/// What the checks of one release say.
#[derive(Debug, Serialize)]
pub struct Checks {
    /// Small answers that were checked.
    audits: u64,
    /// Of these, the large model's answer never came.
    missing: u64,
    /// Of these, labelled by a person.
    labelled: u64,
    audits_per_day: f64,
    /// The loudest alarm; `None` where no server has listened yet.
    level: Option<AlarmLevel>,
    watched: Option<Watched>,
    /// Days in which an error twice as large as is in order would be seen, in half of the cases.
    detection_days: Option<f64>,
    /// Of the small answers, those that the large model would give, with a 95% interval.
    agreement: Option<Share>,
    /// Of the small answers, those that people say are right.
    right: Option<Share>,
    /// What goes to the end of the ladder for now.
    taken: Vec<Taken>,
}

#[derive(Debug, Serialize)]
struct Share {
    value: f64,
    lower: f64,
    upper: f64,
}

#[derive(Debug, Serialize)]
struct Taken {
    slice: String,
    why: String,
    since_unix_ms: i64,
    /// The share of it that is answered small again.
    share: f64,
    looks: u32,
}

impl Checks {
    /// Reads them.
    pub fn of(store: &Store, release: &ReleaseId, now_unix_ms: i64) -> Result<Self, Failure> {
        let counts = store.audits().counts(release, 0)?;
        let watched: Option<(Watched, i64)> = store.audits().watched(release)?;
        let watched = watched.map(|(watched, _)| watched);
        let audits: Vec<Audit> = store.audits().after(release, 0, ENOUGH)?;
        let given: Vec<&Audit> = audits.iter().filter(|audit| audit.drawn.held.is_none()).collect();
        let audits_per_day = store.audits().per_day(release, now_unix_ms)?;
        let others = confidences(store, release)?;
        let taken = store.step_backs().of(release)?.into_iter().filter(|step| step.ended.is_none());
        Ok(Self {
            audits: counts.drawn,
            missing: counts.missing,
            labelled: counts.labelled,
            audits_per_day,
            level: watched.as_ref().map(Watched::level),
            detection_days: watched.as_ref().and_then(|watched| watched.detection_days(audits_per_day)),
            watched,
            agreement: share(&given, &others, Audit::differs),
            right: share(&given, &others, Audit::is_wrong),
            taken: taken
                .map(|step| Taken {
                    slice: step.taken.slice.to_string(),
                    why: step.taken.why,
                    since_unix_ms: step.taken.time_unix_ms,
                    share: step.way_back.share,
                    looks: step.way_back.looks,
                })
                .collect(),
        })
    }

    /// Whether anything goes to the end of the ladder because of them.
    pub fn is_alarmed(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Shows them.
    pub fn show(&self, out: &Output) {
        if self.audits == 0 {
            out.line("audits: none yet");
        } else {
            out.line(format!(
                "audits: {} ({:.0} a day), {} without an answer, {} labelled by people",
                words::count(self.audits),
                self.audits_per_day,
                words::count(self.missing),
                words::count(self.labelled)
            ));
        }
        for (what, found) in
            [("as the large model would", &self.agreement), ("right, as people say", &self.right)]
        {
            if let Some(Share { value, lower, upper }) = found {
                out.line(format!(
                    "small answers {what}: {} ({} to {}), by audits and confidences",
                    words::share(*value),
                    words::share(*lower),
                    words::share(*upper)
                ));
            }
        }
        self.show_alarm(out);
        for taken in &self.taken {
            out.check(
                Mark::Warn,
                format!(
                    "{} go to the end of the ladder since {}: {}",
                    taken.slice,
                    words::time(taken.since_unix_ms),
                    taken.why
                ),
                Some(&format!(
                    "{} of them are answered small again, after {}",
                    words::share(taken.share),
                    words::counted(u64::from(taken.looks), "test")
                )),
            );
        }
    }

    fn show_alarm(&self, out: &Output) {
        let Some((watched, level)) = self.watched.as_ref().zip(self.level) else { return };
        if let Some(heard) = watched.measuring {
            out.line(format!("alarm: what is in order is being measured, {heard} of 200 audits"));
        }
        let Some(whole) = watched.whole() else { return };
        let by = if watched.gold.contains(whole) { Ear::Gold } else { Ear::Agreement };
        let word = match level {
            AlarmLevel::Quiet => "quiet",
            AlarmLevel::Warning => "warning",
            AlarmLevel::Alarm => "ringing",
        };
        let seen = self
            .detection_days
            .map_or_else(String::new, |days| format!("; twice that would be seen in about {days:.1} days"));
        out.line(format!(
            "alarm: {word} ({}: {} bad of {} audits, {} is in order{seen})",
            match by {
                Ear::Gold => "gold",
                Ear::Agreement => "agreement",
            },
            words::count(whole.bad),
            words::count(whole.audits),
            words::share(whole.baseline),
        ));
    }
}

/// The confidences of answers that were not checked.
fn confidences(store: &Store, release: &ReleaseId) -> Result<Vec<f64>, Failure> {
    let entries = store.ledger().latest(Some(&release.task), ENOUGH)?;
    let small = entries
        .iter()
        .filter(|entry| entry.ending == Ending::Small && entry.release.as_ref() == Some(release));
    let accepted = small.filter_map(|entry| match entry.steps.last()?.outcome {
        Outcome::Accepted(confidence) => Some(confidence.get()),
        _ => None,
    });
    Ok(accepted.collect())
}

fn share(given: &[&Audit], others: &[f64], is_bad: fn(&Audit) -> Option<bool>) -> Option<Share> {
    let labelled: Vec<(f64, f64)> = given
        .iter()
        .filter_map(|audit| Some((f64::from(u8::from(!is_bad(audit)?)), audit.drawn.confidence.get())))
        .collect();
    let estimate = prediction_powered_mean(&labelled, others, 0.95)?;
    Some(Share {
        value: estimate.value.clamp(0.0, 1.0),
        lower: estimate.interval.lower.clamp(0.0, 1.0),
        upper: estimate.interval.upper.clamp(0.0, 1.0),
    })
}
