//! A workspace of a test's own, and the program run in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A folder that is gone after the test.
pub struct Workspace {
    folder: TempDir,
}

/// What a run of the program showed.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Workspace {
    /// An empty folder.
    pub fn empty() -> Self {
        Self { folder: TempDir::with_prefix("sprat-cli-").unwrap() }
    }

    /// A `sprat.toml` and a task `tickets`.
    pub fn with(config: &str, task: &str) -> Self {
        let workspace = Self::empty();
        workspace.write("sprat.toml", config).write("tasks/tickets.toml", task);
        workspace
    }

    /// examples/tickets: an invented shop's mail, whose large model answers from a file.
    pub fn tickets() -> Self {
        let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tickets"));
        let workspace = Self::empty();
        for file in ["sprat.toml", "tasks/tickets.toml", "rows.jsonl", "stream.jsonl", "answers.jsonl"] {
            workspace.write(file, std::fs::read(example.join(file)).unwrap());
        }
        workspace
    }

    /// examples/tickets with its first release, which is certified and live.
    pub fn learned() -> Self {
        let workspace = Self::tickets();
        let ran = workspace.sprat(&["learn", "tickets", "rows.jsonl", "--require-certified"]);
        assert_eq!(ran.code, 0, "{ran}");
        workspace
    }

    /// Writes a file.
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// A file's path.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A file's text.
    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// The objects of a file of JSON lines.
    pub fn lines(&self, file: &str) -> Vec<serde_json::Value> {
        self.read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The store, opened beside the program.
    pub fn store(&self) -> sprat_store::Store {
        sprat_store::Store::open(&format!("sqlite:{}", self.path(".sprat/sprat.db").display())).unwrap()
    }

    /// The program, about to run here without anything from the environment that would change what it shows.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["NO_COLOR", "SPRAT_LOG", "RUST_BACKTRACE", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
            command.env_remove(name);
        }
        for name in ["HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        command.env("SPRAT_MODELS", self.path("model-cache"));
        // The width that help is folded to where there is no terminal.
        command.env("COLUMNS", "100");
        command
    }

    /// The program, started: nobody waits for its end yet.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the program.
    pub fn sprat(&self, arguments: &[&str]) -> Ran {
        self.run(&mut self.command(arguments))
    }

    /// Runs a command made by [`command`](Self::command).
    pub fn run(&self, command: &mut Command) -> Ran {
        self.ran(command.output().unwrap())
    }

    /// What a program showed that has ended by itself.
    pub fn ran(&self, output: Output) -> Ran {
        let folder = self.folder.path().display().to_string();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder, "[folder]");
        Ran {
            code: output.status.code().expect("it ended by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ran {
    /// Stdout as the one JSON object that it must be.
    pub fn json(&self) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON value ({error}):\n{self}"));
        assert!(value.is_object(), "{self}");
        value
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Compares what was shown with the snapshot, volatile parts left out.
macro_rules! shows {
    ($name:expr, $ran:expr) => {
        insta::with_settings!({
            omit_expression => true,
            filters => vec![
                (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[time]"),
                (r"(_unix_ms.: )\d+", "$1[time]"),
                (r"sprat-[0-9a-f]{64}", "[key]"),
                (r"sprat-[0-9a-f]{6}…", "sprat-[…]…"),
                (concat!("sprat ", env!("CARGO_PKG_VERSION")), "sprat [version]"),
            ],
        }, {
            insta::assert_snapshot!($name.replace([' ', '\''], "_"), $ran.to_string());
        });
    };
}
pub(crate) use shows;
