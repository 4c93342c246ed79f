//! A terminal for tests: the program runs in it as in a window, and an emulator shows what a person
//! would see.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wait::eventually;

/// Longest wait for something to appear.
const LIMIT: Duration = Duration::from_secs(60);

/// A program in a terminal of its own.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts the command in a new terminal of that size.
    ///
    /// # Errors
    /// When the system has no terminal to give, or the program cannot be started.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Result<Self, String> {
        let error = |error: rustix::io::Errno| format!("a terminal: {error}");
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).map_err(error)?;
        grantpt(&master).map_err(error)?;
        unlockpt(&master).map_err(error)?;
        let name = ptsname(&master, Vec::new()).map_err(error)?;
        tcsetwinsize(&master, size(columns, rows)).map_err(error)?;
        let path = name.to_string_lossy().into_owned();
        let other = File::options().read(true).write(true).open(&path).map_err(|error| format!("{path}: {error}"))?;
        let copy = |file: &File| file.try_clone().map_err(|error| error.to_string());
        // The program becomes the leader of a session whose terminal this is, as in a window.
        let program = command.get_program().to_owned();
        let mut inside = Command::new("setsid");
        inside.args(["--ctty", "--wait"]).arg(program).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside.env_clear().env("TERM", "xterm-256color");
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
        inside.stdin(copy(&other)?).stdout(copy(&other)?).stderr(other);
        command = inside;
        let child = command.spawn().map_err(|error| format!("setsid: {error}"))?;
        drop(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 1000)));
        let keyboard = File::from(master.try_clone().map_err(|error| error.to_string())?);
        show(master, Arc::clone(&screen));
        Ok(Self { child, keyboard, screen })
    }

    /// Types.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn types(&mut self, keys: &str) -> Result<(), String> {
        self.keyboard.write_all(keys.as_bytes()).map_err(|error| format!("typing {keys:?}: {error}"))
    }

    /// Gives the window another size.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn resize(&mut self, columns: u16, rows: u16) -> Result<(), String> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, size(columns, rows)).map_err(|error| format!("resizing: {error}"))
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Waits until the screen shows the text.
    ///
    /// # Errors
    /// When it does not in time; with what it shows.
    pub fn shows(&self, text: &str) -> Result<(), String> {
        eventually(LIMIT, || self.look_for(text))
    }

    /// Whether the screen shows the text by now, or within a moment.
    ///
    /// # Errors
    /// When it does not; with what it shows.
    pub fn shows_soon(&self, text: &str) -> Result<(), String> {
        eventually(Duration::from_secs(1), || self.look_for(text))
    }

    fn look_for(&self, text: &str) -> Result<(), String> {
        let screen = self.screen();
        if screen.contains(text) { Ok(()) } else { Err(format!("the screen does not show {text:?}:\n{screen}")) }
    }

    /// Waits for the program's end; its exit code.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn ends(&mut self) -> Result<i32, String> {
        let screen = Arc::clone(&self.screen);
        eventually(LIMIT, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status.code().unwrap_or(-1)),
            Ok(None) => {
                let screen = screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents();
                Err(format!("it does not end:\n{screen}"))
            }
            Err(error) => Err(error.to_string()),
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Passes what the program writes to the emulator, until the last program has closed the terminal.
fn show(master: OwnedFd, screen: Arc<Mutex<vt100::Parser>>) {
    let mut master = File::from(master);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = master.read(&mut buffer) {
            if let Some(read) = buffer.get(..length) {
                screen.lock().unwrap_or_else(PoisonError::into_inner).process(read);
            }
        }
    });
}
