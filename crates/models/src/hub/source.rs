//! What can stand after `source =`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sprat_task::Problem;

/// Where the files of a local model are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`; with `#FILE` behind it, one GGUF file.
    Hub(Repository),
    /// `path:PATH`, relative to the workspace.
    Path(PathBuf),
}

/// A model at the hub, and which of its revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// A person or an organisation.
    pub owner: String,
    /// The model's name.
    pub name: String,
    /// A branch, a tag or a commit; `main` unless declared.
    pub revision: String,
    /// Which of its GGUF files: the file's name, or a quantization such as `q4_k_m` that stands in it. `None` means the
    /// whole model, or the only such file.
    pub file: Option<String>,
}

/// The revision of a repository whose source names none.
pub const DEFAULT_REVISION: &str = "main";

/// The forms a source has, for errors.
pub const FORMS: &str = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION, hf:OWNER/NAME#FILE, path:PATH";

/// Longer names than any hub gives are no names.
const LONGEST_NAME: usize = 128;

impl Repository {
    /// Whether the revision is a whole commit, which never moves.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }

    /// The revision, and the file where one is meant: what a pulled model is remembered by.
    pub fn reference(&self) -> String {
        match &self.file {
            Some(file) => format!("{}#{file}", self.revision),
            None => self.revision.clone(),
        }
    }
}

/// 40 hexadecimal digits: the name of a commit.
pub(super) fn is_commit(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What can be a folder's name on every system: the cache has one for each owner and each model.
fn is_name(word: &str) -> bool {
    word.len() <= LONGEST_NAME
        && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !word.ends_with('.')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Git's rules for a ref, narrowed to what hubs use.
fn is_revision(word: &str) -> bool {
    word.len() <= LONGEST_NAME && word.split('/').all(is_name) && !word.contains("..")
}

/// A file below the repository, or a word of its name.
pub fn is_file(word: &str) -> bool {
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+=".contains(&byte))
    };
    word.len() <= LONGEST_NAME && word.split('/').all(is_part)
}

impl FromStr for ModelSource {
    type Err = Problem;

    fn from_str(written: &str) -> Result<Self, Problem> {
        let wrong = || Problem::new(format!("`{written}` doesn't say where the model is")).allowed(FORMS);
        match written.split_once(':') {
            Some(("path", path)) if !path.trim().is_empty() => Ok(Self::Path(PathBuf::from(path))),
            Some(("hf", repository)) => {
                let (repository, file) = match repository.split_once('#') {
                    Some((repository, file)) => (repository, Some(file)),
                    None => (repository, None),
                };
                let (name, revision) = repository.split_once('@').unwrap_or((repository, DEFAULT_REVISION));
                let (owner, name) = name.split_once('/').ok_or_else(wrong)?;
                if !(is_name(owner) && is_name(name) && is_revision(revision) && file.is_none_or(is_file)) {
                    return Err(wrong());
                }
                let [owner, name, revision] = [owner, name, revision].map(str::to_owned);
                Ok(Self::Hub(Repository { owner, name, revision, file: file.map(str::to_owned) }))
            }
            None if is_like_a_repository(written) => {
                Err(wrong().hint(format!("did you mean `hf:{written}`?")))
            }
            _ => Err(wrong()),
        }
    }
}

fn is_like_a_repository(written: &str) -> bool {
    written.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path:{}", path.display()),
            Self::Hub(repository) => write!(f, "hf:{repository}"),
        }
    }
}

/// `OWNER/NAME`, `@REVISION` where it isn't the default one, `#FILE` where one is meant.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision)?;
        }
        self.file.iter().try_for_each(|file| write!(f, "#{file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_and_written_the_same() {
        let commit = format!("hf:a/b@{}", "0123456789abcdef0123456789abcdef01234567");
        for written in [
            "hf:sentence-transformers/all-MiniLM-L6-v2",
            "hf:a/b@v1.0",
            "hf:a/b@refs/pr/7",
            "hf:a/b#q4_k_m",
            "hf:a/b@v1#gguf/b-Q4_K_M.gguf",
            "path:x y",
            &commit,
        ] {
            assert_eq!(written.parse::<ModelSource>().unwrap().to_string(), written);
        }
        assert_eq!("hf:a/b@main".parse::<ModelSource>().unwrap().to_string(), "hf:a/b");
    }

    #[test]
    fn what_could_lead_out_of_the_cache_is_no_source() {
        for written in [
            "",
            "hf:",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:a/b/c",
            "hf:../b",
            "hf:a/..",
            "hf:a/b@",
            "hf:a/b@..",
            "hf:a/b@x/../y",
            "hf:a/b@/etc",
            "hf:a\\b/c",
            "hf:a/b c",
            "hf:a/b@x y",
            "hf:.a/b",
            "hf:a/b.",
            "hf:a/b#",
            "hf:a/b#../c.gguf",
            "hf:a/b#/c.gguf",
            "hf:a/b#c d",
            "hf:a/b#c%23d",
            "hf:a/b#c#d",
            "path:",
            "path: ",
            "https://h/a/b",
        ] {
            let problem = written.parse::<ModelSource>().expect_err(written).to_string();
            assert!(problem.contains("hf:OWNER/NAME"), "{problem}");
        }
    }

    #[test]
    fn a_name_without_its_hub_is_told_how_it_is_written() {
        let problem = "intfloat/e5-small".parse::<ModelSource>().unwrap_err().to_string();
        assert!(problem.contains("did you mean `hf:intfloat/e5-small`?"), "{problem}");
    }
}
