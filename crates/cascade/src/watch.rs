//! What the audits of one release say: which parts of its traffic alarm, and what has been gathered for the parts that
//! were taken away.
//!
//! A pure fold over audits in the order in which they were drawn: whoever folds them again gets the same.

use serde::{Deserialize, Serialize};
use sprat_stats::alarm::{AlarmLevel, Slip, days_for_audits, median_audits_to_alarm, thresholds};
use sprat_task::Slice;

use crate::alarm::{Baseline, Checked, Ear, Heard, Listener};

/// An audit whose label has not come this long after it was drawn is left out, in milliseconds.
pub const LABEL_DEADLINE_MS: i64 = 15 * 60_000;

/// An audit, as far as it has got.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Greater was drawn later.
    pub id: i64,
    /// The slices that the small answer belongs to.
    pub slices: Vec<Slice>,
    /// The slice that kept the answer back, where nobody got it.
    pub held: Option<Slice>,
    /// When it was drawn, in milliseconds since 1970.
    pub drawn_unix_ms: i64,
    /// Whether asking the large model has come to an end.
    pub is_settled: bool,
    /// Whether small and large differ; `None` where the large model's answer is missing.
    pub differs: Option<bool>,
    /// Whether a person says that the small answer is wrong; `None` where nobody has said anything.
    pub is_wrong: Option<bool>,
}

impl Seen {
    fn is_bad(&self, ear: Ear) -> Option<bool> {
        match ear {
            Ear::Gold => self.is_wrong,
            Ear::Agreement => self.differs,
        }
    }
}

/// A part of the traffic that is or was taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Its number.
    pub id: i64,
    /// The part.
    pub slice: Slice,
    /// Whose labels count for its way back.
    pub ear: Ear,
    /// Audits beyond this one count for the present stage; once it is over, for the alarm again.
    pub after_audit: i64,
    /// Whether it still is.
    pub is_open: bool,
}

/// The audits of one release, heard up to now.
#[derive(Clone, Debug)]
pub struct Watch {
    gold: Listener,
    agreement: Listener,
    taken: Vec<Taken>,
    /// For each that is taken, the labels of the present stage.
    gathered: Vec<Vec<bool>>,
    heard: i64,
    missing: u64,
}

/// What is shown of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// By people's labels.
    pub gold: Vec<Heard>,
    /// By the large model's answers.
    pub agreement: Vec<Heard>,
    /// Audits of the agreement alarm's baseline period, while it lasts.
    pub measuring: Option<u64>,
    /// Audits whose label never came.
    pub missing: u64,
}

impl Watched {
    /// How loud the loudest alarm is.
    pub fn level(&self) -> AlarmLevel {
        let heard = self.gold.iter().chain(&self.agreement);
        heard.map(|heard| heard.level).max().unwrap_or(AlarmLevel::Quiet)
    }

    /// How it stands with everything together: by people's labels where there are any.
    pub fn whole(&self) -> Option<&Heard> {
        self.gold.iter().chain(&self.agreement).find(|heard| heard.slice == Slice::Whole)
    }

    /// Days in which an error of everything together that is twice as large as is in order would be seen, in half of the
    /// cases; `None` where that isn't known yet.
    pub fn detection_days(&self, audits_per_day: f64) -> Option<f64> {
        let whole = self.whole()?;
        let observed = whole.bad as f64 / whole.audits.max(1) as f64;
        let slip = Slip {
            baseline: whole.baseline,
            audits_before: whole.audits.min(2_000),
            risk_before: observed.min(whole.baseline),
            risk_after: (2.0 * whole.baseline).min(0.99),
            slices: (whole.alarms_at / thresholds(1).alarm).round() as u32,
        };
        days_for_audits(median_audits_to_alarm(slip).ok()??, audits_per_day)
    }
}

impl Watch {
    /// A watch that has heard nothing yet. `labels` is how many labels the task has.
    pub fn new(gold: Baseline, agreement: Baseline, labels: usize, taken: Vec<Taken>) -> Self {
        let gathered = vec![Vec::new(); taken.len()];
        let (gold, agreement) = (Listener::new(gold, labels), Listener::new(agreement, labels));
        Self { gold, agreement, taken, gathered, heard: 0, missing: 0 }
    }

    /// Hears further audits, in the order in which they were drawn, up to the first that still waits for its answer.
    /// Gives how many were heard.
    pub fn hear(&mut self, audits: &[Seen], now_unix_ms: i64) -> usize {
        for (heard, audit) in audits.iter().enumerate() {
            if !audit.is_settled && now_unix_ms < audit.drawn_unix_ms.saturating_add(LABEL_DEADLINE_MS) {
                return heard;
            }
            self.hear_one(audit);
            self.heard = audit.id;
        }
        audits.len()
    }

    fn hear_one(&mut self, audit: &Seen) {
        self.missing += u64::from(audit.differs.is_none() && audit.held.is_none());
        self.gather(audit);
        if audit.held.is_some() {
            return;
        }
        let listened = self.listened(audit);
        for ear in [Ear::Gold, Ear::Agreement] {
            let Some(bad) = audit.is_bad(ear) else { continue };
            // What was in order at the beginning doesn't change with what was taken away later.
            let is_measuring = self.listener(ear).measuring().is_some();
            let slices = if is_measuring { audit.slices.clone() } else { listened.clone() };
            self.listener(ear).hear(&Checked { slices, bad });
        }
    }

    /// The slices for which an audit counts. What was wrong before a part was taken away says nothing of that part as it
    /// comes back, nor of the rest.
    fn listened(&self, audit: &Seen) -> Vec<Slice> {
        let is_over = |slice: &Slice| {
            let of_it =
                |taken: &Taken| taken.slice == *slice && (taken.is_open || audit.id <= taken.after_audit);
            self.taken.iter().any(of_it)
        };
        if audit.slices.iter().any(|slice| *slice != Slice::Whole && is_over(slice)) {
            let others = audit.slices.iter().filter(|slice| **slice != Slice::Whole && !is_over(slice));
            return others.cloned().collect();
        }
        audit.slices.iter().filter(|slice| !is_over(slice)).cloned().collect()
    }

    fn gather(&mut self, audit: &Seen) {
        for (taken, gathered) in self.taken.iter().zip(&mut self.gathered) {
            let belongs = match &audit.held {
                Some(held) => *held == taken.slice,
                None => audit.slices.contains(&taken.slice),
            };
            if taken.is_open
                && belongs
                && audit.id > taken.after_audit
                && let Some(bad) = audit.is_bad(taken.ear)
            {
                gathered.push(bad);
            }
        }
    }

    fn listener(&mut self, ear: Ear) -> &mut Listener {
        match ear {
            Ear::Gold => &mut self.gold,
            Ear::Agreement => &mut self.agreement,
        }
    }

    /// The last audit that was heard; 0 before the first.
    pub fn heard(&self) -> i64 {
        self.heard
    }

    /// The parts that are or were taken away, each with the labels of its present stage, `true` for bad.
    pub fn taken(&self) -> impl Iterator<Item = (&Taken, &[bool])> {
        self.taken.iter().zip(self.gathered.iter().map(Vec::as_slice))
    }

    /// The error that is in order for a slice; `None` while that is being measured.
    pub fn in_order(&self, ear: Ear, slice: &Slice) -> Option<f64> {
        let listener = match ear {
            Ear::Gold => &self.gold,
            Ear::Agreement => &self.agreement,
        };
        listener.measuring().is_none().then(|| listener.in_order(slice))
    }

    /// What alarms: parts by themselves where any does, the whole only where none does. Once the parts are taken away the
    /// rest may well be in order.
    pub fn alarms(&self) -> Vec<(Ear, Heard)> {
        let of = |ear, listener: &Listener| {
            let loud = listener.heard().into_iter().filter(|heard| heard.level == AlarmLevel::Alarm);
            loud.map(|heard| (ear, heard)).collect::<Vec<_>>()
        };
        let all = [of(Ear::Gold, &self.gold), of(Ear::Agreement, &self.agreement)].concat();
        let (whole, parts): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, heard)| heard.slice == Slice::Whole);
        if parts.is_empty() { whole } else { parts }
    }

    /// What is shown.
    pub fn watched(&self) -> Watched {
        Watched {
            gold: self.gold.heard(),
            agreement: self.agreement.heard(),
            measuring: self.agreement.measuring(),
            missing: self.missing,
        }
    }

    /// How many alarms of the louder listener listen at once.
    pub fn slices(&self) -> u32 {
        self.gold.slices().max(self.agreement.slices())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn part(label: &str) -> Slice {
        Slice::Label(label.into())
    }

    fn seen(id: i64, label: &str, differs: Option<bool>) -> Seen {
        Seen {
            id,
            slices: vec![Slice::Whole, part(label)],
            held: None,
            drawn_unix_ms: id,
            is_settled: differs.is_some(),
            differs,
            is_wrong: None,
        }
    }

    fn watch(taken: Vec<Taken>) -> Watch {
        let known = || Baseline::Known { whole: 0.05, slices: BTreeMap::new() };
        Watch::new(known(), known(), 2, taken)
    }

    /// `a` goes bad, `b` stays good.
    fn slipped() -> Vec<Seen> {
        (1..=120).map(|id| seen(id, if id % 2 == 0 { "a" } else { "b" }, Some(id % 2 == 0))).collect()
    }

    fn taken(after_audit: i64, is_open: bool) -> Taken {
        Taken { id: 1, slice: part("a"), ear: Ear::Agreement, after_audit, is_open }
    }

    #[test]
    fn a_part_alarms_before_the_whole_is_blamed_and_the_rest_is_in_order_without_it() {
        let mut watch_all = watch(Vec::new());
        watch_all.hear(&slipped(), 1_000);
        let loud: Vec<Slice> = watch_all.alarms().into_iter().map(|(_, heard)| heard.slice).collect();
        assert_eq!(loud, [part("a")]);
        let whole =
            |watch: &Watch| watch.watched().agreement.iter().find(|h| h.slice == Slice::Whole).cloned();
        assert_eq!(whole(&watch_all).unwrap().level, AlarmLevel::Alarm);
        let mut without = watch(vec![taken(120, true)]);
        without.hear(&slipped(), 1_000);
        assert_eq!(without.alarms(), []);
        assert_eq!((whole(&without).unwrap().audits, whole(&without).unwrap().bad), (60, 0));
    }

    #[test]
    fn what_was_heard_before_a_part_came_back_is_over() {
        let mut watch = watch(vec![taken(120, false)]);
        watch.hear(&slipped(), 1_000);
        watch.hear(&[seen(121, "a", Some(true))], 1_000);
        let of_a = watch.watched().agreement.into_iter().find(|heard| heard.slice == part("a")).unwrap();
        assert_eq!((of_a.audits, of_a.bad), (1, 1));
    }

    #[test]
    fn audits_are_heard_in_order_and_a_label_that_never_comes_is_left_out() {
        let mut watch = watch(Vec::new());
        let audits = [seen(1, "a", Some(false)), seen(2, "a", None), seen(3, "a", Some(true))];
        assert_eq!(watch.hear(&audits, 1_000), 1, "the second still waits");
        assert_eq!(watch.heard(), 1);
        assert_eq!(watch.hear(&audits[1..], 2 + LABEL_DEADLINE_MS), 2);
        let shown = watch.watched();
        assert_eq!((shown.agreement[0].audits, shown.agreement[0].bad, shown.missing), (2, 1, 1));
    }

    #[test]
    fn labels_of_what_was_kept_back_count_for_the_way_back_and_for_no_alarm() {
        let mut watch = watch(vec![taken(10, true)]);
        let held = |id, differs| Seen { held: Some(part("a")), ..seen(id, "a", Some(differs)) };
        let other = Seen { held: Some(part("b")), ..seen(13, "a", Some(true)) };
        watch.hear(&[held(9, true), held(11, false), held(12, true), other], 1_000);
        let gathered: Vec<&[bool]> = watch.taken().map(|(_, gathered)| gathered).collect();
        assert_eq!(gathered, [[false, true]]);
        assert_eq!(watch.watched().agreement, []);
    }

    #[test]
    fn people_and_the_large_model_are_heard_apart() {
        let mut watch = watch(Vec::new());
        let audits: Vec<Seen> =
            (1..=100).map(|id| Seen { is_wrong: Some(true), ..seen(id, "a", Some(false)) }).collect();
        watch.hear(&audits, 1_000);
        let ears: Vec<Ear> = watch.alarms().into_iter().map(|(ear, _)| ear).collect();
        assert_eq!(ears, [Ear::Gold]);
        assert_eq!(watch.watched().level(), AlarmLevel::Alarm);
    }
}
