//! What to call a candidate: two words that somebody who knows the work would recognise.

use sprat_task::Kind;
use sprat_task::names::is_plain_name;

/// Verbs that say what is done, with the word a name gets.
const VERBS: [(&str, &str); 34] = [
    ("classify", "classify"),
    ("categorise", "classify"),
    ("categorize", "classify"),
    ("label", "label"),
    ("tag", "tag"),
    ("route", "route"),
    ("triage", "triage"),
    ("assign", "assign"),
    ("detect", "detect"),
    ("identify", "identify"),
    ("moderate", "moderate"),
    ("rate", "rate"),
    ("score", "score"),
    ("decide", "decide"),
    ("determine", "determine"),
    ("predict", "predict"),
    ("extract", "extract"),
    ("parse", "parse"),
    ("summarise", "summarise"),
    ("summarize", "summarise"),
    ("translate", "translate"),
    ("rewrite", "rewrite"),
    ("paraphrase", "rewrite"),
    ("correct", "correct"),
    ("write", "write"),
    ("draft", "draft"),
    ("generate", "generate"),
    ("answer", "answer"),
    ("reply", "reply"),
    ("explain", "explain"),
    ("review", "review"),
    ("choose", "choose"),
    ("select", "choose"),
    ("pick", "choose"),
];

/// Words that name nothing.
const EMPTY: [&str; 64] = [
    "the",
    "a",
    "an",
    "this",
    "that",
    "these",
    "those",
    "following",
    "given",
    "each",
    "every",
    "all",
    "any",
    "into",
    "in",
    "of",
    "to",
    "as",
    "for",
    "from",
    "with",
    "by",
    "on",
    "one",
    "exactly",
    "single",
    "user",
    "users",
    "user's",
    "customer",
    "customers",
    "customer's",
    "your",
    "our",
    "its",
    "their",
    "it",
    "them",
    "below",
    "above",
    "what",
    "which",
    "who",
    "whether",
    "if",
    "is",
    "are",
    "and",
    "or",
    "only",
    "text",
    "input",
    "message",
    "following:",
    "please",
    "carefully",
    "best",
    "most",
    "correct",
    "appropriate",
    "right",
    "new",
    "incoming",
    "you",
];

/// Names of schemas that every tutorial uses.
const GENERIC: [&str; 10] = [
    "response",
    "output",
    "result",
    "answer",
    "schema",
    "response_schema",
    "responseschema",
    "responseformat",
    "response_format",
    "json_schema",
];

/// A name fit for a task file, from the schema's name, else from the first sentence that says what to do.
pub(super) fn plain_name(schema: Option<&str>, instructions: &str, kind: Kind) -> String {
    let schema = schema.map(plain).filter(|name| !name.is_empty() && !GENERIC.contains(&name.as_str()));
    schema.or_else(|| from_instructions(instructions)).unwrap_or_else(|| match announced(instructions) {
        Some(word) => format!("{}-{word}", kind.word()),
        None => fallback(kind).to_owned(),
    })
}

/// The name, with a number where others have it already.
pub(super) fn unused(name: String, used: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| !used.contains(name)).unwrap_or(name)
}

fn fallback(kind: Kind) -> &'static str {
    match kind {
        Kind::Generate | Kind::Answer => "chat",
        other => other.word(),
    }
}

/// The first verb in the place of one, and the first word after it that names something.
fn from_instructions(instructions: &str) -> Option<String> {
    instructions.lines().take(60).find_map(|line| {
        let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
        let (at, verb) = (0..words.len()).find_map(|at| Some((at, verb_at(&words, at)?)))?;
        let mut object = words[at + 1..].iter().take(8).map(|word| plain(word));
        let object = object.find(|word| !word.is_empty() && !EMPTY.contains(&word.as_str()));
        let name = object.map_or_else(|| verb.to_owned(), |object| format!("{verb}-{object}"));
        is_plain_name(&name).then_some(name)
    })
}

/// "Label the review" asks for labels; "the label" and "answer with one word" do not say what is done.
fn verb_at(words: &[String], at: usize) -> Option<&'static str> {
    const BEFORE: [&str; 10] = ["to", "and", "then", "please", "you", "will", "must", "should", "or", "now"];
    const NOUNS: [&str; 8] = ["review", "answer", "label", "tag", "score", "rate", "reply", "draft"];
    const AFTER: [&str; 7] = ["with", "in", "only", "using", "by", "as", "exactly"];
    let bare = words[at].trim_matches(|c: char| !c.is_alphanumeric());
    let (_, name) = VERBS.iter().find(|(verb, _)| *verb == bare)?;
    // "Review:" announces one.
    let announces = words[at].ends_with(':') && NOUNS.contains(&bare);
    let starts = at == 0 || words[at - 1].ends_with(['.', '!', '?', ':', ';', ',']);
    let follows = at > 0 && BEFORE.contains(&words[at - 1].as_str());
    let is_manner = words.get(at + 1).is_some_and(|next| AFTER.contains(&next.as_str()));
    ((starts || follows) && !is_manner && !announces).then_some(*name)
}

/// The word that announces the input, as in `Review: "`.
fn announced(instructions: &str) -> Option<String> {
    let (before, after) = instructions.rsplit_once(':')?;
    let word = plain(before.split_whitespace().last()?);
    let is_last = !after.contains(char::is_alphanumeric);
    (is_last && word.len() >= 3 && !EMPTY.contains(&word.as_str())).then_some(word)
}

/// Lower case, letters and digits, everything else as one dash; `CamelCase` taken apart.
fn plain(text: &str) -> String {
    let mut name = String::new();
    let mut after_small = false;
    for character in text.chars().take(40) {
        if character.is_ascii_alphanumeric() {
            if character.is_ascii_uppercase() && after_small {
                name.push('-');
            }
            name.push(character.to_ascii_lowercase());
        } else if matches!(character, '_' | '-' | ' ') && !name.is_empty() && !name.ends_with(['-', '_']) {
            name.push(if character == '_' { '_' } else { '-' });
        }
        after_small = character.is_ascii_lowercase();
    }
    name.trim_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_done_to_what() {
        for (schema, instructions, kind, name) in [
            (Some("ticket_routing"), "", Kind::Classify, "ticket_routing"),
            (Some("TicketRouting"), "", Kind::Classify, "ticket-routing"),
            (Some("response"), "Route the ticket to a team.", Kind::Classify, "route-ticket"),
            (
                None,
                "You are a helpful assistant. Classify the sentiment of this review.",
                Kind::Classify,
                "classify-sentiment",
            ),
            (None, "Summarize the following article:", Kind::Generate, "summarise-article"),
            (None, "Translate the user's message into French.", Kind::Generate, "translate-french"),
            (None, "You are a helpful assistant.", Kind::Generate, "chat"),
            (
                None,
                "Is this review good? Answer with one word.\nReview: \"",
                Kind::Classify,
                "classify-review",
            ),
            (None, "", Kind::Classify, "classify"),
            (None, "Übersetze: классифицируй", Kind::Extract, "extract"),
        ] {
            let found = plain_name(schema, instructions, kind);
            assert_eq!(found, name, "{schema:?} {instructions:?}");
            assert!(is_plain_name(&found));
        }
    }

    #[test]
    fn two_candidates_never_share_a_name() {
        let used = ["chat".to_owned(), "chat-2".to_owned()];
        assert_eq!(unused("chat".to_owned(), &used), "chat-3");
        assert_eq!(unused("other".to_owned(), &used), "other");
    }
}
