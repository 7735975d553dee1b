//! What the promise means and does not mean, and the words that keep gold and agreement apart.

use sprat_task::certificate::percent;
use sprat_task::{Certificate, Guarantee, Risk, Status};

use super::format::{self, UNKNOWN, count, counted, percent_or_unknown};
use crate::evidence::{Evidence, RowCounts};

/// How the figures are called, by what they are judged against.
pub struct Terms {
    /// The share that is right.
    pub accuracy: &'static str,
    /// The same among the answers given small.
    pub selective_accuracy: &'static str,
    /// Answered small and bad, over all requests.
    pub joint_error: &'static str,
    /// What is said of a bad answer.
    pub wrong: &'static str,
    /// The label that an answer is judged against.
    pub right_label: &'static str,
    /// What an answer is judged against, in a sentence of the page.
    pub judged: &'static str,
}

impl Terms {
    /// The words for figures that are judged as this guarantee judges. A harm guarantee's figures are judged against
    /// gold; only its certificate looks at the large model too.
    pub fn of(guarantee: Guarantee) -> Self {
        match guarantee {
            Guarantee::Gold | Guarantee::Harm => Self {
                accuracy: "accuracy",
                selective_accuracy: "selective accuracy",
                joint_error: "joint error",
                wrong: "wrong",
                right_label: "right label",
                judged: "An answer is right here where it equals the label that people gave.",
            },
            Guarantee::Agreement => Self {
                accuracy: "agreement",
                selective_accuracy: "selective agreement",
                joint_error: "joint disagreement",
                wrong: "different from the large model’s",
                right_label: "large model’s label",
                judged: "All figures here count agreement with the large model’s answers. Whether these are right is \
                         another question, and no figure here answers it unless it says so.",
            },
        }
    }
}

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
    /// A certificate in words; `rows` says how its rows were drawn.
    pub fn of(certificate: &Certificate, rows: &RowCounts) -> Self {
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
            note: certificate.note.as_deref().map(|note| closed(&format::shown(note))),
            means: if is_certified { means(certificate, rows) } else { means_without(certificate) },
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

/// A sentence as it stands alone: with a capital and a full stop.
pub fn closed(sentence: &str) -> String {
    let mut chars = sentence.trim().chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let rest = chars.as_str();
    let stop =
        if rest.ends_with(['.', '!', '?', '…', ':', '”', '"']) || first.is_empty() { "" } else { "." };
    format!("{first}{rest}{stop}")
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
    let later = if rows.by_time { "; they are later than the rows that were learned from" } else { "" };
    vec![
        promise,
        format!(
            "The {sure} is about the draw of the certification sample: were fresh rows drawn and certified in this way \
             over and over, at most {fails} of such histories would ever make a promise that does not hold, all looks \
             together. It is not the chance that one answer is right."
        ),
        format!(
            "Nothing was fitted on the {} it was tested on; {drawn}{later}.",
            counted(certificate.n, "row")
        ),
    ]
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
        "It does not hold for traffic unlike the sample. Audits in production watch for that, and step back when it \
         happens."
            .to_owned(),
    );
    not
}

fn means_without(certificate: &Certificate) -> Vec<String> {
    let why = match certificate.status {
        Status::Certified => return Vec::new(),
        Status::Underpowered => "The rows do not suffice to tell whether the target is met.",
        Status::Infeasible => {
            "Among the answers that the small models are surest of, too many are bad for the target."
        }
        Status::Uneconomic => {
            "The target can be met, but the rungs, the audits and the mistakes cost more than they save."
        }
        Status::Stale => "Models, thresholds, labels or the prompt are no longer those that were certified.",
        Status::Alarmed => "The audits of live answers contradict the promise.",
        Status::None => "No look at certification rows has been taken.",
    };
    let nothing = "No promise is made, so no small model answers: every request goes to where the ladder ends. The figures \
                   below describe the models; they promise nothing.";
    vec![why.to_owned(), nothing.to_owned()]
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
        ("upper bound on the error", percent_or_unknown(certificate.bound)),
        ("interval of the selective error", interval(certificate.selective_interval, 1.0 - delta)),
        ("look", self::look(certificate)),
    ];
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
            format!("{} to {} ({})", format::percent(low), format::percent(high), percent(level))
        }
        None => UNKNOWN.to_owned(),
    }
}

/// A probability with three significant digits.
pub fn significant(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let decimals =
        if number == 0.0 { 0 } else { (2 - number.abs().log10().floor() as i32).clamp(0, 12) as usize };
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// One line a method whose numbers stand on the page, with its source.
pub fn methods(evidence: &Evidence) -> Vec<&'static str> {
    let mut methods = vec![match evidence.certificate.risk {
        Risk::Selective => {
            "Certificate: thresholds from training rows answered out of fold, tested on fresh rows by exact binomial tests in \
             a fixed sequence from several starts (Angelopoulos et al. 2021, Learn then Test; Laufer-Goldshtein et al. \
             2023, Pareto testing)."
        }
        Risk::Joint => {
            "Certificate: exact binomial tests of the joint error on fresh rows; several rungs by Pareto testing (Bates et \
             al. 2021; Laufer-Goldshtein et al. 2023)."
        }
    }];
    methods.extend([
        "Looks: look k may spend 6δ/(π²k²), so that all looks together stay within δ.",
        "Upper bound and interval of the certificate: Clopper & Pearson 1934.",
        "Confidence: a logistic regression on what a model says of its own answer, fitted out of fold (Platt 1999).",
        "Near-duplicates: MinHash with verified Jaccard similarity of at least 0.8 (Broder 1997).",
    ]);
    let plots = &evidence.plots;
    let optional = [
        (
            evidence.quality.is_some(),
            "Quality against all-large: score interval for paired proportions (Tango 1998).",
        ),
        (!plots.risk_coverage.is_empty(), "Risk against coverage: El-Yaniv & Wiener 2010."),
        (
            !plots.reliability.is_empty(),
            "Reliability: up to ten bins with about equally many answers; expected calibration error as in Naeini et al. 2015.",
        ),
        (
            !plots.learning_curve.is_empty() || !plots.reliability.is_empty(),
            "Whiskers in plots: 95% intervals of Wilson 1927, each point by itself.",
        ),
        (
            evidence.out_of_scope.is_some(),
            "Area under the ROC curve: Mann & Whitney 1947, ties counted half.",
        ),
    ];
    methods.extend(optional.into_iter().filter(|(is_shown, _)| *is_shown).map(|(_, method)| method));
    methods.push("Latency: one input at a time, as in serving; median and 99th percentile.");
    methods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_stands_alone_has_a_capital_and_a_full_stop() {
        for (sentence, alone) in [
            ("nothing has been certified", "Nothing has been certified."),
            ("Why?", "Why?"),
            ("", ""),
            ("é", "É."),
        ] {
            assert_eq!(closed(sentence), alone);
        }
    }

    #[test]
    fn probabilities_keep_three_digits() {
        for (number, text) in
            [(0.030396, "0.0304"), (0.05, "0.05"), (0.0, "0"), (1.0, "1"), (f64::NAN, "unknown")]
        {
            assert_eq!(significant(number), text);
        }
    }
}
