//! What is a decoder told? The instructions, the labels and a few rows with theirs: the same before every text, so that it is
//! read once. Every word is part of the artefact, and so of what a certificate is bound to.

use sprat_engine::protocol::Prompt;
use sprat_task::{Answer, Label, LabelledRow, Sha256Hex, Task};

/// Rows shown at most.
const EXAMPLES: usize = 8;
/// Longer texts teach no more than shorter ones, and cost more.
pub const LONGEST_EXAMPLE: usize = 300;

/// The rows to show, by their places: one of each label in turn, the shortest first among those that are not long.
pub fn examples(rows: &[LabelledRow], labels: &[Label]) -> Vec<usize> {
    let of_label = |label: &Label| -> Vec<usize> {
        let is_it = |row: &LabelledRow| matches!(row.target(), Some(Answer::Label(own)) if own == label);
        let mut places: Vec<usize> = (0..rows.len())
            .filter(|place| is_it(&rows[*place]) && rows[*place].input.text.len() <= LONGEST_EXAMPLE)
            // What was captured is forgotten in its time, and a prompt is kept.
            .filter(|place| !rows[*place].captured)
            .collect();
        // Middling ones say more than the very shortest.
        places.sort_by_key(|place| (rows[*place].input.text.len(), *place));
        let middle = places.len() / 2;
        places.rotate_left(middle);
        places
    };
    let by_label: Vec<Vec<usize>> = labels.iter().map(of_label).collect();
    let most = by_label.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..most).flat_map(|turn| by_label.iter().filter_map(move |places| places.get(turn)));
    in_turn.copied().take(EXAMPLES).collect()
}

/// What stands before and after each text, and the labels as they follow it.
pub fn prompt(task: &Task, shown: &[&LabelledRow]) -> Prompt {
    let instructions = match task.instructions.trim() {
        "" => "Which label fits the text?",
        instructions => instructions,
    };
    let mut before = format!("{instructions}\n\nLabels:\n");
    task.labels.iter().for_each(|label| before.push_str(&format!("- {label}\n")));
    for row in shown {
        if let Some(Answer::Label(label)) = row.target() {
            before.push_str(&format!("\nText: {}\nLabel: {label}\n", one_line(&row.input.text)));
        }
    }
    before.push_str("\nText: ");
    let after = "\nLabel:".to_owned();
    let labels: Vec<String> = task.labels.iter().map(|label| format!(" {label}")).collect();
    named(before, after, labels)
}

/// A prompt under a number of its own: two with other words have other numbers.
pub fn named(before: String, after: String, labels: Vec<String>) -> Prompt {
    read_by(None, Prompt { prompt: 0, before, after, labels, adapter: None })
}

/// The same prompt, read by an adapter of the engine's, under a number of its own.
pub fn read_by(adapter: Option<u32>, prompt: Prompt) -> Prompt {
    let Prompt { before, after, labels, .. } = prompt;
    let reader = adapter.map_or_else(String::new, |adapter| format!("adapter {adapter}"));
    let parts = [&reader, &before, &after].into_iter().chain(&labels);
    let digest = Sha256Hex::of_parts(parts.map(|part| part.as_bytes()));
    let prompt = u64::from_str_radix(&digest.as_str()[..16], 16).unwrap_or(0);
    Prompt { prompt, before, after, labels, adapter }
}

/// A text as it follows `Text:`: line breaks would look like the end of it.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
