//! Nothing is lost on the way back, and nothing depends on threads or on having been interrupted.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::weights::shapes;
use super::super::{Activation, EncoderConfig, Parameter, Pooling, Weights};
use super::contrast::Contrast;
use super::examples::Example;
use super::labelled::Labelled;
use super::lanes::Lanes;
use super::layout::Layout;
use super::network::Network;
use super::objective::Objective;
use super::resume::Resume;
use super::walk::{Lesson, Settings, Stopped, Tuned, Walk, Walked};

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

fn network<'a>(
    config: &EncoderConfig,
    base: &'a Weights,
    outputs: usize,
    pooling: Pooling,
    normalise: bool,
) -> Network<'a> {
    Network { layout: Layout::new(config, outputs), base, pooling, normalise }
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

/// What is taught.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taught {
    Labels(Objective),
    /// With a label that means "none of the others".
    Pairs(Option<u32>),
}

/// Both ways of teaching.
const WAYS: [Taught; 2] = [Taught::Labels(Objective::OneLabel), Taught::Pairs(None)];

impl Taught {
    fn outputs(self) -> usize {
        if matches!(self, Self::Labels(_)) { 4 } else { 0 }
    }

    /// Does something with the lesson of some rows.
    fn lesson<T>(
        self,
        network: &Network<'_>,
        (rows, held_out): (&[Example], &[Example]),
        work: impl FnOnce(&dyn Lesson) -> T,
    ) -> T {
        let settings = &settings();
        match self {
            Self::Labels(objective) => work(&Labelled { network, objective, settings, rows, held_out }),
            Self::Pairs(out_of_scope) => work(&Contrast { network, settings, rows, out_of_scope }),
        }
    }
}

fn train(
    taught: Taught,
    network: &Network<'_>,
    resume: Option<&Resume>,
    progress: &(dyn Fn(Walked) -> ControlFlow<()> + Sync),
) -> Result<Tuned, Stopped> {
    let settings = settings();
    let walk = Walk { layout: &network.layout, settings: &settings, progress, resume };
    let rows = rows(80);
    let start = network.layout.start(network.base, &[]);
    taught.lesson(network, (&rows[..64], &rows[64..]), |lesson| walk.run(lesson, start))
}

/// The slope along a direction, by the two losses beside a point.
fn slope(loss: &dyn Fn(&[f32]) -> f64, at: &[f32], direction: &[f32]) -> f64 {
    const STEP: f32 = 4e-3;
    let moved = |by: f32| -> Vec<f32> { at.iter().zip(direction).map(|(x, d)| x + by * d).collect() };
    (loss(&moved(STEP)) - loss(&moved(-STEP))) / f64::from(2.0 * STEP)
}

/// Every tensor's gradient is non-zero, and agrees with finite differences along itself and along chance directions.
fn check_gradients(activation: Activation, pooling: Pooling, normalise: bool, taught: Taught) {
    let config = config(activation);
    let base = base(&config);
    let network = network(&config, &base, taught.outputs(), pooling, normalise);
    let mut random = fastrand::Rng::with_seed(9);
    let head: Vec<f32> = (0..taught.outputs() * 9).map(|_| 2.0 * (random.f32() - 0.5)).collect();
    let at = network.layout.start(&base, &head);
    let mut rows = rows(7);
    if taught != Taught::Labels(Objective::OneLabel) {
        rows[0].targets = vec![0, 3];
        rows[1].targets = Vec::new();
    }
    let batch: Vec<u32> = (0..7).collect();
    let loss_and_gradients = |at: &[f32]| {
        let mut lanes = Lanes::new();
        taught.lesson(&network, (&rows, &[]), |lesson| {
            let (sums, gradients) = lesson.gradients(at, &batch, &mut lanes);
            (sums.mean(), gradients.clone())
        })
    };
    let (_, gradients) = loss_and_gradients(&at);
    let loss = |at: &[f32]| loss_and_gradients(at).0;
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
    check_gradients(Activation::Gelu, Pooling::Mean, true, WAYS[0]);
}

#[test]
fn so_it_does_for_other_activations_poolings_and_losses() {
    let several = Taught::Labels(Objective::SeveralLabels);
    check_gradients(Activation::GeluTanh, Pooling::Cls, false, several);
    check_gradients(Activation::Relu, Pooling::Cls, true, WAYS[0]);
    check_gradients(Activation::Gelu, Pooling::Mean, false, several);
}

#[test]
fn so_it_does_for_pairs_with_several_labels_none_and_one_out_of_scope() {
    check_gradients(Activation::Gelu, Pooling::Mean, true, Taught::Pairs(None));
    check_gradients(Activation::GeluTanh, Pooling::Cls, true, Taught::Pairs(Some(2)));
}

#[test]
fn training_learns_what_the_rows_show_and_says_how_it_went() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    for taught in WAYS {
        let network = network(&config, &base, taught.outputs(), Pooling::Mean, true);
        let tuned = train(taught, &network, None, &go_on).expect("nobody stops it");
        let (first, last) = (tuned.curve.first().expect("a pass"), tuned.curve.last().expect("a pass"));
        assert!(last.loss < 0.85 * first.loss, "{taught:?}: {:?}", tuned.curve);
        if taught == WAYS[0] {
            assert!(last.held_out_accuracy.is_some_and(|accuracy| accuracy > 0.5), "{:?}", tuned.curve);
        }
    }
}

#[test]
fn a_row_that_counts_twice_counts_like_two_rows() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    for objective in [Objective::OneLabel, Objective::SeveralLabels] {
        let network = network(&config, &base, 4, Pooling::Mean, true);
        let settings = settings();
        let head: Vec<f32> = (0..4 * 9).map(|number| (number as f32).sin()).collect();
        let at = network.layout.start(&base, &head);
        let gradients = |rows: &[Example]| {
            let batch: Vec<u32> = (0..rows.len() as u32).collect();
            let lesson = Labelled { network: &network, objective, settings: &settings, rows, held_out: &[] };
            lesson.gradients(&at, &batch, &mut Lanes::new()).1.clone()
        };
        let mut heavy: Vec<Example> = rows(7).into_iter().map(|row| Example { weight: 1.0, ..row }).collect();
        let twice = gradients(&[&heavy[..1], &heavy].concat());
        heavy[0].weight = 2.0;
        let apart = twice.iter().zip(gradients(&heavy)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{objective:?}: {apart}");
    }
}

#[test]
fn pairs_bring_rows_of_a_label_together_that_were_never_shown() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    let network = network(&config, &base, 0, Pooling::Mean, true);
    let rows = rows(80);
    // The mean cosine of pairs alike, less that of the others.
    let lead = |parameters: &[f32]| {
        let embeddings = network.embeddings(parameters, &rows[64..]);
        let (mut alike, mut others) = ((0.0, 0.0), (0.0, 0.0));
        for one in 0..16 {
            for two in 0..one {
                let vector = |row: usize| &embeddings[row * 8..(row + 1) * 8];
                let cosine: f32 = vector(one).iter().zip(vector(two)).map(|(a, b)| a * b).sum();
                let of =
                    if rows[64 + one].targets == rows[64 + two].targets { &mut alike } else { &mut others };
                *of = (of.0 + cosine, of.1 + 1.0);
            }
        }
        alike.0 / alike.1 - others.0 / others.1
    };
    let before = lead(&network.layout.start(&base, &[]));
    let tuned = train(Taught::Pairs(None), &network, None, &go_on).expect("nobody stops it");
    let after = lead(&tuned.parameters);
    assert!(after > before + 0.05, "{before} before, {after} after");
}

#[test]
fn the_same_seed_gives_the_same_numbers_on_one_thread_and_on_three() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    for taught in WAYS {
        let network = network(&config, &base, taught.outputs(), Pooling::Mean, true);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| train(taught, &network, None, &go_on)).expect("nobody stops it")
        };
        assert!(on(1) == on(3), "{taught:?}");
    }
}

#[test]
fn a_run_that_was_stopped_half_way_goes_on_to_the_very_same_end() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    for taught in WAYS {
        let network = network(&config, &base, taught.outputs(), Pooling::Mean, true);
        let folder = tempfile::tempdir().expect("a folder");
        let resume = Resume { file: folder.path().join("run.safetensors"), key: "these rows".to_owned() };
        let steps = AtomicU32::new(0);
        let stop = |_| match steps.fetch_add(1, Ordering::Relaxed) + 1 == 21 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        assert!(train(taught, &network, Some(&resume), &stop) == Err(Stopped));
        let walk_on = || {
            steps.store(0, Ordering::Relaxed);
            let tuned = train(taught, &network, Some(&resume), &|_| {
                steps.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Continue(())
            });
            (tuned, steps.load(Ordering::Relaxed))
        };
        let (resumed, taken) = walk_on();
        assert_eq!(taken, 48 - 21, "{taught:?}: what was done is not done again");
        assert!(resumed == train(taught, &network, None, &go_on), "{taught:?}");
        let (again, taken) = walk_on();
        assert!(again == resumed && taken == 0, "{taught:?}: an end that was reached is there at once");
    }
}

#[test]
fn a_kept_run_of_other_rows_or_with_damage_is_not_gone_on_with() {
    let config = config(Activation::Gelu);
    let base = base(&config);
    let network = network(&config, &base, 4, Pooling::Mean, true);
    let folder = tempfile::tempdir().expect("a folder");
    let resume = Resume { file: folder.path().join("run.safetensors"), key: "these rows".to_owned() };
    let stop = |_| ControlFlow::Break(());
    assert!(train(WAYS[0], &network, Some(&resume), &stop).is_err());
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
