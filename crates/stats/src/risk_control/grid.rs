//! What does every combination of thresholds of a ladder do on the tuning sample?

use super::Sample;
use super::candidates::Drafted;
use super::cost::{Configuration, Costs};

/// Every combination of one of its thresholds (descending), or "never", per rung.
///
/// Combinations are in mixed-radix order, the last rung fastest, "never" being digit 0.
pub(super) fn every_combination(tuning: &Sample, costs: &Costs, thresholds: &[Vec<f64>]) -> Vec<Drafted> {
    let columns: Vec<Column> =
        thresholds.iter().enumerate().map(|(rung, t)| Column::new(tuning, rung, t)).collect();
    let rows: Vec<usize> = (0..tuning.len()).collect();
    let mut grid = Grid { costs, columns: &columns, rows: tuning.len(), found: Vec::new() };
    grid.climb(&mut Vec::new(), &rows, Spent::default());
    grid.found
}

/// Drops combinations in which a rung does not pay for itself beside the others.
///
/// A rung stays only if (share it answers x cost to go) > its own cost, that is, if leaving it out would cost
/// more; the combination without it is in the grid too. One rung alone is judged at the end, as `uneconomic`.
pub(super) fn without_idle_rungs(grid: Vec<Drafted>, thresholds: &[Vec<f64>]) -> Vec<Drafted> {
    let costs: Vec<f64> = grid.iter().map(|drafted| drafted.cost).collect();
    let every_rung_pays = |index: usize| {
        let mut place = costs.len();
        thresholds.iter().all(|column| {
            let size = column.len() + 1;
            place /= size;
            let digit = index / place % size;
            digit == 0 || costs[index - digit * place] > costs[index]
        })
    };
    let is_one_rung = |drafted: &Drafted| drafted.configuration.thresholds.iter().flatten().count() == 1;
    let kept = grid
        .into_iter()
        .enumerate()
        .filter(|(index, drafted)| is_one_rung(drafted) || every_rung_pays(*index));
    kept.map(|(_, drafted)| drafted).collect()
}

/// One rung's thresholds, and what they mean for each row.
struct Column<'a> {
    thresholds: &'a [f64],
    /// The digit of the highest threshold that accepts the row; one past the last if none does.
    accepted_from: Vec<usize>,
    bad: Vec<bool>,
}

impl<'a> Column<'a> {
    fn new(tuning: &Sample, rung: usize, thresholds: &'a [f64]) -> Self {
        let answers = || tuning.rows().map(|row| row.answers[rung]);
        let rejects =
            |answer: super::RungAnswer| thresholds.partition_point(|t| !answer.is_accepted(Some(*t)));
        Column {
            thresholds,
            accepted_from: answers().map(|answer| 1 + rejects(answer)).collect(),
            bad: answers().map(|answer| answer.bad).collect(),
        }
    }
}

/// What the rows answered so far, and those on their way up, have cost.
#[derive(Clone, Copy, Default)]
struct Spent {
    accepted: u64,
    bad: u64,
    on_rungs: f64,
}

struct Grid<'a> {
    costs: &'a Costs,
    columns: &'a [Column<'a>],
    rows: usize,
    found: Vec<Drafted>,
}

impl Grid<'_> {
    /// `rows` are those that no rung so far has answered: the next rung sees only them, so that combinations
    /// with the same first thresholds share the work.
    fn climb(&mut self, chosen: &mut Vec<Option<f64>>, rows: &[usize], spent: Spent) {
        let columns = self.columns;
        let Some(column) = columns.get(chosen.len()) else { return };
        if chosen.len() + 1 == columns.len() {
            return self.last_rung(chosen, column, rows, spent);
        }
        chosen.push(None);
        self.climb(chosen, rows, spent);
        chosen.pop();
        let on_rungs = spent.on_rungs + rows.len() as f64 * self.costs.rungs[chosen.len()];
        for (index, threshold) in column.thresholds.iter().enumerate() {
            let (answered, left): (Vec<usize>, Vec<usize>) =
                rows.iter().partition(|row| column.accepted_from[**row] <= index + 1);
            let bad = answered.iter().filter(|row| column.bad[**row]).count() as u64;
            let (accepted, bad) = (spent.accepted + answered.len() as u64, spent.bad + bad);
            chosen.push(Some(*threshold));
            self.climb(chosen, &left, Spent { accepted, bad, on_rungs });
            chosen.pop();
        }
    }

    /// Counts the rows once and sums up through the thresholds, instead of once per threshold.
    fn last_rung(&mut self, chosen: &[Option<f64>], column: &Column, rows: &[usize], spent: Spent) {
        let mut at_digit = vec![(0, 0); column.thresholds.len() + 2];
        for &row in rows {
            let (accepted, bad) = &mut at_digit[column.accepted_from[row]];
            *accepted += 1;
            *bad += u64::from(column.bad[row]);
        }
        self.draft(chosen, None, spent);
        let on_rungs = spent.on_rungs + rows.len() as f64 * self.costs.rungs[chosen.len()];
        let mut spent = Spent { on_rungs, ..spent };
        for (threshold, (accepted, bad)) in column.thresholds.iter().zip(&at_digit[1..]) {
            spent.accepted += accepted;
            spent.bad += bad;
            self.draft(chosen, Some(*threshold), spent);
        }
    }

    fn draft(&mut self, chosen: &[Option<f64>], last: Option<f64>, spent: Spent) {
        let Spent { accepted, bad, on_rungs } = spent;
        let rows = self.rows as u64;
        let small = (accepted - bad) as f64 * self.costs.of_small_answer(false)
            + bad as f64 * self.costs.of_small_answer(true);
        let cost = (on_rungs + small + (rows - accepted) as f64 * self.costs.large) / self.rows as f64;
        let thresholds = chosen.iter().copied().chain([last]).collect();
        self.found.push(Drafted { configuration: Configuration { thresholds }, accepted, bad, rows, cost });
    }
}
