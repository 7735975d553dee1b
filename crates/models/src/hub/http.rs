//! Requests to the hub. Redirects are followed by hand: the token goes to the hub and nowhere else, and the first
//! reply's headers say what the file is.

use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::config::HubConfig;
use super::digest::Digest;
use super::error::HubError;
use super::source::Repository;
use crate::remote::http::{innermost, install_tls, is_loopback};
use crate::remote::retry::{asked_wait, pause};
use crate::remote::secret::Secret;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a reply may stand still.
const STANDSTILL: Duration = Duration::from_secs(60);
/// The hub redirects to its storage once; mirrors once more.
const MOST_HOPS: usize = 5;
/// How often a request that fails in passing is sent again, counted from the last byte that came.
pub(super) const RETRIES: u32 = 4;
/// A hub that wants to be left alone for longer than this isn't waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(super) struct Http {
    client: Client,
    endpoint: Url,
    token: Option<Secret>,
    backoff: Duration,
}

/// The head of a reply, with what the first hop said of the file.
pub(super) struct Reply {
    pub response: Response,
    digest: Option<Digest>,
    size: Option<u64>,
}

impl Http {
    pub(super) fn new(config: &HubConfig) -> Result<Self, HubError> {
        install_tls();
        let mut builder = Client::builder()
            .user_agent(concat!("sprat/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(STANDSTILL)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&config.endpoint) {
            builder = builder.no_proxy();
        }
        if config.endpoint.scheme() == "http" {
            // Without this a machine without CA certificates could not even ask a mirror beside it.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| HubError::NoClient(innermost(&error)))?;
        Ok(Self {
            client,
            endpoint: config.endpoint.clone(),
            token: config.token.clone(),
            backoff: config.backoff,
        })
    }

    /// Who is asked, for messages.
    pub(super) fn host(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or("the hub");
        self.endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// An address below the endpoint; each segment is escaped, so that a revision's `/` stays in its place.
    pub(super) fn url(&self, segments: &[&str], query: Option<&str>) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_query(query);
        url
    }

    /// The address of a file of a commit.
    pub(super) fn file_url(&self, repository: &Repository, commit: &str, file: &str) -> Url {
        let head = [repository.owner.as_str(), &repository.name, "resolve", commit];
        self.url(&head.into_iter().chain(file.split('/')).collect::<Vec<_>>(), None)
    }

    /// A whole small reply, tried again where the trouble may pass.
    pub(super) async fn small(
        &self,
        repository: &Repository,
        url: Url,
        most: usize,
    ) -> Result<Vec<u8>, HubError> {
        let mut tried = 0;
        loop {
            match self.small_once(repository, url.clone(), most).await {
                Err(error) if error.passes() && tried < RETRIES => self.wait(&error, tried).await?,
                done => return done,
            }
            tried += 1;
        }
    }

    async fn small_once(&self, repository: &Repository, url: Url, most: usize) -> Result<Vec<u8>, HubError> {
        let mut reply = self.send(Method::GET, repository, url, None).await?.response;
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > most {
                let why = format!("its listing is longer than {most} bytes");
                return Err(HubError::NotAHub { host: self.host(), why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// A file's size and checksum by its headers.
    pub(super) async fn describe(
        &self,
        repository: &Repository,
        commit: &str,
        file: &str,
    ) -> Result<(u64, Digest), HubError> {
        let url = self.file_url(repository, commit, file);
        let reply = self.send(Method::HEAD, repository, url, None).await?;
        match (reply.size, reply.digest) {
            (Some(size), Some(digest)) => Ok((size, digest)),
            _ => {
                let why = format!("it doesn't say the size and the checksum of {file}");
                Err(HubError::NotAHub { host: self.host(), why })
            }
        }
    }

    /// Sends a request, from byte `from` where that isn't 0, and follows where it leads.
    pub(super) async fn send(
        &self,
        method: Method,
        repository: &Repository,
        url: Url,
        from: Option<u64>,
    ) -> Result<Reply, HubError> {
        let (mut url, mut digest, mut size) = (url, None, None);
        for _ in 0..MOST_HOPS {
            let response = self
                .client
                .request(method.clone(), url.clone())
                .headers(self.headers(&url, from)?)
                .send()
                .await
                .map_err(|error| self.unreachable(&error))?;
            digest = digest.or_else(|| digest_of(response.headers()));
            size = size.or_else(|| size_of(&response));
            let status = response.status();
            if !status.is_redirection() {
                return match status {
                    StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                        Ok(Reply { response, digest, size })
                    }
                    _ => Err(self.refusal(repository, &response)),
                };
            }
            url = self.next(&url, response.headers())?;
        }
        Err(self.strange("it redirects in a circle"))
    }

    /// Waits before the next try, unless the hub asks for more patience than there is.
    pub(super) async fn wait(&self, error: &HubError, tried: u32) -> Result<(), HubError> {
        let asked = match error {
            HubError::Busy { wait_s, .. } => wait_s.map(Duration::from_secs),
            _ => None,
        };
        if let (Some(asked), HubError::Busy { host, wait_s }) = (asked, error)
            && asked > LONGEST_WAIT
        {
            return Err(HubError::Busy { host: host.clone(), wait_s: *wait_s });
        }
        tokio::time::sleep(pause(self.backoff, tried, asked, fastrand::f64())).await;
        Ok(())
    }

    pub(super) fn strange(&self, why: &str) -> HubError {
        HubError::NotAHub { host: self.host(), why: why.to_owned() }
    }

    fn headers(&self, url: &Url, from: Option<u64>) -> Result<HeaderMap, HubError> {
        let mut headers = HeaderMap::new();
        // A compressed body has other byte positions than the file.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = from.and_then(|from| HeaderValue::from_str(&format!("bytes={from}-")).ok()) {
            headers.insert(RANGE, range);
        }
        if let Some(token) = self.token_for(url) {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_| self.strange("the token can't stand in a header"))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(headers)
    }

    /// The token, for the hub itself and where nobody on the way can read it.
    fn token_for(&self, url: &Url) -> Option<&Secret> {
        let private = url.scheme() == "https" || is_loopback(url);
        self.token.as_ref().filter(|_| private && url.origin() == self.endpoint.origin())
    }

    /// Where a redirect leads: never from an encrypted connection to one that isn't.
    fn next(&self, from: &Url, headers: &HeaderMap) -> Result<Url, HubError> {
        let written = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let url = written.and_then(|location| from.join(location).ok());
        let url = url.ok_or_else(|| self.strange("it redirects to nowhere"))?;
        match (from.scheme(), url.scheme()) {
            (_, "https") | ("http", "http") => Ok(url),
            _ => Err(self.strange("it redirects to an address that isn't encrypted")),
        }
    }

    fn refusal(&self, repository: &Repository, response: &Response) -> HubError {
        let (repository, host) = (repository.clone(), self.host());
        let known = self.token_for(&self.endpoint).is_some();
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or("");
        match (response.status().as_u16(), code) {
            (_, "GatedRepo") => HubError::Gated { repository, host, known },
            (_, "RevisionNotFound") => HubError::NoRevision(repository),
            (404, "EntryNotFound") => {
                let file = response.url().path().split('/').skip(5).collect::<Vec<_>>().join("/");
                HubError::NoFile { repository, file, host }
            }
            // The hub doesn't tell strangers whether a private model is there.
            (401 | 404, _) => HubError::NoModel { repository, host, known },
            (403, _) => HubError::Gated { repository, host, known },
            (429, _) => {
                let wait = asked_wait(response.headers(), SystemTime::now());
                HubError::Busy { host, wait_s: wait.map(|wait| wait.as_secs_f64().ceil() as u64) }
            }
            (status, _) => HubError::Refused { host, status },
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> HubError {
        let why = if error.is_timeout() { "it takes too long".to_owned() } else { innermost(error) };
        HubError::Unreachable { host: self.host(), why }
    }
}

/// The checksum in the headers: the hub's own word for a file in large storage, else the `ETag`.
fn digest_of(headers: &HeaderMap) -> Option<Digest> {
    let of = |name: &str| headers.get(name)?.to_str().ok().and_then(Digest::from_etag);
    of("x-linked-etag").or_else(|| of(ETAG.as_str()))
}

/// The size in the headers; a redirect's own length is not the file's.
fn size_of(response: &Response) -> Option<u64> {
    let number = |name: &str| response.headers().get(name)?.to_str().ok()?.parse().ok();
    let own = || number("content-length").filter(|_| response.status() == StatusCode::OK);
    number("x-linked-size").or_else(own)
}
