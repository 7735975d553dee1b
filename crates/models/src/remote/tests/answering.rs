//! What a provider that works is told, and what its answers become.

use super::*;

fn openai(server: &Server, model: &str) -> RemoteConfig {
    RemoteConfig {
        provider: Provider::OpenAi,
        base_url: Some(server.url()),
        model: model.into(),
        ..config(server)
    }
}

#[tokio::test]
async fn openai_is_asked_in_its_own_shape_with_the_key_in_its_header() {
    let server = Server::new(|_, _| says("{\"label\": \"refund\"}")).await;
    let model = open(openai(&server, "gpt-4o-mini"));
    let attempts = ask(&model, &["money back"]).await;
    assert_eq!(lines(&attempts), [Ok("refund".to_owned())]);
    assert_eq!(attempts[0].usage, paid());

    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(seen.body["model"], "gpt-4o-mini");
    assert_eq!(seen.body["messages"][1]["content"], "<text>\nmoney back\n</text>");
    assert_eq!(seen.body["response_format"]["json_schema"]["strict"], true);
    let labels = &seen.body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"];
    assert_eq!(labels, &json!(["refund", "billing", "other"]));
    assert_eq!((&seen.body["temperature"], &seen.body["logprobs"]), (&json!(0.0), &json!(true)));
    assert!(seen.body.get("max_tokens").is_none() && seen.body["max_completion_tokens"].is_u64());
}

#[tokio::test]
async fn anthropic_is_made_to_call_a_tool_and_its_cache_is_counted() {
    let server = Server::new(|_, _| {
        let body = json!({
            "id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "t", "name": "answer", "input": {"label": "other"}}],
            "usage": {"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 10},
        });
        vec![Act::json(200, &[], &body)]
    })
    .await;
    let mut config = RemoteConfig { provider: Provider::Anthropic, ..config(&server) };
    config.base_url = Some(server.url());
    config.price = Some(Price { cached_input: Some(100_000), ..PRICE });
    let attempts = ask(&open(config), &["hm"]).await;
    assert_eq!(lines(&attempts), [Ok("other".to_owned())]);
    assert_eq!(attempts[0].usage.cost.map(|cost| cost.micro()), Some(20 + 8 + 20));

    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!(
        (seen.headers["x-api-key"].as_str(), seen.headers["anthropic-version"].as_str()),
        (KEY, "2023-06-01")
    );
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.body["tool_choice"], json!({"type": "tool", "name": "answer"}));
}

#[tokio::test]
async fn a_server_without_schemas_is_asked_once_more_and_then_never_again() {
    let server = Server::new(|_, request| match request.body.get("response_format") {
        Some(_) => vec![Act::json(400, &[], &json!({"detail": "unexpected field"}))],
        None => says("Billing."),
    })
    .await;
    let model = open(RemoteConfig { max_concurrency: 1, ..config(&server) });
    let attempts = ask(&model, &["one", "two"]).await;
    assert_eq!(lines(&attempts), [Ok("billing".to_owned()), Ok("billing".to_owned())]);
    assert_eq!(attempts[0].usage, paid(), "a refused request costs nothing");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_schema_that_was_ordered_is_not_given_up() {
    let server = Server::new(|_, _| vec![Act::json(400, &[], &json!({"error": "response_format?"}))]).await;
    let config = RemoteConfig { json_schema: JsonSchema::On, logprobs: false, ..config(&server) };
    let attempts = ask(&open(config), &["one"]).await;
    assert_eq!(lines(&attempts), [Err("refused: 400: response_format?".to_owned())]);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_model_that_refuses_a_temperature_is_asked_without() {
    let server = Server::new(|_, request| match request.body.get("temperature") {
        Some(_) => {
            let error = json!({"message": "Unsupported value", "type": "invalid_request_error", "param": "temperature", "code": "unsupported_value"});
            vec![Act::json(400, &[], &json!({ "error": error }))]
        }
        None => says("refund"),
    })
    .await;
    let model = open(openai(&server, "some-new-model"));
    assert_eq!(lines(&ask(&model, &["one"]).await), [Ok("refund".to_owned())]);
    assert_eq!(server.seen()[1].body["logprobs"], true, "only what was refused is left out");
}

#[tokio::test]
async fn a_reasoning_model_is_known_by_name_and_has_room_to_reason() {
    let server = Server::new(|_, _| says("refund")).await;
    ask(&open(openai(&server, "gpt-5-mini")), &["one"]).await;
    let body = &server.seen()[0].body;
    assert!(body.get("temperature").is_none() && body.get("logprobs").is_none());
    assert_eq!(body["max_completion_tokens"], 4096);
}

#[tokio::test]
async fn answers_come_in_the_order_of_their_inputs_and_one_bad_row_fails_alone() {
    let server = Server::new(|_, request| {
        let text = request.body["messages"][1]["content"].as_str().unwrap().to_owned();
        let rest = if text.contains("slow") { vec![Act::Rest, Act::Rest] } else { vec![] };
        let answer = if text.contains("bad") {
            "refnud"
        } else if text.contains("slow") {
            "billing"
        } else {
            "refund"
        };
        rest.into_iter().chain(says(answer)).collect()
    })
    .await;
    let attempts = ask(&open(config(&server)), &["slow", "quick", "bad", "quick"]).await;
    let bad = Err("the answer is not one of this task's: `refnud`".to_owned());
    let good = |label: &str| Ok(label.to_owned());
    assert_eq!(lines(&attempts), [good("billing"), good("refund"), bad, good("refund")]);
    assert!(attempts.iter().all(|attempt| attempt.usage == paid()), "a bad answer is paid for too");
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_configured() {
    let server = Server::new(|_, _| [Act::Rest].into_iter().chain(says("refund")).collect()).await;
    let model = open(RemoteConfig { max_concurrency: 3, ..config(&server) });
    let attempts = ask(&model, &["x"; 40]).await;
    assert!(attempts.iter().all(|attempt| line(attempt).as_deref() == Ok("refund")));
    assert!(server.most_at_once() <= 3, "{}", server.most_at_once());
}

#[tokio::test]
async fn the_bound_holds_over_separate_requests_too() {
    let server = Server::new(|_, _| [Act::Rest].into_iter().chain(says("refund")).collect()).await;
    let model = open(RemoteConfig { max_concurrency: 2, ..config(&server) });
    let calls = (0..12).map(|_| ask(&model, &["x"; 2]));
    let attempts: Vec<Attempt> = futures::future::join_all(calls).await.concat();
    assert!(attempts.len() == 24 && attempts.iter().all(|attempt| attempt.result.is_ok()));
    assert!(server.most_at_once() <= 2, "{}", server.most_at_once());
}

#[tokio::test]
async fn several_labels_and_the_score_come_through() {
    let server = Server::new(|_, _| {
        let mut body = chat("{\"labels\": [\"refund\", \"billing\"]}");
        body["choices"][0]["logprobs"] =
            json!({"content": [{"token": "x", "logprob": -0.25}, {"token": "y", "logprob": -0.25}]});
        vec![Act::json(200, &[], &body)]
    })
    .await;
    let model = open(config(&server));
    let inputs = [Input::new("both")];
    let attempts = model.predict(&within(PATIENCE), &task_of("multi = true"), &inputs).await;
    assert_eq!(line(&attempts[0]).as_deref(), Ok("billing|refund"));
    let score = attempts[0].prediction().unwrap().score.0;
    assert!((score - (-0.5f32).exp()).abs() < 1e-6, "{score}");
}

#[tokio::test]
async fn tokens_nobody_told_and_prices_nobody_knows_stay_unknown() {
    let server = Server::new(|number, _| {
        let mut body = chat("refund");
        if number == 0 {
            body["usage"] = Value::Null;
        }
        vec![Act::json(200, &[], &body)]
    })
    .await;
    let model = open(RemoteConfig { price: None, max_concurrency: 1, ..config(&server) });
    let attempts = ask(&model, &["one", "two"]).await;
    assert_eq!(attempts[0].usage, Usage::UNKNOWN);
    assert_eq!(attempts[1].usage, Usage { cost: None, ..paid() });
}

#[tokio::test]
async fn ones_own_hardware_is_charged_by_time() {
    let server = Server::new(|_, _| says("refund")).await;
    let mut config = RemoteConfig { price: None, ..config(&server) };
    // Dear enough for a call of a microsecond to cost something.
    config.hardware_cost_per_hour = sprat_task::Money::from_units(1e9);
    let attempts = ask(&open(config), &["one"]).await;
    assert_eq!(attempts[0].usage.tokens, paid().tokens);
    assert!(attempts[0].usage.cost.is_some_and(|cost| cost.micro() > 0));
}

#[tokio::test]
async fn a_text_is_asked_for_in_json_and_taken_as_it_comes() {
    let text = "kind = \"generate\"\ninstructions = \"Summarise.\"";
    let task = read_task("sum", &Source::new("sum.toml", text), |_| Err(String::new())).unwrap();
    for (said, answer) in
        [("{\"text\": \" It's \\\"late\\\".\\n\"}", "It's \"late\"."), ("Plain words. ", "Plain words.")]
    {
        let server = Server::new(move |_, _| says(said)).await;
        let attempts = open(config(&server)).predict(&within(PATIENCE), &task, &[Input::new("x")]).await;
        assert_eq!(line(&attempts[0]).as_deref(), Ok(answer));
        let asked = server.seen().remove(0).body.to_string();
        assert!(asked.contains("Summarise.") && asked.contains("\\\"text\\\""), "{asked}");
    }
}

#[tokio::test]
async fn an_answer_from_a_knowledge_base_is_none_of_its_business() {
    let server = Server::new(|_, _| says("refund")).await;
    let task =
        read_task("faq", &Source::new("faq.toml", "kind = \"answer\""), |_| Err(String::new())).unwrap();
    let attempts = open(config(&server)).predict(&within(PATIENCE), &task, &[Input::new("x")]).await;
    assert_eq!(attempts[0].usage, Usage::FREE);
    assert!(line(&attempts[0]).is_err() && server.seen().is_empty());
}

#[tokio::test]
async fn a_quote_learns_from_replies_and_says_so() {
    let server = Server::new(|_, _| says("refund")).await;
    let model = open(config(&server));
    let inputs = [Input::new("a text"), Input::new("another text")];
    assert_eq!(model.quote(&task(), &inputs).basis, Basis::RuleOfThumb);
    ask(&model, &["a text"]).await;
    let quote = model.quote(&task(), &inputs[..1]);
    assert_eq!((quote.input_tokens_estimate, quote.output_tokens_estimate), (100, 10));
    assert_eq!((quote.cost_estimate, quote.basis), (paid().cost, Basis::Replies(1)));
}

#[tokio::test]
async fn examples_chosen_by_the_caller_are_shown() {
    let server = Server::new(|_, _| says("refund")).await;
    let rows = [sprat_task::LabelledRow::gold("charged twice", sprat_task::Answer::label("billing"))];
    let mut examples = FixedExamples::default();
    examples.pick(&task(), &rows, 4);
    let config = RemoteConfig { examples: 4, ..config(&server) };
    let model = RemoteModel::open("large".into(), config, &PriceTable::empty(), Arc::new(examples)).unwrap();
    ask(&model, &["hello"]).await;
    let system = server.seen()[0].body["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(system.ends_with("<text>\ncharged twice\n</text>\n{\"label\":\"billing\"}"), "{system}");
}
