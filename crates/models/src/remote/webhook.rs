//! A message to an address that is itself a secret: whoever knows it may write there.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use sprat_task::Problem;

use super::http::{innermost, install_tls, is_loopback};
use super::secret::Secret;

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where messages are posted. The address is shown nowhere.
pub struct Webhook {
    client: Client,
    address: Secret,
}

/// Why a message was not taken. The words don't show the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Nobody was reached, or not for long enough.
    #[error("the receiver can't be reached: {0}")]
    Unreachable(String),
    /// The receiver has trouble of its own, or wants fewer messages: later may be better.
    #[error("the receiver can't take it now (status {0})")]
    NotNow(u16),
    /// The receiver doesn't want this message.
    #[error("the receiver refuses it (status {0})")]
    Refused(u16),
}

impl Webhook {
    /// Messages to this address. Nothing is sent yet.
    ///
    /// # Errors
    /// What is no http(s) address, in words that don't show it.
    pub fn new(address: &str) -> Result<Self, Problem> {
        let wrong = || {
            Problem::new("the webhook's address can't be posted to")
                .allowed("an address that begins with https:// (or http:// on this machine)")
        };
        let url = Url::parse(address.trim()).map_err(|_| wrong())?;
        // On a network everybody on the way could read the address.
        if !(url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))) {
            return Err(wrong());
        }
        install_tls();
        let mut builder = Client::builder()
            .user_agent(concat!("sprat/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let client = builder
            .build()
            .map_err(|error| Problem::new(format!("no HTTPS client can be made: {}", innermost(&error))))?;
        Ok(Self { client, address: Secret::new(url.as_str())? })
    }

    /// Posts a message of JSON, once.
    pub async fn post(&self, json: String) -> Result<(), WebhookError> {
        let request =
            self.client.post(self.address.expose()).header(CONTENT_TYPE, "application/json").body(json);
        let unreachable = |error: reqwest::Error| {
            let why = if error.is_timeout() { "it takes too long".to_owned() } else { innermost(&error) };
            WebhookError::Unreachable(self.address.redact(&why))
        };
        match request.send().await.map_err(unreachable)?.status().as_u16() {
            200..300 => Ok(()),
            status @ (408 | 425 | 429 | 500..) => Err(WebhookError::NotNow(status)),
            status => Err(WebhookError::Refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_could_read_on_the_way_is_refused_without_being_shown() {
        for address in ["hooks.example/T0/secret", "http://hooks.example/T0/secret", "file:///T0/secret", ""]
        {
            let problem = Webhook::new(address).err().expect(address).to_string();
            assert!(!problem.contains("T0") && problem.contains("https://"), "{problem}");
        }
        assert!(Webhook::new("https://hooks.example/T0/secret").is_ok());
        assert!(Webhook::new("http://127.0.0.1:9/T0/secret\n").is_ok());
    }
}
