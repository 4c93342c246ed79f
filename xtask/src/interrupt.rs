//! Ctrl-C and termination, so that what was started is always stopped again.

use crate::shell;
use anyhow::{Context, Result};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Notes that this process was asked to end, instead of ending at once.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP are only noted.
    pub(crate) fn catch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot catch signals")?;
        }
        Ok(Self(flag))
    }

    /// Whether one of the signals came.
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits for a child. When we are asked to end, the child is asked as well and still waited for.
    ///
    /// A Ctrl-C on the terminal reaches the child by itself; a SIGTERM sent to us does not.
    pub(crate) fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
                return Ok(status);
            }
            if self.came() && !told {
                told = true;
                shell::succeeds(Command::new("kill").args(["-TERM", &child.id().to_string()]));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
