//! Evidence on the terminal: the table, the certificate in a sentence, what it would save.

use std::path::PathBuf;

use sprat_learn::evidence::{Evidence, Quality, Savings};
use sprat_learn::gains::gained;
use sprat_task::certificate::percent;
use sprat_task::model::Gain;
use sprat_task::{Provenance, Status};

use crate::failure::Failure;
use crate::output::{Mark, Output, Table, words};
use crate::workspace::Workspace;

/// Shows what was found out about a ladder.
pub fn show(out: &Output, evidence: &Evidence) {
    data(out, evidence);
    rungs(out, evidence);
    tried(out, evidence);
    promise(out, evidence);
    if let Some(savings) = &evidence.savings {
        saved(out, savings);
    }
    if let Some(quality) = &evidence.quality {
        compared(out, quality);
    }
    if let Some(scope) = &evidence.out_of_scope {
        out.heading("Out of scope");
        out.sentence(format!(
            "`{}`: {} of {} such rows recognised, {} of what is called so is so; accuracy in scope {}",
            scope.label,
            words::share(scope.recall),
            words::count(scope.rows),
            words::share(scope.precision),
            words::share(scope.in_scope_accuracy)
        ));
    }
}

/// Writes the HTML report of a release and gives its path.
pub fn write_report(workspace: &Workspace, evidence: &Evidence) -> Result<PathBuf, Failure> {
    let name = match &evidence.release {
        Some(id) => format!("{}-{}.html", id.task, id.version),
        None => format!("{}.html", evidence.task),
    };
    let folder = workspace.root.join(".sprat").join("reports");
    let path = folder.join(name);
    let html = sprat_learn::report::html(evidence)
        .map_err(|error| Failure::ours(format!("the report can't be made: {error}")))?;
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, html))
        .map_err(|error| Failure::ours(format!("{} can't be written: {error}", path.display())))?;
    Ok(path)
}

fn data(out: &Output, evidence: &Evidence) {
    let rows = &evidence.rows;
    out.heading("Rows");
    out.sentence(format!(
        "{} read; {} taught, {} kept away to certify on{}",
        words::count(rows.read),
        words::count(rows.train),
        words::count(rows.certification),
        if rows.by_time { " (the latest)" } else { "" }
    ));
    for notice in &evidence.notices {
        out.sentence(format!("- {notice}"));
    }
}

fn rungs(out: &Output, evidence: &Evidence) {
    out.heading("Rungs, on the certification rows");
    let mut table =
        Table::new(["rung", ">answers", ">right of these", ">alone", ">p50", ">p99", ">cost", ">size"]);
    for rung in &evidence.rungs {
        table.row([
            rung.model.to_string(),
            words::share(rung.coverage),
            rung.selective_accuracy.map_or_else(|| "-".to_owned(), words::share),
            words::share(rung.accuracy),
            words::duration_us(rung.latency_p50_us),
            words::duration_us(rung.latency_p99_us),
            words::money(rung.cost_micro_usd),
            words::bytes(rung.bytes),
        ]);
    }
    let ladder = &evidence.ladder;
    table.row([
        "ladder".to_owned(),
        words::share(ladder.coverage),
        ladder.selective_accuracy.map_or_else(|| "-".to_owned(), words::share),
        words::share(ladder.accuracy),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
    ]);
    out.table(&table);
}

/// What was tried for a rung, on rows that none of it had seen.
fn tried(out: &Output, evidence: &Evidence) {
    for rung in &evidence.rungs {
        let Some(told) = rung.told.as_ref().filter(|told| !told.tried.is_empty()) else { continue };
        let rows = told.tried.first().map_or(0, |tried| tried.rows);
        out.heading(format!(
            "Tried for {}, on {} training rows it had not seen",
            rung.model,
            words::count(rows)
        ));
        let mut table = Table::new(["", ">right", ""]);
        for tried in &told.tried {
            let mark = if tried.chosen { "chosen" } else { "" };
            table.row([tried.name.clone(), words::share(tried.accuracy), mark.to_owned()]);
        }
        out.table(&table);
        for gain in &told.gains {
            out.sentence(gain_in_words(gain));
        }
    }
}

/// What training more brought, and whether the rows are enough to tell.
fn gain_in_words(gain: &Gain) -> String {
    let found = gained(gain);
    let points = |share: f64| format!("{:+.1}", share * 100.0);
    format!(
        "{}: {} points over {} (95% interval {} to {}{})",
        gain.of,
        points(found.value),
        gain.over,
        points(found.interval.lower),
        points(found.interval.upper),
        if found.interval.contains(0.0) { ": these rows can't tell" } else { "" }
    )
}

fn promise(out: &Output, evidence: &Evidence) {
    out.heading("Certificate");
    for certificate in std::iter::once(&evidence.certificate).chain(&evidence.other_certificates) {
        let mark = if certificate.status == Status::Certified { Mark::Ok } else { Mark::Warn };
        out.check(
            mark,
            format!("{} ({}): {}", certificate.status, certificate.guarantee, certificate.sentence()),
            None,
        );
        for recall in &certificate.recall {
            // Of a promise that isn't made, only what it could rest on.
            out.line(match certificate.allows_small_answers() {
                true => format!("      {}", recall.sentence()),
                false => format!(
                    "      {} of the certification rows are {}",
                    words::count(recall.positives),
                    recall.label
                ),
            });
        }
        if let Some(note) = &certificate.note {
            out.sentence(format!("      {note}"));
        }
    }
    let certificate = &evidence.certificate;
    out.sentence(format!(
        "The {} is over the draw of the {} certification rows; look {}, which may spend {} of the {} that may go wrong.",
        percent(1.0 - certificate.delta),
        words::count(certificate.n),
        certificate.look,
        percent(certificate.delta_spent),
        percent(certificate.delta)
    ));
}

fn saved(out: &Output, savings: &Savings) {
    out.heading(format!("Cost of {} such requests", words::count(savings.requests)));
    let mut table = Table::new(["", ">cost"]);
    table.row([
        "this ladder, escalations and audits included".to_owned(),
        savings.ladder_micro_usd.to_string(),
    ]);
    table.row(["everything to the large model".to_owned(), savings.all_large_micro_usd.to_string()]);
    match &savings.cheapest_single {
        Some((model, cost)) => {
            table.row([format!("cheapest single model that meets the target: {model}"), cost.to_string()])
        }
        None => table.row(["no single model is proved to meet the target".to_owned(), String::new()]),
    }
    out.table(&table);
    let verdict = if savings.share > 0.0 {
        format!("It would save {} of the all-large cost", words::share(savings.share))
    } else {
        "It would save nothing".to_owned()
    };
    out.sentence(format!("{verdict}; prices: {}{}", savings.prices, qualified(savings.provenance)));
}

fn compared(out: &Output, quality: &Quality) {
    out.heading("Quality, end to end");
    let (low, high) = quality.interval;
    out.sentence(format!(
        "cascade {} right, all-large {} right on the same {} rows: difference {:+.1} points ({:+.1} to {:+.1}), {}{}",
        words::share(quality.cascade_accuracy),
        words::share(quality.large_accuracy),
        words::count(quality.rows),
        quality.difference * 100.0,
        low * 100.0,
        high * 100.0,
        if quality.non_inferior {
            format!("not worse by the margin of {:.1} points", quality.margin * 100.0)
        } else {
            format!("not shown to be within {:.1} points", quality.margin * 100.0)
        },
        qualified(quality.provenance)
    ));
}

/// Says it wherever numbers don't come from what happened here.
pub fn qualified(provenance: Provenance) -> String {
    match provenance {
        Provenance::Measured => String::new(),
        other => format!(" [large model: {other}]"),
    }
}
