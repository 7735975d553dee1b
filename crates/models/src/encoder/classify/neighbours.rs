//! How far is a text from everything that was taught? The nearest training rows by the cosine of their embeddings.

use sprat_task::NearRow;

/// Rows kept at most; spread evenly over all of them where there are more.
pub const MOST: usize = 10_000;
/// Rows that vote.
const VOTERS: usize = 5;
/// Of these, rows whose mean similarity is the distance's measure.
const NEAREST: usize = 3;

/// Training rows as vectors of unit length.
pub struct Neighbours {
    /// Numbers in a vector.
    pub width: usize,
    /// One vector a row, one after the other.
    pub vectors: Vec<f32>,
    /// Each row's first label; `u32::MAX` for none.
    pub labels: Vec<u32>,
}

/// What the nearest rows say of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Near {
    /// Mean cosine with the nearest three in scope; 0 where there are none.
    pub similarity: f32,
    /// Labels of the nearest five, the nearest first.
    pub labels: Vec<u32>,
}

impl Near {
    /// Share of the nearest rows that carry a label.
    pub fn agreement(&self, label: impl Fn(u32) -> bool) -> f32 {
        let agreeing = self.labels.iter().filter(|found| label(**found)).count();
        agreeing as f32 / self.labels.len().max(1) as f32
    }
}

impl Neighbours {
    /// The rows kept, of so many.
    pub fn kept(rows: usize) -> Vec<usize> {
        let kept = rows.min(MOST);
        (0..kept).map(|place| place * rows / kept.max(1)).collect()
    }

    /// The nearest rows, the nearest first, by their places among the so many that were taught.
    pub fn nearest(&self, vector: &[f32], most: usize, taught: usize) -> Vec<NearRow> {
        let mut best: Vec<(f32, u32)> = Vec::new();
        for (place, other) in (0_u32..).zip(self.vectors.chunks_exact(self.width)) {
            keep_best(&mut best, most, (dot(vector, other), place));
        }
        let kept = Self::kept(taught);
        let near = |(similarity, place): (f32, u32)| {
            Some(NearRow { row: *kept.get(place as usize)?, similarity: similarity.clamp(-1.0, 1.0) })
        };
        best.into_iter().filter_map(near).collect()
    }

    /// What the rows that `counts` lets through say; those that carry `out_of_scope` don't make a text familiar.
    pub fn near(&self, vector: &[f32], out_of_scope: Option<u32>, counts: impl Fn(usize) -> bool) -> Near {
        let mut best: Vec<(f32, u32)> = Vec::with_capacity(VOTERS + 1);
        let mut familiar: Vec<(f32, u32)> = Vec::with_capacity(NEAREST + 1);
        for (row, (other, label)) in self.vectors.chunks_exact(self.width).zip(&self.labels).enumerate() {
            if !counts(row) {
                continue;
            }
            let similarity = dot(vector, other);
            keep_best(&mut best, VOTERS, (similarity, *label));
            if Some(*label) != out_of_scope {
                keep_best(&mut familiar, NEAREST, (similarity, *label));
            }
        }
        let sum: f32 = familiar.iter().map(|(similarity, _)| similarity).sum();
        Near {
            similarity: sum / familiar.len().max(1) as f32,
            labels: best.into_iter().map(|(_, label)| label).collect(),
        }
    }
}

/// Keeps the largest, the first of equal ones first.
fn keep_best(best: &mut Vec<(f32, u32)>, most: usize, found: (f32, u32)) {
    if best.len() == most && best.last().is_some_and(|(least, _)| *least >= found.0) {
        return;
    }
    let at = best.partition_point(|(similarity, _)| *similarity >= found.0);
    best.insert(at, found);
    best.truncate(most);
}

/// In sixteen lanes, which a processor adds at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a_whole, a_rest) = a.as_chunks::<16>();
    let (b_whole, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_whole.iter().zip(b_whole) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_out_of_scope_vote_but_make_nothing_familiar() {
        let vectors = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]].concat();
        let neighbours = Neighbours { width: 2, vectors, labels: vec![9, 1, 1] };
        let near = neighbours.near(&[1.0, 0.0], Some(9), |_| true);
        assert_eq!(near.labels, [9, 1, 1]);
        assert!((near.similarity - 0.3).abs() < 1e-6, "{near:?}");
        assert!((near.agreement(|label| label == 1) - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(neighbours.near(&[1.0, 0.0], None, |_| false), Near::default());
    }

    #[test]
    fn the_nearest_rows_are_named_by_their_places_among_all_that_were_taught() {
        // Every other of twice as many rows as are kept.
        let mut vectors = vec![0.0; 2 * MOST];
        (vectors[0], vectors[2 * 7], vectors[2 * 9_999]) = (0.5, -1.0, 1.0);
        let neighbours = Neighbours { width: 2, vectors, labels: vec![0; MOST] };
        let near = neighbours.nearest(&[1.0, 0.0], 3, 2 * MOST);
        let near: Vec<(usize, f32)> = near.iter().map(|near| (near.row, near.similarity)).collect();
        assert_eq!(near, [(19_998, 1.0), (0, 0.5), (2, 0.0)]);
        assert!(neighbours.nearest(&[1.0, 0.0], 0, 2 * MOST).is_empty());
    }

    #[test]
    fn of_too_many_rows_an_even_spread_is_kept() {
        assert_eq!(Neighbours::kept(3), [0, 1, 2]);
        let kept = Neighbours::kept(25_000);
        assert_eq!((kept.len(), kept[1], kept.last()), (MOST, 2, Some(&24_997)));
    }
}
