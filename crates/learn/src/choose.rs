//! Which rows a person should label next: half uncertainty times density, three in ten disagreement, the rest random.
//! Only the random ones stand for the traffic, so that only they may certify.

use sprat_task::Sha256Hex;

/// A row that might be labelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Estimated probability that the small models' answer is right; `None` where they had none.
    pub confidence: Option<f64>,
    /// Whether small and large say different things.
    pub disagrees: bool,
    /// The input's digest: decides what is drawn, whatever order the rows come in.
    pub hash: Sha256Hex,
}

/// A row that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Its place among the candidates.
    pub row: usize,
    /// Why.
    pub why: Why,
    /// The probability with which it was drawn: 1 where it was picked on purpose.
    pub propensity: f64,
    /// Higher is asked first.
    pub priority: f64,
}

/// Why a row was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The small models are unsure of it, and many rows are like it.
    Unsure,
    /// Small and large say different things.
    Disagreement,
    /// It was drawn.
    Random,
}

/// Shares of the budget; the rest is drawn.
const UNSURE: f64 = 0.5;
const DISAGREEING: f64 = 0.3;

/// The unsure rows whose density is looked at, for each row that is wanted.
const LOOKED_AT: usize = 20;

/// Chooses `number` rows (or all, where there are fewer). `density` says how many others a row stands for; it is asked
/// only about the unsure ones. With `random`, all are drawn uniformly.
pub fn choose(
    candidates: &[Candidate],
    number: usize,
    random: bool,
    seed: u64,
    density: &dyn Fn(usize) -> f64,
) -> Vec<Choice> {
    let number = number.min(candidates.len());
    let mut taken = vec![false; candidates.len()];
    let mut chosen = Vec::new();
    if !random {
        let unsure = (number as f64 * UNSURE).round() as usize;
        chosen.extend(most_useful(candidates, unsure, density, &mut taken));
        let disagreeing = (number as f64 * DISAGREEING).round() as usize;
        chosen.extend(disagreements(candidates, disagreeing, &mut taken));
    }
    chosen.extend(drawn(candidates, number - chosen.len(), seed, &mut taken));
    chosen
}

fn most_useful(
    candidates: &[Candidate],
    number: usize,
    density: &dyn Fn(usize) -> f64,
    taken: &mut [bool],
) -> Vec<Choice> {
    let doubt = |row: usize| 1.0 - candidates[row].confidence.unwrap_or(0.0);
    let mut rows: Vec<usize> = (0..candidates.len()).collect();
    rows.sort_by(|a, b| {
        doubt(*b).total_cmp(&doubt(*a)).then_with(|| candidates[*a].hash.cmp(&candidates[*b].hash))
    });
    rows.truncate(number * LOOKED_AT);
    let mut rated: Vec<(f64, usize)> =
        rows.into_iter().map(|row| (doubt(row) * (1.0 + density(row)), row)).collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| candidates[a.1].hash.cmp(&candidates[b.1].hash)));
    rated.truncate(number);
    rated
        .into_iter()
        .map(|(use_, row)| {
            taken[row] = true;
            Choice { row, why: Why::Unsure, propensity: 1.0, priority: use_ }
        })
        .collect()
}

fn disagreements(candidates: &[Candidate], number: usize, taken: &mut [bool]) -> Vec<Choice> {
    let mut rows: Vec<usize> =
        (0..candidates.len()).filter(|row| candidates[*row].disagrees && !taken[*row]).collect();
    // The surest first: there one of the two is surely wrong.
    let sure = |row: usize| candidates[row].confidence.unwrap_or(0.0);
    rows.sort_by(|a, b| {
        sure(*b).total_cmp(&sure(*a)).then_with(|| candidates[*a].hash.cmp(&candidates[*b].hash))
    });
    rows.truncate(number);
    rows.into_iter()
        .map(|row| {
            taken[row] = true;
            Choice { row, why: Why::Disagreement, propensity: 1.0, priority: sure(row) }
        })
        .collect()
}

fn drawn(candidates: &[Candidate], number: usize, seed: u64, taken: &mut [bool]) -> Vec<Choice> {
    let lot =
        |row: usize| Sha256Hex::of_parts([candidates[row].hash.as_str().as_bytes(), &seed.to_le_bytes()]);
    let mut rows: Vec<(Sha256Hex, usize)> =
        (0..candidates.len()).filter(|row| !taken[*row]).map(|row| (lot(row), row)).collect();
    let propensity = number as f64 / rows.len().max(1) as f64;
    rows.sort();
    rows.truncate(number);
    rows.into_iter()
        .map(|(_, row)| {
            taken[row] = true;
            Choice { row, why: Why::Random, propensity, priority: 0.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        (0..200)
            .map(|row| Candidate {
                confidence: (row != 7).then_some(f64::from(row) / 200.0),
                disagrees: row % 10 == 0,
                hash: Sha256Hex::of(format!("{row}").as_bytes()),
            })
            .collect()
    }

    fn count(chosen: &[Choice], why: Why) -> usize {
        chosen.iter().filter(|choice| choice.why == why).count()
    }

    #[test]
    fn the_budget_is_shared_between_doubt_disagreement_and_chance() {
        let chosen = choose(&candidates(), 30, false, 1, &|_| 1.0);
        assert_eq!([Why::Unsure, Why::Disagreement, Why::Random].map(|why| count(&chosen, why)), [15, 9, 6]);
        let mut rows: Vec<usize> = chosen.iter().map(|choice| choice.row).collect();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), 30, "no row is chosen twice");
    }

    #[test]
    fn rows_that_stand_for_many_come_before_lonely_ones() {
        let chosen = choose(&candidates(), 2, false, 1, &|row| if row == 13 { 100.0 } else { 0.0 });
        assert_eq!(chosen[0].row, 13);
    }

    #[test]
    fn a_uniform_draw_has_one_propensity_and_does_not_depend_on_the_order() {
        let chosen = choose(&candidates(), 50, true, 1, &|_| 1.0);
        assert!(
            chosen.iter().all(|choice| choice.why == Why::Random && (choice.propensity - 0.25).abs() < 1e-12)
        );
        let mut reversed = candidates();
        reversed.reverse();
        let again = choose(&reversed, 50, true, 1, &|_| 1.0);
        let hashes = |chosen: &[Choice], rows: &[Candidate]| {
            let mut hashes: Vec<Sha256Hex> =
                chosen.iter().map(|choice| rows[choice.row].hash.clone()).collect();
            hashes.sort();
            hashes
        };
        assert_eq!(hashes(&chosen, &candidates()), hashes(&again, &reversed));
    }

    #[test]
    fn fewer_rows_than_wanted_are_all_chosen() {
        assert_eq!(choose(&candidates()[..4], 30, false, 1, &|_| 0.0).len(), 4);
        assert!(choose(&[], 30, false, 1, &|_| 0.0).is_empty());
    }
}
