//! What is in a workspace: `sprat.toml`, the tasks in `tasks/`, and the store in `.sprat/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sprat_task::problem::list;
use sprat_task::{Last, Problem, Quality, Source, Task, TaskName, read_task};
use toml::de::DeValue;

use crate::config::{self, Config, ModelConfig};
use crate::failure::Failure;

/// A workspace, read and checked.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Its folder.
    pub root: PathBuf,
    /// `sprat.toml`, validated.
    pub config: Config,
    /// `sprat.toml`, as written.
    pub source: Source,
    /// The tasks by name, each with its file as written.
    pub tasks: BTreeMap<TaskName, (Task, Source)>,
}

/// The folder of the workspace, whether or not anything is in it: `asked`, else the nearest parent folder with a
/// `sprat.toml`, else the current one.
pub fn folder(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(folder) = asked {
        return Ok(folder.to_owned());
    }
    let current = std::env::current_dir()
        .map_err(|error| Failure::ours(format!("the current folder can't be found: {error}")))?;
    let found = current.ancestors().find(|folder| folder.join(config::FILE).is_file()).map(Path::to_owned);
    Ok(found.unwrap_or(current))
}

impl Workspace {
    /// Reads a workspace; the first problem ends it.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        Self::read(root).map_err(|problems| match problems.into_iter().next() {
            Some(problem) => Failure::from(problem),
            None => Failure::ours(format!("{} can't be read", root.display())),
        })
    }

    /// Reads a workspace; what is wrong in any of its files comes back all at once, and is never empty.
    pub fn read(root: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let source = match read_source(&root.join(config::FILE)) {
            Ok(source) => source,
            Err(problem) => return Err(vec![problem]),
        };
        let config = config::read(&source).map_err(|faults| problems.extend(faults)).ok();
        let mut tasks = BTreeMap::new();
        for path in task_files(root, &mut problems) {
            match open_task(&path) {
                Ok((task, source)) => {
                    if let Some(config) = &config {
                        problems.extend(check_models(&task, &source, config));
                    }
                    tasks.insert(task.name.clone(), (task, source));
                }
                Err(problem) => problems.push(problem),
            }
        }
        match config {
            Some(config) if problems.is_empty() => Ok(Self { root: root.to_owned(), config, source, tasks }),
            _ => Err(problems),
        }
    }

    /// A folder without a `sprat.toml`: every default, no task.
    pub fn bare(root: &Path) -> Self {
        let source = Source::new(config::FILE, "");
        Self { root: root.to_owned(), config: Config::default(), source, tasks: BTreeMap::new() }
    }

    /// Where the task files are, and what they name.
    pub fn tasks_folder(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Result<&Task, Problem> {
        self.tasks.get(name).map(|(task, _)| task).ok_or_else(|| {
            let names = || self.tasks.keys().map(TaskName::as_str);
            let problem = Problem::new(format!("there is no task `{name}`"));
            if self.tasks.is_empty() {
                return problem.hint(format!(
                    "declare it in {}",
                    shown(&self.root.join("tasks").join(format!("{name}.toml")))
                ));
            }
            problem.allowed(list(names())).did_you_mean(name, names())
        })
    }
}

/// The task files of a workspace, in the order of their names.
fn task_files(root: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let folder = root.join("tasks");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(Problem::in_file(shown(&folder), format!("the tasks can't be listed: {error}")));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// Reads one task file. The files that it names are relative to it.
fn open_task(path: &Path) -> Result<(Task, Source), Problem> {
    let source = read_source(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut labels_file = None;
    let task = read_task(&name, &source, |written| {
        let labels = folder.join(written);
        // A pipe or a device, which the word of a command may name, would be waited for, or be read empty.
        if labels.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            return Err("it is a pipe or a device".to_owned());
        }
        let text = read_text(&labels).map_err(|unreadable| match unreadable.line {
            Some(line) => format!("{} (line {line})", unreadable.why),
            None => unreadable.why,
        });
        labels_file = Some((written.to_owned(), labels));
        text
    });
    task.map(|task| (task, source)).map_err(|mut problem| {
        // A fault inside the labels' file names it as the task does; say where it is from here.
        if let (Some(place), Some((written, labels))) = (&mut problem.place, &labels_file)
            && place.file == *written
        {
            place.file = shown(labels);
        }
        problem
    })
}

/// Every name in `rungs` and `large` must be a model, and `large` a remote one.
fn check_models(task: &Task, source: &Source, config: &Config) -> Vec<Problem> {
    let names = || config.models.keys().map(sprat_task::ModelId::as_str);
    let unknown = |key: &str, what: &str, name: &str| {
        in_value(source, key, name, format!("{what} `{name}` is not a model of {}", config::FILE))
            .allowed(list(names()))
            .hint(format!("declare it there: [models.{name}]"))
            .did_you_mean(name, names())
    };
    let mut problems: Vec<Problem> = task
        .rungs
        .iter()
        .filter(|rung| !config.models.contains_key(*rung))
        .map(|rung| unknown("rungs", "rung", rung.as_str()))
        .collect();
    if let Last::Large(large) = &task.last {
        match config.models.get(large) {
            None => problems.push(unknown("large", "large model", large.as_str())),
            Some(ModelConfig::Remote(_)) => {}
            Some(model) => problems.push(
                in_value(
                    source,
                    "large",
                    large.as_str(),
                    format!("`{large}` is a model of kind \"{}\", not a large one", model.kind()),
                )
                .allowed("a model of kind = \"remote\"")
                .hint("a small model belongs in `rungs`"),
            ),
        }
    }
    if let Some(Quality::Judged { judge }) = &task.quality {
        let at = |message: String| in_table(source, &["quality", "model"], message);
        let name = judge.model.as_str();
        match config.models.get(&judge.model) {
            None => problems.push(
                at(format!("the judge `{name}` is not a model of {}", config::FILE))
                    .allowed(list(names()))
                    .hint(format!("declare it there: [models.{name}]"))
                    .did_you_mean(name, names()),
            ),
            Some(ModelConfig::Remote(_)) => {}
            Some(model) => problems.push(
                at(format!("`{name}` is a model of kind \"{}\", and can't judge", model.kind()))
                    .allowed("a model of kind = \"remote\"")
                    .hint("a server on this machine is one too, with provider = \"compatible\" and its base_url"),
            ),
        }
    }
    problems
}

/// A problem with the value under a path of keys.
pub fn in_table(source: &Source, path: &[&str], message: String) -> Problem {
    let Ok(mut table) = source.table() else { return source.problem_in_file(message) };
    let mut span = None;
    for key in path {
        let Some(value) = table.remove(*key) else { break };
        span = Some(value.span());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    match span {
        Some(span) => source.problem(span, message),
        None => source.problem_in_file(message),
    }
}

/// A problem with the string `value` under a key of the file.
fn in_value(source: &Source, key: &str, value: &str, message: String) -> Problem {
    let Ok(table) = source.table() else { return source.problem_in_file(message) };
    let Some(found) = table.get(key) else { return source.problem_in_file(message) };
    let items = found.get_ref().as_array();
    let item = items.and_then(|items| items.iter().find(|item| item.get_ref().as_str() == Some(value)));
    source.problem(item.unwrap_or(found).span(), message)
}

fn read_source(path: &Path) -> Result<Source, Problem> {
    let name = shown(path);
    match read_text(path) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(_) if path.ends_with(config::FILE) && !path.exists() => {
            Err(Problem::new(format!("there is no {name}"))
                .hint("`sprat init` makes one here; --workspace DIR names another folder"))
        }
        Err(Unreadable { why, line }) => {
            Err(Problem::new(format!("the file can't be read: {why}")).at(name, line.unwrap_or(0)))
        }
    }
}

/// Why a file has no text.
struct Unreadable {
    why: String,
    /// The line at fault, from 1, where there is one.
    line: Option<u64>,
}

fn read_text(path: &Path) -> Result<String, Unreadable> {
    let bytes = std::fs::read(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        };
        Unreadable { why, line: None }
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        Unreadable { why: "it is not UTF-8 text".to_owned(), line: Some(line) }
    })
}

/// A path as the user knows it: relative to the current folder where it lies below it.
pub fn shown(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current).unwrap_or(path).display().to_string()
}
