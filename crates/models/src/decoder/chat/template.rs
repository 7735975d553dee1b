//! How is a conversation written for a model? As the template in its own file says: a program in jinja2, which gets what
//! Hugging Face transformers gives such programs (`apply_chat_template`), and renders the same.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use serde::Serialize;
use serde_json::Value as Json;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use sprat_engine::gguf::{Gguf, Value as Metadata};

/// Steps that a template may take: a long conversation takes some ten thousand.
const FUEL: u64 = 10_000_000;
/// What the templates are called here.
const USUAL: &str = "chat";
const WITH_TOOLS: &str = "tools";

/// A model's way to write a conversation.
#[derive(Debug)]
pub struct ChatTemplate {
    templates: Environment<'static>,
    begins: String,
    ends: String,
}

/// A conversation, as templates read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Conversation {
    /// Messages with `role`, `content` (a text) and what else they carry.
    pub messages: Vec<Json>,
    /// Functions that the model may call; most templates tell it of them only where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Json>,
}

impl ChatTemplate {
    /// Reads it from a model's file.
    ///
    /// # Errors
    /// A sentence: there is none, or it is no program.
    pub fn of(file: &Gguf) -> Result<Self, String> {
        let text = |key: &str| file.get(key).and_then(Metadata::as_text);
        let usual = text("tokenizer.chat_template")
            .ok_or("its file has no chat template (`tokenizer.chat_template`): it goes on with texts, and holds no conversations")?;
        let token = |key: &str| {
            let place = file.get(&format!("tokenizer.ggml.{key}")).and_then(Metadata::as_whole);
            let all = file.get("tokenizer.ggml.tokens").and_then(Metadata::as_list);
            let token = all.zip(place).and_then(|(all, place)| all.get(usize::try_from(place).ok()?));
            token.and_then(Metadata::as_text).unwrap_or_default().to_owned()
        };
        let with_tools = text("tokenizer.chat_template.tool_use");
        Self::new(usual, with_tools, &token("bos_token_id"), &token("eos_token_id"))
    }

    /// Takes the template for conversations, the one for those with tools where that is another, and how the vocabulary
    /// begins and ends a text.
    ///
    /// # Errors
    /// A sentence: it is no program.
    pub fn new(usual: &str, with_tools: Option<&str>, begins: &str, ends: &str) -> Result<Self, String> {
        let mut templates = Environment::new();
        // As transformers has them set.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        templates.set_syntax(syntax.map_err(|error| error.to_string())?);
        templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        templates.set_fuel(Some(FUEL));
        templates.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        templates.add_filter("tojson", to_json);
        templates.add_function("raise_exception", |why: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        templates.add_function("strftime_now", |format: String| now(&format));
        let mut add = |name: &'static str, source: &str| {
            let told = |error: Error| format!("its chat template can't be read: {error}");
            templates.add_template_owned(name, without_marks(source)).map_err(told)
        };
        add(USUAL, usual)?;
        with_tools.map(|source| add(WITH_TOOLS, source)).transpose()?;
        Ok(Self { templates, begins: begins.to_owned(), ends: ends.to_owned() })
    }

    /// Writes a conversation, up to where the model's answer begins.
    ///
    /// # Errors
    /// What the template says is wrong with the conversation.
    pub fn render(&self, conversation: &Conversation) -> Result<String, String> {
        let refused = match self.render_as_it_is(conversation) {
            Ok(text) => return Ok(text),
            Err(refused) => refused,
        };
        // Some models know no operator: what they are told stands before what the person says.
        let merged = merged(&conversation.messages).map(|messages| {
            let tools = conversation.tools.clone();
            self.render_as_it_is(&Conversation { messages, tools })
        });
        merged.and_then(Result::ok).ok_or_else(|| {
            let why = refused.detail().map_or_else(|| refused.to_string(), str::to_owned);
            format!("its chat template doesn't take this conversation: {why}")
        })
    }

    fn render_as_it_is(&self, conversation: &Conversation) -> Result<String, Error> {
        let has_tools = !conversation.tools.is_empty();
        let name = if has_tools { WITH_TOOLS } else { USUAL };
        let template = self.templates.get_template(name).or_else(|_| self.templates.get_template(USUAL))?;
        let Conversation { messages, tools } = conversation;
        let tools = if has_tools { Value::from(Serde(tools)) } else { Value::from(()) };
        template.render(context! {
            messages => Value::from(Serde(messages)),
            tools => tools,
            add_generation_prompt => true,
            bos_token => self.begins.as_str(),
            eos_token => self.ends.as_str(),
        })
    }
}

/// The conversation with what the operator says before what the person first says; `None` where that changes nothing.
fn merged(messages: &[Json]) -> Option<Vec<Json>> {
    let text = |message: &Json| message["content"].as_str().unwrap_or_default().to_owned();
    let (told, mut others): (Vec<&Json>, Vec<Json>) =
        messages.iter().fold(Default::default(), |mut sorted, message| {
            match message["role"] == "system" {
                true => sorted.0.push(message),
                false => sorted.1.push(message.clone()),
            }
            sorted
        });
    let first = others.iter_mut().find(|message| message["role"] == "user").filter(|_| !told.is_empty())?;
    let said: Vec<String> = told.into_iter().chain([&*first]).map(text).collect();
    first["content"] = said.join("\n\n").into();
    Some(others)
}

/// The template without the marks around the assistant's words, which only training reads. What they cut of the space
/// around them they still cut.
fn without_marks(source: &str) -> String {
    let mut rest = source;
    let mut kept = String::with_capacity(source.len());
    while let Some((before, after)) = rest.split_once("{%") {
        kept.push_str(before);
        let Some((inside, after)) = after.split_once("%}") else {
            kept.push_str("{%");
            rest = after;
            break;
        };
        let word =
            inside.trim_matches(|letter: char| letter == '-' || letter == '+' || letter.is_whitespace());
        let stands_for = match word {
            "generation" => inside.replace(word, "if true"),
            "endgeneration" => inside.replace(word, "endif"),
            _ => inside.to_owned(),
        };
        kept.push_str(&format!("{{%{stands_for}%}}"));
        rest = after;
    }
    kept + rest
}

/// The time here and now, as `strftime` writes it.
fn now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}")))
}

/// JSON as Python's `json.dumps` writes it: with a space after each comma and colon, and letters as they are.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // What templates also say; the answer to each is what is done anyway.
    for option in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(option)?;
    }
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = " ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, AsPython)),
    };
    let cant = |why: String| Error::new(ErrorKind::InvalidOperation, format!("tojson: {why}"));
    written.map_err(|error| cant(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| cant(error.to_string()))?;
    Ok(Value::from(text))
}

/// Python's spaces.
struct AsPython;

impl Formatter for AsPython {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
