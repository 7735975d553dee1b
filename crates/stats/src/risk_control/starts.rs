//! Where does the walk down the list start, and with how much of delta?

use super::candidates::{Drafted, nearest};
use super::{Constraint, Promise, Risk, Sample};
use serde::{Deserialize, Serialize};

/// How delta is shared between the five starts of selective testing.
///
/// Both rules are valid whatever the tuning sample T says; they differ in power. Mean coverage deployed, 0 where
/// nothing was certified, over 2,000 simulated certifications with 1,000 rows in T and all of delta = .05 spent
/// (`cargo test -p sprat-stats measure -- --ignored --nocapture`):
///
/// | accuracy, target; n = 500 / 1000 / 2000 | `Even` | `Focused` | oracle |
/// |---|---|---|---|
/// | 90%, 95% | .63 / .71 / .73 | .66 / .71 / .74 | .80 |
/// | 95%, 98% | .42 / .71 / .76 | .56 / .72 / .76 | .83 |
/// | 90%, 95%, the top 8% twice as often bad as promised | .15 / .35 / .58 | .27 / .48 / .65 | .75 |
/// | 90%, 95%, the top 2% bad four times in five | .04 / .09 / .21 | .10 / .19 / .33 | .75 |
///
/// `Focused` is the default: it loses only where T is small and errors rare (150 rows in T, 95% to 98%, n = 500:
/// .36 against .40). Violations: at most 1.9% and 2.8%, with 5% allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// delta / 5 to each of five starts on a grid linear in the square root of coverage.
    Even,
    /// 0.8 delta to the position most significant on T, the rest evenly to four starts below it.
    #[default]
    Focused,
}

impl Starts {
    /// The share of delta that the best endowed start has.
    pub(super) fn largest_share(self) -> f64 {
        match self {
            Starts::Even => 1.0 / STARTS as f64,
            Starts::Focused => FOCUS,
        }
    }
}

const STARTS: usize = 5;
/// Share of delta that the position most significant on T begins with.
const FOCUS: f64 = 0.8;
/// `Even` has no start above this coverage: a rung that answers nearly everything is reached by walking.
const HIGHEST_START: f64 = 0.85;
/// A start needs this much more than the accepted rows that could just prove the promise with no bad row.
const ROOM_FOR_CHANCE: f64 = 1.1;

/// A position in the list and the part of delta it begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Start {
    pub position: usize,
    pub delta: f64,
}

/// Ascending positions in `list`, whose parts sum to delta. None at all: so few `rows` cannot prove anything.
///
/// Nothing here looks at the fresh sample but its size, or the tests would not be valid.
pub(super) fn choose(promise: &Promise, list: &[Drafted], tuning: &Sample, rows: u64) -> Vec<Start> {
    if list.is_empty() || rows == 0 {
        return Vec::new();
    }
    let ground = Ground { promise, list, coverage_per_nat: coverage_per_nat(promise, tuning, rows) };
    match (promise.risk, promise.starts) {
        (Risk::Joint, _) => ground.single(),
        (Risk::Selective, Starts::Even) => ground.even(),
        (Risk::Selective, Starts::Focused) => ground.focused(),
    }
}

/// Coverage that it takes to prove the promise and all constraints with no bad row, per natural logarithm of
/// 1 / level. Joint risk and the joint risk of a slice count rows whether accepted or not.
fn coverage_per_nat(promise: &Promise, tuning: &Sample, rows: u64) -> f64 {
    let accepted_per_nat = |max_error: f64| -1.0 / (-max_error).ln_1p();
    let is_selective = promise.risk == Risk::Selective;
    let constraints = promise.constraints.iter().map(|constraint| match *constraint {
        Constraint::Slice { slice, max_error } if is_selective => {
            accepted_per_nat(max_error) / tuning.share_in(slice)
        }
        Constraint::Slice { .. } => 0.0,
        Constraint::Latency { share, .. } => accepted_per_nat(share),
        // Positives count whether they are answered or not.
        Constraint::Recall { .. } => 0.0,
    });
    let promised = if is_selective { accepted_per_nat(promise.max_error) } else { 0.0 };
    constraints.fold(promised, f64::max) / rows as f64
}

/// What starts are chosen by.
struct Ground<'a> {
    promise: &'a Promise,
    list: &'a [Drafted],
    coverage_per_nat: f64,
}

impl Ground<'_> {
    /// All of delta to the first configuration that could be proven.
    fn single(&self) -> Vec<Start> {
        let delta = self.promise.delta();
        let needed = ROOM_FOR_CHANCE * self.coverage_to_prove(delta);
        let first = self.list.iter().position(|drafted| drafted.coverage() >= needed);
        first.map(|position| Start { position, delta }).into_iter().collect()
    }

    fn even(&self) -> Vec<Start> {
        let delta = self.promise.delta() / STARTS as f64;
        let lowest = ROOM_FOR_CHANCE * self.coverage_to_prove(delta);
        if lowest > HIGHEST_START {
            return Vec::new();
        }
        self.spread(lowest, HIGHEST_START).map(|position| Start { position, delta }).collect()
    }

    fn focused(&self) -> Vec<Start> {
        let delta = self.promise.delta();
        let needed = self.coverage_to_prove(FOCUS * delta);
        let provable = self.list.iter().enumerate().filter(|(_, drafted)| drafted.coverage() >= needed);
        let significance = |drafted: &Drafted| drafted.significance(self.promise.max_error);
        let Some((focus, most_significant)) =
            provable.max_by(|a, b| significance(a.1).total_cmp(&significance(b.1)))
        else {
            return Vec::new();
        };
        let part = (1.0 - FOCUS) * delta / (STARTS - 1) as f64;
        let highest = most_significant.coverage();
        let lowest = (ROOM_FOR_CHANCE * self.coverage_to_prove(part)).min(highest);
        let below = self.spread(lowest, highest).take(STARTS - 1);
        let below = below.map(|position| Start { position: position.min(focus), delta: part });
        below.chain([Start { position: focus, delta: FOCUS * delta }]).collect()
    }

    /// Coverage at which the fresh rows, none of them bad, would just prove the promise at a level.
    fn coverage_to_prove(&self, level: f64) -> f64 {
        -level.ln() * self.coverage_per_nat
    }

    /// Five positions whose coverage on T is nearest to a grid linear in its square root, ascending.
    fn spread(&self, lowest: f64, highest: f64) -> impl Iterator<Item = usize> {
        (0..STARTS).map(move |step| {
            let share = step as f64 / (STARTS - 1) as f64;
            let wanted = (lowest.sqrt() + (highest.sqrt() - lowest.sqrt()) * share).powi(2);
            nearest(self.list, |drafted| (drafted.coverage() - wanted).abs())
        })
    }
}
