//! The terminal: its size, raw mode, and giving it back as it was on every path.

use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// What the terminal was before raw mode, for the panic hook.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Columns and rows of the terminal behind a stream; `None` if it is none.
pub(crate) fn size(stream: impl AsFd) -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Columns and rows of the terminal that a process in a container is connected to: whichever of
/// the streams is one, since the others may be pipes.
pub(crate) fn session_size() -> Option<(u16, u16)> {
    size(io::stdout()).or_else(|| size(io::stdin())).or_else(|| size(io::stderr()))
}

/// Columns and rows of the terminal that progress is shown on.
pub(crate) fn progress_size() -> (u16, u16) {
    size(io::stderr()).or_else(|| size(io::stdout())).unwrap_or((80, 24))
}

/// Keeps the terminal of standard input in raw mode until it is dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    saved: Termios,
}

impl RawMode {
    /// Turns raw mode on. `None` where standard input is no terminal.
    pub(crate) fn enable() -> io::Result<Option<Self>> {
        Self::change(Termios::make_raw)
    }

    fn change(change: impl FnOnce(&mut Termios)) -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !termios::isatty(&stdin) {
            return Ok(None);
        }
        let saved = termios::tcgetattr(&stdin)?;
        if let Ok(mut slot) = SAVED.lock() {
            *slot = Some(saved.clone());
        }
        let mut raw = saved.clone();
        change(&mut raw);
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Some(Self { saved }))
    }
}

/// Gives single keys of the terminal of standard input until it is dropped: no lines, no echo.
/// Ctrl-C and Ctrl-Z stay signals.
#[derive(Debug)]
pub(crate) struct KeyMode {
    _mode: RawMode,
}

impl KeyMode {
    /// Turns it on. `None` where standard input is no terminal.
    pub(crate) fn enable() -> io::Result<Option<Self>> {
        let change = |attributes: &mut Termios| {
            attributes.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
            attributes.special_codes[SpecialCodeIndex::VMIN] = 1;
            attributes.special_codes[SpecialCodeIndex::VTIME] = 0;
        };
        Ok(RawMode::change(change)?.map(|mode| Self { _mode: mode }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.saved);
        if let Ok(mut slot) = SAVED.lock() {
            *slot = None;
        }
    }
}

/// Makes a fault of this program leave the terminal usable: the release build ends without
/// unwinding, so that no destructor runs.
pub(crate) fn restore_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |information| {
        if let Ok(slot) = SAVED.try_lock()
            && let Some(saved) = slot.as_ref()
        {
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, saved);
        }
        if termios::isatty(io::stderr()) {
            let _ = rustix::io::write(io::stderr(), b"\x1b[?25h");
        }
        before(information);
    }));
}
