//! Rows of weights, added up and moved: where a tagger spends its time. Compiled twice, once for wide registers; rows never
//! mix and nothing is fused, so the results are the same bit for bit.

/// Adds the row of each feature to `scores`.
pub(super) fn add(features: &[u32], weights: &[f32], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { add_avx2(features, weights, scores) };
    }
    add_plainly(features, weights, scores);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2(features: &[u32], weights: &[f32], scores: &mut [f32]) {
    add_plainly(features, weights, scores);
}

#[inline(always)]
fn add_plainly(features: &[u32], weights: &[f32], scores: &mut [f32]) {
    let tags = scores.len();
    for &feature in features {
        let row = &weights[feature as usize * tags..(feature as usize + 1) * tags];
        scores.iter_mut().zip(row).for_each(|(score, weight)| *score += weight);
    }
}

/// Adds the row of each feature, whole numbers times the row's scale, to `scores`.
pub(super) fn add_scaled(features: &[u32], weights: &[i8], scales: &[f32], scores: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { add_scaled_avx2(features, weights, scales, scores) };
    }
    add_scaled_plainly(features, weights, scales, scores);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_scaled_avx2(features: &[u32], weights: &[i8], scales: &[f32], scores: &mut [f32]) {
    add_scaled_plainly(features, weights, scales, scores);
}

#[inline(always)]
fn add_scaled_plainly(features: &[u32], weights: &[i8], scales: &[f32], scores: &mut [f32]) {
    let tags = scores.len();
    for &feature in features {
        let feature = feature as usize;
        let (scale, row) = (scales[feature], &weights[feature * tags..(feature + 1) * tags]);
        scores.iter_mut().zip(row).for_each(|(score, weight)| *score += scale * f32::from(*weight));
    }
}

/// A step for the rows of some features.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// For each tag, by how much its score should grow.
    pub(super) error: &'a [f32],
    /// Length of a first step.
    pub(super) rate: f32,
    /// Pull towards 0.
    pub(super) decay: f32,
}

impl Step<'_> {
    /// Moves the rows; `moved` has each feature's sum of squares so far.
    pub(super) fn take(&self, features: &[u32], weights: &mut [f32], moved: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { self.take_avx2(features, weights, moved) };
        }
        self.take_plainly(features, weights, moved);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn take_avx2(&self, features: &[u32], weights: &mut [f32], moved: &mut [f32]) {
        self.take_plainly(features, weights, moved);
    }

    #[inline(always)]
    fn take_plainly(&self, features: &[u32], weights: &mut [f32], moved: &mut [f32]) {
        let tags = self.error.len();
        let square: f32 = self.error.iter().map(|error| error * error).sum();
        for &feature in features {
            let feature = feature as usize;
            moved[feature] += square;
            let rate = self.rate / (moved[feature].sqrt() + 1e-6);
            let keep = 1.0 - rate * self.decay;
            let row = &mut weights[feature * tags..(feature + 1) * tags];
            row.iter_mut()
                .zip(self.error)
                .for_each(|(weight, error)| *weight = *weight * keep + rate * error);
        }
    }
}
