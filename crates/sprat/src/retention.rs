//! Captured texts are forgotten when their time is over.

use std::time::Duration;

use sprat_store::{Store, StoreError};
use sprat_task::task::RETENTION_DAYS;
use tokio_util::sync::CancellationToken;

use crate::workspace::Workspace;

/// How often a server looks.
const EVERY: Duration = Duration::from_secs(3_600);

const MS_PER_DAY: i64 = 86_400_000;

/// For how many days each task's texts are kept. A task that is no longer declared keeps its texts as long as one that
/// declares nothing.
pub struct Retention(Vec<(sprat_task::TaskName, u32)>);

impl Retention {
    /// What the task files of a workspace say.
    pub fn of(workspace: &Workspace) -> Self {
        let declared = workspace.tasks.values();
        Self(declared.map(|(task, _)| (task.name.clone(), task.capture.retention_days)).collect())
    }

    /// Forgets what is older than it may be. Returns how many requests that were.
    pub fn sweep(&self, store: &Store, now_unix_ms: i64) -> Result<u64, StoreError> {
        let mut forgotten = 0;
        let tasks = store.captured().tasks()?.into_iter().chain(store.review().tasks()?);
        for task in tasks.collect::<std::collections::BTreeSet<_>>() {
            let declared = self.0.iter().find(|(name, _)| *name == task);
            let days = declared.map_or(RETENTION_DAYS, |(_, days)| *days);
            let oldest = now_unix_ms.saturating_sub(i64::from(days) * MS_PER_DAY);
            forgotten += store.captured().forget_before(&task, oldest)?;
            // What waits for a person's label, or has one, was captured too.
            store.review().forget_before(&task, oldest)?;
        }
        Ok(forgotten)
    }

    /// Sweeps now and every hour, until cancelled.
    pub async fn follow(self, store: Store, now_unix_ms: impl Fn() -> i64, cancel: CancellationToken) {
        let retention = std::sync::Arc::new(self);
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = every.tick() => {}
            }
            let (retention, store, now) = (retention.clone(), store.clone(), now_unix_ms());
            let swept = tokio::task::spawn_blocking(move || retention.sweep(&store, now)).await;
            if let Ok(Err(error)) = swept {
                tracing::warn!("captured texts that are too old could not be forgotten: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sprat_store::NewCaptured;

    use super::*;

    fn row(task: &str, day: i64) -> NewCaptured {
        NewCaptured {
            task: task.into(),
            request: "r".into(),
            time_unix_ms: day * MS_PER_DAY,
            text: "text".to_owned(),
            prompt_hash: None,
            session: None,
            small: None,
            confidence: None,
            would_answer: false,
            large: None,
            answered_by: None,
            release: None,
            propensity: 1.0,
            provenance: sprat_task::Provenance::Measured,
        }
    }

    #[test]
    fn each_task_keeps_its_texts_as_long_as_it_declares() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        let tasks = ["week", "never", "undeclared"];
        store
            .captured()
            .add(tasks.iter().flat_map(|task| (50..100).map(|day| row(task, day))).collect())
            .unwrap();
        let retention = Retention(vec![("week".into(), 7), ("never".into(), 0)]);
        let forgotten = retention.sweep(&store, 100 * MS_PER_DAY).unwrap();
        let left = tasks.map(|task| store.captured().count(&task.into()).unwrap());
        assert_eq!((left, forgotten), ([7, 0, 30], 113));
    }
}
