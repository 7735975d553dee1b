//! Bytes from the hub into files: each goes on where it stopped, and gets its name when it is known to be right.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};

use super::Fetched;
use super::cache::io_error;
use super::error::HubError;
use super::http::{Http, RETRIES};
use super::listing::Wanted;
use super::source::Repository;
use crate::remote::http::innermost;

/// The files of one commit on their way into a folder.
pub(super) struct Download<'a> {
    pub http: &'a Http,
    pub repository: &'a Repository,
    pub commit: &'a str,
    pub folder: &'a Path,
    pub files: &'a [Wanted],
}

/// What a file is called until all of it is there.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

impl Download<'_> {
    /// Fetches what isn't there yet, one file after the other.
    pub(super) async fn run(&self, told: &(dyn Fn(Fetched) + Sync)) -> Result<(), HubError> {
        let total = self.files.iter().map(|file| file.size).sum();
        let mut before = 0;
        for file in self.files {
            let tell = |here: u64| told(Fetched { done: before + here, total });
            self.file(file, &tell).await?;
            before += file.size;
            told(Fetched { done: before, total });
        }
        Ok(())
    }

    /// Fetches one file. Trouble that passes is sat out as long as bytes keep coming.
    async fn file(&self, file: &Wanted, tell: &(dyn Fn(u64) + Sync)) -> Result<(), HubError> {
        let path = self.folder.join(&file.name);
        // A name is only ever given to a file that was checked.
        if length(&path) == file.size && path.exists() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io_error(folder, "made"))?;
        }
        let part = part_of(&path);
        let (mut tried, mut anew) = (0, false);
        loop {
            let before = length(&part);
            match self.attempt(file, &part, tell).await {
                Ok(()) => return std::fs::rename(&part, &path).map_err(io_error(&path, "written")),
                // What was here before may be the wrong half: the whole of it once more.
                Err(HubError::WrongBytes { .. }) if before > 0 && !anew => anew = true,
                Err(error) if error.passes() => {
                    tried = if length(&part) > before { 0 } else { tried + 1 };
                    if tried > RETRIES {
                        return Err(error);
                    }
                    self.http.wait(&error, tried).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Brings the part to its full length and checks it; wrong bytes are thrown away.
    async fn attempt(&self, file: &Wanted, part: &Path, tell: &(dyn Fn(u64) + Sync)) -> Result<(), HubError> {
        let mut have = length(part);
        if have > file.size {
            have = 0;
        }
        let mut out = open(part, have)?;
        if have < file.size {
            have = self.more(file, part, &mut out, have, tell).await?;
        }
        out.sync_all().map_err(io_error(part, "written"))?;
        drop(out);
        let mut hasher = file.digest.hasher(file.size);
        hasher.update_from(part).map_err(io_error(part, "read"))?;
        let got = hasher.finish();
        if have == file.size && got == file.digest {
            return Ok(());
        }
        std::fs::remove_file(part).map_err(io_error(part, "written"))?;
        let got = if have > file.size { format!("more than {} bytes", file.size) } else { got.to_string() };
        Err(HubError::WrongBytes { file: file.name.clone(), expected: file.digest.clone(), got })
    }

    /// Asks for what is missing and appends it; gives the length there is then.
    async fn more(
        &self,
        file: &Wanted,
        part: &Path,
        out: &mut File,
        have: u64,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, HubError> {
        let url = self.http.file_url(self.repository, self.commit, &file.name);
        let from = (have > 0).then_some(have);
        let mut response = self.http.send(Method::GET, self.repository, url, from).await?.response;
        let mut got = match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(&response, have) => have,
            StatusCode::OK => 0,
            // It doesn't go on where we stopped: from the beginning, with the next try.
            _ => {
                out.set_len(0).map_err(io_error(part, "written"))?;
                return Err(self.broke_off(file, 0, "the hub sends another part of it than was asked for"));
            }
        };
        if got != have {
            *out = open(part, 0)?;
        }
        tell(got);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    got += chunk.len() as u64;
                    if got > file.size {
                        return Ok(got);
                    }
                    out.write_all(&chunk).map_err(io_error(part, "written"))?;
                    tell(got);
                }
                Ok(None) if got == file.size => return Ok(got),
                Ok(None) => return Err(self.broke_off(file, got, "the hub ended the reply")),
                Err(error) => return Err(self.broke_off(file, got, &innermost(&error))),
            }
        }
    }

    fn broke_off(&self, file: &Wanted, got: u64, why: &str) -> HubError {
        HubError::BrokeOff { file: file.name.clone(), got, size: file.size, why: why.to_owned() }
    }
}

/// Whether a part of a file begins at this byte: `content-range: bytes 100-199/200`.
fn begins_at(response: &Response, byte: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| range.trim().strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    from == Some(byte)
}

/// The file, ready to be appended to after its first `keep` bytes.
fn open(part: &Path, keep: u64) -> Result<File, HubError> {
    let file = OpenOptions::new().create(true).append(true).open(part).map_err(io_error(part, "written"))?;
    file.set_len(keep).map_err(io_error(part, "written"))?;
    Ok(file)
}
