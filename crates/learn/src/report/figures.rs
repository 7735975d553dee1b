//! The figures that stand on top of the page, and where those come from that were not measured.

use sprat_task::certificate::percent as short_percent;
use sprat_task::{Guarantee, Money, Provenance};

use super::format::{UNKNOWN, counted, money, percent, percent_or_unknown, points, shown};
use super::words::{Terms, significant};
use crate::evidence::{Evidence, Quality, Savings};

/// A number that a reader looks for first.
pub struct Figure {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: String,
    /// What it is out of, or how it came about.
    pub note: String,
    /// Shown beside it where it isn't measured.
    pub provenance: Option<String>,
}

impl Figure {
    fn new(name: impl Into<String>, value: String, note: impl Into<String>) -> Self {
        Self { name: capital(&name.into()), value, note: note.into(), provenance: None }
    }

    fn from(self, provenance: Provenance) -> Self {
        let provenance = (provenance != Provenance::Measured).then(|| provenance.to_string());
        Self { provenance, ..self }
    }
}

/// The figures that stand on top.
pub fn figures(evidence: &Evidence, terms: &Terms) -> Vec<Figure> {
    let ladder = &evidence.ladder;
    let known = |share: f64| (ladder.rows > 0).then_some(share);
    let answered = match ladder.rows {
        0 => "there are no certification rows".to_owned(),
        rows => format!("of {} answered small", counted(rows, "certification row")),
    };
    let mut figures = vec![
        Figure::new("coverage", percent_or_unknown(known(ladder.coverage)), answered),
        Figure::new(
            terms.selective_accuracy,
            percent_or_unknown(ladder.selective_accuracy),
            match ladder.selective_accuracy {
                Some(_) => "of the answers given small",
                None => "nothing is answered small",
            },
        ),
        Figure::new(
            terms.joint_error,
            percent_or_unknown(known(ladder.joint_error)),
            format!("of all requests get a small answer that is {}", terms.wrong),
        ),
        Figure::new(
            format!("{} alone", terms.accuracy),
            percent_or_unknown(known(ladder.accuracy)),
            "if the ladder answered everything itself, nothing escalated",
        ),
    ];
    if evidence.certificate.guarantee == Guarantee::Agreement {
        let judges = of_answers(evidence).unwrap_or_default();
        figures = figures.into_iter().map(|figure| figure.from(judges)).collect();
    }
    figures.extend(savings(evidence.savings.as_ref()));
    figures.push(quality(evidence.quality.as_ref()));
    figures
}

fn savings(savings: Option<&Savings>) -> Vec<Figure> {
    let Some(savings) = savings else {
        let why = "there is no large model, or its price is not known";
        return vec![Figure::new("saving", UNKNOWN.to_owned(), why)];
    };
    let requests = counted(savings.requests, "request");
    let share = match savings.all_large_micro_usd {
        Money::ZERO => String::new(),
        _ => format!("{}: ", percent(savings.share)),
    };
    let all_large = Figure::new(
        "saving against all-large",
        money(savings.all_large_micro_usd - savings.ladder_micro_usd),
        format!(
            "per {requests}; {share}{} instead of {}, net of every step and audit; prices: {}",
            money(savings.ladder_micro_usd),
            money(savings.all_large_micro_usd),
            shown(&savings.prices)
        ),
    );
    let single = match &savings.cheapest_single {
        Some((model, cost)) => Figure::new(
            format!("saving against {} alone", shown(model.as_str())),
            money(*cost - savings.ladder_micro_usd),
            format!(
                "per {requests}; {} instead of {}; it is the cheapest single model that meets the target{}",
                money(savings.ladder_micro_usd),
                money(*cost),
                if *cost < savings.ladder_micro_usd { ", and cheaper than the ladder" } else { "" }
            ),
        ),
        None => Figure::new(
            "saving against one model alone",
            "no baseline".to_owned(),
            "no single model is shown to meet the target by itself",
        ),
    };
    vec![all_large.from(savings.provenance), single.from(savings.provenance)]
}

fn quality(quality: Option<&Quality>) -> Figure {
    let name = "quality against all-large";
    let Some(quality) = quality else {
        let why = "no certification row has both a label that people gave and the large model’s answer";
        return Figure::new(name, UNKNOWN.to_owned(), why);
    };
    let (low, high) = quality.interval;
    let verdict = if quality.non_inferior {
        "passed: not worse than all-large"
    } else if high < -quality.margin {
        "failed: worse than all-large"
    } else {
        "inconclusive: the interval reaches below the margin"
    };
    let note = format!(
        "right by people’s labels: {} end to end, {} all-large, on the same {}; paired {} interval {} to {}; margin {}; {verdict}",
        percent(quality.cascade_accuracy),
        percent(quality.large_accuracy),
        counted(quality.rows, "row"),
        short_percent(quality.confidence),
        points(low),
        points(high),
        in_points(quality.margin),
    );
    Figure::new(name, format!("{} points", points(quality.difference)), note).from(quality.provenance)
}

fn in_points(share: f64) -> String {
    let points = significant(share * 100.0);
    format!("{points} {}", if points == "1" { "point" } else { "points" })
}

/// Whatever on the page is not measured, a sentence each, beginning with where it comes from.
pub fn provenances(evidence: &Evidence) -> Vec<(String, String)> {
    const COSTS: &str = "what the large model costs, and so every saving";
    const ANSWERS: &str = "the large model’s answers, and so every comparison and agreement with it";
    let costs = evidence.savings.as_ref().map(|savings| savings.provenance);
    let certificates = std::iter::once(&evidence.certificate).chain(&evidence.other_certificates);
    let speaks_of_large =
        certificates.filter(|certificate| certificate.guarantee != Guarantee::Gold).count() > 0;
    let answers = of_answers(evidence).filter(|_| speaks_of_large || evidence.quality.is_some());
    let mut told = Vec::new();
    match (costs, answers) {
        (Some(costs), Some(answers)) if costs == answers => {
            told.extend(not_measured(costs, &format!("{ANSWERS}; {COSTS}")));
        }
        (costs, answers) => {
            told.extend(answers.and_then(|answers| not_measured(answers, ANSWERS)));
            told.extend(costs.and_then(|costs| not_measured(costs, COSTS)));
        }
    }
    if answers.is_none() && speaks_of_large {
        let sentence = "where the large model’s answers come from is not noted with this release.".to_owned();
        told.push((UNKNOWN.to_owned(), sentence));
    }
    told
}

/// Where the large model's answers come from; the weakest source where several are noted.
fn of_answers(evidence: &Evidence) -> Option<Provenance> {
    let quality = evidence.quality.as_ref().map(|quality| quality.provenance);
    evidence.large_provenance.into_iter().chain(quality).min()
}

fn not_measured(provenance: Provenance, what: &str) -> Option<(String, String)> {
    let how = match provenance {
        Provenance::Authored => {
            "written by hand to look like the real thing: a demonstration, not a measurement"
        }
        Provenance::Simulated => "produced by a simulation, not by a real model",
        Provenance::Recorded => "recorded from a real model earlier, and played back",
        Provenance::Measured => return None,
    };
    Some((provenance.to_string(), format!("{what}. All of that was {how}.")))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
