use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::openai::chat::ResponseFormatKind;

fn read(line: &Value) -> LogCall {
    parse_log_line(&line.to_string()).unwrap_or_else(|error| panic!("{error}\n{line}"))
}

fn messages() -> Value {
    json!([{"role": "system", "content": "Route the ticket."}, {"role": "user", "content": "My money is gone"}])
}

fn reply() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_795_218_187, "model": "gpt-5-mini-2025-08-07",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "refund"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22, "prompt_tokens_details": {"cached_tokens": 16}}})
}

#[test]
fn the_same_call_is_read_from_every_shape_of_line() {
    let request = json!({"model": "gpt-5-mini", "messages": messages()});
    let responses_api = json!({"id": "resp_1", "object": "response", "created_at": 1_795_218_187, "model": "gpt-5-mini-2025-08-07",
        "output": [{"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "refund", "annotations": []}]}],
        "usage": {"input_tokens": 20, "input_tokens_details": {"cached_tokens": 16}, "output_tokens": 2, "total_tokens": 22}});
    let chunks = json!([
        {"id": "c", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "re"}, "finish_reason": null}]},
        {"id": "c", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"content": "fund"}, "finish_reason": "stop"}]}]);
    let anthropic = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "refund"}], "stop_reason": "end_turn", "usage": {"input_tokens": 4, "cache_read_input_tokens": 16, "output_tokens": 2}});
    let user = json!([{"role": "user", "content": [{"type": "text", "text": "My money is gone"}]}]);
    let mut with_answer = messages();
    with_answer.as_array_mut().unwrap().push(json!({"role": "assistant", "content": "refund"}));

    let rows = [
        ("request and response", json!({"request": request, "response": reply()})),
        (
            "bodies under a request and a response",
            json!({"request": {"method": "POST", "headers": {}, "body": request}, "response": {"status": 200, "body": reply()}}),
        ),
        (
            "bodies as JSON in strings",
            json!({"request_body": request.to_string(), "response_body": reply().to_string()}),
        ),
        (
            "bodies in strings, one level down",
            json!({"request": {"body": request.to_string()}, "response": {"status_code": 200, "body": reply().to_string()}}),
        ),
        ("keyword arguments", json!({"kwargs": request, "response": reply()})),
        ("a response that is text", json!({"request": request, "response": "refund"})),
        ("a response in pieces", json!({"request": request, "response": chunks})),
        (
            "a response that holds the conversation",
            json!({"request": {"messages": with_answer}, "response": reply()}),
        ),
        (
            "Langfuse, chat",
            json!({"type": "GENERATION", "model": "gpt-5-mini", "input": messages(), "output": {"role": "assistant", "content": "refund"}}),
        ),
        ("Langfuse, an object of messages", json!({"input": {"messages": messages()}, "output": "refund"})),
        (
            "Langfuse, JSON in strings",
            json!({"input": messages().to_string(), "output": json!({"role": "assistant", "content": "refund"}).to_string()}),
        ),
        (
            "LangSmith",
            json!({"inputs": {"messages": [[{"type": "system", "content": "Route the ticket."}, {"type": "human", "content": "My money is gone"}]]},
            "outputs": {"output": {"type": "ai", "content": "refund"}}}),
        ),
        (
            "LiteLLM",
            json!({"id": "l1", "call_type": "acompletion", "model": "gpt-5-mini", "messages": messages(), "response": reply()}),
        ),
        (
            "request and reply in one object",
            json!({"model": "gpt-5-mini", "messages": messages(), "choices": reply()["choices"]}),
        ),
        ("fine-tuning", json!({"messages": with_answer})),
        (
            "the Responses API",
            json!({"request": {"model": "gpt-5-mini", "instructions": "Route the ticket.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "My money is gone"}]}]}, "response": responses_api}),
        ),
        (
            "the Responses API, flat",
            json!({"model": "gpt-5-mini", "instructions": "Route the ticket.", "input": "My money is gone", "output": responses_api["output"]}),
        ),
        (
            "Anthropic",
            json!({"request": {"model": "claude-sonnet-4-5", "max_tokens": 9, "system": [{"type": "text", "text": "Route the ticket."}], "messages": user}, "response": anthropic}),
        ),
        ("a byte order mark", json!({"request": request, "response": reply()})),
    ];
    for (what, line) in rows {
        let call =
            parse_log_line(&format!("\u{feff}{line}\r\n")).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(call.system_prompt().as_deref(), Some("Route the ticket."), "{what}");
        assert_eq!(call.user_texts(), ["My money is gone"], "{what}");
        assert_eq!(call.answer.as_deref(), Some("refund"), "{what}");
        assert_eq!(call.messages.len(), 2, "{what}");
        let expected = if what == "fine-tuning" { AnswerSource::LastMessage } else { AnswerSource::Reply };
        assert_eq!((call.answer_source, call.failure.as_deref()), (expected, None), "{what}");
        assert!(!call.is_multi_turn() && call.is_text_only() && !call.has_tools(), "{what}");
        if let Some(usage) = &call.usage {
            let said =
                (usage.prompt_tokens, usage.cached_tokens(), usage.completion_tokens, usage.total_tokens);
            assert_eq!(said, (Some(20), Some(16), Some(2), Some(22)), "{what}");
        }
    }
}

#[test]
fn a_line_with_everything_beside_the_call_gives_all_of_it() {
    let schema = json!({"type": "object", "properties": {"label": {"enum": ["refund", "billing"]}}});
    let call = read(&json!({
        "id": "log-17", "timestamp": "2026-11-20T23:43:07Z", "latency_ms": 812.5, "cost_usd": 0.000_123, "session_id": "s-1",
        "request": {"model": "gpt-5-mini", "messages": messages(), "user": "customer-17",
            "response_format": {"type": "json_schema", "json_schema": {"name": "route", "schema": schema}},
            "tools": [{"type": "function", "function": {"name": "find_card"}}, {"type": "web_search"}]},
        "response": reply()}));
    assert_eq!(call.id.as_deref(), Some("log-17"));
    assert_eq!(call.model.as_deref(), Some("gpt-5-mini-2025-08-07"));
    assert_eq!(call.created_unix_ms, Some(1_795_218_187_000));
    assert_eq!((call.latency_us, call.cost_micro_usd), (Some(812_500), Some(123)));
    assert_eq!((call.session.as_deref(), call.user.as_deref()), (Some("s-1"), Some("customer-17")));
    assert_eq!(call.schema(), Some(&schema));
    assert_eq!(call.tool_names, ["find_card", "web_search"]);
    assert_eq!(call.finish_reason, Some(FinishReason::Stop));
}

#[test]
fn facts_beside_the_call_are_found_under_the_names_that_loggers_use() {
    type Facts<'a> = (Option<u64>, Option<u64>, Option<&'a str>, Option<&'a str>);
    let rows: Vec<(&str, Value, Facts)> = vec![
        (
            "Langfuse",
            json!({"startTime": "2026-11-20T23:43:07.000Z", "endTime": "2026-11-20T23:43:07.812Z", "latency": 0.812, "calculatedTotalCost": 0.5, "sessionId": "s", "userId": "u"}),
            (Some(812_000), Some(500_000), Some("s"), Some("u")),
        ),
        (
            "Helicone",
            json!({"delay_ms": 812, "request_user_id": "u", "properties": {"Helicone-Session-Id": "s"}}),
            (Some(812_000), None, Some("s"), Some("u")),
        ),
        (
            "LiteLLM",
            json!({"startTime": 1_795_218_187.0, "endTime": 1_795_218_187.812, "response_cost": 1e-6, "end_user": "u", "metadata": {"session_id": "s"}}),
            (Some(812_000), Some(1), Some("s"), Some("u")),
        ),
        (
            "OpenRouter",
            json!({"usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": 0.002}}),
            (None, Some(2000), None, None),
        ),
        ("our own", json!({"latency_us": 40, "cost_micro_usd": 7}), (Some(40), Some(7), None, None)),
        (
            "nonsense",
            json!({"latency_ms": -1, "cost_usd": "NaN", "session_id": {}, "user": "", "timestamp": "soon"}),
            (None, None, None, None),
        ),
        (
            "an end before the start",
            json!({"start_time": 1_795_218_187, "end_time": 1_795_218_186}),
            (None, None, None, None),
        ),
        ("a latency without a unit", json!({"latency": 812}), (None, None, None, None)),
    ];
    for (what, mut line, expected) in rows {
        line.as_object_mut()
            .unwrap()
            .extend(json!({"input": "hi", "output": "ho"}).as_object().unwrap().clone());
        let call = read(&line);
        let facts = (call.latency_us, call.cost_micro_usd, call.session.as_deref(), call.user.as_deref());
        assert_eq!(facts, expected, "{what}");
    }
}

#[test]
fn tokens_are_counted_in_every_dialect_and_unknown_ones_are_not_zero() {
    let rows = [
        (
            json!({"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}),
            Some((Some(5), Some(2), Some(7))),
        ),
        (
            json!({"usage": {"input": 5, "output": 2, "total": 7, "unit": "TOKENS"}}),
            Some((Some(5), Some(2), Some(7))),
        ),
        (json!({"usageDetails": {"input": 5, "output": 2}}), Some((Some(5), Some(2), Some(7)))),
        (json!({"prompt_tokens": 5, "completion_tokens": 2}), Some((Some(5), Some(2), Some(7)))),
        (json!({"usage": {"input_tokens": 5}}), Some((Some(5), None, None))),
        (json!({"usage": {}}), None),
        (json!({"usage": null}), None),
        (json!({}), None),
    ];
    for (mut line, expected) in rows {
        line.as_object_mut()
            .unwrap()
            .extend(json!({"input": "hi", "output": "ho"}).as_object().unwrap().clone());
        let usage =
            read(&line).usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens));
        assert_eq!(usage, expected, "{line}");
    }
}

#[test]
fn an_answer_that_is_itself_json_stays_as_it_was_written() {
    let rows = [
        (json!({"input": "hi", "output": "{\"label\": \"refund\"}"}), "{\"label\": \"refund\"}"),
        (json!({"input": "hi", "output": {"label": "refund"}}), "{\"label\":\"refund\"}"),
        (json!({"input": "hi", "output": ["a", "b"]}), "[\"a\",\"b\"]"),
        (json!({"input": "hi", "output": true}), "true"),
        (json!({"prompt": "hi", "completion": " ho"}), " ho"),
        (json!({"request": {"prompt": "hi"}, "response": {"choices": [{"text": "ho"}]}}), "ho"),
    ];
    for (line, answer) in rows {
        assert_eq!(read(&line).answer.as_deref(), Some(answer), "{line}");
    }
}

#[test]
fn a_question_that_looks_like_json_stays_text() {
    let call = read(&json!({"input": "{\"total\": 3}", "output": "ok"}));
    assert_eq!(call.user_texts(), ["{\"total\": 3}"]);
}

#[test]
fn a_call_without_an_answer_says_why_where_the_log_does() {
    let request = json!({"messages": messages()});
    let rows = [
        ("not in the log", json!({"request": request}), AnswerSource::Missing, None),
        ("a null", json!({"request": request, "response": null}), AnswerSource::Missing, None),
        (
            "a batch's input",
            json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": request}),
            AnswerSource::Missing,
            None,
        ),
        (
            "an error",
            json!({"request": request, "response": {"error": {"message": "slow down"}}}),
            AnswerSource::Reply,
            Some("slow down"),
        ),
        (
            "an error as text",
            json!({"request": request, "response": {"status_code": 500, "body": "Internal Server Error"}}),
            AnswerSource::Reply,
            Some("status 500"),
        ),
        (
            "a refusal",
            json!({"request": request, "response": {"choices": [{"message": {"role": "assistant", "content": null, "refusal": "I can't."}}]}}),
            AnswerSource::Reply,
            Some("refused: I can't."),
        ),
    ];
    for (what, line, source, failure) in rows {
        let call = read(&line);
        assert_eq!(
            (call.answer.as_deref(), call.answer_source, call.failure.as_deref()),
            (None, source, failure),
            "{what}"
        );
    }
}

#[test]
fn calls_of_tools_are_no_answer_in_text() {
    let openai = json!({"choices": [{"message": {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]});
    let anthropic = json!({"type": "message", "role": "assistant", "stop_reason": "tool_use", "content": [{"type": "tool_use", "id": "c", "name": "find", "input": {}}]});
    let responses = json!({"object": "response", "output": [{"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}]});
    for response in [openai, anthropic, responses] {
        let call = read(&json!({"request": {"messages": messages()}, "response": response}));
        assert_eq!(
            (call.answer.as_deref(), &call.tool_calls),
            (None, &vec![ToolCall::function("c", "find", "{}")])
        );
        assert!(call.has_tools());
    }
}

#[test]
fn the_two_lines_of_a_batch_make_one_call() {
    let input: BatchLine = serde_json::from_value(json!({"custom_id": "row-1", "url": "/v1/chat/completions", "body": {"model": "gpt-5-mini", "messages": messages()}})).unwrap();
    let rows = [
        (
            json!({"custom_id": "row-1", "response": {"status_code": 200, "body": reply()}}),
            Some("refund"),
            None,
        ),
        (
            json!({"custom_id": "row-1", "error": {"code": "batch_expired", "message": "too late"}}),
            None,
            Some("too late"),
        ),
    ];
    for (output, answer, failure) in rows {
        let call = LogCall::from_batch(&input, &serde_json::from_value(output).unwrap()).unwrap();
        assert_eq!((call.answer.as_deref(), call.failure.as_deref()), (answer, failure));
        assert_eq!(call.id.as_deref(), Some("row-1"));
    }
}

#[test]
fn the_form_of_the_answer_is_found_in_both_of_openais_protocols() {
    let schema = json!({"type": "object"});
    let rows = [
        (json!({"response_format": {"type": "json_object"}}), ResponseFormatKind::JsonObject, None),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}),
            ResponseFormatKind::JsonSchema,
            Some(&schema),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "a", "schema": schema}}}),
            ResponseFormatKind::JsonSchema,
            Some(&schema),
        ),
    ];
    for (mut request, kind, expected) in rows {
        request.as_object_mut().unwrap().insert("input".to_owned(), json!("hi"));
        let call = read(&json!({"request": request, "response": "{}"}));
        assert_eq!(
            (call.response_format.as_ref().map(|format| &format.kind), call.schema()),
            (Some(&kind), expected)
        );
    }
    let described =
        json!({"request": {"messages": messages(), "response_format": "<class 'Route'>"}, "response": "{}"});
    assert_eq!(read(&described).response_format, None);
}

#[test]
fn a_line_that_records_no_call_says_what_is_wrong_and_what_would_be_right() {
    let deep = format!("{{\"messages\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    let shapes =
        "Right would be `request` and `response`, `input` and `output`, or `messages` with the answer last";
    let rows = [
        ("", "the line is empty; a log has one JSON object a line".to_owned()),
        ("[1]", "the line is an array; a log has one JSON object a line".to_owned()),
        ("{\"request\": nope}", "column 14: not JSON: expected ident; a log has one JSON object a line".to_owned()),
        (r#"{"request":"\ud800"}"#, "column 19: not JSON: unexpected end of hex escape; a log has one JSON object a line".to_owned()),
        (&deep, "column 139: not JSON: recursion limit exceeded; a log has one JSON object a line".to_owned()),
        (r#"{"text":"hi","label":"refund"}"#, format!("no prompt; the line has `text`, `label`. {shapes}")),
        ("{}", format!("no prompt; the line has no fields. {shapes}")),
        (r#"{"custom_id":"row-1","response":{"status_code":200,"body":{}},"error":null}"#, "`row-1` is a line of a batch's output, which has no prompt; import it together with the batch's input".to_owned()),
        (r#"{"request":{"model":"m"},"response":"x"}"#, "`request`: it has `model`; it needs `messages`".to_owned()),
        (r#"{"messages":"hi"}"#, "`messages`: it is a string; it must be a list of messages".to_owned()),
        (r#"{"messages":[]}"#, "`messages`: it is empty; it needs at least one message".to_owned()),
        (r#"{"messages":[{"role":"assistant","content":"hi"}]}"#, "`messages`: it has an answer, but nothing that was asked".to_owned()),
        (r#"{"request":{"body":{"messages":[{"role":"user","content":"a"},"b"]}}}"#, "`request.body.messages[1]`: it is a string; a message is an object with `role` and `content`".to_owned()),
        (r#"{"messages":[{"content":"a"}]}"#, "`messages[0]`: it has `content`; a message needs `role` and `content`".to_owned()),
        (r#"{"messages":[{"role":"user","content":7}]}"#, "`messages[0]`: invalid type: integer `7`, expected a string or an array".to_owned()),
        (r#"{"messages":[{"role":"user","content":"a"}],"response":{"took":3}}"#, "`response`: it has `took`; a reply has `choices`, `content`, `output` or `error`".to_owned()),
        (r#"{"messages":[{"role":"user","content":"a"}],"response":{"choices":[]}}"#, "`response.choices`: it has no choice; a reply has at least one".to_owned()),
        (r#"{"request":7}"#, "`request`: it is a number; it must be an object, a list of messages or a text".to_owned()),
    ];
    for (line, said) in rows {
        assert_eq!(parse_log_line(line).expect_err(line).to_string(), said, "{line}");
    }
    assert_eq!(parse_log_bytes(b"{\"input\":\"\xff\"}"), Err(LogLineError::NotUtf8 { column: 11 }));
}

/// JSON that uses the names the reader looks for, in places where it does and does not expect them.
fn confusing_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "user",
            "assistant",
            "message",
            "text",
            "{\"messages\":[{\"role\":\"user\"}]}",
            "[{\"role\":1}]",
            "2026-11-20"
        ])
        .prop_map(Value::from),
    ];
    let names = vec![
        "request",
        "response",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "body",
        "choices",
        "message",
        "input",
        "output",
        "usage",
        "cost",
        "metadata",
        "tools",
        "function",
        "error",
        "status_code",
        "created",
        "end_time",
        "system",
        "delta",
        "prompt_tokens",
        "input_tokens",
        "custom_id",
        "response_format",
        "format",
        "json_schema",
        "instructions",
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let names = prop::sample::select(names.clone());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_panic(value in confusing_json(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(call) = parse_log_line(&value.to_string()) {
            prop_assert!(!call.messages.is_empty(), "a call without a prompt from {value}");
        }
        let _ = parse_log_bytes(&bytes);
    }
}
