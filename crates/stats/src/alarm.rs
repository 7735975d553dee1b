//! Has the error of what is answered small risen above what was promised?
//!
//! An e-Shiryaev-Roberts detector over audits, each good or bad. It may be looked at after every audit, for ever:
//! while the risk stays at or below the baseline, the mean number of audits until it reaches a threshold is at
//! least that threshold. Source: Shin, Ramdas & Rinaldo 2022 (e-detectors).

use crate::interval::clopper_pearson_upper;
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// The rises in risk that are looked for, as multiples of the baseline.
const MULTIPLES: [f64; 5] = [SMALLEST_RISE, 1.6, 2.0, 3.0, 5.0];

/// The smallest rise that an alarm listens for: so many times what is in order.
pub const SMALLEST_RISE: f64 = 1.3;
/// Evidence at which to warn, for one slice.
const WARN_AT: f64 = 2_000.0;
/// Evidence at which to step back, for one slice.
const ALARM_AT: f64 = 20_000.0;
/// Evidence stops growing here, so that it stays a number that can be stored.
const MOST_EVIDENCE: f64 = 1e100;

/// The alarm of one slice of one task, fed with its audits in sampling order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    baseline: f64,
    evidence: [f64; 5],
    audits: u64,
    bad: u64,
}

/// How loud an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmLevel {
    /// Nothing that chance would not do.
    Quiet,
    /// Worth a look.
    Warning,
    /// Step back.
    Alarm,
}

/// An alarm was asked for around a baseline that no risk can rise above or fall below.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("the baseline risk of an alarm is {0}; it must lie between 0 and 1, ends excluded")]
pub struct BaselineError(f64);

impl Alarm {
    /// A quiet alarm. `baseline` is r0: `max_error` where people label the audits, [`agreement_baseline`] where
    /// the large model does.
    pub fn new(baseline: f64) -> Result<Self, BaselineError> {
        if baseline > 0.0 && baseline < 1.0 {
            Ok(Alarm { baseline, evidence: [0.0; 5], audits: 0, bad: 0 })
        } else {
            Err(BaselineError(baseline))
        }
    }

    /// Takes in one audit. A missing label is left out by the caller, not counted as bad.
    pub fn observe(&mut self, bad: bool) {
        self.audits += 1;
        self.bad += u64::from(bad);
        for (evidence, multiple) in self.evidence.iter_mut().zip(MULTIPLES) {
            let risen = (multiple * self.baseline).min(0.5 * (1.0 + self.baseline));
            let factor = if bad { risen / self.baseline } else { (1.0 - risen) / (1.0 - self.baseline) };
            *evidence = ((*evidence + 1.0) * factor).min(MOST_EVIDENCE);
        }
    }

    /// R: 0 before the first audit, always finite.
    pub fn evidence(&self) -> f64 {
        self.evidence.iter().sum::<f64>() / self.evidence.len() as f64
    }

    /// How loud it is, where `slices` alarms of the same task listen at once.
    pub fn level(&self, slices: u32) -> AlarmLevel {
        let Thresholds { warn, alarm } = thresholds(slices);
        match self.evidence() {
            evidence if evidence >= alarm => AlarmLevel::Alarm,
            evidence if evidence >= warn => AlarmLevel::Warning,
            _ => AlarmLevel::Quiet,
        }
    }

    /// r0, the risk that is still in order.
    pub fn baseline(&self) -> f64 {
        self.baseline
    }

    /// Audits taken in.
    pub fn audits(&self) -> u64 {
        self.audits
    }

    /// Bad ones among them.
    pub fn bad(&self) -> u64 {
        self.bad
    }
}

/// The evidence at which an alarm speaks up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Warn from here.
    pub warn: f64,
    /// Step back from here.
    pub alarm: f64,
}

/// Thresholds where `slices` (at least 1) alarms of one task listen at once: a false alarm of any is one too many.
pub fn thresholds(slices: u32) -> Thresholds {
    let slices = f64::from(slices.max(1));
    Thresholds { warn: WARN_AT * slices, alarm: ALARM_AT * slices }
}

/// r0 of an agreement alarm: upper 95% bound on the disagreement between small and large, of which `differing`
/// were seen among `compared` accepted rows at release (or among the first 200 audits). Kept below 1.
pub fn agreement_baseline(differing: u64, compared: u64) -> f64 {
    clopper_pearson_upper(differing, compared, 0.05).min(0.99)
}

/// Share of small answers to audit where none is declared: 300 a day, within 1% and 10%.
pub fn audit_rate(small_answers_per_day: f64) -> f64 {
    if small_answers_per_day > 0.0 { (300.0 / small_answers_per_day).clamp(0.01, 0.10) } else { 0.10 }
}

/// A rise in risk whose detection is asked about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slip {
    /// r0.
    pub baseline: f64,
    /// Audits before the rise.
    pub audits_before: u64,
    /// Risk before the rise.
    pub risk_before: f64,
    /// Risk from then on.
    pub risk_after: f64,
    /// How many alarms of the task listen at once.
    pub slices: u32,
}

/// Runs from which a median delay is taken: its standard error is then about 4% of it.
const DELAY_RUNS: usize = 401;
/// A rise that takes more audits than this to see is not seen.
const MOST_AUDITS: u64 = 100_000;

/// Median number of audits from a rise in risk to the alarm, by simulation with a fixed seed.
///
/// `None` where more than half the runs see nothing in 100,000 audits, as with a risk that stays at or below the
/// baseline. A run that alarms before the rise begins again from nothing.
pub fn median_audits_to_alarm(slip: Slip) -> Result<Option<u64>, BaselineError> {
    let quiet = Alarm::new(slip.baseline)?;
    let mut random = Random::new(0x51_1B);
    let mut delays: Vec<Option<u64>> = (0..DELAY_RUNS).map(|_| delay(slip, &quiet, &mut random)).collect();
    // Runs that saw nothing took longest.
    delays.sort_by_key(|delay| delay.unwrap_or(u64::MAX));
    Ok(delays[DELAY_RUNS / 2])
}

fn delay(slip: Slip, quiet: &Alarm, random: &mut Random) -> Option<u64> {
    let alarmed = |alarm: &Alarm| alarm.level(slip.slices) == AlarmLevel::Alarm;
    let mut alarm = quiet.clone();
    for _ in 0..slip.audits_before.min(MOST_AUDITS) {
        alarm.observe(random.chance(slip.risk_before));
        if alarmed(&alarm) {
            alarm = quiet.clone();
        }
    }
    (1..=MOST_AUDITS).find(|_| {
        alarm.observe(random.chance(slip.risk_after));
        alarmed(&alarm)
    })
}

/// Days in which `audits` are made at `audits_per_day`; `None` where none are made.
pub fn days_for_audits(audits: u64, audits_per_day: f64) -> Option<f64> {
    (audits_per_day > 0.0).then(|| audits as f64 / audits_per_day)
}

#[cfg(test)]
mod tests;
