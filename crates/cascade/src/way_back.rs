//! After an alarm: when may a part that was taken away from the small models be answered small again?
//!
//! First it is certified on labels from after the alarm: the answers that would have been given are tested exactly, at
//! thresholds that nobody moved. A look that proves nothing uses its labels up, and the next has longer ones of its own,
//! so that what was wrong for a while can be right again. Then it comes back in stages, each of which has to stay quiet.

use serde::{Deserialize, Serialize};
use sprat_stats::alarm::{Alarm, AlarmLevel, SMALLEST_RISE};
use sprat_stats::binomial;

use crate::alarm::{Ear, Tally};

/// The shares of the part that are answered small, stage by stage.
pub const STAGES: [f64; 3] = [0.1, 0.5, 1.0];
/// Labels that a stage has to stay quiet for.
pub const STAGE_LABELS: u64 = 50;
/// Each look has so many times the labels of the one before: what is barely in order is proved by and by.
const GROWTH: f64 = 1.3;

/// What must hold for a part to come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// The largest share of bad answers.
    pub alpha: f64,
    /// The share of bad answers that is in order: on the way back nothing may rise above it.
    pub in_order: f64,
    /// How likely the promise may fail, all looks together.
    pub delta: f64,
}

impl Promise {
    /// What must hold after an alarm of this ear, for which such a share of bad answers is in order.
    ///
    /// What people call wrong has to stay within what was promised. Disagreement was promised to nobody: what is in order
    /// is an upper bound of what was there all along, and nothing that stays near it could be proved to lie below. It
    /// must be below the smallest rise that the alarm listens for.
    pub fn after(ear: Ear, in_order: f64, delta: f64) -> Self {
        let alpha = match ear {
            Ear::Gold => in_order,
            Ear::Agreement => (in_order * SMALLEST_RISE).min((1.0 + in_order) / 2.0),
        };
        Self { alpha, in_order, delta }
    }
}

/// Where a part stands that was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The share of it that is answered small.
    pub share: f64,
    /// Looks taken so far.
    pub looks: u32,
    /// How many labels the last look had; the next has more.
    pub looked_at: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Move {
    /// Nothing before there are so many labels.
    Wait {
        /// Labels since the last look, or since the stage began.
        labels: u64,
    },
    /// A look was taken, and it is not proved yet: the next one begins, with labels of its own.
    Looked(Standing),
    /// It is proved, or the stage was quiet: the next one begins.
    Up(Standing),
    /// The last stage was quiet: it is as it was before the alarm.
    Restored,
    /// It is not in order after all: everything to the large model again.
    Down(Standing),
}

/// The next move, from the labels since the last look (while nothing is answered small) or since the stage began, in the
/// order in which they were drawn: `true` is bad.
pub fn next(promise: Promise, standing: Standing, since: &[bool]) -> Move {
    if standing.share == 0.0 { look(promise, standing, since) } else { climb(promise, standing, since) }
}

/// Look k spends 6 delta / (pi k)^2, so that all looks together stay within delta.
fn look(promise: Promise, standing: Standing, since: &[bool]) -> Move {
    let tally = tally(since);
    let spends = promise.delta * 6.0 / (std::f64::consts::PI * f64::from(standing.looks + 1)).powi(2);
    // Fewer could not prove it even without one bad answer among them.
    let least = (spends.ln() / (1.0 - promise.alpha).ln()).ceil() as u64;
    let grown = (standing.looked_at as f64 * GROWTH).ceil() as u64;
    let wanted = least.max(grown);
    if tally.n < wanted {
        return Move::Wait { labels: wanted };
    }
    let looked = Standing { looks: standing.looks + 1, looked_at: tally.n, ..standing };
    if binomial::cdf(tally.bad, tally.n, promise.alpha) <= spends {
        Move::Up(Standing { share: STAGES[0], ..looked })
    } else {
        Move::Looked(looked)
    }
}

fn climb(promise: Promise, standing: Standing, since: &[bool]) -> Move {
    if is_loud(promise.in_order, since) {
        return Move::Down(Standing { share: 0.0, ..standing });
    }
    if (since.len() as u64) < STAGE_LABELS {
        return Move::Wait { labels: STAGE_LABELS };
    }
    match STAGES.iter().find(|stage| **stage > standing.share) {
        Some(stage) => Move::Up(Standing { share: *stage, ..standing }),
        None => Move::Restored,
    }
}

/// On the way back a warning is enough: it is not long ago that this part was wrong.
fn is_loud(in_order: f64, since: &[bool]) -> bool {
    let Ok(mut alarm) = Alarm::new(in_order) else { return true };
    since.iter().any(|bad| {
        alarm.observe(*bad);
        alarm.level(1) >= AlarmLevel::Warning
    })
}

fn tally(since: &[bool]) -> Tally {
    let mut tally = Tally::default();
    since.iter().for_each(|bad| tally.add(*bad));
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Promise = Promise { alpha: 0.05, in_order: 0.05, delta: 0.05 };

    #[test]
    fn nothing_comes_back_before_it_could_be_proved() {
        let fresh = Standing::default();
        // ln(.0304) / ln(.95): the first look spends .608 of delta.
        assert_eq!(next(PROMISE, fresh, &[false; 68]), Move::Wait { labels: 69 });
        let first = Standing { share: 0.1, looks: 1, looked_at: 69 };
        assert_eq!(next(PROMISE, fresh, &[false; 69]), Move::Up(first));
    }

    #[test]
    fn another_look_has_more_labels_of_its_own_and_spends_less() {
        let mut since = vec![false; 69];
        since[3] = true;
        let Move::Looked(once) = next(PROMISE, Standing::default(), &since) else { panic!("it can't pass") };
        assert_eq!((once.looks, once.looked_at, once.share), (1, 69, 0.0));
        // ln(.0076) / ln(.95): the second look spends .152 of delta.
        assert_eq!(next(PROMISE, once, &[false; 95]), Move::Wait { labels: 96 });
        assert!(matches!(next(PROMISE, once, &[false; 96]), Move::Up(_)), "what was wrong before is over");
    }

    #[test]
    fn it_comes_back_in_stages_and_is_restored_after_the_last() {
        let mut standing = Standing { share: STAGES[0], looks: 1, looked_at: 69 };
        for stage in &STAGES[1..] {
            assert_eq!(next(PROMISE, standing, &[false; 49]), Move::Wait { labels: 50 });
            let Move::Up(higher) = next(PROMISE, standing, &[false; 50]) else { panic!("quiet") };
            assert_eq!(higher.share, *stage);
            standing = higher;
        }
        assert_eq!(next(PROMISE, standing, &[false; 50]), Move::Restored);
    }

    #[test]
    fn a_stage_that_is_not_quiet_takes_everything_back_and_the_looks_go_on_counting() {
        let standing = Standing { share: 0.5, looks: 2, looked_at: 300 };
        let Move::Down(down) = next(PROMISE, standing, &[true; 12]) else { panic!("it is loud") };
        assert_eq!(down, Standing { share: 0.0, looks: 2, looked_at: 300 });
    }

    #[test]
    fn a_part_at_twice_the_promised_error_hardly_ever_comes_back_however_often_it_is_looked_at() {
        let mut state = 0x5eed_u64;
        let mut bad = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33).is_multiple_of(10)
        };
        let came_back = (0..400).filter(|_| {
            let (mut standing, mut since) = (Standing::default(), Vec::new());
            for _ in 0..3_000 {
                since.push(bad());
                match next(PROMISE, standing, &since) {
                    Move::Looked(looked) => {
                        standing = looked;
                        since.clear();
                    }
                    Move::Wait { .. } => {}
                    _ => return true,
                }
            }
            false
        });
        // 5% of 400 and three standard errors; at twice the promised error it is far below.
        assert!(came_back.count() <= 33);
    }

    #[test]
    fn disagreement_that_is_as_it_always_was_can_be_proved_and_more_can_not() {
        // Of 1,000 answers 60 differ, where 6.7% is in order.
        let since =
            |bad: usize| (0..1_000).map(|n| n * bad / 1_000 != (n + 1) * bad / 1_000).collect::<Vec<_>>();
        let gold = Promise::after(Ear::Gold, 0.067, 0.05);
        assert!(matches!(next(gold, Standing::default(), &since(60)), Move::Looked(_)));
        let agreement = Promise::after(Ear::Agreement, 0.067, 0.05);
        assert!(matches!(next(agreement, Standing::default(), &since(60)), Move::Up(_)));
        assert!(
            matches!(next(agreement, Standing::default(), &since(87)), Move::Looked(_)),
            "1.3 times as many"
        );
        let nearly_all = Promise::after(Ear::Agreement, 0.9, 0.05);
        assert!(nearly_all.alpha < 1.0, "{nearly_all:?}");
    }
}
