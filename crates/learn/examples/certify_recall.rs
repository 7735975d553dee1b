//! Puts any model's scores of categories through what `sprat learn` does for a task that moderates: limits below which a
//! category is clear, drawn up on rows answered out of fold, then the certificate with its recall for each category:
//!
//! `certify_recall < scores.json > verdict.json`
//!
//! Reads `{"max_error": 0.05, "max_missed": 0.05, "confidence": 0.95, "categories": ["hate"], "tuning": [row, ...],
//! "fresh": [row, ...], "other": [row, ...]}` with rows such as `{"sure": 0.9, "scores": [-1.2], "said": [], "right":
//! ["hate"]}`: how likely the whole answer is right, a score of each category, the answer and the truth. Writes the status
//! and which rows of `fresh` and `other` are answered small.

use std::io::{stdin, stdout};

use serde::Deserialize;
use serde_json::json;
use sprat_stats::calibration::clear_below;
use sprat_stats::risk_control::{
    Constraint, Costs, Positive, Promise, Risk, RungAnswer, Sample, Status, certify,
};

#[derive(Deserialize)]
struct Scores {
    max_error: f64,
    max_missed: f64,
    confidence: f64,
    categories: Vec<String>,
    tuning: Vec<Row>,
    fresh: Vec<Row>,
    other: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    sure: f64,
    scores: Vec<f64>,
    said: Vec<String>,
    right: Vec<String>,
}

impl Row {
    /// How sure the answer is; of nothing, while a category is neither flagged nor clear.
    fn confidence(&self, categories: &[String], limits: &[Option<f64>]) -> f64 {
        let mut all = categories.iter().zip(limits).zip(&self.scores);
        let settled = all.all(|((category, limit), score)| {
            self.said.contains(category) || limit.is_some_and(|limit| *score < limit)
        });
        if settled { self.sure } else { 0.0 }
    }

    fn positives(&self, categories: &[String]) -> Vec<Positive> {
        let here = (0_u16..).zip(categories).filter(|(_, category)| self.right.contains(category));
        let missed = |category: &String| vec![!self.said.contains(category)];
        here.map(|(number, category)| Positive { category: number, missed: missed(category) }).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Scores = serde_json::from_reader(stdin().lock())?;
    let categories = &given.categories;
    let numbers = 0..u16::try_from(categories.len())?;
    let recall = |category| Constraint::Recall { category, max_missed: given.max_missed };
    let promise = Promise {
        confidence: given.confidence,
        constraints: numbers.map(recall).collect(),
        ..Promise::new(given.max_error, Risk::Selective)
    };
    let limits: Vec<Option<f64>> =
        categories.iter().enumerate().map(|(place, name)| limit(&given, place, name, &promise)).collect();
    let sample = |rows: &[Row]| -> Result<Sample, Box<dyn std::error::Error>> {
        let mut sample = Sample::new(1);
        for row in rows {
            let (mut said, mut right) = (row.said.clone(), row.right.clone());
            said.sort();
            right.sort();
            let answer = RungAnswer::new(Some(row.confidence(categories, &limits)), said != right);
            sample.push_positive(&[answer], &[], row.positives(categories))?;
        }
        Ok(sample)
    };
    let found = certify(&promise, &Costs::of_coverage(1), &sample(&given.tuning)?, &sample(&given.fresh)?)?;
    let status = match &found.status {
        Status::Certified(_) => "certified",
        Status::Underpowered { .. } => "underpowered",
        Status::Infeasible(_) => "infeasible",
        Status::Uneconomic { .. } => "uneconomic",
        Status::RefusedWhenAnswered { .. } => "refused",
    };
    let threshold = found.certified().and_then(|found| found.deployed.configuration.thresholds[0]);
    let small = |rows: &[Row]| -> Vec<bool> {
        let above = |row: &Row| threshold.is_some_and(|least| row.confidence(categories, &limits) > least);
        rows.iter().map(above).collect()
    };
    let verdict = json!({"status": status, "fresh": small(&given.fresh), "other": small(&given.other)});
    Ok(serde_json::to_writer(stdout().lock(), &verdict)?)
}

/// As `sprat learn` draws it up.
fn limit(given: &Scores, place: usize, name: &String, promise: &Promise) -> Option<f64> {
    let positives = given.tuning.iter().filter(|row| row.right.contains(name));
    let scored: Vec<(f64, bool)> =
        positives.map(|row| (row.scores[place], row.said.contains(name))).collect();
    let fresh = scored.len() as f64 * given.fresh.len() as f64 / given.tuning.len().max(1) as f64;
    clear_below(&scored, given.max_missed, fresh as u64, promise.first_level())
}
