//! Waiting for something to become true, with a deadline.

use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Asks again and again until the answer is `Ok`, for at most `limit`; then the last `Err`.
///
/// For state that no event of ours announces (a process in a container has done something).
///
/// # Errors
/// The last answer, when time is up.
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + limit;
    // A channel that nobody sends on: its time-out is the pace between two questions.
    let (_keep, pace) = mpsc::channel::<()>();
    loop {
        match ask() {
            Ok(value) => return Ok(value),
            Err(message) if Instant::now() >= end => {
                return Err(format!("after {} s: {message}", limit.as_secs()));
            }
            Err(_) => {
                let _ = pace.recv_timeout(Duration::from_millis(50));
            }
        }
    }
}
