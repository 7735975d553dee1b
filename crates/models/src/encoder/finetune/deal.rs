//! Which rows meet in one step of learning by pairs? A few of each of a few labels, dealt like cards: every label comes up
//! equally often, and no row twice before all of its label were.

use super::examples::Example;

/// Rows of one label in a step, where there are labels and rows enough: fewer would be few pairs alike, more would leave
/// few labels to be told from.
const ALIKE: usize = 4;

/// Rows in piles by label, dealt step by step.
pub struct Deal {
    random: fastrand::Rng,
    piles: Vec<Pile>,
    labels: Pile,
}

/// Cards that are shuffled again once all are dealt.
struct Pile {
    cards: Vec<u32>,
    dealt: usize,
}

impl Deal {
    /// One pile a label; a row with several labels lies in each of theirs, those with none in one of their own.
    pub fn new(rows: &[Example], mut random: fastrand::Rng) -> Self {
        let labels = rows.iter().flat_map(|row| &row.targets).max().map_or(0, |most| *most as usize + 1);
        let mut piles = vec![Vec::new(); labels + 1];
        for (row, example) in (0..).zip(rows) {
            example.targets.iter().for_each(|label| piles[*label as usize].push(row));
            if example.targets.is_empty() {
                piles[labels].push(row);
            }
        }
        piles.retain(|pile| !pile.is_empty());
        let labels = Pile::new((0..piles.len() as u32).collect(), &mut random);
        let piles = piles.into_iter().map(|cards| Pile::new(cards, &mut random)).collect();
        Self { random, piles, labels }
    }

    /// The rows of the next step, at most so many and none twice.
    pub fn batch(&mut self, size: usize) -> Vec<u32> {
        let labels = (size / ALIKE).clamp(1, self.piles.len().max(1));
        let of_each = size / labels;
        let mut batch: Vec<u32> = Vec::with_capacity(size);
        // Labels are shuffled again where all were dealt, so that one may come up that was dealt in this very step.
        for _ in 0..2 * self.piles.len() {
            let room = size - batch.len();
            // A lone row of a label has nobody to be like.
            if room < of_each.min(2) {
                break;
            }
            let label = self.labels.next(&mut self.random);
            let pile = &mut self.piles[label as usize];
            for _ in 0..of_each.min(room) {
                batch.extend(pile.next_but(&batch, &mut self.random));
            }
        }
        batch
    }
}

impl Pile {
    fn new(mut cards: Vec<u32>, random: &mut fastrand::Rng) -> Self {
        random.shuffle(&mut cards);
        Self { cards, dealt: 0 }
    }

    fn next(&mut self, random: &mut fastrand::Rng) -> u32 {
        if self.dealt == self.cards.len() {
            random.shuffle(&mut self.cards);
            self.dealt = 0;
        }
        self.dealt += 1;
        self.cards[self.dealt - 1]
    }

    /// The next one that isn't among these.
    fn next_but(&mut self, these: &[u32], random: &mut fastrand::Rng) -> Option<u32> {
        // Through what is left of this round, and all of the next.
        (0..2 * self.cards.len()).map(|_| self.next(random)).find(|card| !these.contains(card))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(targets: &[&[u32]]) -> Vec<Example> {
        let row = |targets: &&[u32]| Example { tokens: vec![1], targets: targets.to_vec(), weight: 1.0 };
        targets.iter().map(row).collect()
    }

    fn dealt(rows: &[Example], size: usize, batches: usize) -> Vec<Vec<u32>> {
        let mut deal = Deal::new(rows, fastrand::Rng::with_seed(1));
        (0..batches).map(|_| deal.batch(size)).collect()
    }

    #[test]
    fn a_rare_label_is_dealt_as_often_as_a_common_one_and_no_row_twice_at_once() {
        let rows = rows(&[[&[0_u32][..]; 60].as_slice(), &[&[1_u32][..]; 6]].concat());
        for batch in dealt(&rows, 8, 20) {
            assert_eq!(batch.iter().filter(|row| **row >= 60).count(), 4, "{batch:?}");
            let mut once = batch.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), 8, "{batch:?}");
        }
    }

    #[test]
    fn every_row_of_a_label_comes_up_before_any_does_again() {
        let rows = rows(&[[&[0_u32][..]; 16].as_slice(), &[&[1_u32][..]; 16]].concat());
        let mut seen: Vec<u32> = dealt(&rows, 8, 4).concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..32).collect::<Vec<u32>>());
    }

    #[test]
    fn many_labels_of_few_rows_fill_a_step_too() {
        let targets: Vec<Vec<u32>> = (0..40).map(|row| vec![row / 2]).collect();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        assert!(dealt(&rows(&targets), 32, 9).iter().all(|batch| batch.len() == 32));
    }

    #[test]
    fn rows_without_a_label_and_single_rows_are_dealt_and_nothing_panics() {
        assert_eq!(dealt(&rows(&[&[], &[], &[3]]), 8, 1)[0].len(), 3);
        assert!(dealt(&[], 8, 1)[0].is_empty());
        assert!(!dealt(&rows(&[&[0], &[0, 1]]), 2, 1)[0].is_empty());
    }
}
