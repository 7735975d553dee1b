//! A plane of numbers with axes, lines and points, as SVG text. It needs no script, and takes its colours and its type
//! from the page's style sheet by class names, so that it follows the light or dark scheme.

use std::fmt::Write;

use super::axis::Axis;

/// The drawing's size, in its own units; the page scales it.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes: wide enough for `100%` in the larger type that phones get.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 52.0;

/// What a plane is about, for those who see it and those who have it read to them.
pub struct Frame<'a> {
    /// Unique in the page, safe in an attribute.
    pub id: &'a str,
    /// What is drawn.
    pub title: &'a str,
    /// What it shows, in a sentence.
    pub description: &'a str,
    /// From left to right.
    pub x: Axis,
    /// From below.
    pub y: Axis,
}

/// On which side of its point a text stands.
#[derive(Clone, Copy)]
pub enum Side {
    /// To the left of it.
    Left,
    /// To the right of it.
    Right,
}

/// A drawing in progress. What is not a number is left out.
pub struct Plane<'a> {
    frame: Frame<'a>,
    /// What is cut off at the axes.
    lines: String,
    /// What stands in front of the lines, and is whole or not there.
    dots: String,
    texts: String,
}

impl<'a> Plane<'a> {
    /// An empty plane.
    pub fn new(frame: Frame<'a>) -> Self {
        Self { frame, lines: String::new(), dots: String::new(), texts: String::new() }
    }

    /// A line through the points, in their order.
    pub fn line(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut places = String::new();
        for place in points.into_iter().filter_map(|point| self.place(point)) {
            let _ = write!(places, "{:.1},{:.1} ", place.0, place.1); // writing to a String can't fail
        }
        if !places.is_empty() {
            let _ = write!(self.lines, r#"<polyline class="{class}" points="{}"/>"#, places.trim_end());
        }
    }

    /// A dot of the given radius, in the drawing's units; none where the point lies outside the axes.
    pub fn dot(&mut self, class: &str, point: (f64, f64), radius: f64) {
        let Frame { x, y, .. } = &self.frame;
        let is_inside = (x.from..=x.to).contains(&point.0) && (y.from..=y.to).contains(&point.1);
        if let Some((x, y)) = self.place(point).filter(|_| is_inside) {
            let _ = write!(self.dots, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"/>"#);
        }
    }

    /// An upright line from `low` to `high` with a foot and a head: an interval.
    pub fn whisker(&mut self, class: &str, x: f64, (low, high): (f64, f64)) {
        if let (Some((at, floor)), Some((_, top))) = (self.place((x, low)), self.place((x, high))) {
            let (left, right) = (at - 4.0, at + 4.0);
            let _ = write!(
                self.lines,
                r#"<path class="{class}" d="M{left:.1} {floor:.1}H{right:.1}M{at:.1} {floor:.1}V{top:.1}M{left:.1} {top:.1}H{right:.1}"/>"#
            );
        }
    }

    /// A text beside a point; `up` moves it, in the drawing's units.
    pub fn note(&mut self, class: &str, point: (f64, f64), side: Side, up: f64, text: &str) {
        if let Some((x, y)) = self.place(point) {
            let (anchor, x) = match side {
                Side::Left => ("end", x - 9.0),
                Side::Right => ("start", x + 9.0),
            };
            let (y, text) = ((y - up).clamp(TOP + 10.0, HEIGHT - BOTTOM - 4.0), escaped(text));
            let _ = write!(
                self.texts,
                r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
            );
        }
    }

    /// The drawing.
    pub fn into_svg(self) -> String {
        let Frame { id, title, description, .. } = self.frame;
        let (title, description) = (escaped(title), escaped(description));
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let axes = self.axes();
        let Self { lines, dots, texts, .. } = self;
        format!(
            r##"<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{id}-title {id}-description">
<title id="{id}-title">{title}</title><desc id="{id}-description">{description}</desc>
<clipPath id="{id}-inside"><rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/></clipPath>
{axes}
<g clip-path="url(#{id}-inside)">{lines}</g>
{dots}{texts}
</svg>"##
        )
    }

    fn axes(&self) -> String {
        let Frame { x, y, .. } = &self.frame;
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut axes = String::new();
        for tick in y.ticks() {
            let (at, text) = (self.y(tick), escaped(&(y.format)(tick)));
            let _ = write!(axes, r#"<path class="grid" d="M{LEFT} {at:.1}H{right}"/>"#);
            let _ = write!(
                axes,
                r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{text}</text>"#,
                LEFT - 8.0,
                at + 4.0
            );
        }
        for tick in x.ticks() {
            let (at, text) = (self.x(tick), escaped(&(x.format)(tick)));
            // The outermost texts would stick out of the drawing.
            let anchor = if at > right - 12.0 { "end" } else { "middle" };
            let _ = write!(axes, r#"<path class="axis" d="M{at:.1} {floor}v5"/>"#);
            let _ = write!(
                axes,
                r#"<text class="tick" x="{at:.1}" y="{}" text-anchor="{anchor}">{text}</text>"#,
                floor + 19.0
            );
        }
        let (middle, centre) = ((LEFT + right) / 2.0, (TOP + floor) / 2.0);
        let _ = write!(axes, r#"<path class="axis" d="M{LEFT} {floor}H{right}"/>"#);
        let _ = write!(
            axes,
            r#"<text class="name" x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
            HEIGHT - 10.0,
            escaped(x.label)
        );
        let _ = write!(
            axes,
            r#"<text class="name" transform="translate(14 {centre}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escaped(y.label)
        );
        axes
    }

    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        // A number far outside would make a coordinate that viewers can't hold.
        let place = (self.x(x).clamp(-1e4, 1e4), self.y(y).clamp(-1e4, 1e4));
        (x.is_finite() && y.is_finite()).then_some(place)
    }

    fn x(&self, x: f64) -> f64 {
        let axis = &self.frame.x;
        LEFT + (x - axis.from) / (axis.to - axis.from) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        let axis = &self.frame.y;
        HEIGHT - BOTTOM - (y - axis.from) / (axis.to - axis.from) * (HEIGHT - TOP - BOTTOM)
    }
}

/// One bar of a bar chart.
pub struct Bar {
    /// What is counted.
    pub text: String,
    /// How many.
    pub count: u64,
}

/// Horizontal bars, each under its text, the longest as wide as the drawing.
pub fn bars(id: &str, title: &str, description: &str, bars: &[Bar]) -> String {
    const ROW: f64 = 38.0;
    /// What is left of the width for the count beside the bar.
    const COUNT: f64 = 60.0;
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
    let mut rows = String::new();
    for (place, bar) in bars.iter().enumerate() {
        let top = place as f64 * ROW;
        let width = (bar.count as f64 / most as f64 * (WIDTH - COUNT)).max(1.0);
        let (text, count) = (escaped(&bar.text), super::format::count(bar.count));
        let _ = write!(rows, r#"<text class="of-bar" x="0" y="{:.1}">{text}</text>"#, top + 15.0);
        let _ =
            write!(rows, r#"<rect class="bar" x="0" y="{:.1}" width="{width:.1}" height="11"/>"#, top + 20.0);
        let _ =
            write!(rows, r#"<text class="tick" x="{:.1}" y="{:.1}">{count}</text>"#, width + 8.0, top + 30.5);
    }
    let height = bars.len() as f64 * ROW;
    format!(
        r#"<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{id}-title {id}-description">
<title id="{id}-title">{}</title><desc id="{id}-description">{}</desc>
{rows}
</svg>"#,
        escaped(title),
        escaped(description)
    )
}

/// A text that others wrote, safe between tags and within attributes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in super::format::shown(text).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(most: f64) -> Plane<'static> {
        let x = Axis::up_to("x", 1.0, |tick| format!("{tick:.1}"));
        let y = Axis::up_to("y", most, |tick| format!("{tick}"));
        Plane::new(Frame { id: "p", title: "A <plot>", description: "d", x, y })
    }

    #[test]
    fn points_stand_where_their_numbers_say() {
        let mut plane = plane(1.0);
        plane.dot("a", (0.0, 0.0), 2.0);
        plane.dot("b", (1.0, 1.0), 2.0);
        let svg = plane.into_svg();
        assert!(svg.contains(r#"class="a" cx="64.0" cy="248.0""#), "{svg}");
        assert!(svg.contains(r#"class="b" cx="446.0" cy="14.0""#), "{svg}");
    }

    #[test]
    fn what_is_not_a_number_is_left_out_and_texts_are_escaped() {
        let mut plane = plane(1.0);
        plane.line("a", [(0.1, f64::NAN), (f64::INFINITY, 0.2)]);
        plane.note("b", (0.5, 0.5), Side::Left, 0.0, "<script>");
        let svg = plane.into_svg();
        assert!(!svg.contains("polyline") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(
            svg.contains("A &lt;plot&gt;") && svg.contains("&lt;script&gt;") && !svg.contains("<script"),
            "{svg}"
        );
    }

    #[test]
    fn bars_are_as_long_as_their_counts() {
        let svg = bars(
            "b",
            "t",
            "d",
            &[("a & b", 4), ("c", 1), ("d", 0)].map(|(text, count)| Bar { text: text.to_owned(), count }),
        );
        assert!(
            svg.contains(r#"width="400.0""#) && svg.contains(r#"width="100.0""#) && svg.contains("a &amp; b"),
            "{svg}"
        );
    }
}
