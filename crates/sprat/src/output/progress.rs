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
    what: Mutex<String>,
    started: Instant,
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
        Self { out, what: Mutex::new(what.to_owned()), started: Instant::now(), total, unit, shown }
    }

    /// What is being done, in other words: with a loss, or a speed, that has changed.
    pub fn say(&self, what: String) {
        if let Shown::Bar(bar) = &self.shown {
            bar.set_message(what.clone());
        }
        // A poisoned lock only means that another thread's words were cut off.
        *self.what.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = what;
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
                    let what = self.what.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let left = left(self.started.elapsed(), done, self.total);
                    self.out.aside(&format!("{}{left}\n", line(&what, done, self.total, self.unit)));
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

/// The time that is left if it goes on as it went; nothing where nobody can know.
fn left(elapsed: Duration, done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if done > 0 && done < total => {
            let left = elapsed.mul_f64((total - done) as f64 / done as f64);
            format!(
                ", about {} left",
                words::duration_us(u64::try_from(left.as_micros()).unwrap_or(u64::MAX))
            )
        }
        _ => String::new(),
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

    #[test]
    fn the_time_left_is_told_once_something_is_done() {
        assert_eq!(left(Duration::from_secs(30), 25, Some(100)), ", about 1 min 30 s left");
        assert_eq!(left(Duration::from_secs(30), 0, Some(100)), "");
        assert_eq!(left(Duration::from_secs(30), 5, None), "");
    }
}
