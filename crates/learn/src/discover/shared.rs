//! What do many texts begin and end with? The template of a group, and the rule that takes the input out of it.

use sprat_task::task::InputRule;

/// The common beginning and end of texts, found one text at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    first: Option<String>,
    /// Bytes of `first` that every text begins with, and ends with.
    prefix: usize,
    suffix: usize,
    shortest: usize,
    longest: usize,
}

impl Shared {
    pub(super) fn add(&mut self, text: &str) {
        match &self.first {
            None => {
                self.first = Some(text.to_owned());
                (self.prefix, self.suffix) = (text.len(), text.len());
                (self.shortest, self.longest) = (text.len(), text.len());
            }
            Some(first) => {
                self.prefix = common_prefix(&first[..self.prefix], text);
                self.suffix = common_suffix(&first[first.len() - self.suffix..], text);
                self.shortest = self.shortest.min(text.len());
                self.longest = self.longest.max(text.len());
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Some(text) = &other.first else { return };
        let Some(first) = &self.first else {
            *self = other;
            return;
        };
        self.prefix = common_prefix(&first[..self.prefix], &text[..other.prefix]);
        self.suffix = common_suffix(&first[first.len() - self.suffix..], &text[text.len() - other.suffix..]);
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
    }

    /// The first text that was added.
    pub(super) fn example(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Whether all texts are the same.
    pub(super) fn is_constant(&self) -> bool {
        self.prefix == self.longest && self.first.is_some()
    }

    /// What every text begins with.
    pub(super) fn prefix(&self) -> &str {
        self.first.as_deref().map_or("", |first| &first[..self.prefix])
    }

    /// What every text ends with. It may overlap with the beginning.
    pub(super) fn suffix(&self) -> &str {
        self.first.as_deref().map_or("", |first| &first[first.len() - self.suffix..])
    }

    /// Where the input is in these texts. The fixed beginning ends, and the fixed end begins, at a sign that sets
    /// things apart (a colon, a line break, a quote, a tag), or is a phrase of at least three words: texts that
    /// merely begin with the same letters have no template.
    pub(super) fn input_rule(&self) -> InputRule {
        let (before, after) = (beginning(self.prefix()), ending(self.suffix()));
        let fits = !self.is_constant() && before.len() + after.len() <= self.shortest;
        let after = if fits { after } else { "" };
        let is_plain = self.is_constant() || (before.is_empty() && after.is_empty());
        // A pattern is written as before{input}after.
        if is_plain || before.contains("{input}") || after.contains("{input}") {
            return InputRule::LastUserMessage;
        }
        InputRule::Pattern { before: before.to_owned(), after: after.to_owned() }
    }
}

/// Signs that end what stands before an input.
const OPENING: [char; 9] = [':', '\n', '"', '“', '«', '`', '>', ']', '|'];
/// Signs that begin what stands after an input.
const CLOSING: [char; 8] = ['\n', '"', '”', '»', '`', '<', '[', '|'];
const PHRASE: usize = 3;

fn beginning(prefix: &str) -> &str {
    let sign = prefix.rfind(OPENING).map(|at| at + prefix[at..].chars().next().map_or(1, char::len_utf8));
    match (sign, prefix.rfind(char::is_whitespace)) {
        (Some(end), _) => &prefix[..end + leading_whitespace(&prefix[end..])],
        (None, Some(space)) if prefix[..space].split_whitespace().count() >= PHRASE => {
            &prefix[..space + leading_whitespace(&prefix[space..])]
        }
        _ => "",
    }
}

fn ending(suffix: &str) -> &str {
    match (suffix.find(CLOSING), suffix.find(char::is_whitespace)) {
        (Some(sign), _) => &suffix[suffix[..sign].trim_end().len()..],
        (None, Some(space)) if suffix[space..].split_whitespace().count() >= PHRASE => &suffix[space..],
        _ => "",
    }
}

fn leading_whitespace(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn common_prefix(a: &str, b: &str) -> usize {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|end| a.is_char_boundary(*end)).unwrap_or(0)
}

fn common_suffix(a: &str, b: &str) -> usize {
    let same = a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|length| a.is_char_boundary(a.len() - length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shared(texts: &[&str]) -> Shared {
        let mut shared = Shared::default();
        texts.iter().for_each(|text| shared.add(text));
        shared
    }

    fn pattern(before: &str, after: &str) -> InputRule {
        InputRule::Pattern { before: before.to_owned(), after: after.to_owned() }
    }

    #[test]
    fn the_template_ends_where_a_person_would_say_it_ends() {
        let whole = InputRule::LastUserMessage;
        for (texts, rule) in [
            (&["Classify: hello", "Classify: help me"][..], pattern("Classify: ", "")),
            (&["Text: \"aa\"\nLabel:", "Text: \"ab\"\nLabel:"], pattern("Text: \"", "\"\nLabel:")),
            (&["<mail>one</mail>", "<mail>once</mail>"], pattern("<mail>", "</mail>")),
            (
                &["Please summarise this article about cats", "Please summarise this article on law"],
                pattern("Please summarise this article ", ""),
            ),
            (&["hello there", "help me"], whole.clone()),
            (&["Hi, my card is lost.", "Hi, my app is slow."], whole.clone()),
            (&["where is it?", "what is it?"], whole.clone()),
            (&["the same", "the same"], whole.clone()),
            (&["Q: ", "Q: a"], pattern("Q: ", "")),
            (&["is it a", "is it a good one"], whole.clone()),
            (&["{input}: a", "{input}: b"], whole.clone()),
            (&["only one"], whole.clone()),
            (&[], whole.clone()),
        ] {
            assert_eq!(shared(texts).input_rule(), rule, "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_fits_the_rule_found_in_it(texts in prop::collection::vec("[a:é \n]{0,8}", 1..6), split in 0_usize..6) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = shared(&texts);
            let mut merged = shared(&texts[..split.min(texts.len())]);
            merged.merge(shared(&texts[split.min(texts.len())..]));
            prop_assert_eq!(merged.input_rule(), all.input_rule());
            for text in texts {
                prop_assert!(all.input_rule().extract(text).is_some(), "{:?}", text);
            }
        }
    }
}
