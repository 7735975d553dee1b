//! From a model's words to one of the task's answers, or to an honest "no such label". Nothing is guessed.

use serde::Deserialize;
use sprat_task::{Answer, Kind, Label, Task};

use super::quoting::quote_answer;
use crate::fields;

/// The task's answer that these words are: the label itself; a label in JSON, fenced or not; or a text that differs
/// from exactly one label only by case, inner white space, and quotes and punctuation around it. Of a task that extracts,
/// the record that a JSON object is.
///
/// # Errors
/// Everything else, in words that give nothing of the input away.
pub fn parse_answer(task: &Task, said: &str, input: &str) -> Result<Answer, String> {
    let said = without_thoughts(said).trim();
    if task.kind == Kind::Extract {
        return fields::parse(task, unfenced(said)?, input);
    }
    if task.kind == Kind::Generate {
        return written(said, task.hole.is_some());
    }
    if task.multi { several(task, said, input) } else { one(task, said, input).map(Answer::Label) }
}

#[derive(Deserialize)]
struct One {
    label: String,
}

#[derive(Deserialize)]
struct Several {
    labels: Vec<String>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

/// The text itself, in JSON where it was asked for so. What fills a hole keeps the blanks at its ends, as far as JSON has
/// brought them.
fn written(said: &str, fills: bool) -> Result<Answer, String> {
    let in_json = unfenced(said).ok().and_then(|inner| serde_json::from_str::<Text>(inner).ok());
    let text = in_json.map_or_else(|| said.to_owned(), |said| said.text);
    match text.trim() {
        "" => Err("it is empty".to_owned()),
        _ if fills => Ok(Answer::Text(text)),
        trimmed => Ok(Answer::Text(trimmed.to_owned())),
    }
}

fn one(task: &Task, said: &str, input: &str) -> Result<Label, String> {
    if let Ok(label) = find(task, said, input) {
        return Ok(label);
    }
    let inner = unfenced(said)?;
    if let Ok(One { label }) = serde_json::from_str(inner) {
        return find(task, &label, input);
    }
    if let Ok(label) = serde_json::from_str::<String>(inner) {
        return find(task, &label, input);
    }
    find(task, inner, input)
}

fn several(task: &Task, said: &str, input: &str) -> Result<Answer, String> {
    let inner = unfenced(said)?;
    let words = match (serde_json::from_str(inner), serde_json::from_str::<Vec<String>>(inner)) {
        (Ok(Several { labels }), _) | (_, Ok(labels)) => labels,
        _ => return one(task, said, input).map(|label| Answer::labels([label])),
    };
    words.iter().map(|word| find(task, word, input)).collect::<Result<Vec<_>, _>>().map(Answer::labels)
}

/// The label that a word is, exactly or but for its dress.
fn find(task: &Task, word: &str, input: &str) -> Result<Label, String> {
    if let Some(label) = task.label(word) {
        return Ok(label.clone());
    }
    let wanted = undressed(word);
    let mut alike = task.labels.iter().filter(|label| undressed(label.as_str()) == wanted);
    match (alike.next(), alike.next()) {
        (Some(label), None) => Ok(label.clone()),
        (Some(_), Some(_)) => Err(format!("{} fits more than one label", quote_answer(word, input))),
        (None, _) => Err(quote_answer(word, input)),
    }
}

/// Lower case, single spaces, without quotes and punctuation at the ends.
fn undressed(word: &str) -> String {
    let trimmed = word.trim_matches(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '`' | '*' | '.' | ',' | ':' | ';' | '!' | '“' | '”' | '‘' | '’' | '«' | '»'
            )
    });
    // A label of nothing but punctuation keeps it.
    let kept = if trimmed.is_empty() { word.trim() } else { trimmed };
    kept.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The inside of the one code fence there is; all of it where there is none.
fn unfenced(said: &str) -> Result<&str, String> {
    let Some((_, rest)) = said.split_once("```") else { return Ok(said) };
    let Some((inside, after)) = rest.split_once("```") else {
        return Err("a code fence is open at its end".to_owned());
    };
    if after.contains("```") {
        return Err("it has several code fences".to_owned());
    }
    // Only a language's name may be skipped: another first line is a part of the answer.
    let is_language = |line: &str| matches!(line.trim(), "" | "json" | "JSON" | "text" | "txt" | "plaintext");
    let inside =
        inside.split_once('\n').filter(|(first, _)| is_language(first)).map_or(inside, |(_, body)| body);
    Ok(inside.trim())
}

/// The answer after the reasoning that some servers leave in the text.
fn without_thoughts(said: &str) -> &str {
    let thinks = said.trim_start().starts_with("<think>");
    match said.split_once("</think>") {
        Some((_, answer)) if thinks => answer,
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sprat_task::{Source, read_task};

    use super::*;

    fn task(multi: bool) -> Task {
        let text = format!(
            "kind = \"classify\"\nmulti = {multi}\nlabels = [\"billing\", \"refund\", \"card lost\", \"Card Lost\", \"N/A\", \"...\"]"
        );
        read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap()
    }

    fn check(multi: bool, said: &str) -> Result<String, String> {
        parse_answer(&task(multi), said, "where is my money").map(|answer| answer.to_line())
    }

    #[test]
    fn what_fills_a_hole_keeps_its_blanks_and_other_texts_dont() {
        let said = |more: &str, said: &str| {
            let text = format!("kind = \"generate\"\n{more}\n[quality]\nmetric = \"exact\"");
            let task = read_task("t", &Source::new("t.toml", text), |_| Err(String::new())).unwrap();
            parse_answer(&task, said, "").map(|answer| answer.to_line())
        };
        let json = "{\"text\": \"  x,\\n\"}";
        assert_eq!(said("", json).as_deref(), Ok("x,"));
        assert_eq!(said("hole = \"_\"", json).as_deref(), Ok("  x,\n"));
        assert!(said("hole = \"_\"", "{\"text\": \" \"}").is_err());
    }

    #[test]
    fn a_label_is_found_in_its_usual_dresses() {
        for (said, label) in [
            ("refund", "refund"),
            (" Refund.\n", "refund"),
            ("\"BILLING\"", "billing"),
            ("**refund**", "refund"),
            ("{\"label\": \"refund\"}", "refund"),
            ("{\"label\": \"Refund\", \"reason\": \"asks for money\"}", "refund"),
            ("```json\n{\"label\": \"refund\"}\n```", "refund"),
            ("Here it is:\n```\nrefund\n```", "refund"),
            ("<think>billing? no, refund</think>\n\nrefund", "refund"),
            ("n/a", "N/A"),
            ("card lost", "card lost"),
            ("Card Lost", "Card Lost"),
            ("...", "..."),
        ] {
            assert_eq!(check(false, said).as_deref(), Ok(label), "{said}");
        }
    }

    #[test]
    fn a_label_is_never_invented() {
        for said in [
            "",
            "refund or billing",
            "refnud",
            "The label is refund",
            "CARD LOST",
            "{\"label\": \"refnud\"}",
            "{\"label\": \"refund\", \"label\": \"billing\"}",
            "{\"label\": [\"refund\"]}",
            "{\"label\": null}",
            "{\"label\": \"refund\"",
            "```\nrefund\n``` and ```\nbilling\n```",
            "```json\n{\"label\": \"refund\"}",
            "```refund\nbilling\n```",
            "<think>refund",
            "null",
        ] {
            check(false, said).expect_err(said);
        }
    }

    #[test]
    fn several_labels_are_all_known_or_none_is_taken() {
        for (said, labels) in [
            ("{\"labels\": [\"refund\", \"Billing\", \"refund\"]}", Some("billing|refund")),
            ("{\"labels\": []}", Some("")),
            ("[\"refund\"]", Some("refund")),
            ("refund", Some("refund")),
            ("{\"labels\": [\"refund\", \"refnud\"]}", None),
            ("refund, billing", None),
            ("{\"label\": \"refund\"}", Some("refund")),
        ] {
            assert_eq!(check(true, said).ok().as_deref(), labels, "{said}");
        }
    }

    #[test]
    fn what_is_said_of_a_bad_answer_gives_nothing_of_the_input_away() {
        assert_eq!(check(false, "refnud"), Err("`refnud`".to_owned()));
        assert_eq!(check(false, "my money"), Err("an answer of 8 characters".to_owned()));
        assert_eq!(check(false, "CARD LOST"), Err("`CARD LOST` fits more than one label".to_owned()));
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_answer_is_one_the_task_admits(said in ".{0,60}", multi: bool) {
            let task = task(multi);
            if let Ok(answer) = parse_answer(&task, &said, "") {
                prop_assert!(task.admits(&answer));
            }
        }

        #[test]
        fn every_label_survives_a_code_fence(index in 0usize..6, multi: bool) {
            let task = task(multi);
            let label = task.labels[index].clone();
            let said = format!("```json\n{}\n```", serde_json::json!({ "label": label }));
            prop_assert_eq!(parse_answer(&task, &said, "").unwrap().to_line(), label.to_string());
        }
    }
}
