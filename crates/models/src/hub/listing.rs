//! What the hub says of a model: the commit of a revision, and each file with its size and checksum.

use serde::Deserialize;

use super::digest::Digest;
use super::error::HubError;
use super::http::Http;
use super::source::{Repository, is_commit};

/// A commit and its files.
#[derive(Debug)]
pub(super) struct Listing {
    pub commit: String,
    pub files: Vec<Listed>,
}

/// A file as it is listed. Mirrors leave the size and the checksum out; the file's own headers have them then.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub name: String,
    pub size: Option<u64>,
    pub digest: Option<Digest>,
}

/// A file that is known well enough to be fetched.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub name: String,
    pub size: u64,
    pub digest: Digest,
}

/// `GET /api/models/OWNER/NAME/revision/REVISION?blobs=true`, as far as it is read.
#[derive(Deserialize)]
struct ModelInfo {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

impl From<Sibling> for Listed {
    fn from(sibling: Sibling) -> Self {
        let Sibling { rfilename: name, size, blob_id, lfs } = sibling;
        match lfs {
            // The blob of a large file is the pointer that git keeps, not the file.
            Some(lfs) => Self { name, size: lfs.size.or(size), digest: Digest::sha256(&lfs.sha256) },
            None => Self { name, size, digest: blob_id.as_deref().and_then(Digest::git_blob) },
        }
    }
}

/// More of a listing than this is not read: a model with a thousand files comes to a tenth of it.
const MOST_LISTING_BYTES: usize = 4 << 20;

/// Asks what a revision is, and what is in it.
pub(super) async fn ask(http: &Http, repository: &Repository) -> Result<Listing, HubError> {
    let Repository { owner, name, revision, file: _ } = repository;
    let url = http.url(&["api", "models", owner, name, "revision", revision], Some("blobs=true"));
    let body = http.small(repository, url, MOST_LISTING_BYTES).await?;
    let strange = |why: String| HubError::NotAHub { host: http.host(), why };
    let info: ModelInfo = serde_json::from_slice(&body)
        .map_err(|error| strange(format!("its listing can't be read: {error}")))?;
    // The commit becomes a folder's name.
    if !is_commit(&info.sha) {
        return Err(strange("it names a commit that is none".to_owned()));
    }
    Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(Listed::from).collect() })
}

/// The files with what the listing left out, read from the headers of each.
pub(super) async fn complete(
    http: &Http,
    repository: &Repository,
    commit: &str,
    files: Vec<Listed>,
) -> Result<Vec<Wanted>, HubError> {
    let mut wanted = Vec::with_capacity(files.len());
    for Listed { name, size, digest } in files {
        let (size, digest) = match (size, digest) {
            (Some(size), Some(digest)) => (size, digest),
            _ => http.describe(repository, commit, &name).await?,
        };
        wanted.push(Wanted { name, size, digest });
    }
    Ok(wanted)
}
