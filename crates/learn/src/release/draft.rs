//! A release that is being written: complete under its name, or not there at all.

use std::fs;
use std::path::{Path, PathBuf};

use sprat_stats::calibration::Calibrator;
use sprat_task::{Artifact, ModelId, Release, Sha256Hex, Task};

use super::{
    Example, FRESH, NEIGHBOURS, RELEASE, REPLAY, ReleaseError, Replayed, TUNING, at, broken, sync_folder,
    write_lines, write_whole,
};
use crate::observe::ObservedRow;

/// What the name of a draft's folder begins with; then the number of its process.
const DRAFT: &str = ".draft-";

/// A release that is being written: a folder beside the others that gets its name last.
pub struct Draft {
    folder: PathBuf,
    releases: PathBuf,
    kept: bool,
}

impl Draft {
    /// Starts a folder for a release of `task` below `releases`.
    pub fn start(releases: &Path, task: &Task) -> Result<Self, ReleaseError> {
        let releases = releases.join(task.name.as_str());
        clear_abandoned(&releases);
        let unique = format!("{DRAFT}{}-{:x}", std::process::id(), fresh_number());
        let folder = releases.join(unique);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(Self { folder, releases, kept: false })
    }

    /// The folder, for artefacts.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over a file of another release, so that a new look at the same models is a release of its own.
    pub fn take_over(&self, folder: &Path, file: &str) -> Result<(), ReleaseError> {
        let to = self.folder.join(file);
        fs::copy(folder.join(file), &to).map(drop).map_err(at(&to))
    }

    /// What is known of a file that lies in the folder.
    pub fn artifact(&self, file: &str) -> Result<Artifact, ReleaseError> {
        let path = self.folder.join(file);
        let bytes = fs::read(&path).map_err(at(&path))?;
        Ok(Artifact { file: file.to_owned(), sha256: Sha256Hex::of(&bytes), bytes: bytes.len() as u64 })
    }

    /// Writes a calibrator.
    pub fn write_calibrator(
        &self,
        model: &ModelId,
        calibrator: &Calibrator,
    ) -> Result<Artifact, ReleaseError> {
        let file = format!("{model}.calibrator.json");
        let path = self.folder.join(&file);
        let text = serde_json::to_vec_pretty(calibrator).map_err(broken(&path))?;
        write_whole(&path, &text)?;
        self.artifact(&file)
    }

    /// Writes what was said of the rows that thresholds were tuned on and tested on.
    pub fn write_observations(
        &self,
        tuning: &[ObservedRow],
        fresh: &[ObservedRow],
    ) -> Result<(), ReleaseError> {
        write_lines(&self.folder.join(TUNING), tuning)?;
        write_lines(&self.folder.join(FRESH), fresh)
    }

    /// Writes the texts that are shown as reasons.
    pub fn write_neighbours(&self, examples: &[Example]) -> Result<(), ReleaseError> {
        write_lines(&self.folder.join(NEIGHBOURS), examples)
    }

    /// Writes the inputs to replay after an upgrade.
    pub fn write_replay(&self, replayed: &[Replayed]) -> Result<(), ReleaseError> {
        write_lines(&self.folder.join(REPLAY), replayed)
    }

    /// Gives the release its name; until then nobody sees it.
    pub fn finish(mut self, release: &Release) -> Result<PathBuf, ReleaseError> {
        let path = self.folder.join(RELEASE);
        let text = serde_json::to_vec_pretty(release).map_err(broken(&path))?;
        write_whole(&path, &text)?;
        let named = self.releases.join(release.id.version.to_string());
        fs::rename(&self.folder, &named).map_err(at(&named))?;
        self.kept = true;
        sync_folder(&self.releases)?;
        Ok(named)
    }

    /// Puts these files in the place of the broken or missing ones of a release that was made before.
    pub fn put_back(self, folder: &Path, release: &Release, files: &[Artifact]) -> Result<(), ReleaseError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let text = serde_json::to_vec_pretty(release).map_err(broken(&self.folder.join(RELEASE)))?;
        write_whole(&self.folder.join(RELEASE), &text)?;
        for file in files.iter().map(|artifact| artifact.file.as_str()).chain([RELEASE]) {
            let to = folder.join(file);
            fs::rename(self.folder.join(file), &to).map_err(at(&to))?;
        }
        sync_folder(folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What a failed or cancelled `learn` leaves behind is of no use to anybody.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes what a killed `learn` left: a draft whose process is gone. Where that can't be known, one of yesterday.
fn clear_abandoned(releases: &Path) {
    let Ok(entries) = fs::read_dir(releases) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(DRAFT).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        let processes = Path::new("/proc");
        let abandoned = if processes.join("self").exists() {
            !processes.join(process).exists()
        } else {
            let age =
                entry.metadata().and_then(|data| data.modified()).ok().and_then(|made| made.elapsed().ok());
            age.is_some_and(|age| age.as_secs() > 86_400)
        };
        if abandoned {
            // Another process may be clearing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn fresh_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
