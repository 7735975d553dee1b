//! How a table looks, under what conditions it was measured, and where it goes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::gateways::{Places, Who};
use crate::numbers::Spread;
use crate::parts::{Held, Kind, Measured, Small};

const PAGE: &str = "docs/benchmarks.md";

/// A section of the page.
pub struct Section {
    pub name: &'static str,
    pub text: String,
}

fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> =
        (0..header.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
    let mut lines = vec![line(&header), line(&rule)];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

/// A median with the lowest and highest window.
fn spread(spread: Spread, digits: usize) -> String {
    if spread.median.is_nan() {
        return "–".to_owned();
    }
    format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.low, spread.high)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// Latency at each rate, and what of it is the gateway's: the difference of medians to the floor at the same rate.
pub fn latencies(name: &'static str, kind: Kind, all: &[Measured]) -> Section {
    let header = [
        "gateway",
        "calls/s",
        "p50, ms",
        "p99, ms",
        "added p50",
        "added p99",
        "CPU a call, µs",
        "ledger's threads, µs",
        "errors",
    ];
    let rows = of_kind(kind, all).map(|measured| {
        let floor = floor_of(measured, all);
        let added = |of: fn(&Measured) -> Spread| {
            floor.filter(|_| measured.is_sustained()).map(|floor| of(measured).median - of(floor).median)
        };
        let is_floor = measured.who == Who::Floor;
        let sustained = measured.is_sustained();
        vec![
            measured.who.name().to_owned(),
            format!("{}{}", measured.rate, if sustained { "" } else { ": not sustained" }),
            if sustained { spread(measured.latency_p50, 2) } else { "–".to_owned() },
            if sustained { spread(measured.latency_p99, 2) } else { "–".to_owned() },
            if is_floor { String::new() } else { number(added(|measured| measured.latency_p50), 2) },
            if is_floor { String::new() } else { number(added(|measured| measured.latency_p99), 2) },
            if is_floor { String::new() } else { number(measured.cpu_us.filter(|_| sustained), 0) },
            measured.ledger_us.map_or_else(String::new, |us| format!("{us:.0}")),
            measured.errors.to_string(),
        ]
    });
    let text = markdown(&header, &rows.collect::<Vec<_>>()) + &troubles(kind, all);
    Section { name, text }
}

/// What went wrong first, gateway by gateway.
fn troubles(kind: Kind, all: &[Measured]) -> String {
    let failed = of_kind(kind, all).filter_map(|measured| Some((measured, measured.trouble.as_ref()?)));
    let lines = failed.map(|(measured, trouble)| {
        let Measured { who, rate, errors, calls, .. } = measured;
        format!(
            "\n\n{} at {rate}/s: {errors} of {calls} calls failed; the first: `{}`",
            who.name(),
            trouble.trim()
        )
    });
    lines.collect()
}

/// Streams: the first chunk, and the largest silence of each stream.
pub fn streams(all: &[Measured]) -> Section {
    let header = [
        "gateway",
        "streams/s",
        "first chunk p50, ms",
        "added",
        "largest gap p50, ms",
        "largest gap p99, ms",
        "CPU a stream, µs",
        "errors",
    ];
    let rows = of_kind(Kind::Streamed, all).map(|measured| {
        let is_floor = measured.who == Who::Floor;
        let added = floor_of(measured, all)
            .map(|floor| measured.first_p50.median - floor.first_p50.median)
            .filter(|added| added.is_finite());
        vec![
            measured.who.name().to_owned(),
            format!("{}{}", measured.rate, if measured.is_sustained() { "" } else { ": not sustained" }),
            spread(measured.first_p50, 2),
            if is_floor { String::new() } else { number(added, 2) },
            spread(measured.gap_p50, 1),
            spread(measured.gap_p99, 1),
            if is_floor {
                String::new()
            } else {
                number(measured.cpu_us.filter(|_| measured.is_sustained()), 0)
            },
            measured.errors.to_string(),
        ]
    });
    let text = markdown(&header, &rows.collect::<Vec<_>>()) + &troubles(Kind::Streamed, all);
    Section { name: "gateway-streams", text }
}

/// Small answers, beside what was wanted.
pub fn small(small: &Small) -> Section {
    let rows = [
        ("answers a second", spread(small.per_second, 0)),
        ("latency p50, ms", spread(small.latency_p50, 2)),
        ("latency p99, ms", spread(small.latency_p99, 2)),
        ("CPU an answer, µs", format!("{:.0}", small.cpu_us)),
        ("of these, the ledger's threads, µs", format!("{:.0}", small.ledger_us)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(what, found)| vec![what.to_owned(), found]).collect();
    let header = format!("{} callers, {} texts in turn", small.callers, small.texts);
    Section { name: "gateway-small", text: markdown(&[&header, ""], &rows) }
}

/// Memory after so much work.
pub fn memory(held: &[Held]) -> Section {
    let rows: Vec<_> =
        held.iter().map(|held| vec![held.after.clone(), format!("{:.1}", held.memory_mb)]).collect();
    Section { name: "gateway-memory", text: markdown(&["Sprat after", "memory, MB"], &rows) }
}

/// The declared targets, met or missed.
pub fn targets(all: &[Measured], answers: Option<&Small>) -> Section {
    let mut rows = Vec::new();
    let mut row = |what: &str, wanted: &str, found: f64, met: bool, digits: usize| {
        let met = if met { "met" } else { "**missed**" };
        rows.push(vec![what.to_owned(), wanted.to_owned(), format!("{found:.digits$}"), met.to_owned()]);
    };
    let find = |kind, rate| {
        of_kind(kind, all).find(|found| found.who == Who::Sprat && found.rate == rate && found.is_sustained())
    };
    if let Some((found, floor)) =
        find(Kind::Plain, 1000.0).and_then(|found| Some((found, floor_of(found, all)?)))
    {
        let p50 = found.latency_p50.median - floor.latency_p50.median;
        let p99 = found.latency_p99.median - floor.latency_p99.median;
        row("added p50 at 1,000/s, ms", "at most 0.2", p50, p50 <= 0.2, 2);
        row("added p99 at 1,000/s, ms", "at most 0.6", p99, p99 <= 0.6, 2);
        let cpu = found.cpu_us.unwrap_or(f64::NAN);
        row("CPU a call at 1,000/s, µs", "at most 140", cpu, cpu <= 140.0, 0);
    }
    if let Some((found, floor)) =
        find(Kind::Streamed, 50.0).and_then(|found| Some((found, floor_of(found, all)?)))
    {
        let first = found.first_p50.median - floor.first_p50.median;
        row("first chunk of a stream, added, ms", "at most 0.3", first, first <= 0.3, 2);
        row(
            "largest gap of a stream, p99, ms",
            "at most 9",
            found.gap_p99.median,
            found.gap_p99.median <= 9.0,
            1,
        );
    }
    if let Some(small) = answers {
        let per_second = small.per_second.median;
        row("small answers a second, one core", "at least 5000", per_second, per_second >= 5000.0, 0);
    }
    Section { name: "gateway-targets", text: markdown(&["target", "wanted", "found", ""], &rows) }
}

fn of_kind(kind: Kind, all: &[Measured]) -> impl Iterator<Item = &Measured> {
    all.iter().filter(move |measured| measured.kind == kind)
}

fn floor_of<'a>(measured: &Measured, all: &'a [Measured]) -> Option<&'a Measured> {
    of_kind(measured.kind, all).find(|floor| floor.who == Who::Floor && floor.rate == measured.rate)
}

/// The command, the machine, the day and the versions, in one paragraph.
pub fn conditions(command: &str, places: &Places, load_before: &str) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of_cpu = |key: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let sprat = said(&places.sprat.to_string_lossy(), &["--version"]).unwrap_or_default();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let peers = fs::read_to_string(places.peers.join("versions.txt")).unwrap_or_default();
    format!(
        "`{command}` · {cores} cores, {} (family {}, model {}) · {} · {sprat} ({commit}), {} · load average {load_before} when it began",
        of_cpu("model name").unwrap_or_default(),
        of_cpu("cpu family").unwrap_or_default(),
        of_cpu("model").unwrap_or_default(),
        said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
        peers.lines().collect::<Vec<_>>().join(", "),
    )
}

/// Shows a section and keeps it in a folder.
pub fn keep(folder: &Path, section: &Section) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{}.md", section.name)), format!("{}\n", section.text))?;
    println!("{}\n", section.text);
    Ok(())
}

/// Replaces what stands between the section's marks on the page.
pub fn write(section: &Section) -> anyhow::Result<()> {
    let (begin, end) =
        (format!("<!-- bench:{} -->", section.name), format!("<!-- /bench:{} -->", section.name));
    let page = fs::read_to_string(PAGE).context(PAGE)?;
    let (Some((before, rest)), true) = (page.split_once(&begin), page.contains(&end)) else {
        bail!("{PAGE} has no section {begin} ... {end}");
    };
    let after = rest.split_once(&end).map_or("", |(_, after)| after);
    fs::write(PAGE, format!("{before}{begin}\n{}\n{end}{after}", section.text))?;
    Ok(())
}
