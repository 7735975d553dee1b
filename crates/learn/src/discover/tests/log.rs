//! A log of seven sorts of work, as a small company's might look: made here, line by line as an OpenAI client's proxy
//! would write it, and read through the importer.

use serde_json::{Value, json};

use crate::discover::hash::scatter;
use crate::import::Call;

pub(super) const TRIAGE: &str = "You are the triage desk of Kettle & Co. Route the ticket to the team that should \
                                 handle it. If no team fits, say other.";
pub(super) const HELPFUL: &str = "You are a helpful assistant.";
pub(super) const REVIEW: &str = "Is this review positive or negative? Answer with one word.\nReview: \"";

const TICKETS: [(&str, [&str; 6]); 5] = [
    (
        "billing",
        [
            "I was charged twice",
            "the invoice shows the wrong amount",
            "my card was debited again",
            "please correct the bill",
            "the VAT on the invoice is missing",
            "why was a fee added to my account",
        ],
    ),
    (
        "delivery",
        [
            "my parcel has not arrived",
            "the courier left it at the wrong door",
            "tracking has not moved",
            "where is my delivery",
            "the package was stolen from the porch",
            "when will it be shipped",
        ],
    ),
    (
        "returns",
        [
            "I want to send the kettle back",
            "how do I return this",
            "I would like my money back",
            "the return label does not print",
            "please refund the toaster",
            "it came broken and I want a replacement",
        ],
    ),
    (
        "technical",
        [
            "the kettle does not switch on",
            "the app crashes when I pair the toaster",
            "the display shows error E4",
            "it leaks at the handle",
            "the base makes a buzzing noise",
            "it stopped heating after a week",
        ],
    ),
    (
        "other",
        [
            "do you sponsor school fairs",
            "are you hiring",
            "I love your videos",
            "who painted your logo",
            "may I visit the factory",
            "what is the capital of Peru",
        ],
    ),
];
const ENDINGS: [&str; 8] = [
    "",
    " please help",
    " thanks, Anna",
    " this is the third time I ask",
    " I am quite annoyed",
    " since Monday",
    " kind regards",
    " ???",
];
const PRAISE: [[&str; 5]; 2] = [
    ["great", "lovely", "brilliant", "reliable", "worth every penny"],
    ["awful", "useless", "broken", "a waste of money", "disappointing"],
];
const THINGS: [&str; 10] =
    ["kettle", "toaster", "blender", "lamp", "grinder", "oven", "scale", "fan", "heater", "mixer"];
const STUFF: [&str; 12] = [
    "harbour",
    "parliament",
    "glacier",
    "orchestra",
    "vaccine",
    "bridge",
    "railway",
    "volcano",
    "library",
    "election",
    "drought",
    "museum",
];

/// Numbers that look random, the same for the same place in the log.
fn pick<T: Copy, const N: usize>(from: [T; N], number: u64, salt: u64) -> T {
    from[(scatter(number * 31 + salt) % N as u64) as usize]
}

/// How the log's calls are made up.
pub(super) struct Maker {
    lines: Vec<String>,
    /// Milliseconds between two calls.
    pub(super) pause_ms: u64,
}

impl Maker {
    pub(super) fn new() -> Self {
        Self { lines: Vec::new(), pause_ms: 240_000 }
    }

    pub(super) fn call(&mut self, mut request: Value, reply: Value) {
        let number = self.lines.len() as u64;
        request["model"] = json!("gpt-5");
        let message = if reply.is_array() {
            json!({"role": "assistant", "content": null, "tool_calls": reply})
        } else {
            json!({"role": "assistant", "content": reply})
        };
        let line = json!({
            "id": format!("call-{number}"),
            "created_at": 1_790_000_000_000_u64 + number * self.pause_ms,
            "session_id": format!("s{}", number / 2),
            "request": request,
            "response": {"model": "gpt-5", "choices": [{"message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 400, "completion_tokens": 20}},
        });
        self.lines.push(line.to_string());
    }

    pub(super) fn ask(&mut self, system: Option<&str>, user: &str, reply: &str) {
        let system = system.map(|system| json!({"role": "system", "content": system}));
        let messages: Vec<Value> =
            system.into_iter().chain([json!({"role": "user", "content": user})]).collect();
        self.call(json!({ "messages": messages }), json!(reply));
    }

    /// A ticket, routed by an answer that follows a schema.
    pub(super) fn ticket(&mut self, number: u64) {
        let (team, wishes) = pick(TICKETS, number, 1);
        let opening = if number.is_multiple_of(9) { "Subject: " } else { "" };
        let text = format!("{opening}{}{}", pick(wishes, number, 2), pick(ENDINGS, number, 3));
        let text = format!("{text}, order {}", 40_000 + scatter(number) % 9_999);
        let teams = TICKETS.map(|(team, _)| team);
        let request = json!({
            "messages": [{"role": "system", "content": TRIAGE}, {"role": "user", "content": text}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "ticket_routing", "strict": true, "schema":
                {"type": "object", "properties": {"team": {"type": "string", "enum": teams}, "reason": {"type": "string"}}}}},
        });
        let reason = format!("It mentions {}.", pick(wishes, number, 2));
        self.call(request, json!(json!({"team": team, "reason": reason}).to_string()));
    }

    /// A review under a prompt that says nothing, the task in the user's message.
    pub(super) fn review(&mut self, number: u64) {
        let good = !scatter(number).is_multiple_of(3);
        let word = pick(PRAISE[usize::from(!good)], number, 4);
        let text = format!(
            "The {} is {word}, {}",
            pick(THINGS, number, 5),
            pick(["really", "honestly", "for me"], number, 6)
        );
        let answer = pick(
            if good { ["positive", "Positive", "positive."] } else { ["negative", "Negative", "negative"] },
            number,
            7,
        );
        self.ask(Some(HELPFUL), &format!("{REVIEW}{text} {}\"", scatter(number) % 500), answer);
    }

    /// A summary, asked for without a system prompt.
    pub(super) fn summary(&mut self, number: u64) {
        let (a, b) = (pick(STUFF, number, 8), pick(STUFF, number, 9));
        let article = format!("The {a} and the {b} were discussed on {} pages.", scatter(number) % 1_000);
        let answer = format!("A short text on the {a}; the {b} is named too, number {number}.");
        self.ask(None, &format!("Summarise the following article in two sentences:\n\n{article}"), &answer);
    }

    pub(super) fn extraction(&mut self, number: u64) {
        let name = pick(["Anna", "Bo", "Chloe", "Dev", "Emre"], number, 10);
        let hello = pick(["Hello", "Hi", "Good morning"], number, 16);
        let order = 10_000 + scatter(number) % 1_000;
        let request = json!({
            "messages": [{"role": "system", "content": "Extract the order details from the mail."},
                {"role": "user", "content": format!("{hello}, this is {name}, order {order} please")}],
            "response_format": {"type": "json_object"},
        });
        self.call(request, json!(json!({"name": name, "order_number": order, "city": null}).to_string()));
    }

    pub(super) fn chat(&mut self, number: u64) {
        let opening = pick(["Tell me something about", "What do you know of", "I wonder about"], number, 15);
        let question =
            format!("{opening} the {} and the {}", pick(STUFF, number, 11), pick(THINGS, number, 12));
        let answer = format!("Gladly! Here is what I know about it, part {number}.");
        if number.is_multiple_of(3) {
            let earlier =
                [json!({"role": "user", "content": "Hi"}), json!({"role": "assistant", "content": "Hello!"})];
            let mut messages = vec![json!({"role": "system", "content": HELPFUL})];
            messages.extend(earlier);
            messages.push(json!({"role": "user", "content": question}));
            self.call(json!({ "messages": messages }), json!(answer));
        } else {
            self.ask(Some(HELPFUL), &question, &answer);
        }
    }

    pub(super) fn booking(&mut self, number: u64) {
        let request = json!({
            "messages": [{"role": "system", "content": "You book meeting rooms."},
                {"role": "user", "content": format!("a room for {} people", number % 9 + 2)}],
            "tools": [{"type": "function", "function": {"name": "book_room", "parameters": {}}}],
        });
        let called =
            json!([{"id": "t", "type": "function", "function": {"name": "book_room", "arguments": "{}"}}]);
        self.call(request, called);
    }

    /// A prompt into which a name is filled.
    pub(super) fn concierge(&mut self, number: u64) {
        let name = format!(
            "{}{}",
            pick(["Ann", "Bob", "Cem", "Dot"], number, 13),
            pick(["y", "sen", "elia"], number, 14)
        );
        let system = format!(
            "You are the concierge of the hotel. The guest's name is {name}. Write a friendly greeting."
        );
        self.ask(
            Some(&system),
            &format!("good evening from room {number}"),
            &format!("Welcome back, {name}! Number {number}."),
        );
    }

    /// The lines, as the proxy wrote them.
    pub(super) fn lines(&self) -> String {
        self.lines.join("\n")
    }

    /// The calls the importer finds in them, at $10 per million tokens in and $30 out unless it costs a thousandth.
    pub(super) fn calls(&self, is_cheap: bool) -> Vec<Call> {
        let scale = if is_cheap { 1 } else { 1_000 };
        crate::discover::tests::imported(&self.lines(), scale)
    }
}

/// All seven sorts of work, mixed, and five calls of an eighth.
pub(super) fn mixed() -> Maker {
    let mut log = Maker::new();
    for number in 0..400 {
        log.ticket(number);
        log.review(number);
        if number % 10 == 0 {
            log.summary(number);
            log.extraction(number);
            log.booking(number);
            log.concierge(number);
        }
        if number % 8 == 0 {
            log.chat(number);
        }
        if number % 80 == 0 {
            log.ask(Some("You are a pirate."), "Ahoy?", "Arr!");
        }
    }
    log
}
