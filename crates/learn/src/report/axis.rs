//! Where an axis ends, and where its ticks stand.

/// An axis from `from` to `to`, which is greater.
pub struct Axis {
    /// What is measured.
    pub label: &'static str,
    /// The least number.
    pub from: f64,
    /// The greatest number.
    pub to: f64,
    /// How a number is written at its tick.
    pub format: fn(f64) -> String,
}

impl Axis {
    /// From 0 to the first round number that holds `most`.
    pub fn up_to(label: &'static str, most: f64, format: fn(f64) -> String) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let step = step(0.0, most);
        Self { label, from: 0.0, to: (most / step - 1e-9).ceil().max(1.0) * step, format }
    }

    /// The round numbers on it, at equal distances.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = step(self.from, self.to);
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(move |tick| tick as f64 * step)
    }
}

/// A round distance between ticks: four to six of them from `from` to `to`.
fn step(from: f64, to: f64) -> f64 {
    let rough = (to - from) / 5.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let rounds = [1.0, 2.0, 2.5, 5.0, 10.0].map(|round| round * decade);
    rounds.into_iter().find(|round| *round >= rough * 0.999).unwrap_or(10.0 * decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_and_has_a_few_ticks() {
        for (most, to) in [
            (1.0, 1.0),
            (0.137, 0.15),
            (0.05, 0.05),
            (8.3, 10.0),
            (2800.0, 3000.0),
            (f64::NAN, 1.0),
            (0.0, 1.0),
        ] {
            let axis = Axis::up_to("", most, |tick| tick.to_string());
            let ticks = axis.ticks().count();
            assert!((axis.to - to).abs() < 1e-9, "{most}: {}", axis.to);
            assert!((4..=8).contains(&ticks), "{most}: {ticks} ticks");
        }
    }
}
