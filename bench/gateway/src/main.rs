//! `bench/gateway/run`: what Sprat's gateway adds to a call, beside others.
//!
//! | question | file |
//! |---|---|
//! | What is measured? | `parts` |
//! | Beside whom, with which settings? | `gateways`, `sprat` |
//! | Who answers in the end, and what does it bill? | `mock` |
//! | Who asks, how often, and when exactly? | `load`, `client`, `clock` |
//! | What does a gateway take of its core and of memory? | `process` |
//! | How do figures become tables? | `numbers`, `tables` |

mod client;
mod clock;
mod gateways;
mod load;
mod mock;
mod numbers;
mod parts;
mod process;
mod sprat;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use gateways::{Places, Who};
use mock::Mock;
use parts::{Kind, Pace};
use process::Seat;

const USAGE: &str = "\
bench/gateway/run [beside|small|memory|all] [--quick] [--busy] [--only NAME,NAME] [--write]

  beside   rates and streams, Sprat beside the floor and its peers
  small    answers of the linear rung a second
  memory   what the gateway holds over many requests and streams
  --quick  short windows and few rates: about 4 minutes for all; the full measurement takes about 15
  --busy   on a machine that does other things too: client and gateways before everything else (needs root)
  --only   floor, sprat, sprat-memory, sprat-shadow, sprat-capture, switchyard, firstpass, llmg, portkey, litellm
  --write  replace the marked sections of docs/benchmarks.md";

/// The one the generator, the mock and this program run on; the gateway gets the next.
const GATEWAY_CORE: usize = 1;

struct Wanted {
    part: String,
    pace: Pace,
    only: Vec<Who>,
    write: bool,
    /// Nothing outside this machine can reach it: those that listen on every address may be started.
    private: bool,
    busy: bool,
    command: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let wanted = wanted(std::env::args().skip(1))?;
    let cores = std::thread::available_parallelism()?;
    let online = std::fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count();
    ensure!(
        online > GATEWAY_CORE,
        "two cores are needed, one for the gateway and one for the rest; there is {cores}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        tokio::task::spawn_local(clock::run());
        measure(wanted).await
    }))
}

fn wanted(arguments: impl Iterator<Item = String>) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted {
        part: "all".to_owned(),
        pace: Pace::FULL,
        only: Who::ALL.to_vec(),
        write: false,
        private: false,
        busy: false,
        command: "bench/gateway/run".to_owned(),
    };
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument != "--write" && argument != "--private" {
            wanted.command += &format!(" {argument}");
        }
        match argument.as_str() {
            "beside" | "small" | "memory" | "all" => wanted.part = argument,
            "--quick" => wanted.pace = Pace::QUICK,
            "--write" => wanted.write = true,
            "--private" => wanted.private = true,
            "--busy" => wanted.busy = true,
            "--only" => {
                let names = arguments.next().context(USAGE)?;
                wanted.command += &format!(" {names}");
                let find = |name: &str| Who::ALL.into_iter().find(|who| who.word() == name).context(USAGE);
                wanted.only = names.split(',').map(find).collect::<Result<_, _>>()?;
            }
            _ => bail!("{USAGE}"),
        }
    }
    Ok(wanted)
}

async fn measure(wanted: Wanted) -> anyhow::Result<()> {
    let places = places(wanted.busy)?;
    let mock = Mock::start().await?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let mut sections = Vec::new();
    let is = |part: &str| wanted.part == part || wanted.part == "all";
    let mut all = Vec::new();
    if is("beside") {
        for &who in &wanted.only {
            eprintln!("{}", who.name());
            if who.listens_everywhere() && !wanted.private {
                eprintln!(
                    "  SKIPPED: it listens on every address, and there is no network namespace to keep it in"
                );
                continue;
            }
            match parts::beside(who, &places, &mock, wanted.pace).await {
                Ok(measured) => all.extend(measured),
                // A peer that can't be had is said; Sprat itself must not fail.
                Err(why) if who.is_peer() => eprintln!("  SKIPPED: {why:#}"),
                Err(why) => return Err(why.context(who.name())),
            }
        }
        sections.push(tables::latencies("gateway-plain", Kind::Plain, &all));
        sections.push(tables::latencies("gateway-delayed", Kind::Delayed, &all));
        sections.push(tables::streams(&all));
    }
    let mut answers = None;
    if is("small") {
        eprintln!("small answers");
        let small = parts::small(&places, &mock, wanted.pace).await?;
        sections.push(tables::small(&small));
        answers = Some(small);
    }
    if is("memory") {
        eprintln!("memory");
        sections.push(tables::memory(&parts::memory(&places, &mock, wanted.pace).await?));
    }
    sections.push(tables::targets(&all, answers.as_ref()));
    let conditions = tables::conditions(&wanted.command, &places, &load);
    for section in &mut sections {
        section.text += &format!("\n\n{conditions}");
        tables::keep(&places.work, section)?;
        if wanted.write {
            tables::write(section)?;
        }
    }
    std::fs::remove_dir_all(&places.memory)?;
    Ok(())
}

fn places(busy: bool) -> anyhow::Result<Places> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let target = std::fs::canonicalize(target)?;
    let sprat = target.join("release/sprat");
    ensure!(sprat.exists(), "Sprat isn't built; run bench/gateway/run");
    let work = target.join("bench/gateway");
    let memory = PathBuf::from(format!("/dev/shm/sprat-bench-{}", std::process::id()));
    for folder in [&work, &memory] {
        std::fs::create_dir_all(folder)?;
    }
    Ok(Places {
        sprat,
        peers: target.join("bench-peers"),
        work,
        memory,
        gateway: Seat { core: GATEWAY_CORE, busy },
    })
}
