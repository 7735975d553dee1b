//! A certificate as a box of the page: its sentence, what that means and does not mean, and its numbers.

use sprat_task::certificate::percent;
use sprat_task::{Certificate, Guarantee, PromisedRecall, Risk, Status};

use super::format::{UNKNOWN, count, counted, shown};
use super::words::{closed, significant};
use crate::evidence::RowCounts;

/// A certificate as a box of the page.
pub struct Promise {
    /// `certified`, or `not certified: …`.
    pub badge: String,
    /// Whether small models may answer.
    pub is_certified: bool,
    /// What counts as bad, as a heading.
    pub kind: &'static str,
    /// For a manager.
    pub sentence: String,
    /// Why not, or with what qualification.
    pub note: Option<String>,
    /// What it means.
    pub means: Vec<String>,
    /// What it does not mean.
    pub means_not: Vec<String>,
    /// Its numbers, by name.
    pub facts: Vec<(&'static str, String)>,
}

impl Promise {
    /// A certificate in words; `rows` says how its rows were drawn, `decides` whether small answers hang on it.
    pub fn of(certificate: &Certificate, rows: &RowCounts, decides: bool) -> Self {
        let is_certified = certificate.allows_small_answers();
        Self {
            badge: badge(certificate.status),
            is_certified,
            kind: match certificate.guarantee {
                Guarantee::Gold => "Against labels that people gave (gold)",
                Guarantee::Agreement => "Against the large model’s answers (agreement)",
                Guarantee::Harm => "Against the large model where it is right (harm)",
            },
            sentence: sentence(certificate),
            note: certificate.note.as_deref().map(|note| closed(&shown(note))),
            means: if is_certified { means(certificate, rows) } else { means_without(decides) },
            means_not: if is_certified { means_not(certificate) } else { Vec::new() },
            facts: facts(certificate),
        }
    }
}

fn badge(status: Status) -> String {
    match status {
        Status::Certified => status.word().to_owned(),
        Status::None => "not certified".to_owned(),
        _ => format!("not certified: {status}"),
    }
}

fn sentence(certificate: &Certificate) -> String {
    closed(&certificate.sentence())
}

fn means(certificate: &Certificate, rows: &RowCounts) -> Vec<String> {
    let (alpha, sure, fails) =
        (percent(certificate.alpha), percent(1.0 - certificate.delta), percent(certificate.delta));
    let bad = match certificate.guarantee {
        Guarantee::Gold => "differs from the label that people gave",
        Guarantee::Agreement => "differs from the large model’s answer",
        Guarantee::Harm => "is wrong where the large model would have been right",
    };
    let promise = match certificate.risk {
        Risk::Selective => {
            format!("Of the requests that a small model answers, at most {alpha} get an answer that {bad}.")
        }
        Risk::Joint => {
            format!("Of all requests, at most {alpha} are answered small with an answer that {bad}.")
        }
    };
    let drawn = match (rows.by_session, rows.by_time) {
        (true, _) => {
            "at most one row of a conversation or user was drawn, so that rows are independent of each other"
        }
        (false, _) => {
            "the rows name no conversation or user, so they were treated as independent of each other"
        }
    };
    let recall = (!certificate.recall.is_empty()).then(|| {
        let of = |recall: &PromisedRecall| format!("{} of {}", percent(1.0 - recall.max_missed), recall.label);
        let all: Vec<String> = certificate.recall.iter().map(of).collect();
        format!(
            "And of the requests that belong to a category, at least so many are flagged by the small model or go to where \
             the ladder ends: {}. This is counted over all such requests, answered small or not.",
            all.join(", ")
        )
    });
    let later = if rows.by_time { "; they are later than the rows that were learned from" } else { "" };
    let mut means = vec![promise];
    means.extend(recall);
    means.extend([
        format!(
            "The {sure} is about the draw of the certification sample: were fresh rows drawn and certified in this way \
             over and over, at most {fails} of such histories would ever make a promise that does not hold, all looks \
             together. It is not the chance that one answer is right."
        ),
        format!(
            "Nothing was fitted on the {} it was tested on; {drawn}{later}.",
            counted(certificate.n, "row")
        ),
    ]);
    means
}

fn means_not(certificate: &Certificate) -> Vec<String> {
    let judged = match certificate.guarantee {
        Guarantee::Gold => {
            "It does not say that the labels are right: an error in the labels counts as they stand."
        }
        Guarantee::Agreement => {
            "It does not say that the answers are right: where the large model errs, agreeing with it is erring too."
        }
        Guarantee::Harm => "It does not bound the errors that the large model would have made as well.",
    };
    let mut not = vec![judged.to_owned()];
    if certificate.risk == Risk::Joint {
        not.push(
            "It does not bound the share of bad answers among those given: little coverage keeps a joint error small by \
             itself. The interval of the selective error says what is known of that."
                .to_owned(),
        );
    }
    not.push(
        "It does not hold for each label, customer or language by itself: it is about all requests together."
            .to_owned(),
    );
    not.push(
        "It does not hold for traffic unlike the sample. Audits of live answers are what notices that."
            .to_owned(),
    );
    not
}

fn means_without(decides: bool) -> Vec<String> {
    let nothing = match decides {
        true => {
            "No promise is made, so no small model answers: every request goes to where the ladder ends. The figures below \
             describe the models; they promise nothing."
        }
        false => {
            "No promise of this kind is made. Whether small models answer hangs on the first promise alone."
        }
    };
    vec![nothing.to_owned()]
}

fn facts(certificate: &Certificate) -> Vec<(&'static str, String)> {
    let Certificate { alpha, delta, n, accepted, bad, .. } = *certificate;
    let looked = n > 0;
    let counted_or_unknown = |number| if looked { count(number) } else { UNKNOWN.to_owned() };
    let mut facts = vec![
        (
            "error that is bounded",
            match certificate.risk {
                Risk::Selective => "selective: bad answers among the answers given small".to_owned(),
                Risk::Joint => "joint: bad small answers among all requests".to_owned(),
            },
        ),
        ("largest error promised", percent(alpha)),
        ("confidence", percent(1.0 - delta)),
        ("certification rows", counted_or_unknown(n)),
        ("of these answered small", counted_or_unknown(accepted)),
        ("of these bad", counted_or_unknown(bad)),
        ("upper bound on the error", certificate.bound.map_or_else(|| UNKNOWN.to_owned(), to_hundredths)),
        ("interval of the selective error", interval(certificate.selective_interval, 1.0 - delta)),
        ("look", self::look(certificate)),
    ];
    for recall in &certificate.recall {
        facts.push(("recall", recall.sentence()));
    }
    if let Some(more) = certificate.more_labels {
        facts.push(("labels still needed", format!("about {}", count(more))));
    }
    facts
}

/// Which look it was, and what that cost.
pub fn look(certificate: &Certificate) -> String {
    let (spent, delta) = (significant(certificate.delta_spent), significant(certificate.delta));
    format!("number {}, which may spend {spent} of δ = {delta}", certificate.look)
}

fn interval(interval: Option<(f64, f64)>, level: f64) -> String {
    match interval {
        Some((low, high)) => {
            format!("{} to {} ({})", to_hundredths(low), to_hundredths(high), percent(level))
        }
        None => UNKNOWN.to_owned(),
    }
}

/// A bound on a share: with one decimal, 5.04% would look like a target of 5% that is met.
fn to_hundredths(share: f64) -> String {
    if share.is_finite() { percent(share) } else { UNKNOWN.to_owned() }
}
