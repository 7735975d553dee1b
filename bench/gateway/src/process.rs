//! A gateway as a process: on a core of its own, and what it takes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Linux counts a process's time in hundredths of a second for whoever reads it, on every machine.
const TICK_US: f64 = 10_000.0;

/// How long a gateway may take to listen, and to leave.
const START: Duration = Duration::from_secs(60);
const LEAVE: Duration = Duration::from_secs(40);

/// Where a gateway runs.
#[derive(Clone, Copy)]
pub struct Seat {
    /// Its core,
    pub core: usize,
    /// which it shares with other work: then it comes first.
    pub busy: bool,
}

pub struct Process {
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    /// Starts a command on one core; what it says goes into a file. Returns when the port is open.
    pub async fn start(seat: Seat, mut command: Launch, port: u16) -> anyhow::Result<Self> {
        let log = command.folder.join("log.txt");
        let out = fs::File::create(&log)?;
        let core = seat.core.to_string();
        let before: &[&str] = if seat.busy { &["chrt", "--rr", "5"] } else { &[] };
        let mut whole: Vec<String> =
            before.iter().chain(&["taskset", "-c", &core]).map(|&word| word.to_owned()).collect();
        whole.append(&mut command.line);
        let child = Command::new(&whole[0])
            .args(&whole[1..])
            .envs(command.environment)
            .current_dir(&command.folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{}` can't be started; it is part of util-linux", whole[0]))?;
        let mut process = Self { child, log };
        process.opened(port).await?;
        Ok(process)
    }

    async fn opened(&mut self, port: u16) -> anyhow::Result<()> {
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status}): {}", self.said());
            }
            if since.elapsed() > START {
                bail!("it doesn't listen on port {port} after {START:?}: {}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    /// Asks it to leave and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let left = tokio::time::timeout(LEAVE, self.child.wait()).await;
        if left.is_err() {
            self.child.kill().await?;
            bail!("it didn't leave within {LEAVE:?}");
        }
        Ok(())
    }

    /// Microseconds of processor time so far, its children's included.
    pub fn cpu_us(&self) -> f64 {
        self.family().into_iter().filter_map(|pid| ticks(&Path::new("/proc").join(pid.to_string()))).sum()
    }

    /// The same by the names of its threads.
    pub fn cpu_us_by_thread(&self) -> BTreeMap<String, f64> {
        let mut by_name = BTreeMap::new();
        for pid in self.family() {
            let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for thread in threads.flatten() {
                let Ok(name) = fs::read_to_string(thread.path().join("comm")) else { continue };
                let used = ticks(&thread.path()).unwrap_or(0.0);
                *by_name.entry(name.trim().to_owned()).or_default() += used;
            }
        }
        by_name
    }

    /// Memory it holds, in MB.
    pub fn memory_mb(&self) -> f64 {
        let resident = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        self.family().into_iter().filter_map(resident).sum::<f64>() / 1024.0
    }

    fn family(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.child.id().into_iter().collect();
        let mut next = 0;
        while let Some(&pid) = all.get(next) {
            next += 1;
            let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for thread in threads.flatten() {
                let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        all
    }
}

/// What to start.
pub struct Launch {
    pub line: Vec<String>,
    pub environment: Vec<(&'static str, String)>,
    /// Where it runs and keeps its files.
    pub folder: std::path::PathBuf,
}

/// User and system time of `/proc/…/stat`: the 14th and 15th field, counted behind the name, which may hold anything.
fn ticks(place: &Path) -> Option<f64> {
    let stat = fs::read_to_string(place.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_US)
}

/// A port nobody listens on at this moment.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
