//! Should a small model learn it? All rules stand here, in the order in which they are asked; the first that applies
//! decides.

use sprat_task::{Kind, Money};

use super::candidate::{Advice, Candidate, Learnable, Period, Verdict};

/// A label given to more than this share of the calls leaves nothing to learn: a rule does it.
const ALWAYS_THE_SAME: f64 = 0.995;
/// Work of which more than this share can't go to a small model at all isn't its work.
const MOSTLY: f64 = 0.5;
/// Answering less than this share small is not worth a release, its audits and its monitoring.
const WORTH_IT: f64 = 0.2;
/// Fewer rows than this decide nothing: a certificate at 5% needs some hundreds of fresh ones besides.
const ENOUGH_ROWS: u64 = 300;
/// With so many rows a probe that can't tell the answers apart won't learn it from a few more.
const MANY_ROWS: u64 = 1_500;
/// A month's saving below this is less than a minute of anybody's attention.
pub(super) const LEAST_SAVING_A_MONTH: Money = Money::from_micro(1_000_000);

/// The verdict on a candidate whose other fields are filled in.
pub(super) fn verdict(candidate: &Candidate) -> Verdict {
    let (advice, reason) = cannot(candidate)
        .or_else(|| labels_alone(candidate))
        .or_else(|| too_few(candidate))
        .unwrap_or_else(|| match &candidate.learnable {
            Some(learnable) => by_probe(candidate, learnable),
            None => (Advice::MoreRows, "the rows are too few, or too alike, to try it out".to_owned()),
        });
    Verdict { advice, reason }
}

type Ruling = (Advice, String);

/// What a small model can't take over, whatever the rows: a conversation and a tool call need what came before, and
/// images aren't text.
fn cannot(candidate: &Candidate) -> Option<Ruling> {
    let volume = &candidate.volume;
    let mostly = |calls: u64| calls as f64 > MOSTLY * volume.calls as f64;
    let keep = |reason: &str| Some((Advice::KeepLarge, reason.to_owned()));
    if mostly(volume.tools) {
        return keep("it is answered by calling tools");
    }
    if mostly(volume.several_turns) {
        return keep("most calls stand in the middle of a conversation");
    }
    if mostly(volume.not_text) {
        return keep("most calls ask about more than text");
    }
    if mostly(volume.failed) {
        return keep("most calls failed");
    }
    if volume.usable == 0 {
        return Some((Advice::MoreRows, "the log holds no answers; log the replies too".to_owned()));
    }
    None
}

/// Only labels can be learned and certified from a log alone; for free text "right" is not defined by it.
fn labels_alone(candidate: &Candidate) -> Option<Ruling> {
    let keep = |reason: String| Some((Advice::KeepLarge, reason));
    match candidate.kind {
        Kind::Classify | Kind::Moderate => {}
        Kind::Extract => {
            return keep(format!("{} fields are extracted, not one label chosen", candidate.fields.len()));
        }
        Kind::Generate | Kind::Answer => {
            let share = 100.0 * candidate.output.distinct_share;
            return keep(format!("its answers are free text: {share:.0}% of them are different"));
        }
    }
    let commonest = candidate.labels.first().map_or(0, |label| label.calls);
    let given: u64 = candidate.labels.iter().map(|label| label.calls).sum();
    let is_constant = !candidate.multi && commonest as f64 > ALWAYS_THE_SAME * given as f64;
    (is_constant && candidate.volume.usable >= ENOUGH_ROWS).then(|| {
        let label = candidate.labels.first().map_or("", |label| label.label.as_str());
        (Advice::KeepLarge, format!("nearly every answer is `{label}`: a rule does that, if anything must"))
    })
}

fn too_few(candidate: &Candidate) -> Option<Ruling> {
    let usable = candidate.volume.usable;
    (usable < ENOUGH_ROWS).then(|| {
        (Advice::MoreRows, format!("{usable} usable calls are too few to tell; {ENOUGH_ROWS} would do"))
    })
}

fn by_probe(candidate: &Candidate, learnable: &Learnable) -> Ruling {
    let percent = |share: f64| format!("{:.0}%", 100.0 * share);
    let (answerable, accuracy) = (learnable.answerable.value, &learnable.accuracy);
    if accuracy.interval.lower <= learnable.majority {
        let reason = format!(
            "a quick probe does no better than always giving the commonest answer ({} against {})",
            percent(accuracy.value),
            percent(learnable.majority)
        );
        return more_or_keep(candidate, reason);
    }
    if answerable < WORTH_IT {
        let reason = format!(
            "a quick probe would answer only {} with at most {} wrong",
            percent(answerable),
            percent(learnable.max_error)
        );
        // The probe saw at most 2,000 rows, and the cheapest rung alone.
        let perhaps = learnable.answerable.interval.upper;
        if perhaps >= WORTH_IT {
            return (Advice::MoreRows, format!("{reason}, perhaps {}", percent(perhaps)));
        }
        return more_or_keep(candidate, reason);
    }
    let most = candidate
        .saving
        .as_ref()
        .filter(|saving| saving.per == Period::Month)
        .map(|saving| saving.interval.1);
    if let Some(most) = most.filter(|most| *most < LEAST_SAVING_A_MONTH) {
        return (Advice::KeepLarge, format!("it would save at most {most} a month"));
    }
    let reason = format!(
        "a quick probe would answer about {} with at most {} wrong; an estimate, not a promise",
        percent(answerable),
        percent(learnable.max_error)
    );
    (Advice::LearnIt, reason)
}

fn more_or_keep(candidate: &Candidate, reason: String) -> Ruling {
    let usable = candidate.volume.usable;
    if usable < MANY_ROWS {
        (Advice::MoreRows, format!("{reason}, on {usable} usable calls"))
    } else {
        (Advice::KeepLarge, reason)
    }
}
