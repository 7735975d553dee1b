//! What watches a task: the audits of its small answers and their alarms, and what they have taken away.

use std::cmp::Reverse;

use sprat_cascade::alarm::{AlarmLevel, Heard};
use sprat_cascade::watch::Watched;
use sprat_store::{AuditCounts, Store, StoreError, WayBack};
use sprat_task::{ReleaseId, Slice};

use super::format::{When, closed, count, counted, percent, quoted};

/// The word where audits have taken something away from the small models.
const STEPPED_BACK: &str = "stepped back";

/// The audits of the live release, and what they say.
pub struct Watching {
    /// How loud the loudest alarm is.
    pub level: &'static str,
    /// How the word looks: `kept` where audits speak for the promise, `idle` before there are any.
    pub tone: &'static str,
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

/// What a line of a table has to say of a release's audits, in a word; `None` where nothing is to be done.
pub fn alarm(store: &Store, release: &ReleaseId) -> Result<Option<&'static str>, StoreError> {
    if store.step_backs().of(release)?.iter().any(|step| step.ended.is_none()) {
        return Ok(Some(STEPPED_BACK));
    }
    let watched: Option<(Watched, i64)> = store.audits().watched(release)?;
    let level = watched.map_or(AlarmLevel::Quiet, |(watched, _)| watched.level());
    Ok((level != AlarmLevel::Quiet).then(|| word(level)))
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
                name: quoted(&step.taken.slice.to_string()),
                since: When::minute(step.taken.time_unix_ms),
                why: closed(&quoted(&step.taken.why)),
                way_back: way_back(step.way_back),
            })
            .collect();
        let level = watched.as_ref().map(Watched::level);
        Ok(Self {
            level: match level {
                _ if !taken.is_empty() => STEPPED_BACK,
                None if counts.drawn == 0 => "no audits yet",
                None => "not listened yet",
                Some(level) => word(level),
            },
            tone: match level {
                _ if !taken.is_empty() => "",
                None => "idle",
                Some(AlarmLevel::Quiet) => "kept",
                Some(AlarmLevel::Warning | AlarmLevel::Alarm) => "",
            },
            is_quiet: taken.is_empty() && level.is_none_or(|level| level == AlarmLevel::Quiet),
            audits: match counts.drawn {
                0 => "No small answer has been checked yet. Audits are drawn at random from what is answered small."
                    .to_owned(),
                drawn => format!(
                    "{} of small answers, {} a day: {}.",
                    counted(drawn, "audit"),
                    count(per_day.round() as u64),
                    came_of_it(&counts)
                ),
            },
            notes: watched.as_ref().map(|watched| notes(watched, per_day)).unwrap_or_default(),
            parts: watched.as_ref().map(parts).unwrap_or_default(),
            taken,
        })
    }
}

fn came_of_it(counts: &AuditCounts) -> String {
    let differing = match counts.differing {
        0 => "none differs from the large model’s answer".to_owned(),
        1 => "1 differs from the large model’s answer".to_owned(),
        many => format!("{} differ from the large model’s answer", count(many)),
    };
    let missing = (counts.missing > 0).then(|| format!("{} never got one", count(counts.missing)));
    let labelled = (counts.labelled > 0).then(|| format!("{} labelled by people", count(counts.labelled)));
    std::iter::once(differing).chain(missing).chain(labelled).collect::<Vec<_>>().join(", ")
}

fn way_back(WayBack { share, looks, .. }: WayBack) -> String {
    let looks = counted(u64::from(looks), "test");
    match share > 0.0 {
        true => format!("{} of it is answered small again, after {looks}.", percent(share)),
        false => format!("None of it is answered small again yet, after {looks}."),
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

/// The loudest first, and the whole before its parts; by people's labels, then by the large model's answers.
fn parts(watched: &Watched) -> Vec<Part> {
    let part = |by: &'static str, heard: &Heard| Part {
        name: quoted(&heard.slice.to_string()),
        by,
        audits: count(heard.audits),
        bad: count(heard.bad),
        in_order: percent(heard.baseline),
        evidence: format!("{} of {}", evidence(heard.evidence), evidence(heard.alarms_at)),
        level: word(heard.level),
    };
    let gold = watched.gold.iter().map(|heard| ("people", heard));
    let agreement = watched.agreement.iter().map(|heard| ("large model", heard));
    let mut all: Vec<(&str, &Heard)> = gold.chain(agreement).collect();
    all.sort_by_key(|(_, heard)| (Reverse(heard.level), heard.slice != Slice::Whole));
    all.into_iter().map(|(by, heard)| part(by, heard)).collect()
}

/// Evidence grows by orders of magnitude: tenths matter only where it is small.
fn evidence(evidence: f64) -> String {
    if evidence < 100.0 { format!("{evidence:.1}") } else { count(evidence.min(1e15) as u64) }
}
