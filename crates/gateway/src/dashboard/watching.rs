//! What watches a task: the audits of its small answers and their alarms, what they have taken away, and the releases that
//! stand beside the live one.

use sprat_cascade::alarm::{AlarmLevel, Heard};
use sprat_cascade::watch::Watched;
use sprat_store::{Store, StoreError};
use sprat_task::{ReleaseId, TaskName};

use super::format::{When, count, counted, percent, shown};

/// The audits of the live release, and what they say.
pub struct Watching {
    /// How loud the loudest alarm is.
    pub level: &'static str,
    /// Whether nothing is to be done.
    pub is_quiet: bool,
    /// How many audits there are, and of what sort, in a sentence.
    pub audits: String,
    /// What the alarms stand at, and how long a slip would go unseen, a sentence each.
    pub notes: Vec<String>,
    /// Each part that is listened to, the whole first.
    pub parts: Vec<Part>,
    /// What goes to the end of the ladder for now.
    pub taken: Vec<Taken>,
}

/// A part of the traffic that is listened to.
pub struct Part {
    /// The part.
    pub name: String,
    /// Who labelled.
    pub by: &'static str,
    /// Audits, and bad ones among them.
    pub audits: String,
    /// The same.
    pub bad: String,
    /// The error that is in order.
    pub in_order: String,
    /// How near its alarm is: evidence, and the evidence at which it alarms.
    pub evidence: String,
    /// How loud its alarm is.
    pub level: &'static str,
}

/// A part that was taken away from the small models.
pub struct Taken {
    /// The part.
    pub name: String,
    /// Since when.
    pub since: When,
    /// Why.
    pub why: String,
    /// How far it is on its way back, in a sentence.
    pub way_back: String,
}

impl Watching {
    /// Of a release.
    pub fn read(store: &Store, release: &ReleaseId, now_unix_ms: i64) -> Result<Self, StoreError> {
        let counts = store.audits().counts(release, 0)?;
        let per_day = store.audits().per_day(release, now_unix_ms)?;
        let watched: Option<(Watched, i64)> = store.audits().watched(release)?;
        let watched = watched.map(|(watched, _)| watched);
        let open = store.step_backs().of(release)?.into_iter().filter(|step| step.ended.is_none());
        let taken: Vec<Taken> = open
            .map(|step| Taken {
                name: shown(&step.taken.slice.to_string()),
                since: When::minute(step.taken.time_unix_ms),
                why: super::format::closed(&step.taken.why),
                way_back: format!(
                    "{} of it is answered small again, after {}.",
                    percent(step.way_back.share),
                    counted(u64::from(step.way_back.looks), "test")
                ),
            })
            .collect();
        let level = watched.as_ref().map(Watched::level);
        Ok(Self {
            level: match level {
                _ if !taken.is_empty() => "stepped back",
                None if counts.drawn == 0 => "no audits yet",
                None => "not listened yet",
                Some(level) => word(level),
            },
            is_quiet: taken.is_empty() && level.is_none_or(|level| level == AlarmLevel::Quiet),
            audits: match counts.drawn {
                0 => "No small answer has been checked yet. Audits are drawn at random from what is answered small."
                    .to_owned(),
                drawn => format!(
                    "{} of small answers, {} a day: {} differ from the large model’s answer, {} never got one, {} \
                     labelled by people.",
                    counted(drawn, "audit"),
                    count(per_day.round() as u64),
                    count(counts.differing),
                    count(counts.missing),
                    count(counts.labelled)
                ),
            },
            notes: watched.as_ref().map(|watched| notes(watched, per_day)).unwrap_or_default(),
            parts: watched.as_ref().map(parts).unwrap_or_default(),
            taken,
        })
    }
}

fn word(level: AlarmLevel) -> &'static str {
    match level {
        AlarmLevel::Quiet => "quiet",
        AlarmLevel::Warning => "warning",
        AlarmLevel::Alarm => "ringing",
    }
}

fn notes(watched: &Watched, per_day: f64) -> Vec<String> {
    let measuring = watched.measuring.map(|heard| {
        format!(
            "What is in order is being measured first: {} of 200 audits. Nothing alarms until then.",
            count(heard)
        )
    });
    let seen = watched.detection_days(per_day).map(|days| {
        format!(
            "Twice the error that is in order would be seen in about {}, in half of the cases.",
            time(days)
        )
    });
    measuring.into_iter().chain(seen).collect()
}

fn time(days: f64) -> String {
    match days * 24.0 {
        hours if hours < 1.0 => "an hour".to_owned(),
        hours if hours < 48.0 => counted(hours.round() as u64, "hour"),
        _ => format!("{days:.0} days"),
    }
}

/// By people's labels first, then by the large model's answers.
fn parts(watched: &Watched) -> Vec<Part> {
    let part = |by: &'static str, heard: &Heard| Part {
        name: shown(&heard.slice.to_string()),
        by,
        audits: count(heard.audits),
        bad: count(heard.bad),
        in_order: percent(heard.baseline),
        evidence: format!("{} of {}", evidence(heard.evidence), evidence(heard.alarms_at)),
        level: word(heard.level),
    };
    let gold = watched.gold.iter().map(|heard| part("people", heard));
    let agreement = watched.agreement.iter().map(|heard| part("large model", heard));
    gold.chain(agreement).collect()
}

/// Evidence grows by orders of magnitude: tenths matter only where it is small.
fn evidence(evidence: f64) -> String {
    if evidence < 100.0 { format!("{evidence:.1}") } else { count(evidence.min(1e15) as u64) }
}

/// The releases that stand beside the live one, a sentence each.
pub fn beside(store: &Store, task: &TaskName) -> Result<Vec<String>, StoreError> {
    let beside = store.registry().beside(task)?;
    let canary = beside
        .canary
        .map(|canary| format!("Canary: {} answers {} of the traffic.", canary.release, canary.share));
    let shadow = beside.shadow.map(|release| {
        let sums = store.shadow().of(&release)?;
        let seen = match sums.requests {
            0 => "it has seen nothing yet".to_owned(),
            requests => format!(
                "of {} it would have answered {}; of those that can be compared, {} of {} the same",
                counted(requests, "request"),
                count(sums.would_answer),
                count(sums.agreed),
                count(sums.compared)
            ),
        };
        Ok(format!("Shadow: {release} watches; {seen}."))
    });
    Ok(canary.into_iter().chain(shadow.transpose()?).collect())
}
