//! What was tried in training: a table of what each got on rows that it had not seen, what training more brought, and the
//! loss by pass.

use sprat_stats::interval::Estimate;
use sprat_task::Told;
use sprat_task::model::{Gain, Pass};

use super::axis::Axis;
use super::format::{UNKNOWN, count, percent, points, shown};
use super::plots::{Drawing, Plot};
use super::svg::{Frame, Plane};
use super::words::significant;
use crate::evidence::{Evidence, RungEvidence};
use crate::gains::gained;

/// A thing that was tried, as a row of the table.
pub struct TriedRow {
    /// The rung it was tried for.
    pub model: String,
    /// What it is.
    pub name: String,
    /// Share that is right, and on how many rows.
    pub cells: [String; 2],
    /// Whether it is what the rung became.
    pub chosen: bool,
}

/// Everything that was tried, rung by rung.
pub fn tried(evidence: &Evidence) -> Vec<TriedRow> {
    let of_rung = |rung: &RungEvidence| -> Vec<TriedRow> {
        let tried = rung.told.iter().flat_map(|told| &told.tried);
        tried
            .map(|tried| TriedRow {
                model: shown(rung.model.as_str()),
                name: shown(&tried.name),
                cells: [percent(tried.accuracy), count(tried.rows)],
                chosen: tried.chosen,
            })
            .collect()
    };
    evidence.rungs.iter().flat_map(of_rung).collect()
}

/// What training more brought, as a row of the table.
pub struct GainRow {
    /// The rung.
    pub model: String,
    /// What was trained, and what it is compared with.
    pub names: [String; 2],
    /// The difference with its interval, and the rows that only one of the two got right.
    pub cells: [String; 3],
}

/// What training more brought over what there was before, rung by rung.
pub fn gains(evidence: &Evidence) -> Vec<GainRow> {
    let of_rung = |rung: &RungEvidence| -> Vec<GainRow> {
        let gains = rung.told.iter().flat_map(|told| &told.gains);
        let row = |gain: &Gain| {
            let Estimate { value, interval } = gained(gain);
            GainRow {
                model: shown(rung.model.as_str()),
                names: [shown(&gain.of), shown(&gain.over)],
                cells: [
                    points(value),
                    format!("{} to {}", points(interval.lower), points(interval.upper)),
                    format!("{} / {} of {}", count(gain.only_it), count(gain.only_other), count(gain.rows)),
                ],
            }
        };
        gains.map(row).collect()
    };
    evidence.rungs.iter().flat_map(of_rung).collect()
}

/// The loss of the first rung that was fine-tuned by pairs, and of the first by labels, by pass.
pub fn loss_curves(evidence: &Evidence) -> Vec<Plot> {
    let first = |passes: for<'t> fn(&'t Told) -> &'t [Pass]| {
        let tuned = |rung: &RungEvidence| {
            let passes = passes(rung.told.as_ref()?);
            (!passes.is_empty()).then(|| (shown(rung.model.as_str()), passes.to_vec()))
        };
        evidence.rungs.iter().find_map(tuned)
    };
    let by_pairs = first(|told| &told.pair_passes).map(|(model, passes)| {
        let caption = format!(
            "Mean loss of {model} in nats, by pass over the rows: how surprising it is, seen from a row, which of the others have its \
             label. Nothing is held out from it; the head that is fitted afterwards was judged on rows it had not seen."
        );
        loss_curve("pair-loss-curve", "Loss while fine-tuning by pairs", caption, &passes)
    });
    let by_labels = first(|told| &told.passes).map(|(model, passes)| {
        let caption = format!(
            "Mean loss of {model} in nats, by pass over the rows: on the rows taught (solid), and on rows held out (dashed). It is \
             kept as it was where the dashed line is lowest."
        );
        loss_curve("loss-curve", "Loss while fine-tuning", caption, &passes)
    });
    by_pairs.into_iter().chain(by_labels).collect()
}

fn loss_curve(id: &'static str, title: &'static str, caption: String, passes: &[Pass]) -> Plot {
    let most =
        passes.iter().flat_map(|pass| [Some(pass.loss), pass.held_out_loss]).flatten().fold(0.0, f64::max);
    let x = Axis::up_to("passes", passes.len() as f64, significant);
    let y = Axis::up_to("loss", most, significant);
    let mut plane = Plane::new(Frame { id, title, description: &caption, x, y });
    plane.line("curve", passes.iter().map(|pass| (f64::from(pass.pass), pass.loss)));
    let held_out = |pass: &Pass| Some((f64::from(pass.pass), pass.held_out_loss?));
    plane.line("limit", passes.iter().filter_map(held_out));
    for pass in passes {
        plane.dot("dot", (f64::from(pass.pass), pass.loss), 4.0);
    }
    let (mut head, mut rows): (Vec<String>, Vec<Vec<String>>) = (
        ["pass", "loss, taught"].map(str::to_owned).to_vec(),
        passes.iter().map(|pass| vec![count(u64::from(pass.pass)), significant(pass.loss)]).collect(),
    );
    if passes.iter().any(|pass| pass.held_out_loss.is_some()) {
        head.extend(["loss, held out", "right, held out"].map(str::to_owned));
        for (row, pass) in rows.iter_mut().zip(passes) {
            let unknown = || UNKNOWN.to_owned();
            row.push(pass.held_out_loss.map_or_else(unknown, significant));
            row.push(pass.held_out_accuracy.map_or_else(unknown, percent));
        }
    }
    let svg = plane.into_svg();
    Plot { id, title, caption, drawing: Ok(Drawing { svg, head, rows }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::model::Tried;

    fn told() -> Told {
        let tried =
            |name: &str, accuracy, chosen| Tried { name: name.to_owned(), rows: 200, accuracy, chosen };
        let pass = |pass, loss, held_out_loss| Pass {
            pass,
            loss,
            held_out_loss: Some(held_out_loss),
            held_out_accuracy: Some(0.9),
        };
        Told {
            tried: vec![tried("as it came", 0.91, false), tried("<b>tuned</b>", 0.94, true)],
            gains: vec![Gain {
                of: "<b>tuned</b>".to_owned(),
                over: "as it came".to_owned(),
                rows: 200,
                only_it: 10,
                only_other: 4,
            }],
            pair_passes: vec![Pass { held_out_loss: None, held_out_accuracy: None, ..pass(1, 2.5, 0.0) }],
            passes: vec![pass(1, 1.5, 0.9), pass(2, 0.4, 0.5)],
        }
    }

    #[test]
    fn what_was_tried_and_how_the_loss_fell_stand_on_the_page_and_in_it_alone() {
        let mut evidence: Evidence =
            serde_json::from_str(include_str!("example.json")).expect("the example is evidence");
        let before = super::super::html(&evidence).expect("a page");
        for part in ["loss-curve", "What was tried", "What training brought"] {
            assert!(!before.contains(part), "{part}");
        }
        evidence.rungs[1].told = Some(told());
        let page = super::super::html(&evidence).expect("a page");
        for part in [
            "What was tried",
            "94.0%",
            "What training brought",
            "+3.0",
            "−0.8 to +7.3",
            "10 / 4 of 200",
            "\"loss-curve",
            "\"pair-loss-curve",
            "&#60;b&#62;tuned",
        ] {
            let brought = page.split_once("What training brought").map_or("", |(_, rest)| rest);
            assert!(page.contains(part), "{part}: {}", brought.get(..600).unwrap_or(brought));
        }
    }
}
