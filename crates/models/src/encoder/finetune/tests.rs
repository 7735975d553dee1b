//! Nothing is lost on the way back, and nothing depends on threads or on having been interrupted.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::weights::shapes;
use super::super::{Activation, EncoderConfig, Parameter, Pooling, Weights};
use super::layout::Layout;
use super::network::Network;
use super::objective::Objective;
use super::resume::Resume;
use super::run::{Example, Finetuning, Settings, Stopped, Tuned, Walked};

fn config(activation: Activation) -> EncoderConfig {
    EncoderConfig {
        layers: 2,
        hidden: 8,
        heads: 2,
        intermediate: 12,
        vocabulary: 20,
        positions: 10,
        segments: 2,
        first_position: 0,
        norm_epsilon: 1e-6,
        activation,
    }
}

fn base(config: &EncoderConfig) -> Weights {
    let mut random = fastrand::Rng::with_seed(3);
    let parameter = |(name, shape): (String, Vec<usize>)| {
        let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        let data =
            (0..shape.iter().product::<usize>()).map(|_| centre + 0.8 * (random.f32() - 0.5)).collect();
        Parameter { name, shape, data }
    };
    Weights::new(config, shapes(config).map(parameter).collect()).expect("all tensors are there")
}

fn network(config: &EncoderConfig, outputs: usize, pooling: Pooling, normalise: bool) -> Network {
    Network { layout: Layout::new(config, outputs), pooling, normalise }
}

/// Four kinds of text, told apart by one of their tokens.
fn rows(number: usize) -> Vec<Example> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..number)
        .map(|row| {
            let label = row as u32 % 4;
            let mut tokens: Vec<u32> = (0..random.usize(2..4)).map(|_| random.u32(8..20)).collect();
            tokens.insert(random.usize(..tokens.len()), label + 2);
            Example { tokens, targets: vec![label], weight: 1.0 + (row % 3) as f32 }
        })
        .collect()
}

fn settings() -> Settings {
    Settings { epochs: 6, patience: 6, rate: 1e-2, batch_rows: 8, seed: 1, ..Settings::default() }
}

fn go_on(_: Walked) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn train(
    network: &Network,
    base: &Weights,
    resume: Option<&Resume>,
    progress: &(dyn Fn(Walked) -> ControlFlow<()> + Sync),
) -> Result<Tuned, Stopped> {
    let settings = settings();
    let objective = Objective::OneLabel;
    let training = Finetuning { network, base, objective, settings: &settings, progress, resume };
    let rows = rows(80);
    training.run(network.layout.start(base, &[]), &rows[..64], &rows[64..])
}

/// The slope along a direction, by the two losses beside a point.
fn slope(loss: &dyn Fn(&[f32]) -> f64, at: &[f32], direction: &[f32]) -> f64 {
    const STEP: f32 = 4e-3;
    let moved = |by: f32| -> Vec<f32> { at.iter().zip(direction).map(|(x, d)| x + by * d).collect() };
    (loss(&moved(STEP)) - loss(&moved(-STEP))) / f64::from(2.0 * STEP)
}

/// Every tensor's gradient is non-zero, and agrees with finite differences along itself and along chance directions.
fn check_gradients(activation: Activation, pooling: Pooling, normalise: bool, objective: Objective) {
    let config = config(activation);
    let (base, network) = (base(&config), network(&config, 4, pooling, normalise));
    let settings = settings();
    let training = Finetuning {
        network: &network,
        base: &base,
        objective,
        settings: &settings,
        progress: &go_on,
        resume: None,
    };
    let mut random = fastrand::Rng::with_seed(9);
    let head: Vec<f32> = (0..4 * 9).map(|_| 2.0 * (random.f32() - 0.5)).collect();
    let at = network.layout.start(&base, &head);
    let mut rows = rows(7);
    if objective == Objective::SeveralLabels {
        rows[0].targets = vec![0, 3];
        rows[1].targets = Vec::new();
    }
    let (_, gradients) = training.loss_and_gradients(&at, &rows);
    let loss = |at: &[f32]| training.loss_and_gradients(at, &rows).0;
    for tensor in &network.layout.tensors {
        let own = &gradients[tensor.range.clone()];
        let length = own.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        // A key's bias adds the same to all scores of a query, which a softmax doesn't see: its gradient is zero.
        if tensor.name.ends_with("key.bias") {
            assert!(length < 1e-6, "{}: {length}", tensor.name);
            continue;
        }
        assert!(length > 1e-5, "{} gets no gradient: {length}", tensor.name);
        for number in 0..4 {
            let mut direction = vec![0.0; at.len()];
            for (to, g) in direction[tensor.range.clone()].iter_mut().zip(own) {
                *to = if number == 0 { g / length as f32 } else { random.f32() - 0.5 };
            }
            let told: f64 = direction.iter().zip(&gradients).map(|(d, g)| f64::from(d * g)).sum();
            let found = slope(&loss, &at, &direction);
            let allowed = 2e-4 + 0.03 * told.abs().max(0.05 * length);
            assert!((told - found).abs() < allowed, "{} ({number}): {told} told, {found} found", tensor.name);
        }
    }
}

#[test]
fn every_trained_tensors_gradient_agrees_with_finite_differences() {
    check_gradients(Activation::Gelu, Pooling::Mean, true, Objective::OneLabel);
}

#[test]
fn so_it_does_for_other_activations_poolings_and_losses() {
    check_gradients(Activation::GeluTanh, Pooling::Cls, false, Objective::SeveralLabels);
    check_gradients(Activation::Relu, Pooling::Cls, true, Objective::OneLabel);
    check_gradients(Activation::Gelu, Pooling::Mean, false, Objective::SeveralLabels);
}

#[test]
fn training_learns_what_the_rows_show_and_says_how_it_went() {
    let config = config(Activation::Gelu);
    let (base, network) = (base(&config), network(&config, 4, Pooling::Mean, true));
    let tuned = train(&network, &base, None, &go_on).expect("nobody stops it");
    let (first, last) = (tuned.curve.first().expect("a pass"), tuned.curve.last().expect("a pass"));
    assert!(last.loss < 0.7 * first.loss, "{:?}", tuned.curve);
    assert!(last.held_out_accuracy.is_some_and(|accuracy| accuracy > 0.5), "{:?}", tuned.curve);
}

#[test]
fn the_same_seed_gives_the_same_numbers_on_one_thread_and_on_three() {
    let config = config(Activation::Gelu);
    let (base, network) = (base(&config), network(&config, 4, Pooling::Mean, true));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| train(&network, &base, None, &go_on)).expect("nobody stops it")
    };
    assert!(on(1) == on(3));
}

#[test]
fn a_run_that_was_stopped_half_way_goes_on_to_the_very_same_end() {
    let config = config(Activation::Gelu);
    let (base, network) = (base(&config), network(&config, 4, Pooling::Mean, true));
    let folder = tempfile::tempdir().expect("a folder");
    let resume = Resume { file: folder.path().join("run.safetensors"), key: "these rows".to_owned() };
    let steps = AtomicU32::new(0);
    let stop_at = |at: u32| {
        move |steps: &AtomicU32| match steps.fetch_add(1, Ordering::Relaxed) + 1 == at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let stop = stop_at(21);
    assert!(train(&network, &base, Some(&resume), &|_| stop(&steps)) == Err(Stopped));
    steps.store(0, Ordering::Relaxed);
    let resumed = train(&network, &base, Some(&resume), &|_| {
        steps.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    assert_eq!(steps.load(Ordering::Relaxed), 48 - 21, "what was done is not done again");
    assert!(resumed == train(&network, &base, None, &go_on));
}

#[test]
fn a_kept_run_of_other_rows_or_with_damage_is_not_gone_on_with() {
    let config = config(Activation::Gelu);
    let (base, network) = (base(&config), network(&config, 4, Pooling::Mean, true));
    let folder = tempfile::tempdir().expect("a folder");
    let resume = Resume { file: folder.path().join("run.safetensors"), key: "these rows".to_owned() };
    let stop = |_| ControlFlow::Break(());
    assert!(train(&network, &base, Some(&resume), &stop).is_err());
    let numbers = network.layout.length;
    assert!(resume.load(numbers).is_some());
    assert!(Resume { key: "other rows".to_owned(), ..resume.clone() }.load(numbers).is_none());
    let mut bytes = std::fs::read(&resume.file).expect("it is there");
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&resume.file, &bytes).expect("writable");
    assert!(resume.load(numbers).is_none());
    std::fs::write(&resume.file, &bytes[..last]).expect("writable");
    assert!(resume.load(numbers).is_none());
}
