//! One HTTP exchange with a provider: TLS, deadlines, bounds, and errors that hold no secret.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url};
use sprat_task::{Context, ModelError, Problem};
use tokio::time::{Instant, sleep_until};

use super::config::{Provider, RemoteConfig};
use super::secret::Secret;

/// Makes ring the process's TLS cryptography, once. Called in `main`; whoever opens a remote model without that
/// gets the same.
pub fn install_tls() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // An error means that the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A provider's address and key, with its pool of connections.
pub(super) struct Http {
    client: Client,
    base: Url,
    key: Option<Secret>,
    auth: HeaderMap,
    timeout: Duration,
    most_bytes: usize,
}

/// What is sent; cloning it for another try copies nothing.
#[derive(Clone)]
pub(super) struct Post {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no reply, and whether anything may have been paid for nonetheless.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// The provider was not reached: nothing was sent.
    NotSent(ModelError),
    /// It broke after sending: whatever it cost, nobody knows.
    Broken(ModelError),
}

impl Failure {
    pub(super) fn error(&self) -> &ModelError {
        match self {
            Self::NotSent(error) | Self::Broken(error) => error,
        }
    }
}

impl Http {
    /// A client for the configured address. Nothing is sent yet.
    pub(super) fn new(config: &RemoteConfig) -> Result<Self, Problem> {
        install_tls();
        let base = config.endpoint()?;
        let mut builder = Client::builder()
            .user_agent(concat!("sprat/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(config.max_concurrency)
            .connect_timeout(config.connect_timeout)
            // A key must not follow a redirect to wherever it leads.
            .redirect(reqwest::redirect::Policy::none());
        if base.scheme() == "http" {
            // Without this a machine without CA certificates could not even speak to itself.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            Problem::new(format!("no HTTPS client can be made: {}", innermost(&error)))
                .hint("are CA certificates installed? on Debian: apt install ca-certificates")
        })?;
        Ok(Self {
            client,
            auth: auth_headers(&config.provider, config.api_key.as_ref())?,
            key: config.api_key.clone(),
            base,
            timeout: config.timeout,
            most_bytes: config.max_reply_bytes,
        })
    }

    /// Sends a request and waits for the head of the reply.
    pub(super) async fn send(&self, cx: &Context, post: &Post) -> Result<Response, Failure> {
        // Parsing a whole address for every call would cost as much as reading its body.
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), post.path));
        let mut headers = post.headers.clone();
        headers.extend(self.auth.clone());
        let sending = self.client.post(url).headers(headers).body(post.body.clone()).send();
        match self.before(cx, self.patience(cx), sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.classify(error)),
            Err(cut) => Err(Failure::Broken(cut)),
        }
    }

    /// The whole body of a reply, as long as it is not longer than the limit.
    pub(super) async fn whole_body(&self, cx: &Context, mut response: Response) -> Result<Vec<u8>, Failure> {
        let until = self.patience(cx);
        let too_large =
            || ModelError::Failed(format!("the reply is longer than the limit of {} bytes", self.most_bytes));
        if response.content_length().is_some_and(|length| length > self.most_bytes as u64) {
            return Err(Failure::Broken(too_large()));
        }
        let mut body = Vec::new();
        loop {
            match self.before(cx, until, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > self.most_bytes => {
                    return Err(Failure::Broken(too_large()));
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(body),
                Ok(Err(error)) => return Err(Failure::Broken(self.broke_off(&error, body.len()))),
                Err(cut) => return Err(Failure::Broken(cut)),
            }
        }
    }

    /// The next piece of a body; `None` at its end. Each is waited for as long as a whole try may take: a stream may
    /// run to the deadline, but not stand still for so long. `got` counts the bytes that came before.
    pub(super) async fn next_chunk(
        &self,
        cx: &Context,
        response: &mut Response,
        got: usize,
    ) -> Result<Option<Bytes>, ModelError> {
        match self.before(cx, self.patience(cx), response.chunk()).await? {
            Ok(chunk) => Ok(chunk),
            Err(error) => Err(self.broke_off(&error, got)),
        }
    }

    /// A provider's words without the key.
    pub(super) fn redact(&self, text: &str) -> String {
        match &self.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        }
    }

    /// `host` or `host:port`, for messages.
    pub(super) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or("the provider");
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The end of one try: the deadline, or the configured wait, whichever is sooner.
    fn patience(&self, cx: &Context) -> Instant {
        Instant::from_std(cx.deadline).min(Instant::now() + self.timeout)
    }

    /// The future's value, unless the time is up or the client leaves first.
    async fn before<F: Future>(
        &self,
        cx: &Context,
        until: Instant,
        work: F,
    ) -> Result<F::Output, ModelError> {
        tokio::select! {
            biased;
            () = cx.cancel.cancelled() => Err(ModelError::Cancelled),
            value = work => Ok(value),
            () = sleep_until(until) => Err(ModelError::Timeout),
        }
    }

    fn classify(&self, error: reqwest::Error) -> Failure {
        let why = self.redact(&innermost(&error));
        if error.is_builder() {
            return Failure::NotSent(ModelError::Refused(format!("the request can't be sent: {why}")));
        }
        if error.is_connect() {
            return Failure::NotSent(ModelError::Unavailable(format!(
                "can't connect to {}: {why}",
                self.host()
            )));
        }
        Failure::Broken(ModelError::Unavailable(format!("{} broke the connection: {why}", self.host())))
    }

    fn broke_off(&self, error: &reqwest::Error, got: usize) -> ModelError {
        let why = self.redact(&innermost(error));
        ModelError::Failed(format!("the reply broke off after {got} bytes: {why}"))
    }
}

/// The headers that carry the key, marked so that no log of the HTTP stack prints them.
fn auth_headers(provider: &Provider, key: Option<&Secret>) -> Result<HeaderMap, Problem> {
    let secret = |text: &str| {
        let mut value =
            HeaderValue::from_str(text).map_err(|_| Problem::new("the key can't stand in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let Some(key) = key else { return Ok(HeaderMap::new()) };
    let header = match provider {
        Provider::Anthropic => (HeaderName::from_static("x-api-key"), secret(key.expose())?),
        _ => (AUTHORIZATION, secret(&format!("Bearer {}", key.expose()))?),
    };
    Ok(HeaderMap::from_iter([header]))
}

/// The headers of every request of ours.
pub(super) fn json_headers(provider: &Provider) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if *provider == Provider::Anthropic {
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
    }
    headers
}

/// Whether an address is this machine, which no proxy serves.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The deepest cause, which is the one that says something; never the address, which may be private.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = match error.source() {
        Some(source) => source,
        None => return "no reason given".to_owned(),
    };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
