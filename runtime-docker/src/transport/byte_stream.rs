//! The body of an answer, piece by piece as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use compose_runtime::error::Result;
use futures_util::Stream;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::sync::OwnedSemaphorePermit;

use super::RequestBody;
use crate::error;

/// The body of a streamed answer; the connection lives as long as it does.
pub(crate) struct ByteStream {
    pub(super) body: Incoming,
    pub(super) call: String,
    pub(super) _sender: SendRequest<RequestBody>,
    pub(super) _permit: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => Poll::Ready(None),
                Some(Err(cause)) => Poll::Ready(Some(Err(error::broken(&self.call, &cause)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => continue,
                    Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                    Err(_) => continue,
                },
            };
        }
    }
}
