//! Latencies as counts in buckets whose width grows with the latency: 16 to each doubling, as in HdrHistogram.

/// A bucket is a sixteenth of its power of two wide, so its middle is at most 3.2% from what fell into it.
const BITS: u32 = 4;

/// Latencies of many requests or steps, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Their sum, in microseconds.
    pub sum_us: u64,
    /// Bucket and count, ascending.
    pub(super) buckets: Vec<(u32, u64)>,
}

impl Latency {
    /// The mean, in microseconds; `None` without any.
    pub fn mean_us(&self) -> Option<u64> {
        self.sum_us.checked_div(self.count)
    }

    /// The least latency that at least this share (0 to 1) does not exceed, in microseconds, to within 3.2%; exact
    /// below 32 us. `None` without any.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let all: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        let rank = ((share.clamp(0.0, 1.0) * all as f64).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        self.buckets.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| middle(*bucket))
        })
    }
}

/// The bucket of a latency: exact below 16 us, then the exponent and the four bits after the leading one.
pub(super) fn bucket(latency_us: u64) -> u32 {
    if latency_us < 1 << BITS {
        return latency_us as u32;
    }
    let exponent = latency_us.ilog2();
    let next_bits = (latency_us >> (exponent - BITS)) as u32 & ((1 << BITS) - 1);
    ((exponent - BITS + 1) << BITS) + next_bits
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: u32) -> u64 {
    if bucket < 1 << BITS {
        return u64::from(bucket);
    }
    let shift = ((bucket >> BITS) - 1).min(63 - BITS);
    let lowest = u64::from((1 << BITS) | (bucket & ((1 << BITS) - 1))) << shift;
    lowest + (((1_u64 << shift) - 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_s_middle_is_near_everything_in_it_and_buckets_ascend() {
        let mut last = 0;
        for latency in
            (0..2_000).chain((11..60).map(|k| (1_u64 << k) - 1)).chain((11..60).map(|k| (1 << k) + 77))
        {
            let at = middle(bucket(latency));
            let off = at.abs_diff(latency) as f64 / latency.max(1) as f64;
            assert!(off <= 0.032, "{latency} us is shown as {at}");
            if latency < 2_000 {
                assert!(bucket(latency) >= last);
                last = bucket(latency);
            }
        }
        assert_eq!(bucket(u64::MAX), bucket(u64::MAX - 1));
        assert_eq!(middle(bucket(31)), 31);
    }

    #[test]
    fn quantiles_of_one_to_a_thousand_are_where_they_should_be() {
        let mut counts = std::collections::BTreeMap::new();
        for latency in 1..=1000_u64 {
            *counts.entry(bucket(latency)).or_insert(0) += 1;
        }
        let latency = Latency { count: 1000, sum_us: 500_500, buckets: counts.into_iter().collect() };
        for (share, right) in [(0.5, 500.0), (0.99, 990.0), (0.0, 1.0)] {
            let shown = latency.quantile_us(share).unwrap() as f64;
            assert!((shown - right).abs() / right <= 0.04, "{share}: {shown}");
        }
        assert_eq!(latency.mean_us(), Some(500));
        assert_eq!((Latency::default().quantile_us(0.5), Latency::default().mean_us()), (None, None));
    }
}
