//! The standard input of a process that is executed in a container: its end is passed on when the
//! process is there.
//!
//! An engine that hears of the end while it starts the process now and then loses it, and the
//! process waits without end: about one of 240 commands with `/dev/null` as their input on Engine 28
//! under load, by Docker's own clients too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use compose_runtime::port::Writer;
use serde::Deserialize;
use tokio::io::AsyncWrite;

use crate::transport::{Call, Transport, encode};

/// Between two looks at a process that is not there yet.
const PAUSE: Duration = Duration::from_millis(20);
/// Then the end is passed on whatever the engine says.
const LOOKS: usize = 250;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    pid: i64,
}

/// A writer that holds its end back.
pub(crate) struct ExecInput {
    inner: Writer,
    started: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl ExecInput {
    /// The input of the process with this identity.
    pub(crate) fn new(inner: Writer, transport: Transport, exec: String) -> Self {
        Self { inner, started: Some(Box::pin(started(transport, exec))) }
    }
}

/// Returns when the process runs or has ended, or the engine does not tell.
async fn started(transport: Transport, exec: String) {
    for _ in 0..LOOKS {
        let call = Call::get(format!("/exec/{}/json", encode(&exec)));
        let answer = transport.unary(call).await.and_then(|answer| answer.decode::<Inspected>());
        if answer.is_err() || answer.is_ok_and(|process| process.pid != 0 || process.exit_code.is_some()) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl AsyncWrite for ExecInput {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(started) = self.started.as_mut() {
            ready!(started.as_mut().poll(context));
            self.started = None;
        }
        self.inner.as_mut().poll_shutdown(context)
    }
}
