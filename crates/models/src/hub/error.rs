//! What can go wrong between the hub and this machine, and what to do then.

use std::path::PathBuf;

use super::digest::Digest;
use super::source::Repository;

/// Why there are no files. The words hold no token, and no address that the hub has redirected to.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `path:` leads nowhere.
    #[error("there is no {}", .0.display())]
    NoFolder(PathBuf),
    /// Offline, and it isn't in the cache.
    #[error("model {0} is not on this machine, and nothing is fetched offline")]
    NotHere(Repository),
    /// The hub knows no such model, or shows it to nobody it doesn't know.
    #[error("{host} has no model {repository} {}", if *.known { "that HF_TOKEN may see" } else { "that is public" })]
    NoModel {
        /// The model asked for.
        repository: Repository,
        /// Who was asked.
        host: String,
        /// Whether a token was sent.
        known: bool,
    },
    /// The model is there, the revision isn't.
    #[error("model {}/{} has no revision `{}`", .0.owner, .0.name, .0.revision)]
    NoRevision(Repository),
    /// The model wants its conditions accepted first.
    #[error("model {repository} is gated: {host} shows it only to those who have accepted its conditions")]
    Gated {
        /// The model asked for.
        repository: Repository,
        /// Who was asked.
        host: String,
        /// Whether a token was sent.
        known: bool,
    },
    /// A file of the listing that isn't served.
    #[error("model {repository} lists {file}, but {host} doesn't have it")]
    NoFile {
        /// The model asked for.
        repository: Repository,
        /// The file.
        file: String,
        /// Who was asked.
        host: String,
    },
    /// Nothing in it that can be loaded.
    #[error("model {repository} has no {missing}{}", .instead.as_ref().map(|file| format!(", only {file}")).unwrap_or_default())]
    NotAModel {
        /// The model asked for.
        repository: Repository,
        /// What is not there.
        missing: &'static str,
        /// What is there instead.
        instead: Option<String>,
    },
    /// It is not said, or not clearly, which of its GGUF files is meant.
    #[error("model {repository} {why}")]
    Unclear {
        /// The model asked for.
        repository: Repository,
        /// What is unclear, with the files that are there.
        why: String,
    },
    /// The GGUF file is in parts.
    #[error("model {repository} has {file} only in parts, and parts are not read")]
    InParts {
        /// The model asked for.
        repository: Repository,
        /// The first part.
        file: String,
    },
    /// A file name that would be written outside of the cache.
    #[error("the listing of model {repository} has a file name that can't be kept: {}", .name.escape_debug())]
    BadName {
        /// The model asked for.
        repository: Repository,
        /// The name as it came.
        name: String,
    },
    /// A reply that isn't what the hub's API says.
    #[error("{host} answers otherwise than a model hub does: {why}")]
    NotAHub {
        /// Who was asked.
        host: String,
        /// What was strange.
        why: String,
    },
    /// Too many requests.
    #[error("{host} wants fewer requests{}", .wait_s.map(|seconds| format!("; again in {seconds} s")).unwrap_or_default())]
    Busy {
        /// Who was asked.
        host: String,
        /// How long it wants to be left alone.
        wait_s: Option<u64>,
    },
    /// Nobody there, or a connection that breaks before any reply.
    #[error("{host} can't be reached: {why}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// The innermost cause.
        why: String,
    },
    /// A status that says that something is wrong at the hub.
    #[error("{host} answers with status {status}")]
    Refused {
        /// Who was asked.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// The body ended early.
    #[error("{file} broke off after {got} of {size} bytes: {why}")]
    BrokeOff {
        /// The file.
        file: String,
        /// Bytes that are kept.
        got: u64,
        /// Bytes there should be.
        size: u64,
        /// The innermost cause.
        why: String,
    },
    /// Other bytes than the listing promised; they were thrown away.
    #[error("{file} came with other bytes than the hub lists: expected {expected}, got {got}")]
    WrongBytes {
        /// The file.
        file: String,
        /// What the hub lists.
        expected: Digest,
        /// What came.
        got: String,
    },
    /// The cache can't be read or written.
    #[error("{} can't be {what}: {why}", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `written`, `locked`.
        what: &'static str,
        /// The system's words.
        why: std::io::Error,
    },
    /// No client for HTTPS.
    #[error("no HTTPS client can be made: {0}")]
    NoClient(String),
}

impl HubError {
    /// Whether it is what was asked for that is wrong, rather than the network, the hub or this machine.
    pub fn is_the_user_s(&self) -> bool {
        matches!(
            self,
            Self::NoFolder(_)
                | Self::NotHere(_)
                | Self::NoModel { .. }
                | Self::NoRevision(_)
                | Self::Gated { .. }
                | Self::NotAModel { .. }
                | Self::Unclear { .. }
                | Self::InParts { .. }
        )
    }

    /// One next step.
    pub fn hint(&self) -> String {
        match self {
            Self::NoFolder(_) => "a relative path begins at the folder of sprat.toml".to_owned(),
            Self::NotHere(repository) => format!(
                "where there is a network: sprat models pull hf:{repository}; SPRAT_MODELS names another cache"
            ),
            Self::NoModel { known: false, .. } => {
                "check the name; a private model needs a token in HF_TOKEN".to_owned()
            }
            Self::NoModel { .. } => "check the name, and that the token may read it".to_owned(),
            Self::NoRevision(_) => {
                "a revision is a branch, a tag or a whole commit; without @ it is main".to_owned()
            }
            Self::Gated { known: false, .. } => {
                "accept them on the model's page, then put a token of that account into HF_TOKEN".to_owned()
            }
            Self::Gated { .. } => "accept them on the model's page, with the account of HF_TOKEN".to_owned(),
            Self::Unclear { repository: Repository { owner, name, .. }, .. } => {
                format!("name a file, or a quantization that only one of them has: hf:{owner}/{name}#q4_k_m")
            }
            Self::InParts { .. } => {
                "choose one that is in one file; or fetch the parts, merge them with llama.cpp's \
                                     gguf-split, and use path:FILE"
                    .to_owned()
            }
            Self::NotAModel { .. } => {
                "weights are read from safetensors; many models have them on another revision".to_owned()
            }
            Self::NoFile { .. } | Self::BadName { .. } | Self::NotAHub { .. } => {
                "is HF_ENDPOINT a model hub? unset, the hub itself is asked".to_owned()
            }
            Self::Busy { .. } => {
                "wait, or put a token into HF_TOKEN: known users may ask more often".to_owned()
            }
            Self::Unreachable { .. } | Self::Refused { .. } | Self::BrokeOff { .. } => {
                "the same command goes on where it stopped; or copy the files and use path:DIR".to_owned()
            }
            Self::WrongBytes { .. } => {
                "the same command fetches it anew; if it happens again, something on the way changes files"
                    .to_owned()
            }
            Self::Cache { .. } => "SPRAT_MODELS names another folder for models".to_owned(),
            Self::NoClient(_) => {
                "are CA certificates installed? on Debian: apt install ca-certificates".to_owned()
            }
        }
    }

    /// Whether the same request may succeed a little later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Unreachable { .. } | Self::BrokeOff { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 500..),
            _ => false,
        }
    }
}
