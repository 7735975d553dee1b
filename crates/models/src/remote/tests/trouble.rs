//! Everything that can go wrong between here and an answer.

use std::sync::atomic::{AtomicBool, Ordering};

use sprat_task::ModelError;
use tokio_util::sync::CancellationToken;

use super::*;

fn failure(attempt: &Attempt) -> ModelError {
    attempt.result.clone().expect_err("no answer")
}

/// One call to a server that does this, without retries.
async fn once(patience: Duration, acts: impl Fn() -> Vec<Act> + Send + Sync + 'static) -> Attempt {
    let server = Server::new(move |_, _| acts()).await;
    let config = RemoteConfig { max_retries: 0, max_reply_bytes: 4096, ..config(&server) };
    ask_within(&open(config), patience, &["my card 4111 was charged twice"]).await.remove(0)
}

#[tokio::test]
async fn a_server_that_hangs_is_left_at_the_deadline_and_may_have_cost_something() {
    let attempt = once(IMPATIENCE, || vec![Act::Hang]).await;
    assert_eq!((failure(&attempt), attempt.usage), (ModelError::Timeout, Usage::UNKNOWN));
}

#[tokio::test]
async fn headers_that_trickle_in_do_not_outlast_the_deadline() {
    let slowly =
        || vec![Act::Write(b"HTTP/1.1 200 OK\r\n".to_vec()), Act::WriteForever(b"x-a: b\r\n".to_vec())];
    let attempt = once(IMPATIENCE, slowly).await;
    // HTTP clients also bound the number of headers: whichever comes first.
    assert!(failure(&attempt).is_transient(), "{attempt:?}");
    assert_eq!(attempt.usage, Usage::UNKNOWN);
}

#[tokio::test]
async fn one_try_is_cut_at_the_configured_wait_and_the_next_may_answer() {
    let server = Server::new(|number, _| if number == 0 { vec![Act::Hang] } else { says("refund") }).await;
    let attempts = ask(&open(RemoteConfig { timeout: IMPATIENCE, ..config(&server) }), &["x"]).await;
    assert_eq!(lines(&attempts), [Ok("refund".to_owned())]);
    assert_eq!(attempts[0].usage, Usage::UNKNOWN, "the first try may have been charged");
}

#[tokio::test]
async fn after_a_429_the_call_is_made_again_when_the_provider_says() {
    for header in
        [("retry-after-ms", "5"), ("retry-after", "0.005"), ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]
    {
        let server = Server::new(move |number, _| match number {
            0 => vec![Act::json(429, &[header], &json!({"error": {"message": "slow down"}}))],
            _ => says("refund"),
        })
        .await;
        let attempts = ask(&open(config(&server)), &["x"]).await;
        assert_eq!(
            (lines(&attempts), attempts[0].usage),
            (vec![Ok("refund".to_owned())], paid()),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let server =
        Server::new(|_, _| vec![Act::reply(429, &[("retry-after", "3600")], "text/plain", "")]).await;
    let model = open(RemoteConfig { max_concurrency: 1, ..config(&server) });
    let attempts = ask(&model, &["x", "y"]).await;
    assert_eq!(failure(&attempts[0]), ModelError::Busy { retry_after_ms: Some(3_600_000) });
    // The second row is not even sent: the provider has just said no for an hour.
    assert!(matches!(failure(&attempts[1]), ModelError::Busy { retry_after_ms: Some(_) }));
    assert_eq!((server.seen().len(), attempts[1].usage), (1, Usage::FREE));
}

#[tokio::test]
async fn a_storm_of_429s_passes_without_a_row_being_lost() {
    let server = Server::new(|number, _| match number {
        0..60 => vec![Act::reply(429, &[("retry-after-ms", "2")], "text/plain", "")],
        _ => says("refund"),
    })
    .await;
    let attempts = ask(&open(RemoteConfig { max_retries: 20, ..config(&server) }), &["x"; 30]).await;
    assert!(
        attempts.iter().all(|attempt| line(attempt).as_deref() == Ok("refund")),
        "{:?}",
        lines(&attempts)
    );
    assert_eq!(server.seen().len(), 90);
}

#[tokio::test]
async fn other_passing_faults_are_tried_again_too() {
    for status in [408, 409, 500, 502, 503, 529] {
        let server = Server::new(move |number, _| match number {
            0 => vec![Act::reply(status, &[], "text/plain", "")],
            _ => says("refund"),
        })
        .await;
        let attempts = ask(&open(config(&server)), &["x"]).await;
        assert_eq!(lines(&attempts), [Ok("refund".to_owned())], "{status}");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for status in [400, 401, 403, 404, 413, 422] {
        let server = Server::new(move |_, _| vec![Act::reply(status, &[], "text/plain", "")]).await;
        let config = RemoteConfig { json_schema: JsonSchema::Off, logprobs: false, ..config(&server) };
        let attempts = ask(&open(config), &["x"]).await;
        assert!(!failure(&attempts[0]).is_transient(), "{status}");
        assert_eq!((server.seen().len(), attempts[0].usage), (1, Usage::FREE), "{status}");
    }
}

#[tokio::test]
async fn a_storm_of_500s_opens_the_breaker_and_a_good_answer_closes_it() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let server = Server::new(move |_, _| match well.load(Ordering::SeqCst) {
        false => vec![Act::reply(500, &[], "text/plain", "")],
        true => says("refund"),
    })
    .await;
    let sick = RemoteConfig { max_retries: 0, max_concurrency: 1, breaker_failures: 3, ..config(&server) };
    let attempts = ask(&open(sick.clone()), &["x"; 10]).await;
    assert_eq!(server.seen().len(), 3);
    assert_eq!(failure(&attempts[0]), ModelError::Unavailable("500".into()));
    assert!(failure(&attempts[9]).to_string().contains("nothing is sent"), "{:?}", attempts[9]);

    let model = open(RemoteConfig { breaker_pause: Duration::from_millis(1), ..sick });
    ask(&model, &["x"; 3]).await;
    is_well.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(line(&ask(&model, &["x"]).await[0]).as_deref(), Ok("refund"));
}

#[tokio::test]
async fn a_web_page_is_not_taken_for_an_answer() {
    let page = || vec![Act::reply(200, &[], "text/html; charset=utf-8", "<html>Please log in</html>")];
    let attempt = once(PATIENCE, page).await;
    assert!(failure(&attempt).to_string().contains("HTML page"), "{attempt:?}");
    assert_eq!(attempt.usage, Usage::UNKNOWN);

    let attempt =
        once(PATIENCE, || vec![Act::reply(502, &[], "text/html", "<html>Bad gateway</html>")]).await;
    assert_eq!(failure(&attempt), ModelError::Unavailable("502: an HTML page".into()));
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let half = &chat("refund").to_string()[..40];
    let cut =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{half}");
    let attempt = once(PATIENCE, move || vec![Act::Write(cut.clone().into_bytes()), Act::Close]).await;
    assert!(failure(&attempt).to_string().starts_with("the reply broke off after 40 bytes"), "{attempt:?}");
    assert_eq!(attempt.usage, Usage::UNKNOWN);

    let half = half.to_owned();
    let attempt = once(PATIENCE, move || vec![Act::reply(200, &[], "application/json", &half)]).await;
    assert!(
        failure(&attempt).to_string().starts_with("the reply is not one of this protocol"),
        "{attempt:?}"
    );
    assert_eq!(attempt.usage, Usage::UNKNOWN);
}

#[tokio::test]
async fn an_answer_outside_the_labels_is_paid_for_and_not_used() {
    let attempt = once(PATIENCE, || says("My card 4111 was charged")).await;
    assert_eq!(failure(&attempt), ModelError::BadAnswer("an answer of 24 characters".into()));
    assert_eq!(attempt.usage, paid());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_head_is_tried_again() {
    let server = Server::new(|number, _| if number == 0 { vec![Act::Reset] } else { says("refund") }).await;
    let attempts = ask(&open(config(&server)), &["x"]).await;
    assert_eq!(lines(&attempts), [Ok("refund".to_owned())]);
    assert_eq!(attempts[0].usage, Usage::UNKNOWN, "the first try may have been charged");
}

#[tokio::test]
async fn a_reply_without_end_is_cut_at_the_limit() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n".to_vec();
    let attempt = once(PATIENCE, move || vec![Act::Write(announced.clone()), Act::Hang]).await;
    assert!(failure(&attempt).to_string().contains("limit of 4096 bytes"), "{attempt:?}");

    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let endless = move || vec![Act::head_of_stream(), Act::WriteForever(chunk.clone().into_bytes())];
    let attempt = once(PATIENCE, endless).await;
    assert!(failure(&attempt).to_string().contains("limit of 4096 bytes"), "{attempt:?}");
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_call_with_it() {
    let server = Server::new(|_, _| vec![Act::Hang]).await;
    let model = open(config(&server));
    let cancel = CancellationToken::new();
    let cx = Context { cancel: cancel.clone(), ..within(PATIENCE) };
    let (task, inputs) = (task(), [Input::new("x")]);
    let leave = async {
        server.arrived().await;
        cancel.cancel();
        server.left().await;
    };
    let (attempts, ()) = tokio::join!(model.predict(&cx, &task, &inputs), leave);
    assert_eq!((failure(&attempts[0]), attempts[0].usage), (ModelError::Cancelled, Usage::UNKNOWN));
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address_and_costs_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config =
        RemoteConfig::new(Provider::Compatible { base_url: format!("http://{address}/v1") }, "m");
    config.max_retries = 1;
    config.backoff = Duration::from_millis(1);
    let attempts = ask(&open(config), &["x"]).await;
    let said = failure(&attempts[0]).to_string();
    assert!(said.starts_with(&format!("unavailable: can't connect to {address}: ")), "{said}");
    assert_eq!(attempts[0].usage, Usage::FREE);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server =
        Server::new(|_, _| vec![Act::reply(307, &[("location", "http://127.0.0.1:1/v1")], "text/plain", "")])
            .await;
    let attempts = ask(&open(config(&server)), &["x"]).await;
    assert_eq!(
        lines(&attempts),
        [Err("refused: 307: the address redirects elsewhere (127.0.0.1)".to_owned())]
    );
}

#[tokio::test]
async fn https_needs_no_openssl_and_a_server_that_speaks_none_is_unavailable() {
    let server = Server::new(|_, _| says("refund")).await;
    let base_url = server.url().replace("http:", "https:");
    let config =
        RemoteConfig { provider: Provider::Compatible { base_url }, max_retries: 0, ..config(&server) };
    match RemoteModel::open("large".into(), config, &PriceTable::empty(), Arc::new(NoExamples)) {
        Ok(model) => {
            let attempts = ask_within(&model, IMPATIENCE, &["x"]).await;
            assert!(failure(&attempts[0]).is_transient(), "{attempts:?}");
        }
        // A machine without CA certificates hears what to do.
        Err(problem) => assert!(problem.to_string().contains("ca-certificates"), "{problem}"),
    }
}

#[tokio::test]
async fn the_key_is_in_no_error_and_in_no_debug_output() {
    let quoting = json!({"error": {"message": format!("Incorrect API key provided: {KEY}"), "code": "invalid_api_key"}});
    let starred = json!({"error": {"message": "Incorrect key: sk-tes****cdef, see your settings"}});
    let page = format!("<html>Authorization: Bearer {KEY}</html>");
    let location = format!("http://127.0.0.1/{KEY}");
    type Script = Box<dyn Fn() -> Vec<Act> + Send + Sync>;
    let scripts: Vec<Script> = vec![
        Box::new(move || vec![Act::json(401, &[], &quoting)]),
        Box::new(move || vec![Act::json(403, &[], &starred)]),
        Box::new(move || vec![Act::reply(200, &[], "text/html", &page)]),
        Box::new(move || vec![Act::reply(302, &[("location", &location)], "text/plain", "")]),
        Box::new(|| says(KEY)),
        Box::new(|| vec![Act::Reset]),
        Box::new(|| vec![Act::Write(b"garbage\r\n\r\n".to_vec()), Act::Close]),
    ];
    for acts in scripts {
        let server = Server::new(move |_, _| acts()).await;
        let model = open(RemoteConfig { max_retries: 0, ..config(&server) });
        let attempts = ask(&model, &["x"]).await;
        let shown = format!("{attempts:?} {:?} {model:?}", lines(&attempts));
        assert!(
            attempts[0].result.is_err() && !shown.contains("sk-tes") && !shown.contains("cdef"),
            "{shown}"
        );
    }
}
