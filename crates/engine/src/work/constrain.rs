//! Which tokens may an answer go on with, so that as a whole it is what was asked for? llguidance reads JSON Schema and regular
//! expressions, and says after each token which may follow. Whatever it is given comes from strangers, so all of its work is
//! bounded, and what it can't do is refused.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::network::{Network, Token};
use crate::protocol::{Constraint, Refusal};

/// Grammars that are kept, the last ones used: each task has few, and making one takes milliseconds.
const KEPT: usize = 8;
/// The longest schema or expression, in bytes. One of 126 KB took 1.2 seconds, and everyone waits for it.
const LONGEST: usize = 64 << 10;
/// What stands between JSON's parts: at most one blank or line break. Models write both; one that may go on with blanks
/// for as long as it likes sometimes does.
const BETWEEN: &str = "[ \n]";

/// What one grammar may cost. Where no reason is given, it is llguidance's own number.
fn limits() -> ParserLimits {
    ParserLimits {
        // Up to 2 KB each, for as long as the grammar is kept: 250,000 would be half a gigabyte.
        max_lexer_states: 10_000,
        // Symbols: a schema that is short and refers to itself in many ways can still be a large grammar.
        max_grammar_size: 100_000,
        // Errors are told to whoever asked: the parser's inside says nothing to them.
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// The grammars of one vocabulary.
pub struct Constraints {
    makes: ParserFactory,
    /// The last one used comes last.
    kept: VecDeque<Kept>,
}

struct Kept {
    constraint: Constraint,
    at_start: Matcher,
    is_broken: Rc<Cell<bool>>,
}

impl Constraints {
    /// Reads a network's vocabulary: that takes a moment, and is done once.
    ///
    /// # Errors
    /// In a sentence, where llguidance can't read it.
    pub fn of(network: &impl Network) -> Result<Self, String> {
        let vocabulary = vocabulary(network);
        let mut makes = ParserFactory::new(&vocabulary, InferenceCapabilities::default(), &slices())
            .map_err(|error| reason(&error))?;
        makes.quiet();
        *makes.limits_mut() = limits();
        Ok(Self { makes, kept: VecDeque::new() })
    }

    /// An answer's grammar, at its start.
    ///
    /// # Errors
    /// The constraint can't be read, can't be met or is too large; in a sentence.
    pub fn begin(&mut self, constraint: &Constraint) -> Result<Grammar, Refusal> {
        self.kept.retain(|kept| !kept.is_broken.get());
        let known = self.kept.iter().position(|kept| kept.constraint == *constraint);
        let kept = match known.and_then(|place| self.kept.remove(place)) {
            Some(kept) => kept,
            None => self.make(constraint)?,
        };
        let grammar = Grammar { state: Box::new(kept.at_start.clone()), is_broken: kept.is_broken.clone() };
        self.kept.push_back(kept);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        Ok(grammar)
    }

    /// Those whose grammars are kept, the last one used at the end.
    #[cfg(test)]
    pub fn kept(&self) -> Vec<&Constraint> {
        self.kept.iter().map(|kept| &kept.constraint).collect()
    }

    fn make(&self, constraint: &Constraint) -> Result<Kept, Refusal> {
        let bad = |why: String| Refusal::Bad(format!("the {} {why}", name(constraint)));
        let length = text(constraint).len();
        if length > LONGEST {
            return Err(bad(format!("has {length} bytes, and {LONGEST} is the most")));
        }
        let grammar = match constraint {
            Constraint::JsonSchema(schema) => {
                let schema =
                    serde_json::from_str(schema).map_err(|error| bad(format!("is no JSON: {error}")))?;
                TopLevelGrammar::from_json_schema(with_options(schema))
            }
            Constraint::Regex(expression) => TopLevelGrammar::from_regex(expression),
        };
        let cant = |error: &anyhow::Error| bad(format!("can't be used: {}", reason(error)));
        let parser = self.makes.create_parser(grammar).map_err(|error| cant(&error))?;
        let at_start = Matcher::new(Ok(parser));
        // Whether anything meets it shows when the first token is asked for.
        at_start.clone().compute_mask().map_err(|error| cant(&error))?;
        Ok(Kept { constraint: constraint.clone(), at_start, is_broken: Rc::default() })
    }
}

/// Where an answer stands in its grammar.
pub struct Grammar {
    state: Box<Matcher>,
    /// Answers under one constraint share what llguidance learns on the way, and so what it fails at.
    is_broken: Rc<Cell<bool>>,
}

impl Grammar {
    /// Rules out every token that can't come next. The end can where the answer may be over.
    ///
    /// # Errors
    /// In a sentence, where the grammar can't be gone on with.
    pub fn rule_out(&mut self, logits: &mut [f32]) -> Result<(), String> {
        let allowed = self.state.compute_mask().map_err(|error| self.broke(&error))?;
        for (place, logit) in logits.iter_mut().enumerate() {
            if place >= allowed.len() || !allowed.get(place) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on with a token; whether the answer is whole, and nothing can follow.
    ///
    /// # Errors
    /// In a sentence, where the grammar can't be gone on with.
    pub fn take(&mut self, token: Token) -> Result<bool, String> {
        let token = u32::try_from(token).map_err(|_| format!("{token} is no token"))?;
        self.state.consume_token(token).map_err(|error| self.broke(&error))?;
        Ok(self.state.is_stopped())
    }

    fn broke(&self, error: &anyhow::Error) -> String {
        self.is_broken.set(true);
        format!("the constraint can't be followed any further: {}", reason(error))
    }
}

/// How JSON is written. A schema may bring options of llguidance's: they are taken out.
fn with_options(mut schema: Value) -> Value {
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("x-guidance".to_owned(), json!({ "whitespace_pattern": BETWEEN }));
    }
    schema
}

/// What most tokens match in the middle of a string: which of them may follow is then looked up, not reckoned.
fn slices() -> Vec<String> {
    llguidance::earley::SlicedBiasComputer::general_slices()
}

fn vocabulary(network: &impl Network) -> TokEnv {
    let tokens = 0..Token::try_from(network.vocabulary()).unwrap_or(0);
    let ends: Vec<u32> = tokens
        .clone()
        .filter(|token| network.is_end(*token))
        .filter_map(|token| u32::try_from(token).ok())
        .collect();
    // Tokens without a text can't be part of an answer. llguidance keeps those that begin with its mark for special ones.
    let words = tokens.map(|token| match network.bytes(token) {
        _ if network.is_end(token) => Vec::new(),
        bytes if bytes.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER) => Vec::new(),
        bytes => bytes,
    });
    let words: Vec<Vec<u8>> = words.collect();
    let info = TokRxInfo::new(words.len() as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
    let tokens = TokTrie::from(&info, &words);
    Arc::new(ApproximateTokEnv::new(if ends.is_empty() { tokens } else { tokens.with_eos_tokens(&ends) }))
}

fn name(constraint: &Constraint) -> &'static str {
    match constraint {
        Constraint::JsonSchema(_) => "schema",
        Constraint::Regex(_) => "regular expression",
    }
}

fn text(constraint: &Constraint) -> &str {
    match constraint {
        Constraint::JsonSchema(text) | Constraint::Regex(text) => text,
    }
}

/// What it says to whoever wrote the constraint: the rest is the parser's inside.
fn reason(error: &anyhow::Error) -> String {
    let told = error.to_string();
    let mut lines = told.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("llguidance didn't say why");
    match first {
        // Its word for a place where no token can come.
        "NoExtensionBias" => "nothing meets it".to_owned(),
        // An expression's fault stands below the place it was found at.
        first => {
            lines.find_map(|line| line.strip_prefix("error: ")).unwrap_or(first).chars().take(300).collect()
        }
    }
}
