//! Which way of teaching is kept? The one that is right most often on the same rows, none of which it had seen.

use sprat_task::Told;
use sprat_task::model::{Gain, Pass, Tried};

use super::super::finetune::CurvePoint;
use super::config::FineTune;
use super::held_out::{HeldOut, Judged};
use super::run::{Run, Trial};
use crate::linear;

/// What stands beside every other way.
const LINEAR: &str = "the linear model alone";
/// A way's answers, blended with those of the linear model.
const BLENDED: &str = "the same, with the linear model";

/// A way of teaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A head over the encoder as it came.
    AsItCame,
    /// The encoder fine-tuned by pairs, and a head over it.
    ByPairs,
    /// The encoder fine-tuned with its head, by labels.
    ByLabels,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::AsItCame => "the head over the encoder as it came",
            Self::ByPairs => "the encoder fine-tuned by pairs",
            Self::ByLabels => "the encoder fine-tuned by labels",
        }
    }
}

/// What the rung becomes.
pub struct Chosen {
    pub way: Way,
    /// The rows that it was judged on, and what it says of them.
    pub rows: Vec<usize>,
    pub judged: Judged,
    pub told: Told,
}

/// What was tried.
pub struct Trials<'a> {
    pub as_it_came: &'a HeldOut,
    pub by_pairs: Option<&'a Trial>,
    pub by_labels: Option<&'a Trial>,
}

impl Trials<'_> {
    fn each(&self) -> impl Iterator<Item = (Way, &HeldOut)> {
        let pairs = self.by_pairs.map(|trial| (Way::ByPairs, &trial.held_out));
        let labels = self.by_labels.map(|trial| (Way::ByLabels, &trial.held_out));
        [(Way::AsItCame, self.as_it_came)].into_iter().chain(pairs).chain(labels)
    }

    /// The rows that none of the ways had seen.
    fn rows(&self) -> Vec<usize> {
        let mut rows = self.as_it_came.rows.clone();
        for (_, held_out) in self.each() {
            rows.retain(|row| held_out.rows.binary_search(row).is_ok());
        }
        rows
    }
}

/// Something that was tried, and which of the rows it answers rightly.
struct Judge {
    name: &'static str,
    right: Vec<bool>,
}

impl Judge {
    fn accuracy(&self) -> f64 {
        self.right.iter().filter(|right| **right).count() as f64 / self.right.len().max(1) as f64
    }
}

impl Run<'_> {
    /// Chooses among what was tried; the cheaper way where two are equally often right.
    pub fn choose(&self, linear: &[linear::Prediction], trials: &Trials<'_>) -> Chosen {
        let rows = trials.rows();
        let mut judges = vec![Judge { name: LINEAR, right: self.linear_alone(linear, &rows) }];
        let mut ways = Vec::new();
        for (way, held_out) in trials.each() {
            let judged = held_out.judge(&self.lessons, linear, self.config.in_scope_loss);
            let alone = held_out.right_alone(&self.lessons, &rows);
            judges.push(Judge { name: way.name(), right: alone });
            judges.push(Judge { name: BLENDED, right: judged.right(&held_out.rows, self.rows, &rows) });
            ways.push((way, judged, judges.len() - 1));
        }
        let better = |best: usize, at: usize| {
            if judges[ways[at].2].accuracy() > judges[ways[best].2].accuracy() { at } else { best }
        };
        let best = match self.config.fine_tune {
            FineTune::Always | FineTune::Contrastive => ways.len() - 1,
            FineTune::Auto | FineTune::Never => (1..ways.len()).fold(0, better),
        };
        let fine_tuned = if best > 0 { best } else { (1..ways.len()).reduce(better).unwrap_or(0) };
        let told = Told {
            tried: judges
                .iter()
                .enumerate()
                .map(|(at, judge)| Tried {
                    name: judge.name.to_owned(),
                    rows: rows.len() as u64,
                    accuracy: judge.accuracy(),
                    chosen: at == ways[best].2,
                })
                .collect(),
            gains: gains(&judges, &ways, fine_tuned),
            pair_passes: trials.by_pairs.map(|trial| passes(&trial.curve)).unwrap_or_default(),
            passes: trials.by_labels.map(|trial| passes(&trial.curve)).unwrap_or_default(),
        };
        let (way, judged, _) = ways.swap_remove(best);
        let rows = trials.each().find(|(other, _)| *other == way);
        let rows = rows.map(|(_, held_out)| held_out.rows.clone()).unwrap_or_default();
        Chosen { way, rows, judged, told }
    }

    fn linear_alone(&self, linear: &[linear::Prediction], among: &[usize]) -> Vec<bool> {
        let is_right = |row: &usize| {
            let logs = &linear[*row].log_probabilities;
            // Above zero is above one half.
            let odds: Vec<f32> = logs.iter().map(|log| log - (-log.exp()).ln_1p().max(-30.0)).collect();
            self.lessons.objective.is_right(&odds, &self.lessons.targets[*row])
        };
        among.iter().map(is_right).collect()
    }
}

/// What one of the ways, blended, gained over what there was before it: the encoder as it came, blended, and the linear model.
fn gains(judges: &[Judge], ways: &[(Way, Judged, usize)], of: usize) -> Vec<Gain> {
    let (way, _, at) = &ways[of];
    let gain = |over: usize, name: &str| {
        let both = judges[*at].right.iter().zip(&judges[over].right);
        let (mut only_it, mut only_other) = (0, 0);
        for (it, other) in both {
            only_it += u64::from(*it && !other);
            only_other += u64::from(*other && !it);
        }
        Gain {
            of: way.name().to_owned(),
            over: name.to_owned(),
            rows: judges[over].right.len() as u64,
            only_it,
            only_other,
        }
    };
    let before = (of > 0).then(|| gain(ways[0].2, Way::AsItCame.name()));
    before.into_iter().chain([gain(0, LINEAR)]).collect()
}

fn passes(curve: &[CurvePoint]) -> Vec<Pass> {
    let pass = |point: &CurvePoint| Pass {
        pass: point.epoch,
        loss: point.loss,
        held_out_loss: point.held_out_loss,
        held_out_accuracy: point.held_out_accuracy,
    };
    curve.iter().map(pass).collect()
}
