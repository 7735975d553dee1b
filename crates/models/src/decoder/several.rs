//! Which of several labels, or none, are a text's? Each is asked about by itself, "hate: yes" beside "hate: no", all in one
//! scoring: what stands before them is read once. How likely a yes is for each label is calibrated on rows that were not shown.

use sprat_engine::protocol::{Prompt, Scored};
use sprat_task::{Answer, Features, Label, LabelledRow, Prediction, Score, Task};

use super::prompt::{LONGEST_EXAMPLE, named, one_line};
use crate::platt;

/// Raised whenever the features below, or the scores behind them, change.
pub const SCORER_VERSION: u32 = 1;

/// What the confidence head reads.
pub const FEATURES: [&str; 5] = ["log_odds", "least_sure", "entropy_a_label", "labels", "log_tokens"];

/// Rows shown at most.
const EXAMPLES: usize = 6;

/// What is learned of each label: a slope and an offset, from the log-odds of a yes to a probability.
pub type Calibration = Vec<(f64, f64)>;

/// The rows to show, by their places: those that have labels which none before has, one that has none, then others.
pub fn examples(rows: &[LabelledRow]) -> Vec<usize> {
    // What was captured is forgotten in its time, and a prompt is kept.
    let may_be_shown = |place: &usize| {
        let row = &rows[*place];
        row.input.text.len() <= LONGEST_EXAMPLE
            && !row.captured
            && matches!(row.target(), Some(Answer::Labels(_)))
    };
    let mut places: Vec<usize> = (0..rows.len()).filter(may_be_shown).collect();
    // Middling ones say more than the very shortest.
    places.sort_by_key(|place| (rows[*place].input.text.len(), *place));
    let middle = places.len() / 2;
    places.rotate_left(middle);
    let mut shown: Vec<usize> = Vec::new();
    let mut known: Vec<&Label> = Vec::new();
    let mut has_empty = false;
    for place in &places {
        let labels = labels_of(&rows[*place]);
        let is_new =
            if labels.is_empty() { !has_empty } else { labels.iter().any(|label| !known.contains(&label)) };
        if shown.len() < EXAMPLES && is_new {
            has_empty |= labels.is_empty();
            known.extend(labels);
            shown.push(*place);
        }
    }
    let others: Vec<usize> = places.into_iter().filter(|place| !shown.contains(place)).collect();
    shown.into_iter().chain(others).take(EXAMPLES).collect()
}

fn labels_of(row: &LabelledRow) -> &[Label] {
    match row.target() {
        Some(Answer::Labels(labels)) => labels,
        _ => &[],
    }
}

/// What stands before and after each text, and a yes and a no for each label as they follow it.
pub fn prompt(task: &Task, shown: &[&LabelledRow]) -> Prompt {
    let instructions = match task.instructions.trim() {
        "" => "Which labels fit the text? There may be several, or none.",
        instructions => instructions,
    };
    let mut before = format!("{instructions}\n\nLabels:\n");
    task.labels.iter().for_each(|label| before.push_str(&format!("- {label}\n")));
    for row in shown {
        before.push_str(&format!("\nText: {}\n", one_line(&row.input.text)));
        for label in &task.labels {
            let said = if labels_of(row).contains(label) { "yes" } else { "no" };
            before.push_str(&format!("{label}: {said}\n"));
        }
    }
    before.push_str("\nText: ");
    let each = task.labels.iter().flat_map(|label| ["yes", "no"].map(|said| format!("{label}: {said}")));
    named(before, "\n".to_owned(), each.collect())
}

/// Of each label, the log-odds of a yes; `None` where other labels were scored.
pub fn log_odds(scored: &Scored, labels: usize) -> Option<Vec<f64>> {
    let (pairs, rest) = scored.log_likelihoods.as_chunks::<2>();
    let fits = pairs.len() == labels && rest.is_empty();
    fits.then(|| pairs.iter().map(|[yes, no]| f64::from(yes - no)).collect())
}

/// The calibration that these rows' log-odds and labels come to.
pub fn calibrated<'a>(
    task: &Task,
    rows: impl Iterator<Item = (&'a LabelledRow, &'a Vec<f64>)> + Clone,
) -> Calibration {
    let of_label = |(place, label): (usize, &Label)| {
        let said: Vec<(f64, bool)> =
            rows.clone().map(|(row, log_odds)| (log_odds[place], labels_of(row).contains(label))).collect();
        platt::fit(&said)
    };
    task.labels.iter().enumerate().map(of_label).collect()
}

/// The answer to one text. `at_least_one`: every row taught has a label, so that every text gets one.
pub fn prediction(
    labels: &[Label],
    calibration: &[(f64, f64)],
    at_least_one: bool,
    log_odds: &[f64],
    read: u32,
) -> Prediction {
    let probability = |(log_odds, (slope, offset)): (&f64, &(f64, f64))| {
        (1.0 / (1.0 + (-(slope * log_odds + offset)).exp())).clamp(1e-6, 1.0 - 1e-6)
    };
    let probabilities: Vec<f64> = log_odds.iter().zip(calibration).map(probability).collect();
    let mut given: Vec<bool> = probabilities.iter().map(|p| *p > 0.5).collect();
    let likeliest = (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    if let Some(likeliest) = likeliest.filter(|_| at_least_one && !given.contains(&true)) {
        given[likeliest] = true;
    }
    let sure = probabilities.iter().zip(&given).map(|(p, given)| if *given { *p } else { 1.0 - p });
    let whole: f64 = sure.product::<f64>().clamp(1e-6, 1.0 - 1e-6);
    let surprise = |p: f64| -p * p.ln();
    let entropy: f64 = probabilities.iter().map(|p| surprise(*p) + surprise(1.0 - p)).sum();
    let features = [
        (whole / (1.0 - whole)).ln(),
        probabilities.iter().map(|p| (p - 0.5).abs()).fold(0.5, f64::min),
        entropy / probabilities.len().max(1) as f64,
        given.iter().filter(|given| **given).count() as f64,
        f64::from(read).ln_1p(),
    ];
    let chosen = labels.iter().zip(&given).filter(|(_, given)| **given).map(|(label, _)| label.clone());
    let scores = probabilities.iter().map(|p| Score(p.ln() as f32));
    Prediction {
        answer: Answer::labels(chosen),
        score: Score(whole as f32),
        features: Features(features.map(|feature| feature as f32).to_vec()),
        alternatives: labels.iter().cloned().zip(scores).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Label> {
        ["hate", "spam"].map(Label::from).to_vec()
    }

    #[test]
    fn each_label_is_given_by_what_its_own_yes_and_no_come_to() {
        let scored =
            Scored { id: 1, log_likelihoods: vec![-1.0, -3.0, -2.0, -1.5], tokens: vec![2; 4], read: 9 };
        let log_odds = log_odds(&scored, 2).unwrap();
        assert_eq!(log_odds, [2.0, -0.5]);
        assert_eq!(super::log_odds(&scored, 3), None);
        let said = prediction(&labels(), &[(1.0, 0.0), (1.0, 0.0)], false, &log_odds, 9);
        assert_eq!(said.answer, Answer::labels([Label::from("hate")]));
        assert_eq!((said.alternatives.len(), said.features.0.len()), (2, FEATURES.len()));
        // What its yes scores on the average is no sign of it.
        let said = prediction(&labels(), &[(1.0, -3.0), (1.0, 0.0)], false, &log_odds, 9);
        assert_eq!(said.answer, Answer::labels([]));
        let said = prediction(&labels(), &[(1.0, -3.0), (1.0, 0.0)], true, &log_odds, 9);
        assert_eq!(
            said.answer,
            Answer::labels([Label::from("spam")]),
            "the likeliest, where there is always one"
        );
    }

    #[test]
    fn rows_are_shown_that_have_all_labels_and_none() {
        let row = |text: &str, labels: &[&str]| {
            LabelledRow::gold(text, Answer::labels(labels.iter().map(|label| Label::from(*label))))
        };
        let mut rows: Vec<LabelledRow> = (0..20).map(|number| row(&format!("plain {number}"), &[])).collect();
        rows.push(row("bad", &["hate", "spam"]));
        rows.push(LabelledRow { captured: true, ..row("kept by nobody", &["hate"]) });
        let shown = examples(&rows);
        assert!(shown.contains(&20) && !shown.contains(&21) && shown.len() == EXAMPLES, "{shown:?}");
        let text = "kind = \"moderate\"\nlabels = [\"hate\", \"spam\"]";
        let task =
            sprat_task::read_task("t", &sprat_task::Source::new("t.toml", text), |_| Err(String::new()))
                .unwrap();
        let prompt = prompt(&task, &[&rows[20], &rows[0]]);
        assert!(
            prompt
                .before
                .contains("Text: bad\nhate: yes\nspam: yes\n\nText: plain 0\nhate: no\nspam: no\n\nText: ")
        );
        assert_eq!(prompt.labels, ["hate: yes", "hate: no", "spam: yes", "spam: no"]);
    }
}
