//! How does a tagger come from rows?
//!
//! Stochastic gradient ascent on the likelihood of the rows' tags, with AdaGrad's steps (Duchi, Hazan and Singer 2011; one
//! sum of squares a feature, not one a weight). Where a value stands at several
//! places in its text, nobody has said which of them is meant: the likeliest under the weights so far is taught, chosen
//! anew at each visit.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sprat_task::extract::spans::Place;
use sprat_task::extract::{Span, align};
use sprat_task::{Field, LabelledRow, Task};

use super::artifact::Header;
use super::config::Config;
use super::crf::{Beliefs, Transitions, add_observed, tags};
use super::features::{Reading, read};
use super::lexicon::Lexicon;
use super::model::{Scratch, Tagged, TaggerModel, Weights};
use super::rows::{self, Step};
use crate::linear::corpus::Hashed;
use crate::linear::shuffle;

/// A row to learn from.
pub struct Row<'a> {
    /// Its text.
    pub text: &'a str,
    /// Its values, each with every place where it stands: one place where somebody said which.
    pub values: Vec<Value>,
    /// Whether all of its values were found in it. A row with one that wasn't would teach that its words are nothing, and
    /// is only asked about.
    pub is_whole: bool,
    /// How many identical rows it stands for.
    pub weight: f32,
}

/// A value of a row.
#[derive(Clone, Debug)]
pub struct Value {
    /// The field's place among the task's.
    pub field: usize,
    /// Where it stands, as words; not empty.
    pub places: Vec<Range<usize>>,
}

/// Someone who looks on and may stop the training.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Told of each pass: its mean loss a row.
    pub pass: &'a (dyn Fn(f32) + Sync),
    /// Set to true, it ends the training soon.
    pub cancelled: &'a AtomicBool,
}

/// Somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// A model, and what it sees in the rows of the fold that it wasn't fitted on.
type Part = (TaggerModel, Vec<(usize, Tagged)>);

/// Trains a model on all rows, and says of every row what a model sees in it that was fitted on the other folds only.
pub fn fit_with_folds(
    rows: &[Row<'_>],
    folds: &[u32],
    fields: &[Field],
    config: &Config,
    watch: Watch<'_>,
) -> Result<(TaggerModel, Vec<Tagged>), Cancelled> {
    let parts = 1 + folds.iter().max().map_or(0, |fold| fold + 1);
    let fitted: Result<Vec<Part>, Cancelled> = (0..parts)
        .into_par_iter()
        .map(|part| {
            // The first part is the model itself.
            let fold = part.checked_sub(1);
            let taught: Vec<usize> = (0..rows.len()).filter(|row| Some(folds[*row]) != fold).collect();
            let model = fit(rows, &taught, fields, config, watch)?;
            let mut scratch = Scratch::default();
            let asked = (0..rows.len()).filter(|row| Some(folds[*row]) == fold);
            let tagged = asked.map(|row| (row, model.tag(rows[row].text, fields, &mut scratch))).collect();
            Ok((model, tagged))
        })
        .collect();
    let mut fitted = fitted?;
    let mut held_out: Vec<(usize, Tagged)> =
        fitted.iter_mut().flat_map(|(_, tagged)| tagged.drain(..)).collect();
    held_out.sort_by_key(|(row, _)| *row);
    let (model, _) = fitted.swap_remove(0);
    Ok((model, held_out.into_iter().map(|(_, tagged)| tagged).collect()))
}

/// Trains a model on some of the rows.
pub fn fit(
    rows: &[Row<'_>],
    taught: &[usize],
    fields: &[Field],
    config: &Config,
    watch: Watch<'_>,
) -> Result<TaggerModel, Cancelled> {
    let taught: Vec<&Row<'_>> = taught.iter().map(|row| &rows[*row]).filter(|row| row.is_whole).collect();
    let places: Vec<Place<'_>> = taught.iter().map(|row| Place::new(row.text)).collect();
    let values: Vec<Vec<(usize, Range<usize>)>> = taught.iter().map(|row| row.first_places()).collect();
    let lexicon = Lexicon::build(fields, places.iter().zip(values.iter().map(Vec::as_slice)));
    let design = Design::new(&places, &values, &lexicon, config);
    let mut learner = Learner::new(&design, fields.len(), config);
    let mut order: Vec<usize> = (0..taught.len()).collect();
    let mut random = config.seed;
    for epoch in 0..config.epochs {
        shuffle(&mut order, &mut random);
        let mut loss = 0.0;
        for &row in &order {
            if watch.cancelled.load(Ordering::Relaxed) {
                return Err(Cancelled);
            }
            // Rows that leave open which place is meant wait for those that don't.
            if epoch > 0 || taught[row].is_clear() {
                loss += learner.visit(row, taught[row]);
            }
        }
        (watch.pass)((loss / order.len().max(1) as f64) as f32);
    }
    let (weights, transitions) = learner.into_weights();
    Ok(TaggerModel {
        header: Header {
            fields: fields.iter().map(|field| field.name.clone()).collect(),
            config: config.clone(),
            rows: taught.len() as u64,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            calibration: vec![(1.0, 0.0); fields.len()],
            features: 0,
            phrases: 0,
            longest_phrase: 0,
        },
        weights,
        transitions,
        lexicon,
    })
}

impl<'a> Row<'a> {
    /// What a labelled row teaches; `None` where it has no record.
    pub fn of(task: &Task, row: &'a LabelledRow) -> Option<Self> {
        let aligned = align(task, row)?;
        Some(Self {
            text: &row.input.text,
            values: aligned.values.into_iter().map(|(field, places)| Value { field, places }).collect(),
            is_whole: aligned.nowhere.is_empty(),
            weight: row.weight,
        })
    }

    fn first_places(&self) -> Vec<(usize, Range<usize>)> {
        self.values.iter().filter_map(|value| Some((value.field, value.places.first()?.clone()))).collect()
    }

    fn is_clear(&self) -> bool {
        self.values.iter().all(|value| value.places.len() == 1)
    }
}

/// The rows' features, numbered.
struct Design {
    hashes: Vec<u64>,
    rows: Vec<Numbered>,
}

/// A row's features by number; those that are not kept are left out.
struct Numbered {
    features: Vec<u32>,
    starts: Vec<u32>,
    about: Vec<u32>,
}

impl Design {
    fn new(
        places: &[Place<'_>],
        values: &[Vec<(usize, Range<usize>)>],
        lexicon: &Lexicon,
        config: &Config,
    ) -> Self {
        let readings: Vec<Reading> =
            places.iter().zip(values).map(|(place, own)| read(place, lexicon, own)).collect();
        let mut counts: HashMap<u64, u32, BuildHasherDefault<Hashed>> = HashMap::default();
        for hash in readings.iter().flat_map(|reading| reading.all()) {
            *counts.entry(*hash).or_default() += 1;
        }
        let mut kept: Vec<(u64, u32)> =
            counts.into_iter().filter(|(_, count)| *count >= config.least_count).collect();
        kept.sort_unstable_by_key(|(hash, count)| (std::cmp::Reverse(*count), *hash));
        kept.truncate(config.max_features);
        let hashes: Vec<u64> = kept.into_iter().map(|(hash, _)| hash).collect();
        let numbers: HashMap<u64, u32, BuildHasherDefault<Hashed>> =
            hashes.iter().zip(0..).map(|(hash, number)| (*hash, number)).collect();
        let numbered = |hashes: &[u64], into: &mut Vec<u32>| {
            into.extend(hashes.iter().filter_map(|hash| numbers.get(hash)));
        };
        let number = |reading: &Reading| {
            let mut row = Numbered { features: Vec::new(), starts: vec![0], about: Vec::new() };
            numbered(&reading.about, &mut row.about);
            for at in 0..reading.words() {
                numbered(reading.of_word(at), &mut row.features);
                row.starts.push(row.features.len() as u32);
            }
            row
        };
        let rows = readings.iter().map(number).collect();
        Self { hashes, rows }
    }
}

impl Numbered {
    fn words(&self) -> usize {
        self.starts.len() - 1
    }

    fn of_word(&self, at: usize) -> &[u32] {
        &self.features[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// Weights on their way.
struct Learner<'a> {
    design: &'a Design,
    config: &'a Config,
    tags: usize,
    weights: Vec<f32>,
    /// For each feature, the sum of squares of what has moved it.
    moved: Vec<f32>,
    transitions: Transitions,
    moved_transitions: Transitions,
    beliefs: Beliefs,
    scores: Vec<f32>,
    about: Vec<f32>,
}

/// A tag's error below this moves nothing worth the time.
const IDLE: f32 = 1e-4;

impl<'a> Learner<'a> {
    fn new(design: &'a Design, fields: usize, config: &'a Config) -> Self {
        let tags = 2 * fields + 1;
        Self {
            design,
            config,
            tags,
            weights: vec![0.0; design.hashes.len() * tags],
            moved: vec![0.0; design.hashes.len()],
            transitions: Transitions::new(fields),
            moved_transitions: Transitions::new(fields),
            beliefs: Beliefs::default(),
            scores: Vec::new(),
            about: Vec::new(),
        }
    }

    /// Moves the weights towards one row; gives its loss.
    fn visit(&mut self, row: usize, taught: &Row<'_>) -> f64 {
        let features = &self.design.rows[row];
        if features.words() == 0 {
            return 0.0;
        }
        self.score(features);
        self.beliefs.of(&self.scores, &self.transitions);
        let spans = self.meant(taught);
        let right = tags(&spans, features.words(), self.transitions.fields);
        let loss = self.beliefs.log_sum - super::crf::score(&spans, &self.scores, &self.transitions);
        let mut of_text = vec![0.0; self.tags];
        let mut error = Vec::new();
        for at in 0..features.words() {
            self.beliefs.of_word(at, &mut error);
            error.iter_mut().for_each(|share| *share = -*share * taught.weight);
            error[right[at]] += taught.weight;
            of_text.iter_mut().zip(&error).for_each(|(sum, error)| *sum += error);
            if error.iter().any(|error| error.abs() > IDLE) {
                self.step(features.of_word(at), &error);
            }
        }
        self.step(&features.about, &of_text);
        self.step_transitions(&right, taught.weight);
        loss
    }

    fn score(&mut self, features: &Numbered) {
        self.about.clear();
        self.about.resize(self.tags, 0.0);
        rows::add(&features.about, &self.weights, &mut self.about);
        self.scores.clear();
        for at in 0..features.words() {
            let start = self.scores.len();
            self.scores.extend_from_slice(&self.about);
            rows::add(features.of_word(at), &self.weights, &mut self.scores[start..]);
        }
    }

    fn step(&mut self, features: &[u32], error: &[f32]) {
        let Config { rate, decay, .. } = *self.config;
        Step { error, rate, decay }.take(features, &mut self.weights, &mut self.moved);
    }

    /// The likeliest place of each value, none on top of another.
    fn meant(&self, taught: &Row<'_>) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for value in &taught.values {
            let is_free = |place: &&Range<usize>| {
                spans.iter().all(|span| span.words.end <= place.start || span.words.start >= place.end)
            };
            let likelihood = |place: &Range<usize>| self.beliefs.of_span(value.field, place);
            let best = value
                .places
                .iter()
                .filter(is_free)
                .reduce(|best, place| if likelihood(place) > likelihood(best) { place } else { best });
            spans.extend(best.map(|place| Span { field: value.field, words: place.clone() }));
        }
        spans
    }

    fn step_transitions(&mut self, right: &[usize], weight: f32) {
        let mut error = Transitions::new(self.transitions.fields);
        self.beliefs.add_expected(&mut error, -weight);
        add_observed(right, &mut error, weight);
        let rate = self.config.rate;
        let go = |weights: &mut [f32], moved: &mut [f32], error: &[f32]| {
            for ((weight, moved), error) in weights.iter_mut().zip(moved).zip(error) {
                if error.abs() > IDLE {
                    *moved += error * error;
                    *weight += rate * error / (moved.sqrt() + 1e-6);
                }
            }
        };
        go(&mut self.transitions.next, &mut self.moved_transitions.next, &error.next);
        go(&mut self.transitions.go_on, &mut self.moved_transitions.go_on, &error.go_on);
    }

    /// Each feature's weights as whole numbers of -127 to 127 and one scale; features without any weight are left out.
    fn into_weights(self) -> (Weights, Transitions) {
        let (mut hashes, mut scales, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (hash, row) in self.design.hashes.iter().zip(self.weights.chunks_exact(self.tags)) {
            let largest = row.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
            if largest > 0.0 {
                hashes.push(*hash);
                scales.push(largest / 127.0);
                weights.extend(row.iter().map(|weight| (weight * 127.0 / largest).round() as i8));
            }
        }
        (Weights::new(self.tags, hashes, scales, weights), self.transitions)
    }
}
