//! Requests through as they came, replies back chunk by chunk.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sprat_task::model::{NoReply, WireReply, WireRequest};
use sprat_task::{Context, ModelError};

use super::config::Provider;
use super::http::{Post, json_headers};
use super::line::{Call, Got, Line, NoCall};
use super::pace::Slot;

/// Headers that belong to one connection (RFC 9110, 7.6.1), or that only the client here may set.
const OURS: [&str; 13] = [
    "authorization",
    "x-api-key",
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // The body is passed on as it comes, and nobody here unpacks it.
    "accept-encoding",
];

/// Sends a request and gives the head of the reply at once. A refusal that stands is a reply too, with its headers,
/// so that `retry-after` reaches the client. After the head nothing is tried again: a body that breaks ends with an
/// error.
pub(super) async fn send(
    line: Arc<Line>,
    provider: &Provider,
    cx: &Context,
    request: WireRequest,
) -> Result<WireReply, NoReply> {
    if !request.path.starts_with('/') || request.path.contains(['?', '#']) {
        let why = "a path below the provider's address begins with `/`".to_owned();
        return Err(NoReply::unsent(ModelError::Failed(why)));
    }
    let headers = outgoing(provider, &request.headers).map_err(NoReply::unsent)?;
    let post = Post { path: request.path, headers, body: Bytes::from(request.body) };
    let called = line.call(cx, &post).await;
    let Call { got, slot, unknown_cost, .. } =
        called.map_err(|NoCall { error, unknown_cost, .. }| NoReply { error, unknown_cost })?;
    Ok(match got {
        Got::Answer(response) => WireReply {
            status: response.status().as_u16(),
            headers: incoming(response.headers()),
            body: chunks(line, cx.clone(), response, slot),
            unknown_cost,
        },
        Got::Refusal(refusal) => WireReply {
            status: refusal.status,
            headers: incoming(&refusal.headers),
            body: stream::once(async move { Ok(refusal.body) }).boxed(),
            unknown_cost,
        },
    })
}

/// What a body still needs.
struct Rest {
    line: Arc<Line>,
    cx: Context,
    response: Response,
    got: usize,
    /// The place among the running calls, held to the last chunk.
    _slot: Slot,
}

fn chunks(
    line: Arc<Line>,
    cx: Context,
    response: Response,
    slot: Slot,
) -> BoxStream<'static, Result<Vec<u8>, ModelError>> {
    let rest = Rest { line, cx, response, got: 0, _slot: slot };
    stream::unfold(Some(rest), |rest| async {
        let mut rest = rest?;
        match rest.line.http.next_chunk(&rest.cx, &mut rest.response, rest.got).await {
            Ok(Some(chunk)) => {
                rest.got += chunk.len();
                Some((Ok(Vec::from(chunk)), Some(rest)))
            }
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

fn outgoing(provider: &Provider, given: &[(String, String)]) -> Result<HeaderMap, ModelError> {
    let mut headers = json_headers(provider);
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            ModelError::Refused("the request has a header name that HTTP doesn't know".to_owned())
        })?;
        if OURS.contains(&name.as_str()) {
            continue;
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| ModelError::Refused(format!("the header `{name}` holds what no header may")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Headers that mean something beyond this connection; a value that is not text is left out.
fn incoming(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}
