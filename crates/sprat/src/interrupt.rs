//! The first Ctrl-C asks the work to stop where nothing is lost; the second stops at once.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// The exit code of a program stopped by Ctrl-C, as shells know it.
const STOPPED: i32 = 130;

/// From now on Ctrl-C (and a request to terminate) cancels `cancel`.
pub fn listen(cancel: &CancellationToken) -> Result<(), Failure> {
    let cancel = cancel.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(STOPPED);
        }
        cancel.cancel();
        // There is nobody left to tell when stderr is closed.
        let _ = writeln!(std::io::stderr(), "\nstopping where nothing is lost; Ctrl-C again stops at once");
    })
    .map_err(|error| Failure::ours(format!("can't listen for Ctrl-C: {error}")))?;
    tracing::debug!("listening for Ctrl-C");
    Ok(())
}
