//! Which words of a system prompt tell a task's calls from all others?

use super::shared::Shared;

/// A shorter text would match by chance.
const SHORTEST: usize = 12;
/// A longer one is tiresome to read in a task file.
const LONGEST: usize = 120;

/// A text that every system prompt of the group contains and no other prompt of the log does: the first such sentence,
/// else everything the group's prompts have in common. `None` where there is none.
pub(super) fn matching(system: &Shared, prompts: &[&str]) -> Option<String> {
    let common: Vec<&str> = if system.is_constant() {
        vec![system.prefix()]
    } else {
        vec![whole_words_of_beginning(system.prefix()), whole_words_of_end(system.suffix())]
    };
    // Groups that share this prompt are told apart by schema or template, not by these words.
    let own = system.example()?;
    let is_telling = |text: &&str| {
        text.chars().count() >= SHORTEST
            && prompts.iter().all(|prompt| !prompt.contains(*text) || is_own(prompt, own, system))
    };
    let sentences = common.iter().flat_map(|text| text.split_inclusive(['.', '!', '?', '\n']));
    let mut candidates =
        sentences.map(|sentence| shorten(sentence.trim())).chain(common.iter().map(|text| text.trim()));
    candidates.find(is_telling).map(str::to_owned)
}

fn is_own(prompt: &str, own: &str, system: &Shared) -> bool {
    let varies_like_own = || prompt.starts_with(system.prefix()) && prompt.ends_with(system.suffix());
    prompt == own || (!system.is_constant() && varies_like_own())
}

/// Cut where a variable begins, in the middle of a word as it may be.
fn whole_words_of_beginning(prefix: &str) -> &str {
    prefix.rfind(char::is_whitespace).map_or("", |end| &prefix[..end])
}

fn whole_words_of_end(suffix: &str) -> &str {
    suffix.find(char::is_whitespace).map_or("", |start| &suffix[start..])
}

fn shorten(sentence: &str) -> &str {
    match sentence.char_indices().nth(LONGEST) {
        None => sentence,
        Some((end, _)) => {
            let head = &sentence[..end];
            head.rfind(char::is_whitespace).map_or(head, |space| &head[..space])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &[&str], others: &[&str], expected: Option<&str>) {
        let mut shared = Shared::default();
        own.iter().for_each(|prompt| shared.add(prompt));
        let prompts: Vec<&str> = own.iter().take(1).chain(others).copied().collect();
        let found = matching(&shared, &prompts);
        assert_eq!(found.as_deref(), expected, "{own:?} among {others:?}");
        if let Some(found) = found {
            assert!(own.iter().all(|prompt| prompt.contains(&found)));
        }
    }

    #[test]
    fn the_first_sentence_that_no_other_prompt_has_tells_the_calls_apart() {
        let polite = "You are a helpful assistant.";
        check(&["You are a helpful assistant. Route the ticket."], &[polite], Some("Route the ticket."));
        check(&["Classify the ticket.\nAnswer with one word."], &[polite], Some("Classify the ticket."));
        check(&[polite], &["You are a helpful assistant. Route the ticket."], None);
        check(&[polite], &["Something else entirely"], Some(polite));
        check(
            &["Help Anna Smith with her order.", "Help Bob Jones with her order."],
            &[],
            Some("with her order."),
        );
        check(&[""], &[polite], None);
        check(&[], &[], None);
    }
}
