//! Notices go out by webhook: each at least once, in the form that the receiver reads.

use std::time::Duration;

use serde_json::{Value, json};
use sprat_models::remote::{Webhook, WebhookError};
use sprat_store::{Notice, Store};
use sprat_task::Problem;
use tokio_util::sync::CancellationToken;

use crate::config::NoticeFormat;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// How often a server looks for new notices.
const EVERY: Duration = Duration::from_secs(5);
/// How long it waits at most after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// What happened longer ago is no news, and isn't sent any more.
const NEWS_MS: i64 = 7 * 86_400_000;
/// Notices that are sent in one go.
const AT_ONCE: usize = 50;

/// Sends what waits to be sent.
pub struct NoticeSender {
    webhook: Webhook,
    format: NoticeFormat,
    store: Store,
}

impl NoticeSender {
    /// The sender that the workspace declares; `None` where it declares none.
    pub fn of(workspace: &Workspace, store: &Store) -> Result<Option<Self>, Failure> {
        let Some(notices) = &workspace.config.notices else { return Ok(None) };
        let address = notices.webhook.read(&workspace.root).map_err(|why| {
            Problem::new(format!("the webhook of [notices] has no address: {why}"))
                .hint("set it, or remove [notices] from sprat.toml")
        })?;
        let webhook = Webhook::new(&address)?;
        Ok(Some(Self { webhook, format: notices.format, store: store.clone() }))
    }

    /// Sends notices as they come, until cancelled. After a failure it waits longer and longer before it tries again.
    pub async fn follow(self, now_unix_ms: impl Fn() -> i64, cancel: CancellationToken) {
        let mut wait = EVERY;
        loop {
            match self.send_waiting(now_unix_ms()).await {
                Ok(()) => wait = EVERY,
                Err(why) => {
                    wait = (wait * 2).min(LONGEST_WAIT);
                    tracing::warn!("notices wait, and are sent again in {} s: {why}", wait.as_secs());
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends what waits, oldest first. A notice that the receiver refuses doesn't hold up the others; one that can't be
    /// sent now does. It is marked only after it was taken: after a crash in between it is sent again.
    async fn send_waiting(&self, now_unix_ms: i64) -> Result<(), String> {
        let waiting =
            self.remember(move |store| store.notices().unsent(now_unix_ms - NEWS_MS, AT_ONCE)).await?;
        let mut refused = None;
        for notice in waiting {
            let id = notice.id;
            match self.webhook.post(message(self.format, &notice).to_string()).await {
                Ok(()) => self.remember(move |store| store.notices().mark_sent(id, now_unix_ms)).await?,
                Err(error) => {
                    self.remember(move |store| store.notices().mark_failed(id)).await?;
                    refused = Some(error.to_string());
                    if !matches!(error, WebhookError::Refused(_)) {
                        break;
                    }
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The store waits for the disk: not on the threads that serve.
    async fn remember<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, sprat_store::StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// A notice as the receiver reads it.
fn message(format: NoticeFormat, notice: &Notice) -> Value {
    let said = &notice.notice;
    match format {
        NoticeFormat::Json => json!({
            "product": "sprat",
            "id": notice.id,
            "time_unix_ms": said.time_unix_ms,
            "task": said.task,
            "kind": said.kind,
            "level": said.level,
            "text": said.text,
            "details": said.json,
        }),
        NoticeFormat::Slack => {
            // https://docs.slack.dev/messaging/formatting-message-text: these three mean something.
            let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let task =
                said.task.as_ref().map(|task| format!(" · {}", escaped(task.as_str()))).unwrap_or_default();
            json!({ "text": format!("*sprat* · {}{task}: {}", said.level.word(), escaped(&said.text)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use sprat_store::{Level, NewNotice};

    use super::*;

    /// A receiver that answers one message after the other with these statuses, and what it was sent.
    fn receiver(statuses: &'static [u16]) -> (String, Receiver<Value>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hooks/T0PSECRET", listener.local_addr().unwrap());
        let (got, received) = channel();
        std::thread::spawn(move || {
            for status in statuses {
                let (mut client, _) = listener.accept().unwrap();
                let body = body(&mut client);
                write!(client, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
                got.send(body).unwrap();
            }
        });
        (address, received)
    }

    fn body(client: &mut std::net::TcpStream) -> Value {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
        loop {
            let read = client.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("POST /hooks/T0PSECRET HTTP/1.1"), "{head}");
            if let Ok(body) = serde_json::from_str(body) {
                return body;
            }
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("s.db").display())).unwrap();
        (folder, store)
    }

    fn notice(text: &str) -> NewNotice {
        NewNotice {
            time_unix_ms: NEWS_MS,
            task: Some("tickets".into()),
            kind: "stepped-back".to_owned(),
            level: Level::Alarm,
            text: text.to_owned(),
            json: json!({"bad": 7}),
        }
    }

    fn send(store: &Store, address: &str, format: NoticeFormat) -> Result<(), String> {
        let sender = NoticeSender { webhook: Webhook::new(address).unwrap(), format, store: store.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sender.send_waiting(NEWS_MS + 5))
    }

    #[test]
    fn a_notice_is_sent_once_in_the_form_that_was_asked_for() {
        for (format, expected) in [
            (
                NoticeFormat::Json,
                json!({"product": "sprat", "id": 1, "time_unix_ms": NEWS_MS, "task": "tickets", "kind": "stepped-back",
                    "level": "alarm", "text": "refund <stepped> back & out", "details": {"bad": 7}}),
            ),
            (
                NoticeFormat::Slack,
                json!({"text": "*sprat* · alarm · tickets: refund &lt;stepped&gt; back &amp; out"}),
            ),
        ] {
            let (_folder, store) = store();
            store.notices().add(&notice("refund <stepped> back & out")).unwrap();
            store.notices().add(&NewNotice { time_unix_ms: 0, ..notice("no news") }).unwrap();
            let (address, received) = receiver(&[200]);
            send(&store, &address, format).unwrap();
            assert_eq!(received.recv().unwrap(), expected);
            send(&store, &address, format).unwrap();
            assert!(received.recv().is_err(), "once");
            assert_eq!(store.notices().latest(2).unwrap()[1].sent_unix_ms, Some(NEWS_MS + 5));
        }
    }

    #[test]
    fn what_could_not_be_sent_is_sent_again_in_order_and_a_refused_one_holds_up_no_other() {
        let (_folder, store) = store();
        for text in ["first", "second"] {
            store.notices().add(&notice(text)).unwrap();
        }
        let (address, received) = receiver(&[503, 404, 200, 200]);
        let text = || received.recv().unwrap()["text"].as_str().unwrap().to_owned();
        let why = send(&store, &address, NoticeFormat::Json).unwrap_err();
        assert!(why.contains("503") && !why.contains("T0PSECRET"), "{why}");
        assert_eq!(text(), "first");
        let why = send(&store, &address, NoticeFormat::Json).unwrap_err();
        assert!(why.contains("404"), "{why}");
        assert_eq!((text(), text()), ("first".to_owned(), "second".to_owned()));
        send(&store, &address, NoticeFormat::Json).unwrap();
        assert_eq!(text(), "first");
        let kept: Vec<_> = store.notices().latest(2).unwrap().into_iter().map(|one| one.attempts).collect();
        assert_eq!((kept, store.notices().unsent(0, 9).unwrap().len()), (vec![0, 2], 0));
    }

    #[test]
    fn a_receiver_that_is_not_there_leaves_the_notice_waiting_and_the_address_unsaid() {
        let (_folder, store) = store();
        store.notices().add(&notice("first")).unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let why = send(&store, &format!("http://{gone}/hooks/T0PSECRET"), NoticeFormat::Json).unwrap_err();
        assert!(why.contains("can't be reached") && !why.contains("T0PSECRET"), "{why}");
        assert_eq!(store.notices().unsent(0, 9).unwrap().len(), 1);
    }
}
