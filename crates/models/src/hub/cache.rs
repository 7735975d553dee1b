//! Models on this machine.
//!
//! ```text
//! hf/OWNER/NAME/COMMIT/           a whole model; it gets this name last
//! hf/OWNER/NAME/COMMIT%23FILE/    one GGUF file of it; the others have folders of their own
//! hf/OWNER/NAME/COMMIT.part/      on its way
//! hf/OWNER/NAME/refs/REVISION     which of these a branch or tag was when it was pulled
//! hf/OWNER/NAME/refs/REVISION%23… the same, where a file or a quantization of it was asked for
//! hf/OWNER/NAME/lock              held by whoever writes here
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::error::HubError;
use super::gguf::is_gguf;
use super::listing::{Listed, Wanted};
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
    /// The branches and tags that were this commit when they were pulled, each with `#` and what was asked for of it.
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

    /// The GGUF file, where it is one.
    pub fn gguf(&self) -> Option<PathBuf> {
        let file = self.files.iter().find(|file| is_gguf(&file.name))?;
        Some(self.folder.join(&file.name))
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
        let kept = match std::fs::read_to_string(self.reference(repository)) {
            Ok(kept) => kept.trim().to_owned(),
            Err(_) if repository.is_pinned() => repository.revision.clone(),
            Err(_) => return None,
        };
        self.snapshot(repository, &kept)
    }

    /// Every model that is here, by name. What can't be read is passed over.
    pub fn list(&self) -> Vec<Snapshot> {
        let hub = self.folder.join("hf");
        let mut found = Vec::new();
        for owner in folders(&hub) {
            for name in folders(&hub.join(&owner)) {
                for kept in folders(&hub.join(&owner).join(&name)) {
                    let revision = DEFAULT_REVISION.to_owned();
                    let repository =
                        Repository { owner: owner.clone(), name: name.clone(), revision, file: None };
                    found.extend(self.read(&repository, &kept));
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
            file: None,
        };
        let _lock = self.lock(&repository).await?;
        let home = self.home(&repository);
        for revision in &snapshot.revisions {
            let reference = home.join("refs").join(encoded(revision));
            std::fs::remove_file(&reference).map_err(io_error(&reference, "removed"))?;
        }
        // Out of sight at once, so that nobody finds it half gone.
        let going = snapshot.folder.with_extension("going");
        std::fs::rename(&snapshot.folder, &going).map_err(io_error(&snapshot.folder, "removed"))?;
        std::fs::remove_dir_all(&going).map_err(io_error(&going, "removed"))
    }

    /// The snapshot of this name ([`name_of`]), where it is whole.
    pub(super) fn snapshot(&self, repository: &Repository, name: &str) -> Option<Snapshot> {
        self.read(repository, name).filter(|snapshot| snapshot.damaged().is_empty())
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

    /// The folder of a snapshot on its way, with whatever an earlier attempt has left there.
    pub(super) fn unfinished(&self, repository: &Repository, name: &str) -> Result<PathBuf, HubError> {
        let folder = self.home(repository).join(format!("{name}.part"));
        std::fs::create_dir_all(&folder).map_err(io_error(&folder, "made"))?;
        Ok(folder)
    }

    /// Gives a snapshot that is all there its name.
    pub(super) fn finish(
        &self,
        repository: &Repository,
        name: &str,
        files: &[Wanted],
    ) -> Result<Snapshot, HubError> {
        let part = self.unfinished(repository, name)?;
        let whole = self.home(repository).join(name);
        let kept = |file: &Wanted| KeptFile {
            name: file.name.clone(),
            size: file.size,
            digest: file.digest.clone(),
        };
        let manifest = Manifest {
            repository: format!("{}/{}", repository.owner, repository.name),
            commit: commit_of(name).unwrap_or_default().to_owned(),
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
        self.point(repository, name)?;
        self.read(repository, name).ok_or_else(|| io_error(&whole, "read")(io::ErrorKind::NotFound.into()))
    }

    /// Remembers which snapshot a branch or tag is.
    pub(super) fn point(&self, repository: &Repository, name: &str) -> Result<(), HubError> {
        if repository.reference() == name {
            return Ok(());
        }
        let path = self.reference(repository);
        let failed = io_error(&path, "written");
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            let fresh = path.with_file_name(NEW_REFERENCE);
            std::fs::write(&fresh, name)?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(failed)
    }

    fn read(&self, repository: &Repository, name: &str) -> Option<Snapshot> {
        let commit = commit_of(name)?;
        let folder = self.home(repository).join(name);
        let manifest = std::fs::read(folder.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
        Some(Snapshot {
            owner: repository.owner.clone(),
            name: repository.name.clone(),
            commit: commit.to_owned(),
            revisions: self.revisions_of(repository, name),
            folder,
            files: manifest.files,
        })
    }

    fn revisions_of(&self, repository: &Repository, snapshot: &str) -> Vec<String> {
        let refs = self.home(repository).join("refs");
        let mut names = entries(&refs);
        names.retain(|name| name != NEW_REFERENCE);
        names.retain(|name| {
            std::fs::read_to_string(refs.join(name)).is_ok_and(|text| text.trim() == snapshot)
        });
        names.into_iter().map(|name| name.replace("%2F", "/").replace("%23", "#")).collect()
    }

    fn home(&self, repository: &Repository) -> PathBuf {
        self.folder.join("hf").join(&repository.owner).join(&repository.name)
    }

    fn reference(&self, repository: &Repository) -> PathBuf {
        self.home(repository).join("refs").join(encoded(&repository.reference()))
    }
}

/// What a snapshot's folder is called: after its commit, and after the file where it is one GGUF file.
pub(super) fn name_of(commit: &str, files: &[Listed]) -> String {
    match files {
        [file] if is_gguf(&file.name) => encoded(&format!("{commit}#{}", file.name)),
        _ => commit.to_owned(),
    }
}

/// The commit of a snapshot, by its folder's name; `None` of one that is none, or not all there.
fn commit_of(name: &str) -> Option<&str> {
    let (commit, file) = name.split_once("%23").unwrap_or((name, ".gguf"));
    (is_commit(commit) && is_gguf(file)).then_some(commit)
}

/// As a folder's name: slashes would make folders, and neither a revision nor a file that can be asked for holds a percent
/// sign.
fn encoded(word: &str) -> String {
    word.replace('/', "%2F").replace('#', "%23")
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
