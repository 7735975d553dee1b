//! Selective error against coverage, with the chosen point and the declared limit.

use sprat_task::certificate::percent as short_percent;
use sprat_task::{Certificate, Guarantee, Risk};

use super::axis::Axis;
use super::format::percent;
use super::plots::{Drawing, Plot, whole_percent};
use super::svg::{Frame, Plane, Side};
use super::words::Terms;
use crate::evidence::{Plots, RiskPoint};

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
            12.0,
            &format!("{} at {}", percent(chosen.coverage), percent(chosen.risk)),
        );
    }
    let row = |point: &RiskPoint| vec![percent(point.coverage), percent(point.risk)];
    let head = vec!["answered small".to_owned(), terms.wrong.to_owned()];
    let drawing = Drawing { svg: plane.into_svg(), head, rows: curve.iter().map(row).collect() };
    Plot { id, title, caption, drawing: Ok(drawing) }
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
                "The dashed line is max_error, {}. To promise that beyond this sample, a point must lie well below it.",
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
