//! What was tried in training: a table of what each got on rows that it had not seen, and the loss by pass.

use super::axis::Axis;
use super::format::{count, percent, shown};
use super::plots::{Drawing, Plot};
use super::svg::{Frame, Plane};
use super::words::significant;
use crate::evidence::{Evidence, RungEvidence};

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

/// The loss of the first rung that was fine-tuned, by pass; `None` where none was.
pub fn loss_curve(evidence: &Evidence) -> Option<Plot> {
    let id = "loss-curve";
    let title = "Loss while fine-tuning";
    let tuned = |rung: &&RungEvidence| rung.told.as_ref().is_some_and(|told| !told.passes.is_empty());
    let rung = evidence.rungs.iter().find(tuned)?;
    let passes = &rung.told.as_ref()?.passes;
    let caption = format!(
        "Mean loss of {} in nats, by pass over the rows: on the rows taught (solid), and on rows held out (dashed). It is kept as \
         it was where the dashed line is lowest.",
        shown(rung.model.as_str())
    );
    let most =
        passes.iter().flat_map(|pass| [Some(pass.loss), pass.held_out_loss]).flatten().fold(0.0, f64::max);
    let x = Axis::up_to("passes", passes.len() as f64, significant);
    let y = Axis::up_to("loss", most, significant);
    let mut plane = Plane::new(Frame { id, title, description: &caption, x, y });
    plane.line("curve", passes.iter().map(|pass| (f64::from(pass.pass), pass.loss)));
    let held_out = |pass: &sprat_task::model::Pass| Some((f64::from(pass.pass), pass.held_out_loss?));
    plane.line("limit", passes.iter().filter_map(held_out));
    for pass in passes {
        plane.dot("dot", (f64::from(pass.pass), pass.loss), 4.0);
    }
    let unknown = || super::format::UNKNOWN.to_owned();
    let row = |pass: &sprat_task::model::Pass| {
        vec![
            count(u64::from(pass.pass)),
            significant(pass.loss),
            pass.held_out_loss.map_or_else(unknown, significant),
            pass.held_out_accuracy.map_or_else(unknown, percent),
        ]
    };
    let head = ["pass", "loss, taught", "loss, held out", "right, held out"].map(str::to_owned).to_vec();
    let drawing = Drawing { svg: plane.into_svg(), head, rows: passes.iter().map(row).collect() };
    Some(Plot { id, title, caption, drawing: Ok(drawing) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprat_task::Told;
    use sprat_task::model::{Pass, Tried};

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
            passes: vec![pass(1, 1.5, 0.9), pass(2, 0.4, 0.5)],
        }
    }

    #[test]
    fn what_was_tried_and_how_the_loss_fell_stand_on_the_page_and_in_it_alone() {
        let mut evidence: Evidence =
            serde_json::from_str(include_str!("example.json")).expect("the example is evidence");
        let before = super::super::html(&evidence).expect("a page");
        assert!(!before.contains("loss-curve") && !before.contains("What was tried"));
        evidence.rungs[1].told = Some(told());
        let page = super::super::html(&evidence).expect("a page");
        for part in ["What was tried", "94.0%", "Loss while fine-tuning", "&#60;b&#62;tuned"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
