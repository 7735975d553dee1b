//! Where does selective testing start, and with how much of delta?

use super::candidates::{Drafted, nearest};
use serde::{Deserialize, Serialize};

/// No start lies above this coverage: a rung that answers nearly everything is reached by walking.
const HIGHEST_START: f64 = 0.85;
/// A start needs this much more than the accepted rows that could just prove the promise with no bad row.
const ROOM_FOR_CHANCE: f64 = 1.1;
const STARTS: usize = 5;

/// How delta is shared between the five starts of selective testing.
///
/// Both rules are valid whatever T says; they differ in power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// delta / 5 to each of five starts on a grid linear in the square root of coverage.
    Even,
    /// 0.8 delta to the position most significant on T, the rest evenly to four starts below it.
    #[default]
    Focused,
}

/// A position in the list and the part of delta it begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Start {
    pub position: usize,
    pub delta: f64,
}

/// Ascending positions in `list`, whose parts sum to `delta`. Empty: `rows` fresh rows cannot prove anything.
pub(super) fn choose(rule: Starts, list: &[Drafted], rows: u64, max_error: f64, delta: f64) -> Vec<Start> {
    match rule {
        Starts::Even => even(list, rows, max_error, delta),
        Starts::Focused => focused(list, rows, max_error, delta),
    }
}

fn even(list: &[Drafted], rows: u64, max_error: f64, delta: f64) -> Vec<Start> {
    let part = delta / STARTS as f64;
    let lowest = ROOM_FOR_CHANCE * coverage_to_prove(rows, max_error, part);
    if lowest > HIGHEST_START {
        return Vec::new();
    }
    spread(list, lowest, HIGHEST_START, STARTS).map(|position| Start { position, delta: part }).collect()
}

/// Share of delta that the position most significant on T begins with.
const FOCUS: f64 = 0.8;

fn focused(list: &[Drafted], rows: u64, max_error: f64, delta: f64) -> Vec<Start> {
    let needed = coverage_to_prove(rows, max_error, FOCUS * delta);
    if needed > HIGHEST_START.max(list.last().map_or(0.0, Drafted::coverage)) {
        return Vec::new();
    }
    let significance = |drafted: &Drafted| {
        // Half a bad row more than seen: no bad row among three is not more significant than one among a thousand.
        let risk = (drafted.bad as f64 + 0.5) / (drafted.accepted as f64 + 1.0);
        (max_error - risk) * drafted.coverage().sqrt() / (risk * (1.0 - risk)).sqrt()
    };
    let focus =
        nearest(
            list,
            |drafted| if drafted.coverage() < needed { f64::INFINITY } else { -significance(drafted) },
        );
    let part = (1.0 - FOCUS) * delta / (STARTS - 1) as f64;
    let lowest = ROOM_FOR_CHANCE * coverage_to_prove(rows, max_error, part);
    let highest = list[focus].coverage();
    let below = spread(list, lowest.min(highest), highest, STARTS).take(STARTS - 1);
    below
        .map(|position| Start { position: position.min(focus), delta: part })
        .chain([Start { position: focus, delta: FOCUS * delta }])
        .collect()
}

/// Coverage at which `rows` rows, none of them bad, would just prove `max_error` at level `delta`.
fn coverage_to_prove(rows: u64, max_error: f64, delta: f64) -> f64 {
    delta.ln() / (-max_error).ln_1p() / rows as f64
}

/// `count` positions whose coverage on T is nearest to a grid linear in its square root, ascending.
fn spread(list: &[Drafted], lowest: f64, highest: f64, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |step| {
        let root = lowest.sqrt() + (highest.sqrt() - lowest.sqrt()) * step as f64 / (count - 1) as f64;
        nearest(list, |drafted| (drafted.coverage() - root * root).abs())
    })
}
