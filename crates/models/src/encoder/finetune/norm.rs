//! Layer norm, forward and back.

use super::layout::Norm;

/// Normalises each row of `rows` in place to mean 0 and variance 1, then scales and shifts it into `out`. What
/// [`backward`] needs stays in `rows` (the normalised numbers) and in `inverse` (one over each row's deviation).
pub fn forward(
    rows: &mut [f32],
    inverse: &mut [f32],
    out: &mut [f32],
    parameters: &[f32],
    norm: &Norm,
    epsilon: f32,
) {
    let (scale, shift) = (&parameters[norm.scale.clone()], &parameters[norm.shift.clone()]);
    let width = scale.len();
    for ((row, out), inverse) in
        rows.chunks_exact_mut(width).zip(out.chunks_exact_mut(width)).zip(inverse.iter_mut())
    {
        let mean = row.iter().sum::<f32>() / width as f32;
        row.iter_mut().for_each(|x| *x -= mean);
        let variance = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
        *inverse = (variance + epsilon).sqrt().recip();
        for ((out, x), (scale, shift)) in out.iter_mut().zip(row).zip(scale.iter().zip(shift)) {
            *x *= *inverse;
            *out = *x * scale + shift;
        }
    }
}

/// Turns the gradient of the result into that of what was normalised, in place, and adds those of scale and shift.
pub fn backward(
    gradient: &mut [f32],
    normalised: &[f32],
    inverse: &[f32],
    parameters: &[f32],
    norm: &Norm,
    gradients: &mut [f32],
) {
    let scale = &parameters[norm.scale.clone()];
    let width = scale.len();
    let rows = gradient.chunks_exact_mut(width).zip(normalised.chunks_exact(width));
    for ((gradient, normalised), inverse) in rows.zip(inverse) {
        add_products(&mut gradients[norm.scale.clone()], gradient, normalised);
        add(&mut gradients[norm.shift.clone()], gradient);
        let (mut sum, mut along) = (0.0, 0.0);
        for ((g, x), scale) in gradient.iter_mut().zip(normalised).zip(scale) {
            *g *= scale;
            sum += *g;
            along += *g * x;
        }
        let (mean, along) = (sum / width as f32, along / width as f32);
        for (g, x) in gradient.iter_mut().zip(normalised) {
            *g = (*g - mean - x * along) * inverse;
        }
    }
}

/// `to += from`.
pub fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

fn add_products(to: &mut [f32], a: &[f32], b: &[f32]) {
    to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to += a * b);
}
