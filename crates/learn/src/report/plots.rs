//! The plots: each with its numbers in a table, or with a sentence that says why it is missing.

use sprat_stats::interval::wilson;
use sprat_task::certificate::percent as short_percent;
use sprat_task::{Certificate, Guarantee, Risk};

use super::format::{count, counted, percent, shown_within};
use super::svg::{Axis, Bar, Frame, Plane, Side, bars};
use super::words::Terms;
use crate::evidence::{Confusion, Evidence, LearningPoint, Plots, ReliabilityBin, RiskPoint};

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

/// Selective error against coverage, with the chosen point and the declared limit.
pub fn risk_coverage(plots: &Plots, certificate: &Certificate, terms: &Terms) -> Plot {
    let id = "risk-coverage";
    let title = "Risk against coverage";
    let curve = &plots.risk_coverage;
    if curve.is_empty() {
        let why = "There is no curve: no certification row was answered with a confidence.";
        return Plot { id, title, caption: String::new(), drawing: Err(why) };
    }
    let limit = Limit::of(certificate);
    let chosen =
        plots.chosen.map_or("No point was chosen: nothing is answered small.".to_owned(), |chosen| {
            format!(
                "The chosen point answers {} small, of which {} are {}.",
                percent(chosen.coverage),
                percent(chosen.risk),
                terms.wrong
            )
        });
    let caption = format!(
        "The more is answered small (to the right), the more of it is {} (upwards). {chosen} {}",
        terms.wrong,
        limit.caption()
    );
    let x = Axis::up_to("share of requests answered small", 1.0, whole_percent);
    let y = Axis::up_to(y_label(terms), highest(curve, plots.chosen, certificate.alpha), short_percent);
    let mut plane = Plane::new(Frame { id, title, description: &caption, x, y });
    limit.draw(&mut plane);
    plane.line("curve", curve.iter().map(|point| (point.coverage, point.risk)));
    if let Some(chosen) = plots.chosen {
        let point = (chosen.coverage, chosen.risk);
        let side = if chosen.coverage > 0.55 { Side::Left } else { Side::Right };
        plane.dot("chosen", point, 6.0);
        plane.note(
            "strong",
            point,
            side,
            -20.0,
            &format!("{} at {}", percent(chosen.coverage), percent(chosen.risk)),
        );
    }
    let row = |point: &RiskPoint| vec![percent(point.coverage), percent(point.risk)];
    let head = vec!["answered small".to_owned(), terms.wrong.to_owned()];
    let drawing = Drawing { svg: plane.into_svg(), head, rows: curve.iter().map(row).collect() };
    Plot { id, title, caption, drawing: Ok(drawing) }
}

/// Where the declared limit lies on the plane of coverage and selective error.
enum Limit {
    /// The same everywhere.
    Level(f64),
    /// A joint error of alpha is a selective error of alpha / coverage.
    Falling(f64),
    /// Harm isn't what the plane shows.
    Elsewhere,
}

impl Limit {
    fn of(certificate: &Certificate) -> Self {
        match (certificate.guarantee, certificate.risk) {
            (Guarantee::Harm, _) => Self::Elsewhere,
            (_, Risk::Selective) => Self::Level(certificate.alpha),
            (_, Risk::Joint) => Self::Falling(certificate.alpha),
        }
    }

    fn caption(&self) -> String {
        match self {
            Self::Level(alpha) => format!(
                "The dashed line is max_error, {}: the chosen point lies below it because the promise must hold beyond this \
                 sample.",
                short_percent(*alpha)
            ),
            Self::Falling(alpha) => format!(
                "The dashed line is max_error, {} of all requests: the fewer are answered, the more of them may be bad.",
                short_percent(*alpha)
            ),
            Self::Elsewhere => {
                "max_error is not drawn: it bounds harm, and this plot shows errors against gold.".to_owned()
            }
        }
    }

    fn draw(&self, plane: &mut Plane<'_>) {
        match self {
            Self::Level(alpha) => {
                plane.line("limit", [(0.0, *alpha), (1.0, *alpha)]);
                plane.note(
                    "",
                    (0.0, *alpha),
                    Side::Right,
                    7.0,
                    &format!("max_error {}", short_percent(*alpha)),
                );
            }
            Self::Falling(alpha) => {
                plane.line(
                    "limit",
                    (1..=100).map(|share| f64::from(share) / 100.0).map(|share| (share, alpha / share)),
                );
                let end = (1.0, *alpha);
                plane.note(
                    "",
                    end,
                    Side::Left,
                    -16.0,
                    &format!("max_error {} of all", short_percent(*alpha)),
                );
            }
            Self::Elsewhere => {}
        }
    }
}

fn y_label(terms: &Terms) -> &'static str {
    if terms.accuracy == "agreement" {
        "of these, share that differs"
    } else {
        "of these, share that is wrong"
    }
}

/// The highest risk worth showing. At a coverage of a few rows the curve jumps about; that may be cut off.
fn highest(curve: &[RiskPoint], chosen: Option<RiskPoint>, alpha: f64) -> f64 {
    let settled = curve.iter().filter(|point| point.coverage >= 0.05).map(|point| point.risk);
    let all = settled.chain(chosen.map(|chosen| chosen.risk)).chain([1.5 * alpha]);
    all.filter(|risk| risk.is_finite()).fold(0.0, f64::max).min(1.0)
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
    let x = Axis::up_to("mean confidence", 1.0, whole_percent);
    let label = if terms.accuracy == "agreement" { "share that agrees" } else { "share that is right" };
    let mut plane =
        Plane::new(Frame { id, title, description: &caption, x, y: Axis::up_to(label, 1.0, whole_percent) });
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

fn whole_percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn points_of(share: f64) -> String {
    match share.is_finite() {
        true => format!("{:.1} points", share * 100.0),
        false => super::format::UNKNOWN.to_owned(),
    }
}
