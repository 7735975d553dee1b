//! Models on this machine.
//!
//! ```text
//! hf/OWNER/NAME/COMMIT/        a whole model; it gets this name last
//! hf/OWNER/NAME/COMMIT.part/   on its way
//! hf/OWNER/NAME/refs/REVISION  the commit that a branch or tag was when it was pulled
//! hf/OWNER/NAME/lock           held by whoever writes here
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::error::HubError;
use super::listing::Wanted;
use super::source::{DEFAULT_REVISION, Repository, is_commit};

/// The file in each snapshot that says what it is. A snapshot without it isn't one.
pub(super) const MANIFEST: &str = "sprat-model.json";

/// A reference on its way. No revision holds a percent sign.
const NEW_REFERENCE: &str = "%new";

/// How often a lock that another process holds is looked at again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The folder of models.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A model as it was at one commit, whole and checked.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whose it is.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Which commit.
    pub commit: String,
    /// The branches and tags that were this commit when they were pulled.
    pub revisions: Vec<String>,
    /// Where its files are.
    pub folder: PathBuf,
    /// Its files, as the hub listed them.
    pub files: Vec<KeptFile>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Relative to the snapshot, with `/`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What its bytes hashed to when it came.
    pub digest: Digest,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    repository: String,
    commit: String,
    files: Vec<KeptFile>,
}

impl Snapshot {
    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Files that are gone or have another length than when they came.
    pub fn damaged(&self) -> Vec<&str> {
        let is_damaged = |file: &&KeptFile| {
            std::fs::metadata(self.folder.join(&file.name)).map_or(true, |found| found.len() != file.size)
        };
        self.files.iter().filter(is_damaged).map(|file| file.name.as_str()).collect()
    }
}

/// Held while something is written; the system lets go of it when the process ends, however it ends.
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Cache {
    /// A cache in this folder, which needn't be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model as it was pulled; `None` where it wasn't, or files of it are gone.
    pub fn find(&self, repository: &Repository) -> Option<Snapshot> {
        let commit = if repository.is_pinned() {
            repository.revision.clone()
        } else {
            std::fs::read_to_string(self.reference(repository)).ok()?.trim().to_owned()
        };
        self.snapshot(repository, &commit)
    }

    /// Every model that is here, by name. What can't be read is passed over.
    pub fn list(&self) -> Vec<Snapshot> {
        let hub = self.folder.join("hf");
        let mut found = Vec::new();
        for owner in folders(&hub) {
            for name in folders(&hub.join(&owner)) {
                for commit in
                    folders(&hub.join(&owner).join(&name)).into_iter().filter(|name| is_commit(name))
                {
                    let revision = DEFAULT_REVISION.to_owned();
                    let repository = Repository { owner: owner.clone(), name: name.clone(), revision };
                    found.extend(self.read(&repository, &commit));
                }
            }
        }
        found
    }

    /// Removes a snapshot and what points at it.
    ///
    /// # Errors
    /// A folder that can't be locked or removed.
    pub async fn remove(&self, snapshot: &Snapshot) -> Result<(), HubError> {
        let repository = Repository {
            owner: snapshot.owner.clone(),
            name: snapshot.name.clone(),
            revision: DEFAULT_REVISION.to_owned(),
        };
        let _lock = self.lock(&repository).await?;
        let home = self.home(&repository);
        for revision in &snapshot.revisions {
            let reference = self.reference(&Repository { revision: revision.clone(), ..repository.clone() });
            std::fs::remove_file(&reference).map_err(io_error(&reference, "removed"))?;
        }
        // Out of sight at once, so that nobody finds it half gone.
        let going = home.join(format!("{}.going", snapshot.commit));
        std::fs::rename(&snapshot.folder, &going).map_err(io_error(&snapshot.folder, "removed"))?;
        std::fs::remove_dir_all(&going).map_err(io_error(&going, "removed"))
    }

    /// The snapshot of a commit, where it is whole.
    pub(super) fn snapshot(&self, repository: &Repository, commit: &str) -> Option<Snapshot> {
        self.read(repository, commit).filter(|snapshot| snapshot.damaged().is_empty())
    }

    /// Waits until nobody else writes to this model's folder.
    pub(super) async fn lock(&self, repository: &Repository) -> Result<Lock, HubError> {
        let home = self.home(repository);
        std::fs::create_dir_all(&home).map_err(io_error(&home, "made"))?;
        let path = home.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(io_error(&path, "written"))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_LOOKS).await,
                Err(TryLockError::Error(why)) => return Err(HubError::Cache { path, what: "locked", why }),
            }
        }
    }

    /// The folder of a commit on its way, with whatever an earlier attempt has left there.
    pub(super) fn unfinished(&self, repository: &Repository, commit: &str) -> Result<PathBuf, HubError> {
        let folder = self.home(repository).join(format!("{commit}.part"));
        std::fs::create_dir_all(&folder).map_err(io_error(&folder, "made"))?;
        Ok(folder)
    }

    /// Gives a commit that is all there its name.
    pub(super) fn finish(
        &self,
        repository: &Repository,
        commit: &str,
        files: &[Wanted],
    ) -> Result<Snapshot, HubError> {
        let part = self.unfinished(repository, commit)?;
        let whole = self.home(repository).join(commit);
        let kept = |file: &Wanted| KeptFile {
            name: file.name.clone(),
            size: file.size,
            digest: file.digest.clone(),
        };
        let manifest = Manifest {
            repository: format!("{}/{}", repository.owner, repository.name),
            commit: commit.to_owned(),
            files: files.iter().map(kept).collect(),
        };
        let path = part.join(MANIFEST);
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|error| io_error(&path, "written")(error.into()))?;
        std::fs::write(&path, text).map_err(io_error(&path, "written"))?;
        if whole.exists() {
            // A snapshot that was damaged.
            std::fs::remove_dir_all(&whole).map_err(io_error(&whole, "removed"))?;
        }
        std::fs::rename(&part, &whole).map_err(io_error(&whole, "written"))?;
        self.point(repository, commit)?;
        self.read(repository, commit).ok_or_else(|| io_error(&whole, "read")(io::ErrorKind::NotFound.into()))
    }

    /// Remembers which commit a branch or tag is.
    pub(super) fn point(&self, repository: &Repository, commit: &str) -> Result<(), HubError> {
        if repository.is_pinned() {
            return Ok(());
        }
        let path = self.reference(repository);
        let failed = io_error(&path, "written");
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            let fresh = path.with_file_name(NEW_REFERENCE);
            std::fs::write(&fresh, commit)?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(failed)
    }

    fn read(&self, repository: &Repository, commit: &str) -> Option<Snapshot> {
        if !is_commit(commit) {
            return None;
        }
        let folder = self.home(repository).join(commit);
        let manifest = std::fs::read(folder.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        Some(Snapshot {
            owner: repository.owner.clone(),
            name: repository.name.clone(),
            commit: commit.to_owned(),
            revisions: self.revisions_of(repository, commit),
            folder,
            files: manifest.files,
        })
    }

    fn revisions_of(&self, repository: &Repository, commit: &str) -> Vec<String> {
        let refs = self.home(repository).join("refs");
        let mut names = entries(&refs);
        names.retain(|name| name != NEW_REFERENCE);
        names.retain(|name| std::fs::read_to_string(refs.join(name)).is_ok_and(|text| text.trim() == commit));
        names.into_iter().map(|name| name.replace("%2F", "/")).collect()
    }

    fn home(&self, repository: &Repository) -> PathBuf {
        self.folder.join("hf").join(&repository.owner).join(&repository.name)
    }

    fn reference(&self, repository: &Repository) -> PathBuf {
        // A revision's slashes would make folders; no revision holds a percent sign.
        self.home(repository).join("refs").join(repository.revision.replace('/', "%2F"))
    }
}

/// The names in a folder, sorted; none where it can't be read.
fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn folders(folder: &Path) -> Vec<String> {
    entries(folder).into_iter().filter(|name| folder.join(name).is_dir()).collect()
}

/// What the system said about a path, as an error of ours.
pub(super) fn io_error(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> HubError + use<> {
    let path = path.to_owned();
    move |why| HubError::Cache { path, what, why }
}
