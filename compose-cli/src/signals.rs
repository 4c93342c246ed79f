//! Ctrl-C and its relatives: the first one asks for an orderly end, the second one for an end at
//! once.

use compose_runtime::executor::Cancellation;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    /// Starts listening. From then on the signals no longer end the process.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one, by its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// Cancels gently with the first signal and at once with the second. Never ends by itself.
pub(crate) async fn cancel_on_signals(interrupts: &mut Interrupts, cancellation: &Cancellation) {
    interrupts.next().await;
    cancellation.gentle.cancel();
    interrupts.next().await;
    cancellation.at_once.cancel();
    std::future::pending::<()>().await;
}
