//! In shadow the large model answers everything, and its answers teach the task as they come.
//!
//! Learning goes on in a process of its own (`sprat learn TASK --from-traffic`), so that it can be stopped at any moment
//! and takes nothing from the requests but processor time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sprat_store::Store;
use sprat_task::{Release, Status, Task, TaskName};

use crate::failure::Failure;

/// Fewer answers teach nothing that could be certified.
const FIRST: u64 = 300;
/// So many more have to come before it is tried again: each try looks at rows that prove things only once.
const GROWTH: f64 = 1.5;

/// What is being learned, and what was.
#[derive(Default)]
pub struct Learning {
    /// How many answers each task had when it was last learned.
    tried_at: BTreeMap<TaskName, u64>,
    running: Option<(TaskName, Child)>,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub enum Learned {
    /// A new release may answer small.
    Certified(Box<Release>),
    /// It may not, or not yet; why, in a sentence.
    NotYet(TaskName, String),
}

impl Learning {
    /// Begins to learn a task from the traffic, where enough has come since the last time and nothing else is being
    /// learned.
    pub fn begin(&mut self, store: &Store, task: &Task, root: &Path) -> Result<(), Failure> {
        if self.running.is_some() || !task.capture.enabled || !task.kind.has_labels() {
            return Ok(());
        }
        let have = store.captured().answered(&task.name)?;
        let before = match self.tried_at.get(&task.name) {
            Some(before) => *before,
            None => rows_of_newest(store, task)?,
        };
        if !is_due(have, before) {
            return Ok(());
        }
        self.tried_at.insert(task.name.clone(), have);
        let started = command(root, task).and_then(|mut command| command.spawn());
        match started {
            Ok(child) => {
                tracing::info!("{}: learning from {have} answers of the large model", task.name);
                self.running = Some((task.name.clone(), child));
            }
            Err(error) => tracing::warn!("{} can't be learned: {error}", task.name),
        }
        Ok(())
    }

    /// What has come of the learning that has ended, if one has. A certified release is put live, so that it watches.
    pub fn ended(&mut self, store: &Store, now_unix_ms: i64) -> Result<Option<Learned>, Failure> {
        let Some((_, child)) = &mut self.running else { return Ok(None) };
        if !matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return Ok(None);
        }
        let Some((task, _)) = self.running.take() else { return Ok(None) };
        let Some(newest) = store.registry().releases(&task)?.into_iter().next() else {
            return Ok(Some(Learned::NotYet(
                task,
                "there were too few answers, or too few labels".to_owned(),
            )));
        };
        if newest.certificate.status != Status::Certified {
            return Ok(Some(Learned::NotYet(task, newest.certificate.sentence())));
        }
        store.registry().promote(&newest.id, "learned from the traffic in shadow", now_unix_ms)?;
        Ok(Some(Learned::Certified(Box::new(newest))))
    }

    /// Stops what is being learned: nothing is lost but the time.
    pub fn stop(&mut self) {
        if let Some((_, mut child)) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_due(have: u64, before: u64) -> bool {
    have >= FIRST && have as f64 >= before as f64 * GROWTH
}

fn rows_of_newest(store: &Store, task: &Task) -> Result<u64, Failure> {
    Ok(store.registry().releases(&task.name)?.first().map_or(0, |release| release.origin.rows))
}

fn command(root: &Path, task: &Task) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--workspace").arg(root).args(["learn", task.name.as_str(), "--from-traffic", "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_learned_again_when_half_as_much_has_come_again() {
        for (have, before, due) in
            [(299, 0, false), (300, 0, true), (449, 300, false), (450, 300, true), (10, 0, false)]
        {
            assert_eq!(is_due(have, before), due, "{have} after {before}");
        }
    }
}
