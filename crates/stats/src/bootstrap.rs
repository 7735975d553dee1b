//! An interval for any statistic of rows: F1, ROUGE, cost, or the difference of two systems on the same rows.

use crate::distribution::{normal_cdf, normal_quantile};
use crate::interval::{Estimate, Interval};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Resamples drawn; 10,000 unless there is a reason.
    pub resamples: usize,
    /// The same seed gives the same interval.
    pub seed: u64,
    /// Two-sided, in (0, 1).
    pub confidence: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { resamples: 10_000, seed: 1, confidence: 0.95 }
    }
}

impl Bootstrap {
    /// Bias-corrected and accelerated interval of `statistic` over rows 0..`rows`.
    ///
    /// `statistic` is given row numbers, some more than once, and must give a finite number for the whole
    /// sample; resamples where it does not are left out. `None` where there are no rows or that fails. For a
    /// paired comparison, let it return the difference of two systems on the rows it is given.
    /// Source: Efron 1987.
    pub fn interval(&self, rows: usize, statistic: impl Fn(&[usize]) -> f64) -> Option<Estimate> {
        let clusters: Vec<usize> = (0..rows).collect();
        self.clustered_interval(&clusters, statistic)
    }

    /// The same where rows come in clusters (sessions, users): whole clusters are drawn.
    ///
    /// `clusters[row]` is any number that rows of one cluster share.
    pub fn clustered_interval(
        &self,
        clusters: &[usize],
        statistic: impl Fn(&[usize]) -> f64,
    ) -> Option<Estimate> {
        let groups = groups(clusters);
        let all: Vec<usize> = (0..clusters.len()).collect();
        let value = Some(statistic(&all)).filter(|value| value.is_finite() && !groups.is_empty())?;
        let mut replicates = self.replicates(&groups, &statistic);
        replicates.sort_unstable_by(f64::total_cmp);
        let shift = normal_quantile(share_below(&replicates, value)?);
        let acceleration = acceleration(&groups, &statistic);
        let tail = 0.5 * (1.0 - self.confidence);
        let end = |probability: f64| {
            let moved = shift + normal_quantile(probability);
            let adjusted = normal_cdf(shift + moved / (1.0 - acceleration * moved));
            let place = (adjusted * replicates.len() as f64).floor() as usize;
            replicates[place.min(replicates.len() - 1)]
        };
        Some(Estimate { value, interval: Interval { lower: end(tail), upper: end(1.0 - tail) } })
    }

    fn replicates(&self, groups: &[Vec<usize>], statistic: impl Fn(&[usize]) -> f64) -> Vec<f64> {
        let mut random = Random::new(self.seed);
        let mut drawn = Vec::new();
        let draws = (0..self.resamples).map(|_| {
            drawn.clear();
            (0..groups.len()).for_each(|_| drawn.extend_from_slice(&groups[random.below(groups.len())]));
            statistic(&drawn)
        });
        draws.filter(|replicate| replicate.is_finite()).collect()
    }
}

/// Rows by cluster, in the order in which clusters first appear in sorted order.
fn groups(clusters: &[usize]) -> Vec<Vec<usize>> {
    let mut rows: Vec<usize> = (0..clusters.len()).collect();
    rows.sort_by_key(|row| clusters[*row]);
    rows.chunk_by(|a, b| clusters[*a] == clusters[*b]).map(<[usize]>::to_vec).collect()
}

/// Share of replicates below the value, ties counted half, kept off 0 and 1. `None` where there are none.
fn share_below(sorted: &[f64], value: f64) -> Option<f64> {
    if sorted.is_empty() {
        return None;
    }
    let below = sorted.partition_point(|replicate| *replicate < value) as f64;
    let up_to = sorted.partition_point(|replicate| *replicate <= value) as f64;
    let (count, middle) = (sorted.len() as f64, 0.5 * (below + up_to));
    Some((middle / count).clamp(0.5 / count, 1.0 - 0.5 / count))
}

/// Clusters left out one block at a time: exact leave-one-out up to this many.
const MOST_BLOCKS: usize = 400;

/// How the standard error changes with the value, from a jackknife over blocks of clusters.
fn acceleration(groups: &[Vec<usize>], statistic: impl Fn(&[usize]) -> f64) -> f64 {
    let blocks = groups.len().min(MOST_BLOCKS);
    let mut kept = Vec::new();
    let left_out: Vec<f64> = (0..blocks)
        .map(|block| {
            let (start, end) = (block * groups.len() / blocks, (block + 1) * groups.len() / blocks);
            kept.clear();
            groups[..start].iter().chain(&groups[end..]).for_each(|group| kept.extend_from_slice(group));
            statistic(&kept)
        })
        .filter(|value| value.is_finite())
        .collect();
    let mean = left_out.iter().sum::<f64>() / left_out.len().max(1) as f64;
    let moment = |power: i32| left_out.iter().map(|value| (mean - value).powi(power)).sum::<f64>();
    let spread = moment(2);
    if spread > 0.0 { moment(3) / (6.0 * spread.powf(1.5)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> impl Fn(&[usize]) -> f64 + '_ {
        |rows| rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values: Vec<f64> = (0..50).map(f64::from).collect();
        let bootstrap = Bootstrap { resamples: 500, ..Bootstrap::default() };
        let first = bootstrap.interval(50, mean(&values)).expect("rows");
        assert_eq!(Some(first), bootstrap.interval(50, mean(&values)));
        assert_eq!(first.value, 24.5);
        assert!(first.interval.contains(24.5));
    }

    #[test]
    fn it_covers_the_mean_of_a_skewed_distribution() {
        let mut random = Random::new(3);
        let covered = (0..600)
            .filter(|&seed| {
                let values: Vec<f64> = (0..60).map(|_| -(1.0 - random.uniform()).ln()).collect();
                let bootstrap = Bootstrap { resamples: 600, seed, confidence: 0.9 };
                bootstrap.interval(60, mean(&values)).is_some_and(|estimate| estimate.interval.contains(1.0))
            })
            .count();
        assert!((510..=565).contains(&covered), "covered {covered} of 600, 540 expected");
    }

    #[test]
    fn rows_of_one_session_do_not_count_as_many() {
        // Forty sessions of ten equal rows each say as much as forty rows.
        let values: Vec<f64> = (0..400).map(|row| f64::from((row / 10) % 2)).collect();
        let clusters: Vec<usize> = (0..400).map(|row| row / 10).collect();
        let bootstrap = Bootstrap { resamples: 2_000, ..Bootstrap::default() };
        let by_row = bootstrap.interval(400, mean(&values)).expect("rows").interval;
        let by_session = bootstrap.clustered_interval(&clusters, mean(&values)).expect("rows").interval;
        let ratio = by_session.width() / by_row.width();
        assert!((2.7..3.7).contains(&ratio), "ratio {ratio}, about the square root of ten expected");
    }

    #[test]
    fn no_rows_and_no_number_give_no_interval() {
        assert_eq!(Bootstrap::default().interval(0, |_| 1.0), None);
        assert_eq!(Bootstrap::default().interval(5, |_| f64::NAN), None);
        let constant = Bootstrap::default().interval(5, |_| 2.0).expect("a number");
        assert_eq!(constant.interval, Interval { lower: 2.0, upper: 2.0 });
    }
}
