//! Listening to audits: has the error of what is answered small risen above what is in order, in the whole or in a part?
//!
//! Two listeners for a release, by who labelled. The *gold* one hears people's labels; in order is what the task promises.
//! The *agreement* one hears the large model's answers; in order is the disagreement that was there at release, so that a
//! large model which is often wrong doesn't alarm a small one which is right. Each listens to every slice by itself,
//! and because many listen, each has to be surer. The mathematics is `sprat_stats::alarm`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
/// How loud an alarm is.
pub use sprat_stats::alarm::AlarmLevel;
use sprat_stats::alarm::{Alarm, agreement_baseline};
use sprat_stats::interval::clopper_pearson_upper;
use sprat_task::Slice;

/// Audits that a baseline is measured on where the certification rows don't give one.
pub const BASELINE_AUDITS: u64 = 200;

/// Groups of which a task can't say how many there are: beyond so many nothing new is listened to.
const MOST_ALARMS: usize = 512;

/// Who labelled what an alarm listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ear {
    /// People.
    Gold,
    /// The large model.
    Agreement,
}

/// Bad answers among those looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Looked at.
    pub n: u64,
    /// Of these, bad.
    pub bad: u64,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, bad: bool) {
        self.n += 1;
        self.bad += u64::from(bad);
    }

    fn upper(self) -> f64 {
        clopper_pearson_upper(self.bad, self.n, 0.05)
    }
}

/// Which error is in order, by slice.
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// Known at release: at most `least` is promised, or was measured, for the whole; what the certification rows say of
    /// single slices, which may be harder than the whole, stands beside it.
    Known {
        /// r0 of the whole.
        whole: f64,
        /// Accepted certification rows by slice.
        slices: BTreeMap<Slice, Tally>,
    },
    /// Measured on the first [`BASELINE_AUDITS`] audits, in which nothing alarms.
    ToMeasure,
}

impl Baseline {
    /// r0 of an agreement alarm from the accepted certification rows: the upper 95% bound of their disagreement.
    pub fn of_disagreement(slices: BTreeMap<Slice, Tally>) -> Self {
        match slices.get(&Slice::Whole) {
            Some(whole) if whole.n > 0 => {
                Self::Known { whole: agreement_baseline(whole.bad, whole.n), slices }
            }
            _ => Self::ToMeasure,
        }
    }
}

/// A small answer that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The slices that it belongs to.
    pub slices: Vec<Slice>,
    /// Whether it was bad.
    pub bad: bool,
}

/// One alarm of a listener for each slice, fed in the order in which the audits were drawn.
#[derive(Clone, Debug)]
pub struct Listener {
    baseline: Baseline,
    /// What has been heard of the baseline period, where there is one.
    measured: BTreeMap<Slice, Tally>,
    alarms: BTreeMap<Slice, Alarm>,
    /// Slices that the task has anyway, whether or not they have been heard of.
    declared: u32,
}

/// How it stands with one slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// The slice.
    pub slice: Slice,
    /// How loud its alarm is.
    pub level: AlarmLevel,
    /// R.
    pub evidence: f64,
    /// The evidence at which it alarms.
    pub alarms_at: f64,
    /// r0.
    pub baseline: f64,
    /// Audits heard.
    pub audits: u64,
    /// Bad ones among them.
    pub bad: u64,
}

impl Listener {
    /// A listener that has heard nothing. `labels` is how many labels the task has.
    pub fn new(baseline: Baseline, labels: usize) -> Self {
        let declared = u32::try_from(labels).unwrap_or(u32::MAX).saturating_add(1);
        Self { baseline, measured: BTreeMap::new(), alarms: BTreeMap::new(), declared }
    }

    /// Hears the next audit.
    pub fn hear(&mut self, checked: &Checked) {
        if self.is_measuring() {
            for slice in &checked.slices {
                self.measured.entry(slice.clone()).or_default().add(checked.bad);
            }
            if self.heard_of_baseline() >= BASELINE_AUDITS {
                self.baseline = Baseline::of_disagreement(std::mem::take(&mut self.measured));
            }
            return;
        }
        for slice in &checked.slices {
            if self.alarms.len() >= MOST_ALARMS && !self.alarms.contains_key(slice) {
                continue;
            }
            let baseline = self.in_order(slice);
            // A baseline outside of (0, 1) can't come from counts or a validated target; without one nothing is heard.
            let Ok(quiet) = Alarm::new(baseline) else { continue };
            self.alarms.entry(slice.clone()).or_insert(quiet).observe(checked.bad);
        }
    }

    /// A slice begins anew: what was heard of it before something was mended says nothing of what comes.
    pub fn forget(&mut self, slice: &Slice) {
        self.alarms.remove(slice);
    }

    /// How many audits of the baseline period have been heard, while it lasts.
    pub fn measuring(&self) -> Option<u64> {
        self.is_measuring().then(|| self.heard_of_baseline())
    }

    /// How it stands with every slice that has been heard of, the whole first.
    pub fn heard(&self) -> Vec<Heard> {
        let slices = self.slices();
        let alarms_at = sprat_stats::alarm::thresholds(slices).alarm;
        let heard = self.alarms.iter().map(|(slice, alarm)| Heard {
            slice: slice.clone(),
            level: alarm.level(slices),
            evidence: alarm.evidence(),
            alarms_at,
            baseline: alarm.baseline(),
            audits: alarm.audits(),
            bad: alarm.bad(),
        });
        heard.collect()
    }

    /// r0 of a slice: the whole's, or what certification rows say of a slice that is harder than the whole.
    pub fn in_order(&self, slice: &Slice) -> f64 {
        match &self.baseline {
            Baseline::ToMeasure => 1.0,
            Baseline::Known { whole, slices } => {
                let own = slices.get(slice).filter(|tally| tally.n > 0 && *slice != Slice::Whole);
                own.map_or(*whole, |tally| tally.upper().max(*whole)).min(0.99)
            }
        }
    }

    /// How many alarms listen at once.
    pub fn slices(&self) -> u32 {
        self.declared.max(u32::try_from(self.alarms.len()).unwrap_or(u32::MAX))
    }

    fn is_measuring(&self) -> bool {
        self.baseline == Baseline::ToMeasure
    }

    fn heard_of_baseline(&self) -> u64 {
        self.measured.get(&Slice::Whole).map_or(0, |tally| tally.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(label: &str, bad: bool) -> Checked {
        Checked { slices: vec![Slice::Whole, Slice::Label(label.into())], bad }
    }

    fn known(whole: f64) -> Baseline {
        Baseline::Known { whole, slices: BTreeMap::new() }
    }

    fn level(listener: &Listener, slice: &Slice) -> AlarmLevel {
        let heard = listener.heard();
        heard.iter().find(|heard| heard.slice == *slice).map_or(AlarmLevel::Quiet, |heard| heard.level)
    }

    #[test]
    fn a_part_that_has_gone_bad_is_heard_by_itself_and_the_others_stay_quiet() {
        let mut listener = Listener::new(known(0.05), 2);
        for n in 0..60 {
            listener.hear(&checked("a", false));
            listener.hear(&checked("b", n % 3 > 0));
        }
        assert_eq!(level(&listener, &Slice::Label("b".into())), AlarmLevel::Alarm);
        assert_eq!(level(&listener, &Slice::Label("a".into())), AlarmLevel::Quiet);
        listener.forget(&Slice::Label("b".into()));
        assert_eq!(level(&listener, &Slice::Label("b".into())), AlarmLevel::Quiet);
    }

    #[test]
    fn a_large_model_that_often_differs_alarms_nobody_once_that_is_the_baseline() {
        let mut listener = Listener::new(Baseline::ToMeasure, 1);
        for n in 0..BASELINE_AUDITS {
            assert_eq!(listener.measuring(), Some(n));
            listener.hear(&checked("a", n % 5 < 2));
        }
        assert_eq!(listener.measuring(), None);
        for n in 0..2_000 {
            listener.hear(&checked("a", n % 5 < 2));
        }
        assert!(
            listener.heard().iter().all(|heard| heard.level == AlarmLevel::Quiet),
            "{:?}",
            listener.heard()
        );
        for _ in 0..400 {
            listener.hear(&checked("a", true));
        }
        assert_eq!(level(&listener, &Slice::Whole), AlarmLevel::Alarm, "and a change is heard all the same");
    }

    #[test]
    fn a_slice_that_was_harder_at_release_is_measured_by_its_own_rows() {
        let hard = Slice::Label("b".into());
        let slices = BTreeMap::from([(hard.clone(), Tally { n: 100, bad: 12 })]);
        let mut listener = Listener::new(Baseline::Known { whole: 0.05, slices }, 2);
        assert!(listener.in_order(&hard) > 0.12);
        assert_eq!(listener.in_order(&Slice::Whole), 0.05);
        assert_eq!(listener.in_order(&Slice::Label("a".into())), 0.05);
        for n in 0..1_000 {
            listener.hear(&Checked { slices: vec![hard.clone()], bad: n % 8 == 0 });
        }
        assert_eq!(level(&listener, &hard), AlarmLevel::Quiet, "{:?}", listener.heard());
    }

    #[test]
    fn the_more_listen_the_surer_each_has_to_be() {
        let mut few = Listener::new(known(0.05), 1);
        let mut many = Listener::new(known(0.05), 1_000);
        let audits = (0..10_000).map(|n| checked("a", n % 2 == 0)).take_while(|audit| {
            few.hear(audit);
            many.hear(audit);
            level(&few, &Slice::Whole) != AlarmLevel::Alarm
        });
        assert!(audits.count() < 100);
        assert!(level(&many, &Slice::Whole) < AlarmLevel::Alarm);
    }
}
