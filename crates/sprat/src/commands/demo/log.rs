//! The demonstration's log: the authored answers of examples/tickets in the shape in which a team's own log would come.

use serde::Deserialize;
use serde_json::json;

/// What the imaginary team tells its large model.
const SYSTEM_PROMPT: &str = "You route the customer mail of Halvorsen & Pike, a shop for coffee machines, grinders, kettles and a bean \
subscription. Decide which team should handle the ticket first. Answer with JSON and nothing else.";

/// When the first call was made: 2026-10-01 00:00 UTC, in seconds since 1970. The log spans four days.
const FIRST: u64 = 1_790_812_800;
const FOUR_DAYS: u64 = 4 * 86_400;

/// Customers who write more than once are this many, of each thousand texts' share.
const CUSTOMERS: u64 = 9_000;

/// A text of the log, in the order of the file, and the label that people agreed on.
#[derive(Deserialize)]
struct Row {
    text: String,
    label: String,
}

/// The large model's answer to a text.
#[derive(Deserialize)]
struct Answer {
    text: String,
    answer: String,
    input_tokens: u64,
    output_tokens: u64,
    cost_micro_usd: u64,
    latency_ms: u64,
}

/// What the team has: its log, and the same messages with the label that people agreed on beside the large model's.
pub struct Files {
    /// One chat-completion call a line.
    pub log: String,
    /// `text`, `label` and `large` a line, with where the last comes from, the customer and the time of the call.
    pub labelled: String,
}

/// Makes both, from each row that has an answer.
pub fn files(rows: &str, answers: &str, labels: &[&str]) -> Result<Files, serde_json::Error> {
    let answers: Vec<Answer> = answers.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let by_text: std::collections::HashMap<&str, &Answer> =
        answers.iter().map(|answer| (answer.text.as_str(), answer)).collect();
    let rows: Vec<Row> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["label"],
        "properties": { "label": { "type": "string", "enum": labels } },
    });
    let (mut lines, mut labelled) = (String::new(), String::new());
    for (number, row) in rows.iter().enumerate() {
        let Some(answer) = by_text.get(row.text.as_str()) else { continue };
        let created = FIRST + FOUR_DAYS * number as u64 / rows.len().max(1) as u64;
        let user = format!("customer-{}", customer(&row.text));
        let labels = json!({ "text": row.text, "label": row.label, "large": answer.answer, "large_provenance": "authored", "user": user, "time": created });
        labelled.push_str(&labels.to_string());
        labelled.push('\n');
        let line = json!({
            "request": {
                "model": "a large model, authored",
                "user": user,
                "messages": [
                    { "role": "system", "content": SYSTEM_PROMPT },
                    { "role": "user", "content": format!("Ticket:\n{}", row.text) },
                ],
                "response_format": { "type": "json_schema", "json_schema": { "name": "ticket", "strict": true, "schema": schema } },
            },
            "response": {
                "id": format!("call-{number:05}"),
                "object": "chat.completion",
                "created": created,
                "model": "a large model, authored",
                "choices": [{
                    "index": 0, "finish_reason": "stop",
                    "message": { "role": "assistant", "content": json!({ "label": answer.answer }).to_string() },
                }],
                "usage": {
                    "prompt_tokens": answer.input_tokens, "completion_tokens": answer.output_tokens,
                    "total_tokens": answer.input_tokens + answer.output_tokens,
                },
            },
            "cost_micro_usd": answer.cost_micro_usd,
            "latency_ms": answer.latency_ms,
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    Ok(Files { log: lines, labelled })
}

/// A number that stays the same for a text: some customers write twice.
fn customer(text: &str) -> u64 {
    // FNV-1a, for a handful of invented names.
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        % CUSTOMERS
}
