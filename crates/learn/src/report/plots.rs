//! The plots: each with its numbers in a table, or with a sentence that says why it is missing.

use sprat_stats::interval::wilson;
use sprat_task::certificate::percent as short_percent;

use super::axis::Axis;
use super::format::{count, counted, percent, shown_within};
use super::svg::{Bar, Frame, Plane, bars};
use super::words::Terms;
use crate::evidence::{Confusion, Evidence, LearningPoint, Plots, ReliabilityBin};

/// A plot of the page.
pub struct Plot {
    /// Unique in the page, safe in an attribute.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How to read it, and what it shows.
    pub caption: String,
    /// The drawing and its numbers, or why there is none.
    pub drawing: Result<Drawing, &'static str>,
}

/// A drawing and the numbers it was drawn from.
pub struct Drawing {
    /// SVG, safe to stand in HTML as it is.
    pub svg: String,
    /// The columns' names; none where the page shows these numbers elsewhere.
    pub head: Vec<String>,
    /// The numbers, not yet escaped.
    pub rows: Vec<Vec<String>>,
}

/// Stated confidence against the share that is right.
pub fn reliability(plots: &Plots, terms: &Terms) -> Plot {
    let id = "reliability";
    let title = "Reliability of the stated confidence";
    let bins = &plots.reliability;
    if bins.is_empty() {
        let why = "There is no diagram: no certification row was answered with a confidence.";
        return Plot { id, title, caption: String::new(), drawing: Err(why) };
    }
    let caption = format!(
        "On the dashed diagonal, answers are right as often as their confidence says. Each dot is a bin of answers; the larger, \
         the more. The mean distance from the diagonal (expected calibration error) is {}, over {}.",
        points_of(plots.calibration_error),
        counted(bins.iter().map(|bin| bin.rows).sum(), "answer")
    );
    let all =
        bins.iter().flat_map(|bin| [bin.confidence, bin_interval(bin).0]).filter(|share| share.is_finite());
    // Fifths, so that every tick is a whole number of tens.
    let from = (all.fold(0.8, f64::min) * 5.0).floor().max(0.0) / 5.0;
    let x = Axis { label: "mean confidence", from, to: 1.0, format: whole_percent };
    let label = if terms.accuracy == "agreement" { "share that agrees" } else { "share that is right" };
    let mut plane = Plane::new(Frame {
        id,
        title,
        description: &caption,
        x,
        y: Axis { label, from, to: 1.0, format: whole_percent },
    });
    plane.line("limit", [(0.0, 0.0), (1.0, 1.0)]);
    let most = bins.iter().map(|bin| bin.rows).max().unwrap_or(1).max(1) as f64;
    for bin in bins {
        plane.whisker("whisker", bin.confidence, bin_interval(bin));
    }
    for bin in bins {
        let radius = 3.0 + 3.5 * (bin.rows as f64 / most).sqrt();
        plane.dot("dot", (bin.confidence, bin.accuracy), radius);
    }
    let row = |bin: &ReliabilityBin| {
        vec![percent(bin.confidence), percent(bin.accuracy), range(bin_interval(bin)), count(bin.rows)]
    };
    let head = ["mean confidence", terms.accuracy, "95% interval", "answers"].map(str::to_owned).to_vec();
    let drawing = Drawing { svg: plane.into_svg(), head, rows: bins.iter().map(row).collect() };
    Plot { id, title, caption, drawing: Ok(drawing) }
}

fn bin_interval(bin: &ReliabilityBin) -> (f64, f64) {
    let right = (bin.accuracy * bin.rows as f64).round().clamp(0.0, bin.rows as f64) as u64;
    let interval = wilson(right, bin.rows, 0.95);
    (interval.lower, interval.upper)
}

/// Accuracy by number of training rows.
pub fn learning_curve(evidence: &Evidence, terms: &Terms) -> Plot {
    let id = "learning-curve";
    let title = "Learning curve";
    let points = &evidence.plots.learning_curve;
    if points.is_empty() {
        let why = "There is no curve: the first rung was not trained on parts of the rows (too few rows, too many, or nothing is \
                   trained here).";
        return Plot { id, title, caption: String::new(), drawing: Err(why) };
    }
    let caption = format!(
        "The first trained rung, answering everything by itself, by the rows it learned from; whiskers are 95% intervals. \
         A curve that still climbs at its end says that more labels would help. {}",
        of_learning(points)
    );
    let x = Axis::up_to(
        "training rows",
        points.iter().map(|point| point.rows).max().unwrap_or(0) as f64,
        |rows| count(rows as u64),
    );
    let lowest =
        points.iter().map(|point| point.interval.0).filter(|low| low.is_finite()).fold(1.0, f64::min);
    let from = ((lowest - 0.02) * 10.0).floor().clamp(0.0, 9.0) / 10.0;
    let y = Axis { label: terms.accuracy, from, to: 1.0, format: short_percent };
    let mut plane = Plane::new(Frame { id, title, description: &caption, x, y });
    plane.line("curve", points.iter().map(|point| (point.rows as f64, point.accuracy)));
    for point in points {
        plane.whisker("whisker", point.rows as f64, point.interval);
        plane.dot("dot", (point.rows as f64, point.accuracy), 4.5);
    }
    let row = |point: &LearningPoint| vec![count(point.rows), percent(point.accuracy), range(point.interval)];
    let head = ["training rows", terms.accuracy, "95% interval"].map(str::to_owned).to_vec();
    let drawing = Drawing { svg: plane.into_svg(), head, rows: points.iter().map(row).collect() };
    Plot { id, title, caption, drawing: Ok(drawing) }
}

fn of_learning(points: &[LearningPoint]) -> String {
    match points {
        [.., before, last] => format!(
            "From {} to {} it went from {} to {}.",
            counted(before.rows, "row"),
            count(last.rows),
            percent(before.accuracy),
            percent(last.accuracy)
        ),
        _ => String::new(),
    }
}

/// The commonest confusions as bars.
pub fn confusions(confusions: &[Confusion], terms: &Terms) -> Plot {
    /// Characters of a label that fit beside another.
    const LONGEST: usize = 24;
    let id = "confusions";
    let title = "Labels that are mixed up";
    if confusions.is_empty() {
        let why =
            "There is no plot: no certification row got a label that differs from the one it should have.";
        return Plot { id, title, caption: String::new(), drawing: Err(why) };
    }
    let caption = format!(
        "The commonest mistakes of the ladder’s own answers, escalated rows included, as {} → label given. Labels that people \
         mix up too may be better merged, or told apart in the instructions.",
        terms.right_label
    );
    let bar = |confusion: &Confusion| Bar {
        text: format!(
            "{} → {}",
            shown_within(&confusion.right, LONGEST),
            shown_within(&confusion.given, LONGEST)
        ),
        count: confusion.rows,
    };
    let svg = bars(id, title, &caption, &confusions.iter().map(bar).collect::<Vec<_>>());
    // The page has a table of its own for these, with example rows.
    Plot { id, title, caption, drawing: Ok(Drawing { svg, head: Vec::new(), rows: Vec::new() }) }
}

fn range((low, high): (f64, f64)) -> String {
    format!("{} to {}", percent(low), percent(high))
}

/// A share without decimals, for ticks.
pub fn whole_percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn points_of(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1} points", share * 100.0),
        false => super::format::UNKNOWN.to_owned(),
    }
}
