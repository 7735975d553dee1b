//! The client: connections that are kept, and a stopwatch on each call.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Who is called, and how.
pub struct Client {
    address: SocketAddr,
    path: String,
    headers: HeaderMap,
    /// The last one used is the first one taken.
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

/// What came back.
pub struct Heard {
    pub status: StatusCode,
    /// When the first byte of the body came.
    pub first: Option<Instant>,
    pub last: Instant,
    /// The longest silence between two pieces of the body.
    pub gap: Duration,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(port: u16, headers: &[(&'static str, String)]) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut all = HeaderMap::new();
        all.insert(HOST, HeaderValue::from_str(&address.to_string())?);
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(AUTHORIZATION, HeaderValue::from_static("Bearer bench"));
        for (name, value) in headers {
            all.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        Ok(Self { address, path: "/v1/chat/completions".to_owned(), headers: all, idle: RefCell::default() })
    }

    /// Calls, and reads the reply to its end.
    pub async fn call(&self, body: Bytes) -> anyhow::Result<Heard> {
        let mut connection = self.connection().await?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse()?;
        *request.headers_mut() = self.headers.clone();
        let response = connection.send_request(request).await.context("no reply")?;
        let status = response.status();
        let mut stream = response.into_body();
        let (mut first, mut last, mut gap) = (None, Instant::now(), Duration::ZERO);
        let mut body = Vec::new();
        while let Some(frame) = stream.frame().await {
            let Ok(data) = frame.context("the reply broke off")?.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            let now = Instant::now();
            if first.is_some() {
                gap = gap.max(now - last);
            }
            first.get_or_insert(now);
            last = now;
            body.extend_from_slice(&data);
        }
        self.idle.borrow_mut().push(connection);
        Ok(Heard { status, first, last, gap, body })
    }

    async fn connection(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        loop {
            let Some(mut idle) = self.idle.borrow_mut().pop() else { break };
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

impl Heard {
    /// Whether this is an answer, and a whole one.
    pub fn check(&self, streamed: bool) -> anyhow::Result<()> {
        let has = |text: &str| self.body.windows(text.len()).any(|part| part == text.as_bytes());
        if !self.status.is_success() {
            let said = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
            bail!("status {}: {said}", self.status);
        }
        if streamed && !has("[DONE]") {
            bail!("a stream without its end");
        }
        if !has("\"choices\"") {
            bail!("a reply without choices");
        }
        Ok(())
    }
}
