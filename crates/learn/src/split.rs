//! Which rows teach and which are kept away from everything fitted, to certify on.

use std::collections::{HashMap, HashSet};

use sprat_task::{LabelledRow, Risk, Target};

use crate::curate::Curated;
use crate::curate::fold::{hash, mix};
use crate::curate::union::Union;

/// At least this share of the rows is kept for certification, unless fewer are asked for by number or share.
pub const LEAST_FOR_CERTIFICATION: f64 = 0.20;
/// Never more than this share of the rows is kept for certification: the rest must teach.
pub const MOST_FOR_CERTIFICATION: f64 = 0.40;
/// Rows are split by time where at least this share of them carries one.
const TIMED: f64 = 0.95;
/// Where texts that many conversations share ("hello") join more than this share of the rows into one unit,
/// conversations are drawn one by one instead.
const LARGEST_UNIT: f64 = 0.20;

/// How rows are to be split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitOptions {
    /// Decides who is drawn: the same rows and seed give the same split, in whatever order the rows come.
    pub seed: u64,
    /// How many rows are kept for certification.
    pub size: Size,
    /// Never splits by time, even where rows carry one.
    pub ignore_time: bool,
}

/// How many rows are kept for certification, at most [`MOST_FOR_CERTIFICATION`] of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// So many.
    Rows(usize),
    /// This share.
    Share(f64),
}

impl SplitOptions {
    /// A split with as many certification rows as the target asks for ([`certification_rows`]).
    pub fn for_target(target: &Target, rows: usize, seed: u64) -> Self {
        Self { seed, size: Size::Rows(certification_rows(target, rows)), ignore_time: false }
    }
}

/// The rule: how many of `rows` rows are kept for certification unless the user says otherwise.
///
/// 500 rows where 5% error or more is allowed, below that 30 / `max_error` (1,500 at 2%, 3,000 at 1%); twice that for
/// a selective promise, which only counts the rows that are answered small; then at least 20% of the rows, since more
/// rows certify more coverage, and at most 40%, since the rest must teach.
pub fn certification_rows(target: &Target, rows: usize) -> usize {
    let joint = if target.max_error >= 0.05 { 500.0 } else { 30.0 / target.max_error };
    let wanted = match target.risk {
        Risk::Joint => joint,
        Risk::Selective => 2.0 * joint,
    };
    let rows = rows as f64;
    wanted.clamp(LEAST_FOR_CERTIFICATION * rows, MOST_FOR_CERTIFICATION * rows).round() as usize
}

/// Where each row goes: exactly one of the three lists, each in the order of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Rows to learn from.
    pub train: Vec<usize>,
    /// Rows to certify on: a uniform sample, in which no row's cluster or session has a row in `train`.
    pub certification: Vec<usize>,
    /// Rows for neither: without a label; outvoted by the same text's other label; further rows of a session that has
    /// its certification row; rows too like a certification row.
    pub left_out: Vec<usize>,
    /// Whether rows of one conversation or user were kept together, with at most one certification row each.
    pub by_session: bool,
    /// Whether the certification rows are the latest.
    pub by_time: bool,
    /// What the user ought to know, a sentence each.
    pub notices: Vec<String>,
}

/// Splits rows so that clusters and sessions stay together. Where the rows carry times, the latest certify, and
/// clusters and sessions that reach back before the cut teach; otherwise the units are drawn by a seeded hash of their
/// texts, so that rows added later don't reshuffle the ones before. Never stratified: the sample is of the traffic.
pub fn split(curated: &Curated, options: &SplitOptions) -> Split {
    let rows = &curated.rows;
    let labelled: Vec<bool> = rows.iter().map(|row| row.target().is_some()).collect();
    let by_session = rows.iter().any(|row| row.session.is_some());
    let by_time = !options.ignore_time && carry_times(rows);
    let (unit_of, drawn_one_by_one) = units(curated, by_session);
    let stand_for_traffic: Vec<bool> =
        rows.iter().zip(&labelled).map(|(row, labelled)| *labelled && !row.only_teaches).collect();
    let candidates = candidates(curated, &stand_for_traffic, options.seed);
    let drawn = draw(&measure(curated, &unit_of, &candidates, options.seed), by_time, options.size);

    let mut place = vec![Place::Train; rows.len()];
    for row in 0..rows.len() {
        if drawn.contains(&unit_of[row]) {
            place[row] = if candidates[row] { Place::Certification } else { Place::LeftOut };
        } else if !labelled[row] || curated.outvoted[row] {
            place[row] = Place::LeftOut;
        }
    }
    let alike = leave_out_what_is_like_certification(curated, &mut place);
    let at = |wanted: Place| (0..rows.len()).filter(|row| place[*row] == wanted).collect();
    let mut split = Split {
        train: at(Place::Train),
        certification: at(Place::Certification),
        left_out: at(Place::LeftOut),
        by_session,
        by_time,
        notices: Vec::new(),
    };
    if drawn_one_by_one {
        split.notices.push(format!(
            "many conversations share texts; {alike} rows too like a certification row were left out of training"
        ));
    }
    if !by_session {
        split.notices.push("rows name no conversation or user: they were treated as independent".to_owned());
    }
    split
}

/// One fold number a row of `train`, below `folds`: clusters and sessions stay together, folds are about equally
/// large, and the same rows and seed give the same folds in whatever order they come.
pub fn folds(curated: &Curated, train: &[usize], folds: u32, seed: u64) -> Vec<u32> {
    let seed = mix(seed ^ 0xF01D); // not the draw of the split again
    let by_session = train.iter().any(|row| curated.rows[*row].session.is_some());
    let (unit_of, _) = units(curated, by_session);
    let mut sizes: HashMap<u32, (u64, u64)> = HashMap::new();
    for row in train {
        let (key, rows) = sizes.entry(unit_of[*row]).or_insert((u64::MAX, 0));
        *key = (*key).min(row_key(curated, *row, seed));
        *rows += 1;
    }
    let mut order: Vec<(u64, u32, u64)> =
        sizes.into_iter().map(|(unit, (key, rows))| (key, unit, rows)).collect();
    order.sort_unstable();
    let total = (train.len() as u64).max(1);
    let mut before = 0;
    let mut fold_of: HashMap<u32, u32> = HashMap::new();
    for (_, unit, rows) in order {
        // By the unit's middle, so that a large one falls into the fold that holds most of it.
        let fold = (2 * before + rows) * u64::from(folds) / (2 * total);
        fold_of.insert(unit, (fold as u32).min(folds.saturating_sub(1)));
        before += rows;
    }
    train.iter().map(|row| fold_of[&unit_of[*row]]).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Train,
    Certification,
    LeftOut,
}

/// What is drawn or not as a whole.
struct Unit {
    number: u32,
    /// Its place in the draw.
    key: u64,
    /// When its first row was asked; the beginning of time where any row doesn't say.
    earliest: i64,
    /// How many certification rows it would give.
    rows: usize,
}

/// Each row's unit: what clusters and sessions join. The second value is true where that would join too much, and
/// each session (each cluster of rows without one) is a unit of its own.
fn units(curated: &Curated, by_session: bool) -> (Vec<u32>, bool) {
    let rows = &curated.rows;
    let clusters =
        || joined(rows.len(), curated.cluster.iter().map(|cluster| (0, u64::from(*cluster))).enumerate());
    if !by_session {
        return (clusters().numbers(), false);
    }
    let numbers = session_numbers(rows);
    let sessions = numbers.iter().enumerate().filter_map(|(row, session)| Some((row, (1, (*session)?))));
    let mut both = clusters();
    join(&mut both, sessions.clone());
    let both = both.numbers();
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    both.iter().for_each(|unit| *sizes.entry(*unit).or_default() += 1);
    let largest = sizes.values().max().copied().unwrap_or(0);
    let most_of_a_session = largest_session(&numbers);
    if largest as f64 <= LARGEST_UNIT * rows.len() as f64 || largest == most_of_a_session {
        return (both, false);
    }
    let without_session = (0..rows.len())
        .filter(|row| numbers[*row].is_none())
        .map(|row| (row, (0, u64::from(curated.cluster[row]))));
    let mut one_by_one = joined(rows.len(), sessions);
    join(&mut one_by_one, without_session);
    (one_by_one.numbers(), true)
}

fn joined(rows: usize, groups: impl Iterator<Item = (usize, (u8, u64))>) -> Union {
    let mut union = Union::new(rows);
    join(&mut union, groups);
    union
}

/// Joins the rows that name the same group.
fn join(union: &mut Union, groups: impl Iterator<Item = (usize, (u8, u64))>) {
    let mut first: HashMap<(u8, u64), usize> = HashMap::new();
    for (row, group) in groups {
        let first = *first.entry(group).or_insert(row);
        union.join(row, first);
    }
}

fn session_numbers(rows: &[LabelledRow]) -> Vec<Option<u64>> {
    let mut numbers: HashMap<&str, u64> = HashMap::new();
    rows.iter()
        .map(|row| {
            let next = numbers.len() as u64;
            row.session.as_deref().map(|session| *numbers.entry(session).or_insert(next))
        })
        .collect()
}

fn largest_session(numbers: &[Option<u64>]) -> usize {
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    numbers.iter().flatten().for_each(|session| *sizes.entry(*session).or_default() += 1);
    sizes.values().max().copied().unwrap_or(0)
}

/// The rows that may certify: those that stand for the traffic, and one of each session, chosen by hash.
fn candidates(curated: &Curated, stand_for_traffic: &[bool], seed: u64) -> Vec<bool> {
    let rows = &curated.rows;
    let mut candidates = stand_for_traffic.to_vec();
    let mut chosen: HashMap<&str, (u64, Option<i64>, u64, usize)> = HashMap::new();
    for (row, content) in rows.iter().enumerate() {
        let (true, Some(session)) = (stand_for_traffic[row], content.session.as_deref()) else { continue };
        candidates[row] = false;
        let rank = (row_key(curated, row, mix(seed)), content.time_unix_ms, content.line, row);
        let best = chosen.entry(session).or_insert(rank);
        *best = (*best).min(rank);
    }
    chosen.into_values().for_each(|(.., row)| candidates[row] = true);
    candidates
}

fn measure(curated: &Curated, unit_of: &[u32], candidates: &[bool], seed: u64) -> Vec<Unit> {
    let mut units: HashMap<u32, Unit> = HashMap::new();
    for (row, content) in curated.rows.iter().enumerate() {
        let number = unit_of[row];
        let unit = units.entry(number).or_insert(Unit { number, key: u64::MAX, earliest: i64::MAX, rows: 0 });
        unit.key = unit.key.min(row_key(curated, row, seed));
        unit.earliest = unit.earliest.min(content.time_unix_ms.unwrap_or(i64::MIN));
        unit.rows += usize::from(candidates[row]);
    }
    units.into_values().collect()
}

/// The units that certify.
fn draw(units: &[Unit], by_time: bool, size: Size) -> HashSet<u32> {
    let all: usize = units.iter().map(|unit| unit.rows).sum();
    let most = (MOST_FOR_CERTIFICATION * all as f64).floor() as usize;
    let wanted = match size {
        Size::Rows(rows) => rows,
        Size::Share(share) => (share * all as f64).round() as usize,
    }
    .min(most);
    let mut order: Vec<&Unit> = units.iter().filter(|unit| unit.rows > 0).collect();
    let earliest = |unit: &Unit| if by_time { unit.earliest } else { 0 };
    order.sort_by_key(|unit| (std::cmp::Reverse(earliest(unit)), unit.key));
    let mut drawn = HashSet::new();
    let mut rows = 0;
    for unit in order {
        if rows >= wanted {
            break;
        }
        // A unit that alone would take most of the rows away from training stays there.
        if rows + unit.rows <= most {
            rows += unit.rows;
            drawn.insert(unit.number);
        }
    }
    drawn
}

/// Where sessions were drawn one by one a cluster may still stand on both sides; training gives way. How many rows
/// that took.
fn leave_out_what_is_like_certification(curated: &Curated, place: &mut [Place]) -> usize {
    let certified: HashSet<u32> = (0..place.len())
        .filter(|row| place[*row] == Place::Certification)
        .map(|row| curated.cluster[row])
        .collect();
    let mut rows = 0;
    for (place, cluster) in place.iter_mut().zip(&curated.cluster) {
        if *place == Place::Train && certified.contains(cluster) {
            *place = Place::LeftOut;
            rows += 1;
        }
    }
    rows
}

fn carry_times(rows: &[LabelledRow]) -> bool {
    let times: Vec<i64> = rows.iter().filter_map(|row| row.time_unix_ms).collect();
    let differ = times.iter().any(|time| Some(time) != times.first());
    differ && times.len() as f64 >= TIMED * rows.len() as f64
}

/// A number that only the row's own text and session decide.
fn row_key(curated: &Curated, row: usize, seed: u64) -> u64 {
    let session = curated.rows[row].session.as_deref().map_or(0, |session| hash(3, session.as_bytes()));
    mix(curated.text_hash[row] ^ session.rotate_left(17) ^ mix(seed))
}

#[cfg(test)]
mod tests;
