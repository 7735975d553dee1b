//! Connections: taken in up to a number, read and written in time, closed in order.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Most bytes of a request's head, and of a reply that waits for its client.
const BUFFER: usize = 64 << 10;

/// How long to wait where the system has no more sockets to give.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(500);

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// So many at once; more wait to be taken in.
    pub(crate) most: usize,
    /// How long a client may take to send the head of its next request, or to take anything of a reply.
    pub(crate) client_timeout: Duration,
    /// How long requests may still run after the wish to stop.
    pub(crate) patience: Duration,
}

/// Serves what connects, until cancelled; then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    manners: Manners,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(manners.most));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, socket) = tokio::select! {
            () = cancel.cancelled() => break,
            next = next => next,
        };
        let connection = converse(socket, routes.clone(), manners.client_timeout, cancel.clone());
        connections.spawn(async move {
            let _place = place;
            connection.await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(manners.patience, finished).await.is_err() {
        tracing::warn!("requests that still run after {:?} are cut", manners.patience);
        connections.shutdown().await;
    }
}

/// The next connection. One that broke before it was taken is nobody's loss.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) if is_the_client_s(&error) => {}
            Err(error) => {
                tracing::warn!("no connection can be taken in: {error}");
                sleep(OUT_OF_SOCKETS).await;
            }
        }
    }
}

fn is_the_client_s(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The requests of one connection, one after another. A client that goes, or that is too slow, ends it.
async fn converse(socket: TcpStream, routes: Router, client_timeout: Duration, cancel: CancellationToken) {
    // A chunk that waits for the next one to fill a packet is a chunk that comes late.
    let _ = socket.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(client_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(
            TokioIo::new(Taken::in_time(socket, client_timeout)),
            TowerToHyperService::new(routes),
        );
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// A socket whose client must take what is written: where it takes nothing for too long, writing fails.
struct Taken {
    socket: TcpStream,
    patience: Duration,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl Taken {
    fn in_time(socket: TcpStream, patience: Duration) -> Self {
        Self { socket, patience, until: None }
    }

    fn progress<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until = None;
            return written;
        }
        let patience = self.patience;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        match until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Taken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for Taken {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
