//! A command of the owner's as judge: it gets a pair as one line of JSON on its input, and its exit code says whether the text is
//! good. It is no sandbox: the command does what it does with the owner's rights.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use sprat_task::judge::{FAILED, PASSED};
use sprat_task::{
    Answer, Attempt, Context, Features, Input, Model, ModelError, ModelId, Prediction, Score, Task, Tests,
};
use tokio::sync::Semaphore;

/// All that a command sees of the environment.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Runs a command for each pair.
pub struct Command {
    id: ModelId,
    run: Arc<Run>,
    /// Runs at once, of whoever asks: as many as there are processors.
    at_once: usize,
    places: Arc<Semaphore>,
}

/// One command.
struct Run {
    /// The first word, as written: what messages call it.
    name: String,
    program: OsString,
    arguments: Vec<OsString>,
    within: Duration,
}

impl Command {
    /// A command whose words may name files of `folder`.
    ///
    /// # Errors
    /// In a sentence, where there is no such program.
    pub fn new(tests: &Tests, folder: &Path) -> Result<Self, String> {
        if !cfg!(unix) {
            return Err("this system can't end a command with all that it has started".to_owned());
        }
        let name = tests.command.first().cloned().unwrap_or_default();
        let program = find_program(&name, folder)?;
        // Runs begin in folders of their own: a file's name would mean nothing there.
        let argument = |word: &String| file_of(word, folder).map_or_else(|| word.into(), OsString::from);
        let arguments = tests.command.iter().skip(1).map(argument).collect();
        let run = Run { name, program, arguments, within: Duration::from_secs(tests.within_s) };
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let places = Arc::new(Semaphore::new(at_once));
        Ok(Self { id: ModelId::from("tests"), run: Arc::new(run), at_once, places })
    }

    async fn attempt(&self, input: &Input) -> Attempt {
        // Never closed, so that it can't fail.
        let _place = self.places.acquire().await;
        let began = Instant::now();
        let (run, line) = (self.run.clone(), format!("{}\n", input.text));
        let ended = tokio::task::spawn_blocking(move || run.once(line)).await;
        match ended.unwrap_or_else(|_| Err("the run was given up".to_owned())) {
            Ok(passed) => {
                let answer = Answer::label(if passed { PASSED } else { FAILED });
                let prediction = Prediction {
                    answer,
                    score: Score::default(),
                    features: Features::default(),
                    alternatives: Vec::new(),
                };
                Attempt::free(prediction, began.elapsed())
            }
            Err(why) => Attempt::failed(ModelError::Failed(why)),
        }
    }
}

impl Model for Command {
    fn id(&self) -> &ModelId {
        &self.id
    }

    fn predict<'a>(
        &'a self,
        _: &'a Context,
        _: &'a Task,
        inputs: &'a [Input],
    ) -> BoxFuture<'a, Vec<Attempt>> {
        let attempts = stream::iter(inputs).map(|input| self.attempt(input));
        Box::pin(attempts.buffered(self.at_once).collect())
    }
}

impl Run {
    /// Whether one run finds its text good.
    ///
    /// # Errors
    /// In a sentence, whatever else comes of it.
    fn once(&self, line: String) -> Result<bool, String> {
        let Self { name, program, arguments, within } = self;
        let folder =
            tempfile::tempdir().map_err(|error| format!("a run of `{name}` got no folder: {error}"))?;
        let kept = KEPT.iter().filter_map(|variable| Some((variable, std::env::var_os(variable)?)));
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .envs(kept)
            .stdin(Stdio::piped())
            // What it writes is for nobody, and so it can't be too much.
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        group::begin(&mut command);
        let mut child = command.spawn().map_err(|error| format!("`{name}` can't be started: {error}"))?;
        let group = child.id();
        if let Some(mut input) = child.stdin.take() {
            // By itself: a command that reads nothing must not hold up its own end.
            std::thread::spawn(move || input.write_all(line.as_bytes()));
        }
        let (tell, hear) = channel();
        std::thread::spawn(move || tell.send(child.wait()));
        let ended = hear.recv_timeout(*within);
        // Also what it has started and left behind. The group's number is not given to anybody else so soon.
        group::end(group);
        match ended {
            Ok(Ok(status)) => self.verdict(status),
            Ok(Err(error)) => Err(format!("`{name}` was lost: {error}")),
            Err(_) => {
                let _ = hear.recv(); // it has been killed: its folder is nobody's now
                Err(format!("`{name}` had not ended after {} s and was killed", within.as_secs()))
            }
        }
    }

    fn verdict(&self, status: ExitStatus) -> Result<bool, String> {
        match status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            Some(code) => {
                Err(format!("`{}` ended with exit code {code}, and says only 0 (good) or 1 (bad)", self.name))
            }
            None => Err(format!("`{}` was killed ({status})", self.name)),
        }
    }
}

/// A command and all that it starts.
mod group {
    #[cfg(unix)]
    pub fn begin(command: &mut std::process::Command) {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }

    #[cfg(unix)]
    pub fn end(group: u32) {
        use nix::sys::signal::{Signal, killpg};
        let group = i32::try_from(group).map(nix::unistd::Pid::from_raw);
        // Where nobody of it is left, there is nobody to end.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
    }

    #[cfg(not(unix))]
    pub fn begin(_: &mut std::process::Command) {}

    #[cfg(not(unix))]
    pub fn end(_: u32) {}
}

#[cfg(unix)]
fn is_executable(file: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &std::fs::Metadata) -> bool {
    true
}

/// The program that a word names: a file of `folder`, or one on the `PATH`.
///
/// # Errors
/// In a sentence, where there is none, or none that may be started.
pub fn find_program(name: &str, folder: &Path) -> Result<OsString, String> {
    let may_start = |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && is_executable(&file));
    if let Some(file) = file_of(name, folder) {
        return match may_start(&file) {
            true => Ok(file.into()),
            false => Err(format!("`{name}` can't be started: the file is not executable")),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = !name.contains('/') && std::env::split_paths(&path).any(|dir| may_start(&dir.join(name)));
    match is_there {
        true => Ok(name.into()),
        false => Err(format!("`{name}` can't be started: there is no such program")),
    }
}

/// The file that a word names, from wherever it is looked at.
fn file_of(word: &str, folder: &Path) -> Option<PathBuf> {
    let path = folder.join(word);
    path.is_file().then(|| std::path::absolute(&path).unwrap_or(path))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nix::unistd::Pid;

    /// A run of this shell script.
    fn run(script: &str, within_s: u64) -> Result<bool, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("check.sh"), script).expect("a file");
        let command = ["sh", "check.sh"].map(str::to_owned).to_vec();
        let tests = Tests { command, within_s, files: Vec::new() };
        let command = Command::new(&tests, folder.path()).expect("there is a shell");
        command.run.once("{\"said\": \"hello\"}\n".to_owned())
    }

    #[test]
    fn an_exit_code_says_good_or_bad_and_everything_else_is_unclear() {
        assert_eq!(run("grep -q hello", 60), Ok(true));
        assert_eq!(run("! grep -q hello", 60), Ok(false));
        for (script, said) in [("exit 2", "exit code 2"), ("kill -9 $$", "was killed"), ("exit 127", "127")] {
            let why = run(script, 60).expect_err(script);
            assert!(why.starts_with("`sh` ") && why.contains(said), "{why}");
        }
    }

    #[test]
    fn a_run_that_does_not_end_is_killed_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > '{}'; wait", pid.display());
        // However slow the machine is, at some time it has begun before its time is over.
        for within_s in [1, 5, 25, 125] {
            let why = run(&script, within_s).expect_err("it sleeps");
            assert!(why.contains("had not ended after"), "{why}");
            if std::fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')) {
                break;
            }
        }
        let pid = std::fs::read_to_string(pid).expect("it had begun");
        let pid = Pid::from_raw(pid.trim().parse().expect("a number"));
        is_gone(pid);
    }

    #[test]
    fn what_a_run_leaves_behind_is_ended_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        assert_eq!(run(&format!("sleep 1000 & echo $! > '{}'; exit 0", pid.display()), 60), Ok(true));
        let pid = std::fs::read_to_string(pid).expect("it had begun");
        is_gone(Pid::from_raw(pid.trim().parse().expect("a number")));
    }

    /// Returns when a process is dead; whoever inherits it buries it in its own time.
    fn is_gone(pid: Pid) {
        let stat = PathBuf::from(format!("/proc/{pid}/stat"));
        let is_dead = || match std::fs::read_to_string(&stat) {
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X'])),
            Err(_) => nix::sys::signal::kill(pid, None).is_err(),
        };
        while !is_dead() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_run_sees_nothing_of_the_environment_and_begins_in_an_empty_folder() {
        // CARGO_MANIFEST_DIR is there where tests run.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let script = "test -z \"$CARGO_MANIFEST_DIR\" && test -n \"$PATH\" && test -z \"$(ls -A)\"";
        assert_eq!(run(script, 60), Ok(true));
    }

    #[test]
    fn a_command_that_reads_nothing_or_writes_without_end_holds_nothing_up() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("check.sh"), "head -c 10000000 /dev/zero; exit 1").expect("a file");
        let command = ["sh", "check.sh"].map(str::to_owned).to_vec();
        let tests = Tests { command, within_s: 60, files: Vec::new() };
        let command = Command::new(&tests, folder.path()).expect("there is a shell");
        assert_eq!(command.run.once("x".repeat(1 << 20)), Ok(false));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("check.py"), "exit()").expect("a file");
        for (name, said) in [
            ("no-such-program-anywhere", "there is no such program"),
            ("./missing", "there is no such program"),
            ("check.py", "the file is not executable"),
        ] {
            let why = find_program(name, folder.path()).expect_err(name);
            assert!(why.contains(name) && why.contains(said), "{why}");
        }
        assert_eq!(find_program("sh", folder.path()), Ok("sh".into()));
    }
}
