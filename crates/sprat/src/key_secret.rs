//! Where is the workspace's secret, without which its keys can't be recognised? In a file of its own, made on first use.

use std::io::Write;
use std::path::{Path, PathBuf};

use sprat_store::Store;
use sprat_task::{KeySecret, Problem};

use crate::failure::Failure;
use crate::workspace::{Workspace, shown};

/// The file, below the workspace's folder.
const FILE: &str = ".sprat/key-secret";

/// The workspace's secret. It is made where there is none, unless there are keys that were made with another one.
pub fn open(workspace: &Workspace, store: &Store) -> Result<KeySecret, Failure> {
    let path = workspace.root.join(FILE);
    if !path.exists() {
        let in_use = store.keys().all()?.into_iter().filter(|key| key.revoked_unix_ms.is_none());
        let names: Vec<String> = in_use.map(|key| key.id.to_string()).collect();
        if !names.is_empty() {
            return Err(gone(&path, &names).into());
        }
        make(&path).map_err(|error| cant("written", &path, &error))?;
    }
    read(&path)
}

/// Random bytes from the operating system.
pub fn random() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::ours(format!("the system gives no random numbers: {error}")))?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<KeySecret, Failure> {
    only_the_owner_s(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| cant("read", path, &error))?;
    KeySecret::from_hex(text.trim()).ok_or_else(|| {
        Problem::in_file(shown(path), "this is not a secret that Sprat has made")
            .allowed("64 hexadecimal digits")
            .hint("put the file back from a backup; or remove it, revoke the keys, and make new ones")
            .into()
    })
}

/// Written under another name first, so that nobody reads half of it, and never over a file that is there.
fn make(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = beside(path);
    let mut file = owner_only().open(&beside)?;
    let written = file
        .write_all(format!("{}\n", KeySecret::new(bytes).to_hex()).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&beside, path));
    let _ = std::fs::remove_file(&beside);
    match written {
        // Another process was quicker; its secret is the one.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_file_name(format!("key-secret.{}", std::process::id()))
}

fn owner_only() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn only_the_owner_s(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|error| cant("read", path, &error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Problem::in_file(shown(path), "others on this machine may read the secret of the keys")
        .allowed("a file for its owner alone")
        .hint(format!("chmod 600 {}; if others did read it, revoke the keys and make new ones", shown(path)))
        .into())
}

#[cfg(not(unix))]
fn only_the_owner_s(_: &Path) -> Result<(), Failure> {
    Ok(())
}

fn gone(path: &Path, names: &[String]) -> Problem {
    Problem::new(format!(
        "{} is gone, and without it the keys of this workspace can't be recognised: {}",
        shown(path),
        names.join(", ")
    ))
    .hint("put it back from a backup; or `sprat keys revoke` each of them, then make new ones")
}

fn cant(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::ours(format!("{} can't be {what}: {error}", shown(path)))
}
