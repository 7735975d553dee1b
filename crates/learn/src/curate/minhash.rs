//! Which texts are nearly the same, without comparing each with each: MinHash over character shingles, 128
//! permutations in 16 bands of 8 (Broder 1997; Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", ch. 3), each
//! candidate verified by its true Jaccard similarity.

use rayon::prelude::*;

use super::fold::{hash, mix};

/// Texts with at least this Jaccard similarity are nearly the same. Two texts at 0.8 share a band with probability
/// 0.95, at 0.9 with more than 0.999.
pub const NEARLY: f64 = 0.8;

const BANDS: usize = 16;
const ROWS: usize = 8;
const PERMUTATIONS: usize = BANDS * ROWS;
/// Characters a shingle. Words would make most pairs of short requests either equal or unlike.
const SHINGLE: usize = 5;
/// In a crowded bucket each text is compared with at most this many others, so that time stays linear.
const LEADERS: usize = 8;

/// Pairs of positions whose texts are nearly the same, enough of them to join all that belong together. The texts are
/// folded and all different. The pairs don't depend on the order of the texts.
pub fn near_duplicates(texts: &[&str]) -> Vec<(usize, usize)> {
    let sets: Vec<Shingles> = texts.par_iter().map(|text| Shingles::of(text)).collect();
    let signatures: Vec<[u32; BANDS]> = sets.par_iter().map(Shingles::bands).collect();
    // A fixed order of the texts themselves: who leads a bucket must not depend on which row came first.
    let rank: Vec<u64> = texts.par_iter().map(|text| hash(1, text.as_bytes())).collect();
    (0..BANDS)
        .into_par_iter()
        .flat_map_iter(|band| {
            let mut members: Vec<u32> = (0..texts.len() as u32).collect();
            members.sort_unstable_by_key(|member| {
                let at = *member as usize;
                (signatures[at][band], rank[at], *member)
            });
            pairs_of_band(&members, |member| signatures[member][band], &sets)
        })
        .collect()
}

fn pairs_of_band(members: &[u32], key: impl Fn(usize) -> u32, sets: &[Shingles]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for bucket in members.chunk_by(|one, other| key(*one as usize) == key(*other as usize)) {
        let mut leaders: Vec<usize> = Vec::new();
        for member in bucket.iter().map(|member| *member as usize) {
            match leaders.iter().find(|leader| sets[**leader].jaccard(&sets[member]) >= NEARLY) {
                Some(leader) => pairs.push((*leader, member)),
                None if leaders.len() < LEADERS => leaders.push(member),
                None => {}
            }
        }
    }
    pairs
}

/// The hashes of a text's shingles, sorted, none twice.
pub(super) struct Shingles(Box<[u32]>);

impl Shingles {
    /// Every five characters in a row, a space before and after the text; a shorter text is one shingle.
    pub(super) fn of(folded: &str) -> Self {
        let padded = format!(" {folded} ");
        let starts: Vec<usize> = padded.char_indices().map(|(at, _)| at).chain([padded.len()]).collect();
        let mut hashes: Vec<u32> = if starts.len() <= SHINGLE {
            vec![hash(2, padded.as_bytes()) as u32]
        } else {
            starts
                .windows(SHINGLE + 1)
                .map(|window| hash(2, &padded.as_bytes()[window[0]..window[SHINGLE]]) as u32)
                .collect()
        };
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes.into())
    }

    /// Size of the intersection over size of the union.
    pub(super) fn jaccard(&self, other: &Self) -> f64 {
        let (one, other) = (&self.0, &other.0);
        // The smaller set can't hold more than itself.
        if (one.len().min(other.len()) as f64) < NEARLY * one.len().max(other.len()) as f64 {
            return 0.0;
        }
        let (mut i, mut j, mut both) = (0, 0, 0_usize);
        while i < one.len() && j < other.len() {
            both += usize::from(one[i] == other[j]);
            let (left, right) = (one[i], other[j]);
            i += usize::from(left <= right);
            j += usize::from(right <= left);
        }
        both as f64 / (one.len() + other.len() - both) as f64
    }

    /// One number a band: equal where all its minima are.
    fn bands(&self) -> [u32; BANDS] {
        let mut minima = [u32::MAX; PERMUTATIONS];
        for shingle in &self.0 {
            // x -> a x + b modulo 2^32 with odd a is a permutation, and one loop that the compiler turns into vector
            // instructions (linear permutations are near enough to min-wise independent: Bohman, Cooper & Frieze 2000).
            let word = mix(u64::from(*shingle)) as u32;
            for (minimum, (factor, offset)) in minima.iter_mut().zip(FACTORS) {
                *minimum = (*minimum).min(word.wrapping_mul(factor).wrapping_add(offset));
            }
        }
        std::array::from_fn(|band| {
            let rows = &minima[band * ROWS..(band + 1) * ROWS];
            rows.iter().fold(band as u64, |state, minimum| mix(state ^ u64::from(*minimum))) as u32
        })
    }
}

const FACTORS: [(u32, u32); PERMUTATIONS] = factors();

const fn factors() -> [(u32, u32); PERMUTATIONS] {
    let mut factors = [(0, 0); PERMUTATIONS];
    let mut state: u64 = 0x5EED;
    let mut index = 0;
    while index < PERMUTATIONS {
        // Knuth's MMIX generator, upper halves: enough to tell permutations apart.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let factor = (state >> 32) as u32 | 1;
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        factors[index] = (factor, (state >> 32) as u32);
        index += 1;
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_letter_is_nearly_the_same_and_another_question_is_not() {
        let long =
            "hello, i ordered a new card two weeks ago and it still has not come, where is it now please";
        let texts = [
            long,
            "hello, i ordered a new card two weeks ago and it still has not come, where is it now pleas",
            "hello, i ordered a new phone and it came broken, how do i send it back to you now please",
            "ok",
            "no",
        ];
        let pairs = near_duplicates(&texts);
        assert!(!pairs.is_empty());
        assert!(pairs.iter().all(|(one, other)| one.min(other) == &0 && one.max(other) == &1), "{pairs:?}");
    }

    #[test]
    fn shared_bands_are_as_frequent_as_the_theory_says() {
        // Pairs of sets at Jaccard 0.6: a band matches with probability 0.6^8 = 0.0168, any of 16 with 0.2375.
        let set = |from: u32, seed: u32| {
            Shingles((from..from + 400).map(|i| hash(u64::from(seed), &i.to_le_bytes()) as u32).collect())
        };
        let trials = 600;
        let shared = (0..trials)
            .filter(|seed| {
                let (one, other) = (set(0, *seed), set(100, *seed)); // 300 of 500 in common
                one.bands().iter().zip(other.bands()).any(|(one, other)| *one == other)
            })
            .count() as f64;
        let expected = (1.0 - (1.0 - 0.6_f64.powi(8)).powi(16)) * f64::from(trials);
        let standard_error = (expected * (1.0 - 0.2375)).sqrt();
        assert!((shared - expected).abs() < 4.0 * standard_error, "{shared} against {expected}");
    }
}
