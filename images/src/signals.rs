//! Ending when asked. The first process of a container has no default reaction to a
//! signal: without a handler a stop would always last for the whole grace period.

use std::ffi::c_int;

const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;

extern "C" fn end(_signal: c_int) {
    // SAFETY: `_exit` may be called from a signal handler, and takes any number.
    unsafe { _exit(0) }
}

// SAFETY: the C library's own declarations of these two functions.
unsafe extern "C" {
    fn signal(signal: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn _exit(status: c_int) -> !;
}

/// From now on SIGTERM and SIGINT end the program with success.
pub(crate) fn end_on_request() {
    for number in [SIGTERM, SIGINT] {
        // SAFETY: the handler only calls `_exit`.
        unsafe {
            signal(number, end);
        }
    }
}
