//! A file of answers, line by line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Read};
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use sprat_task::{Money, Price, Problem, Provenance, Sha256Hex, Tokens, Usage};

/// What a file holds.
#[derive(Debug)]
pub(super) struct Answers {
    by_input: HashMap<Key, Recorded>,
    /// The weakest of what the lines say.
    pub provenance: Provenance,
    /// Of the file's bytes.
    pub hash: Sha256Hex,
}

/// One answer, with what it cost and how long it took then.
#[derive(Debug)]
pub(super) struct Recorded {
    line: u32,
    pub answer: Box<str>,
    pub usage: Usage,
    pub latency: Duration,
}

/// SHA-256 of an input, as bytes: half the size of its digits.
type Key = [u8; 32];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    text: Option<String>,
    input_sha256: Option<String>,
    answer: Option<serde_json::Value>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cost_micro_usd: Option<i64>,
    latency_ms: Option<f64>,
    provenance: Option<Provenance>,
}

/// Longest line that is read into memory, in bytes.
const LONGEST_LINE: u64 = 16 << 20;

impl Answers {
    /// Reads a file whose name in messages is `name`; `price` is for lines with tokens and without a cost.
    pub(super) fn read(mut file: impl BufRead, name: &str, price: Option<&Price>) -> Result<Self, Problem> {
        let mut by_input = HashMap::new();
        let (mut default, mut weakest) = (None, None::<Provenance>);
        let mut whole = Sha256::new();
        let mut bytes = Vec::new();
        for number in 1u32.. {
            bytes.clear();
            let got = Read::take(&mut file, LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(|error| {
                Problem::new(format!("the line can't be read: {error}")).at(name, number.into())
            })?;
            if got == 0 {
                break;
            }
            let fault = |message: String| Problem::new(message).at(name, number.into());
            if got as u64 == LONGEST_LINE {
                return Err(fault(format!("the line is longer than {} MB", LONGEST_LINE >> 20)));
            }
            whole.update(&bytes);
            let line =
                bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&bytes).trim_ascii();
            if line.is_empty() {
                continue;
            }
            let written: Written = serde_json::from_slice(line).map_err(|error| {
                let full = error.to_string();
                let reason = full.rsplit_once(" at line ").map_or(full.as_str(), |(reason, _)| reason);
                fault(format!("not a line of answers: {reason}")).column(error.column().max(1) as u64)
            })?;
            if written.answer.is_none() && written.text.is_none() && written.input_sha256.is_none() {
                default = written.provenance.or(default);
                continue;
            }
            let provenance = written.provenance.or(default).ok_or_else(|| {
                fault("the line doesn't say where its answer comes from".to_owned())
                    .allowed("\"provenance\": \"recorded\" | \"authored\" | \"simulated\"")
                    .hint("a first line {\"provenance\": \"recorded\"} speaks for the whole file")
            })?;
            if provenance == Provenance::Measured {
                return Err(fault("an answer from a file was not measured here".to_owned())
                    .allowed("recorded, authored, simulated"));
            }
            weakest = Some(weakest.map_or(provenance, |weakest| weakest.weaker(provenance)));
            let (key, recorded) = written.index(number, price).map_err(fault)?;
            match by_input.entry(key) {
                Entry::Vacant(place) => drop(place.insert(recorded)),
                Entry::Occupied(first) if first.get().answer == recorded.answer => {}
                Entry::Occupied(first) => {
                    let message = format!("line {} answers the same input otherwise", first.get().line);
                    return Err(fault(message).hint("keep one of the two"));
                }
            }
        }
        let provenance = weakest.ok_or_else(|| {
            Problem::in_file(name, "the file holds no answers").hint("one JSON object a line")
        })?;
        Ok(Self { by_input, provenance, hash: Sha256Hex::of(&whole.finalize()) })
    }

    /// The answer to a text.
    pub(super) fn get(&self, text: &str) -> Option<&Recorded> {
        self.by_input.get(&key_of(text))
    }

    /// How many inputs have one.
    pub(super) fn len(&self) -> usize {
        self.by_input.len()
    }
}

impl Written {
    fn index(self, number: u32, price: Option<&Price>) -> Result<(Key, Recorded), String> {
        let key = match (self.text, self.input_sha256) {
            (Some(_), Some(_)) => return Err("`text` and `input_sha256` can't both be given".to_owned()),
            (Some(text), None) => key_of(&text),
            (None, Some(digits)) => {
                parse_key(&digits).ok_or("`input_sha256` must be 64 hexadecimal digits".to_owned())?
            }
            (None, None) => return Err("`text` is missing".to_owned()),
        };
        let answer = match self.answer {
            Some(serde_json::Value::String(label)) => label,
            Some(list @ serde_json::Value::Array(_)) => list.to_string(),
            Some(object @ serde_json::Value::Object(_)) => object.to_string(),
            Some(_) => return Err("`answer` must be a label, a list of labels or an object".to_owned()),
            None => return Err("`answer` is missing".to_owned()),
        };
        let tokens = self.input_tokens.zip(self.output_tokens).map(|(input, output)| Tokens {
            input,
            output,
            ..Tokens::default()
        });
        if self.cost_micro_usd.is_some_and(|cost| cost < 0) {
            return Err("`cost_micro_usd` must not be negative".to_owned());
        }
        let cost = self.cost_micro_usd.map(Money::from_micro);
        let cost = cost.or_else(|| Some(price?.cost(tokens?)));
        let latency = Duration::try_from_secs_f64(self.latency_ms.unwrap_or(0.0) / 1e3)
            .map_err(|_| "`latency_ms` must be a number not below 0".to_owned())?;
        Ok((key, Recorded { line: number, answer: answer.into(), usage: Usage { tokens, cost }, latency }))
    }
}

fn key_of(text: &str) -> Key {
    Sha256::digest(text.as_bytes()).into()
}

fn parse_key(digits: &str) -> Option<Key> {
    let mut key = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}
