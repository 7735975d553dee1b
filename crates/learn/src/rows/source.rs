//! Which format a file is in, and whether it can be opened at all.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use sprat_task::Problem;

/// A format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Fields separated by commas (or, where the header has no comma, by semicolons).
    Csv,
    /// Fields separated by tabs.
    Tsv,
    /// A JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that a file's name says.
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The format that a file's first bytes look like.
    fn of_beginning(bytes: &[u8]) -> Self {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes);
        match bytes.trim_ascii_start().first() {
            Some(b'{') => Self::Jsonl,
            _ if line.contains(&b'\t') => Self::Tsv,
            _ => Self::Csv,
        }
    }
}

/// A file (or standard input) that could be opened, nothing of it read yet.
pub struct Opened {
    /// The file as the user named it; `standard input`.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Where bytes come from.
pub enum Bytes {
    /// A file, at its beginning.
    File(BufReader<File>),
    /// Something that can only be read forwards.
    Stream(Box<dyn BufRead + Send>),
}

impl Bytes {
    /// As a reader, whatever they come from.
    pub fn into_reader(self) -> Box<dyn BufRead + Send> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Stream(stream) => stream,
        }
    }
}

/// Opens a file, `-` being standard input, and finds its format out: as told, by its beginning where that leaves no
/// doubt, by its name, by a guess at its beginning.
pub fn open(path: &Path, format: Option<Format>) -> Result<Opened, Problem> {
    if path.as_os_str() == "-" {
        return open_stream(Box::new(BufReader::new(io::stdin())), "standard input", format);
    }
    let name = path.display().to_string();
    let cannot = |error: io::Error| cannot_open(path, &error);
    if path.metadata().map_err(cannot)?.is_dir() {
        return Err(Problem::in_file(&name, "this is a directory, not a file of rows")
            .hint(format!("name its files: {}/*.csv", name.trim_end_matches('/'))));
    }
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(cannot)?);
    let beginning = file.fill_buf().map_err(cannot)?;
    let format = format_of(beginning, &name, format.or(Format::of_name(path)))?;
    Ok(Opened { name, format, bytes: Bytes::File(file) })
}

/// The same for anything that can be read.
pub fn open_stream(
    mut stream: Box<dyn BufRead + Send>,
    name: &str,
    format: Option<Format>,
) -> Result<Opened, Problem> {
    let beginning = stream.fill_buf().map_err(|error| cannot_read(name, &error))?;
    let format = format_of(beginning, name, format)?;
    Ok(Opened { name: name.to_owned(), format, bytes: Bytes::Stream(stream) })
}

/// Reading broke off.
pub fn cannot_read(name: &str, error: &io::Error) -> Problem {
    Problem::in_file(name, format!("can't be read: {}", plain(error)))
}

/// All of a stream in memory, for the one format that is read from its end.
pub(crate) fn all_bytes(mut stream: impl Read, name: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| cannot_read(name, &error))?;
    Ok(bytes)
}

fn format_of(beginning: &[u8], name: &str, told: Option<Format>) -> Result<Format, Problem> {
    if beginning.is_empty() {
        return Err(Problem::in_file(name, "the file is empty")
            .hint("rows are CSV with a header `text,label`, or JSON lines: {\"text\": …, \"label\": …}"));
    }
    if beginning.starts_with(b"\xFF\xFE") || beginning.starts_with(b"\xFE\xFF") {
        return Err(Problem::in_file(name, "the file is UTF-16, not UTF-8")
            .hint("save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")"));
    }
    if beginning.starts_with(b"\x1F\x8B") || beginning.starts_with(b"PK\x03\x04") {
        return Err(Problem::in_file(name, "the file is compressed").hint("unpack it first"));
    }
    if beginning.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if told == Some(Format::Parquet) {
        return Err(Problem::in_file(name, "this is not a Parquet file: it doesn't begin with `PAR1`")
            .hint("give the file the ending its format has: .csv, .tsv, .jsonl or .parquet"));
    }
    Ok(told.unwrap_or_else(|| Format::of_beginning(beginning)))
}

/// Why a file can't be opened, and which one may have been meant.
pub fn cannot_open(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::in_file(path.display(), format!("can't be opened: {}", plain(error)));
    match error.kind() {
        io::ErrorKind::NotFound => {
            let wrong = path.file_name().unwrap_or_default().to_string_lossy();
            let names = neighbours(path);
            let near = problem.clone().did_you_mean(&wrong, names.iter().map(String::as_str));
            if near.hint.is_some() {
                near
            } else {
                problem.hint("check the name, and the folder it is read from")
            }
        }
        io::ErrorKind::PermissionDenied => problem.hint("check who may read it, with ls -l"),
        _ => problem,
    }
}

/// The error in a few words; the operating system's own end in `(os error 2)`.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn neighbours(path: &Path) -> Vec<String> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).take(1000).collect();
    names.sort();
    names
}
