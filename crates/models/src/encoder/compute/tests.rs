//! Every sort of vector computes what plain double precision does.

use super::{Block, Cpu, Lines, Matrix, Plus, Precision, Sides, Then, bf16, memory::PANEL, stride};

/// Numbers from -1 to 1 without a pattern.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let number =
        |at: u32| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0;
    (0..count as u32).map(number).collect()
}

#[test]
fn a_product_of_any_size_is_the_sum_of_products() {
    for cpu in Cpu::all_here() {
        for rows in (1..=30).chain([48, 61]) {
            for (inputs, outputs) in [(1, 1), (7, 33), (30, 52), (96, 64)] {
                check_product(*cpu, Precision::F32, rows, inputs, outputs);
                check_product(*cpu, Precision::Bf16, rows, inputs, outputs);
            }
        }
    }
}

fn check_product(cpu: Cpu, precision: Precision, rows: usize, inputs: usize, outputs: usize) {
    let (left, weight, bias) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
    let matrix = Matrix::pack(cpu, precision, inputs, &[(&weight, &bias, 2.0)]);
    let seen =
        |number: f32| if precision == Precision::F32 { number } else { bf16::widen(bf16::round(number)) };
    let stride_out = stride(outputs);
    let mut out = Lines::zeros(rows * stride_out);
    let left_block = Block { numbers: &left, stride: inputs };
    matrix.multiply(cpu, rows, left_block, Then::Write, &mut out, stride_out);
    matrix.multiply(cpu, rows, left_block, Then::Add, &mut out, stride_out);
    for row in 0..rows {
        for output in 0..outputs {
            let product: f64 = (0..inputs)
                .map(|input| {
                    let weight = seen(2.0 * weight[output * inputs + input]);
                    f64::from(seen(left[row * inputs + input])) * f64::from(weight)
                })
                .sum();
            let expected = 2.0 * (product + 2.0 * f64::from(bias[output]));
            let found = f64::from(out[row * stride_out + output]);
            let context = format!(
                "{cpu:?} {precision:?} {rows}x{inputs}x{outputs} at {row},{output}: {found} {expected}"
            );
            assert!((found - expected).abs() < 1e-5 * inputs as f64 + 1e-5, "{context}");
        }
    }
}

#[test]
#[should_panic(expected = "the left side is short")]
fn a_tile_never_reads_beyond_its_rows() {
    let right = [0.0; PANEL];
    let sides = Sides {
        left: Block { numbers: &[1.0], stride: 1 },
        right: Block { numbers: &right, stride: PANEL },
        depth: 1,
    };
    Cpu::detect().product(2, sides, Plus::Nothing, &mut [0.0; 2 * PANEL], PANEL);
}

#[test]
#[should_panic(expected = "no room for the product")]
fn a_tile_never_writes_beyond_its_room() {
    let right = [0.0; PANEL];
    let sides = Sides {
        left: Block { numbers: &[1.0, 1.0], stride: 1 },
        right: Block { numbers: &right, stride: PANEL },
        depth: 1,
    };
    Cpu::detect().product(2, sides, Plus::Nothing, &mut [0.0; 2 * PANEL - 1], PANEL);
}

/// Holds a function against the same in double precision, over a grid of arguments: within `most` of 1, or of the
/// argument where that is larger.
fn check_function(name: &str, most: f64, ours: fn(Cpu, &mut [f32]), exact: fn(f64) -> f64) {
    for cpu in Cpu::all_here() {
        let arguments: Vec<f32> = (-60_000..=60_000).map(|step| step as f32 / 4_000.0).collect();
        let mut found = arguments.clone();
        ours(*cpu, &mut found);
        for (x, found) in arguments.iter().zip(found) {
            let off = (f64::from(found) - exact(f64::from(*x))).abs();
            assert!(off <= most * f64::from(x.abs().max(1.0)), "{cpu:?} {name}({x}) = {found}, off by {off}");
        }
    }
}

/// The error function by a series of terms of one sign (Abramowitz and Stegun 7.1.6), so that nothing cancels.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..600 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

#[test]
fn activations_are_within_millionths() {
    check_function("gelu", 1e-6, Cpu::gelu, |x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)));
    check_function("gelu_tanh", 2e-6, Cpu::gelu_tanh, |x| {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
    });
    check_function("relu", 0.0, Cpu::relu, |x| x.max(0.0));
}

#[test]
fn shares_sum_to_one_and_keep_their_proportions() {
    for cpu in Cpu::all_here() {
        for length in (1..40).chain([511]) {
            let scores: Vec<f32> = numbers(length, 5).iter().map(|number| 40.0 * number).collect();
            let mut shares = scores.clone();
            cpu.softmax(&mut shares);
            let largest = scores.iter().copied().fold(f32::MIN, f32::max);
            let exact: Vec<f64> = scores.iter().map(|x| f64::from(x - largest).exp()).collect();
            let whole: f64 = exact.iter().sum();
            for (share, exact) in shares.iter().zip(exact) {
                assert!((f64::from(*share) - exact / whole).abs() < 1e-6, "{cpu:?} {length}");
            }
        }
    }
}

#[test]
fn scores_without_bounds_still_give_shares() {
    for cpu in Cpu::all_here() {
        let mut shares = [1e30, -1e30, 0.0];
        cpu.softmax(&mut shares);
        assert_eq!(shares, [1.0, 0.0, 0.0], "{cpu:?}");
    }
}

#[test]
fn a_normalised_row_has_mean_zero_and_variance_one_before_gain_and_shift() {
    for cpu in Cpu::all_here() {
        for length in [1, 2, 15, 16, 17, 30, 384] {
            let row: Vec<f32> = numbers(length, 9).iter().map(|number| 3.0 + number).collect();
            let (gain, shift) = (numbers(length, 10), numbers(length, 11));
            let mut found = row.clone();
            cpu.normalise(&mut found, &gain, &shift, 1e-5);
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / length as f64;
            let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / length as f64;
            for (at, found) in found.iter().enumerate() {
                let unit = (f64::from(row[at]) - mean) / (variance + 1e-5).sqrt();
                let exact = unit * f64::from(gain[at]) + f64::from(shift[at]);
                assert!((f64::from(*found) - exact).abs() < 1e-5, "{cpu:?} {length}: {found} {exact}");
            }
        }
    }
}
