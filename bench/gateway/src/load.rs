//! Load: open, at a rate that doesn't wait for answers, or closed, as fast as answers come.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::clock;
use crate::sprat::SYSTEM;

/// Calls that may be open at once; what comes on top is an error, as it would be for a client that runs out of sockets.
const MOST_OPEN: usize = 1_000;

/// Answers that take longer are errors.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone)]
pub struct Ask {
    pub model: String,
    pub stream: bool,
    /// The answer is to be one of these.
    pub labels: Option<Rc<[String]>>,
    /// Asked in turn; each call is told its number beside.
    pub texts: Rc<[String]>,
}

/// Calls that began within one window of time.
#[derive(Default)]
pub struct Window {
    /// Milliseconds from when a call should have begun to its last byte, and to the first byte of its body.
    pub latency: Vec<f64>,
    pub first: Vec<f64>,
    /// Milliseconds: each call's longest silence within the body.
    pub gap: Vec<f64>,
    pub errors: u64,
    /// The first thing that went wrong.
    pub trouble: Option<String>,
    pub seconds: f64,
}

impl Ask {
    fn body(&self, number: u64) -> Bytes {
        let text = &self.texts[number as usize % self.texts.len()];
        let mut body = serde_json::json!({
            "model": self.model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": 64,
            "stream": self.stream,
            "user": format!("call-{number}"),
        });
        if let Some(labels) = &self.labels {
            let team = serde_json::json!({"type": "string", "enum": &labels[..]});
            let schema = serde_json::json!({
                "type": "object", "properties": {"team": team}, "required": ["team"], "additionalProperties": false,
            });
            let named = serde_json::json!({"name": "team", "strict": true, "schema": schema});
            body["response_format"] = serde_json::json!({"type": "json_schema", "json_schema": named});
        }
        Bytes::from(body.to_string())
    }
}

impl Window {
    fn count(&mut self, intended: Instant, called: anyhow::Result<Times>) {
        match called {
            Ok(times) => {
                let since = |at: Instant| (at - intended).as_secs_f64() * 1e3;
                self.latency.push(since(times.last));
                self.first.push(since(times.first));
                self.gap.push(times.gap.as_secs_f64() * 1e3);
            }
            Err(error) => {
                self.errors += 1;
                self.trouble.get_or_insert(format!("{error:#}"));
            }
        }
    }

    pub fn calls(&self) -> u64 {
        self.latency.len() as u64 + self.errors
    }
}

struct Times {
    first: Instant,
    last: Instant,
    gap: Duration,
}

async fn call(client: &Client, ask: &Ask, number: u64) -> anyhow::Result<Times> {
    let heard = tokio::time::timeout(PATIENCE, client.call(ask.body(number))).await??;
    heard.check(ask.stream)?;
    Ok(Times { first: heard.first.unwrap_or(heard.last), last: heard.last, gap: heard.gap })
}

/// So many calls a second, whether or not answers come, each timed from the moment at which it should have begun:
/// a gateway that stalls is charged for those that had to wait (no coordinated omission).
pub async fn open(client: &Rc<Client>, ask: &Ask, rate: f64, seconds: f64) -> Window {
    let mut window = Window::default();
    let mut running = JoinSet::new();
    let begin = Instant::now() + Duration::from_millis(1);
    for number in 0..(rate * seconds) as u64 {
        let intended = begin + Duration::from_secs_f64(number as f64 / rate);
        clock::until(intended).await;
        while let Some(Ok((intended, called))) = running.try_join_next() {
            window.count(intended, called);
        }
        if running.len() >= MOST_OPEN {
            window.count(intended, Err(anyhow::anyhow!("more than {MOST_OPEN} calls were open")));
            continue;
        }
        let (client, ask) = (client.clone(), ask.clone());
        running.spawn_local(async move { (intended, call(&client, &ask, number).await) });
    }
    while let Some(Ok((intended, called))) = running.join_next().await {
        window.count(intended, called);
    }
    window.seconds = seconds;
    window
}

/// So many callers, each asking again as soon as it is answered: until the time is up, or this many calls are done.
pub async fn closed(client: &Rc<Client>, ask: &Ask, callers: usize, until: Until) -> Window {
    let begin = Instant::now();
    let number = Rc::new(Cell::new(0));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (client, ask, number) = (client.clone(), ask.clone(), number.clone());
        running.spawn_local(async move {
            let mut own = Window::default();
            while !until.is_over(begin, number.get()) {
                let mine = number.replace(number.get() + 1);
                let intended = Instant::now();
                own.count(intended, call(&client, &ask, mine).await);
            }
            own
        });
    }
    let mut window = Window::default();
    while let Some(Ok(own)) = running.join_next().await {
        window.latency.extend(own.latency);
        window.first.extend(own.first);
        window.gap.extend(own.gap);
        window.errors += own.errors;
        window.trouble = window.trouble.or(own.trouble);
    }
    window.seconds = begin.elapsed().as_secs_f64();
    window
}

/// When a closed loop ends.
#[derive(Clone, Copy)]
pub enum Until {
    Seconds(f64),
    Calls(u64),
}

impl Until {
    fn is_over(self, begin: Instant, calls: u64) -> bool {
        match self {
            Self::Seconds(seconds) => begin.elapsed().as_secs_f64() >= seconds,
            Self::Calls(most) => calls >= most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Bill, Mock};

    /// Calls the mock itself.
    async fn asked(stream: bool, number: u64) -> (Window, Bill) {
        tokio::task::spawn_local(clock::run());
        let mock = Mock::start().await.expect("a free port");
        let client = Rc::new(Client::new(mock.port, &[]).expect("headers"));
        let texts = Rc::from(["Where is my parcel?".to_owned()]);
        let ask = Ask { model: "mock".to_owned(), stream, labels: None, texts };
        let window = open(&client, &ask, 200.0, number as f64 / 200.0).await;
        (window, mock.take_bill())
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn every_call_is_made_timed_and_billed_once() {
        run(async {
            let (window, bill) = asked(false, 20).await;
            assert_eq!((window.latency.len(), window.errors, bill.calls), (20, 0, 20));
            // 20 to 39 tokens in, and 1 to 7 out at four times the price, in turn.
            assert_eq!(bill.micro_usd, (20..40).sum::<u64>() + 4 * (2 * 28 + 21));
        });
    }

    #[test]
    fn a_streams_longest_silence_is_at_least_the_upstreams() {
        run(async {
            let (window, bill) = asked(true, 3).await;
            assert_eq!((window.gap.len(), window.errors, bill.calls), (3, 0, 3));
            assert!(window.gap.iter().all(|&gap| gap > 3.0), "{:?}", window.gap);
            assert!(window.latency.iter().zip(&window.first).all(|(last, first)| last - first >= 99.0));
        });
    }
}
