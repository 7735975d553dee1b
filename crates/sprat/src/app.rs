//! What every command gets: where to write, whether to stop, which workspace it is in.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::args::Early;
use crate::failure::Failure;
use crate::output::Output;
use crate::workspace::{self, Workspace};

/// What every command gets. Cheap to clone.
#[derive(Clone)]
pub struct App {
    out: Output,
    cancel: CancellationToken,
    folder: Option<PathBuf>,
}

impl App {
    /// For one run of the program.
    pub fn new(early: &Early) -> Self {
        let cancel = CancellationToken::new();
        Self { out: Output::new(early, cancel.clone()), cancel, folder: None }
    }

    /// The same, with the folder that `--workspace` named.
    pub fn in_folder(&self, folder: Option<PathBuf>) -> Self {
        Self { folder, ..self.clone() }
    }

    /// The same for a command that is a step of another one: with `--json` it keeps its object to itself.
    pub fn muted_where_json(&self) -> Self {
        Self { out: self.out.muted_where_json(), ..self.clone() }
    }

    /// Everything that is shown goes through here.
    pub fn out(&self) -> &Output {
        &self.out
    }

    /// Cancelled by Ctrl-C, and when the reader of stdout has gone away. Long work looks at it between rows.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// The folder of the workspace, whether or not anything is in it: `--workspace`, else the nearest parent folder
    /// with a `sprat.toml`, else the current one.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        workspace::folder(self.folder.as_deref())
    }

    /// What `--workspace` named.
    pub fn asked_folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The workspace, read and checked.
    pub fn workspace(&self) -> Result<Workspace, Failure> {
        Workspace::open(&self.folder()?)
    }

    /// The workspace; with every default where there is no `sprat.toml`, so that a log can be looked at before
    /// anything is configured.
    pub fn workspace_or_default(&self) -> Result<Workspace, Failure> {
        let folder = self.folder()?;
        if folder.join(crate::config::FILE).exists() {
            Workspace::open(&folder)
        } else {
            Ok(Workspace::bare(&folder))
        }
    }

    /// Now, in milliseconds since 1970. The one clock of the commands.
    pub fn now_unix_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
