//! A panic is Sprat's fault: it is told in one sentence that asks for a report, with exit code 2.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

/// What the last panic said and where; the hook writes it, [`run`] reads it.
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs the program; a panic becomes a [`Failure::Ours`].
pub fn run(program: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // A panic of a worker thread is only remembered; it is told when it reaches the thread that waits for it.
    std::panic::set_hook(Box::new(|info| {
        let told = format!("{info}").replace('\n', " ");
        tracing::debug!(backtrace = %std::backtrace::Backtrace::capture(), "{told}");
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }));
    catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| {
        let told = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        let told = told.unwrap_or_else(|| "nothing more is known".to_owned());
        Err(Failure::ours_with_hint(
            format!("Sprat {} broke, and that is not your doing: {told}", env!("CARGO_PKG_VERSION")),
            "please report this line with the command you ran; \
             SPRAT_LOG=debug and RUST_BACKTRACE=1 add what a report needs",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_our_fault_and_asks_for_a_report() {
        let broke = run(|| Err([Failure::Told].into_iter().nth(1).expect("there are two")));
        let failure = broke.expect_err("it panicked");
        assert_eq!(failure.exit_code(), 2);
        let said = failure.to_string();
        assert!(said.contains("there are two") && said.contains("please report"), "{said}");
    }
}
