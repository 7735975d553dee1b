//! `sprat models remove`: room on the disk.

use serde_json::json;
use sprat_models::hub::{ModelSource, Snapshot};
use sprat_task::Problem;

use super::{Meant, Pulled, failed, find, hub, repository};
use crate::app::App;
use crate::failure::Failure;
use crate::output::words;

pub fn run(written: &str, app: &App) -> Result<(), Failure> {
    let workspace = app.workspace_or_default()?;
    let wanted = match find(&workspace.config, written)? {
        Meant::Declared(id, model) => repository(model).cloned().ok_or_else(|| {
            Problem::new(format!("model `{id}` (kind \"{}\") has no files that were pulled", model.kind()))
        })?,
        Meant::Source(ModelSource::Hub(repository)) => repository,
        Meant::Source(path) => {
            return Err(
                Problem::new(format!("`{path}` was not pulled: its files are yours to remove")).into()
            );
        }
    };
    let hub = hub(true)?;
    // A damaged one can't be found for use, but it can be removed.
    let is_it = |snapshot: &Snapshot| {
        let is_pinned = wanted.file.is_none() && snapshot.commit == wanted.revision;
        let of_revision = snapshot.revisions.contains(&wanted.reference()) || is_pinned;
        snapshot.owner == wanted.owner && snapshot.name == wanted.name && of_revision
    };
    let snapshot = hub.cache().list().into_iter().find(is_it);
    let snapshot = snapshot.ok_or_else(|| {
        Problem::new(format!("model {wanted} is not on this machine"))
            .hint("`sprat models list` shows what is")
    })?;
    let removed = Pulled::from(&snapshot);
    app.block_on(hub.cache().remove(&snapshot))?.map_err(failed)?;
    app.out().show(&json!({ "removed": removed }), |out| {
        out.line(format!("removed hf:{wanted}: {} less", words::bytes(removed.size_bytes)));
    });
    Ok(())
}
