//! Streams may be silent for as long as they like, while the engine is there: one that says
//! nothing for a while is accompanied by pings, and ends with an error when they stay unanswered.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use compose_runtime::error::Result;
use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use crate::error;
use crate::transport::Transport;

/// A stream whose silence is looked into.
pub(crate) struct Watched<S> {
    inner: S,
    transport: Transport,
    call: String,
    /// When a silence is long enough for a ping.
    patience: Pin<Box<Sleep>>,
    /// Whether `patience` counts from the last sign of life.
    counting: bool,
    silent: Duration,
    ping: Option<BoxFuture<'static, bool>>,
    ended: bool,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, transport: Transport, call: String) -> Self {
        let patience = Box::pin(tokio::time::sleep(transport.deadlines().watchdog));
        Self { inner, transport, call, patience, counting: true, silent: Duration::ZERO, ping: None, ended: false }
    }

    /// Ready when the engine is gone; else wakes the task when it has to be looked again.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        let watchdog = self.transport.deadlines().watchdog;
        if !self.counting {
            self.patience.as_mut().reset(Instant::now() + watchdog);
            self.counting = true;
            self.silent = Duration::ZERO;
        }
        loop {
            if let Some(ping) = &mut self.ping {
                let answered = std::task::ready!(ping.as_mut().poll(context));
                self.ping = None;
                if !answered {
                    return Poll::Ready(self.silent + self.transport.deadlines().look);
                }
                self.patience.as_mut().reset(Instant::now() + watchdog);
            }
            std::task::ready!(self.patience.as_mut().poll(context));
            self.silent += watchdog;
            let transport = self.transport.clone();
            self.ping = Some(Box::pin(async move { transport.answers().await }));
        }
    }
}

impl<T, S: Stream<Item = Result<T>> + Unpin> Stream for Watched<S> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_next(context) {
            Poll::Ready(item) => {
                // The clock is set anew at the next pause only: a busy stream costs nothing.
                self.counting = false;
                self.ping = None;
                Poll::Ready(item)
            }
            Poll::Pending => {
                let after = std::task::ready!(self.poll_silence(context));
                self.ended = true;
                Poll::Ready(Some(Err(error::stalled(&self.call, after))))
            }
        }
    }
}
