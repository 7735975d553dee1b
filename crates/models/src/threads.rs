//! How is a training given as many threads as its caller allows?

use sprat_task::{TrainError, Training};

/// Does the work on threads of its own, as many as the training may use.
///
/// # Errors
/// Where the operating system gives no threads.
pub fn on_threads<T: Send>(
    training: &Training<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, TrainError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(training.threads).build();
    let pool = pool.map_err(|error| TrainError::Artifact(format!("no threads to train on: {error}")))?;
    Ok(pool.install(work))
}
