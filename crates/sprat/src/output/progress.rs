//! How far a long piece of work is: a bar on a terminal, a line now and then elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, words};

/// Where stderr is not a terminal, at most one line in this time: a log should not fill with progress.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// How far a long piece of work is. Dropping it clears the bar.
pub struct Progress {
    out: Output,
    what: String,
    total: Option<u64>,
    unit: Unit,
    shown: Shown,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Rows, folds, files.
    Things,
    /// Bytes of a download.
    Bytes,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Mutex<Instant>),
}

impl Progress {
    pub(super) fn start(out: Output, what: &str, total: Option<u64>, unit: Unit, is_terminal: bool) -> Self {
        let shown = if is_terminal {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = match total {
                Some(_) if unit == Unit::Bytes => {
                    "{msg}  {wide_bar} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}"
                }
                Some(_) => "{msg}  {wide_bar} {human_pos}/{human_len}  {eta}",
                None => "{spinner} {msg}  {human_pos}  {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            Shown::Bar(bar)
        } else {
            Shown::Lines(Mutex::new(Instant::now()))
        };
        Self { out, what: what.to_owned(), total, unit, shown }
    }

    /// So much is done.
    pub fn set(&self, done: u64) {
        match &self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines(last) => {
                // Another thread is writing the line at this moment: it is fresh enough.
                let Ok(mut last) = last.try_lock() else { return };
                if last.elapsed() >= BETWEEN_LINES {
                    *last = Instant::now();
                    self.out.aside(&format!("{}\n", line(&self.what, done, self.total, self.unit)));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn line(what: &str, done: u64, total: Option<u64>, unit: Unit) -> String {
    let said = |number: u64| match unit {
        Unit::Things => words::count(number),
        Unit::Bytes => words::bytes(number),
    };
    match total {
        Some(total) if total > 0 => {
            format!(
                "{what}: {} of {} ({})",
                said(done),
                said(total),
                words::share(done as f64 / total as f64)
            )
        }
        _ => format!("{what}: {}", said(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_says_how_much_of_how_much() {
        assert_eq!(line("rows", 1_200, Some(4_800), Unit::Things), "rows: 1,200 of 4,800 (25.0%)");
        assert_eq!(line("rows", 1_200, None, Unit::Things), "rows: 1,200");
        let bytes = line("hf:a/b", 45_000_000, Some(90_000_000), Unit::Bytes);
        assert_eq!(bytes, "hf:a/b: 45.0 MB of 90.0 MB (50.0%)");
    }
}
