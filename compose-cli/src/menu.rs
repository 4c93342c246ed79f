//! The menu of an attached `up`: single keys, read while the output runs by.

use std::io::Read as _;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::footer;
use crate::terminal::KeyMode;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Leave everything running and end.
    Detach,
    /// Begin or end to watch the sources.
    Watch,
}

/// The menu, shown until it is dropped.
pub(crate) struct Menu {
    keys: UnboundedReceiver<Vec<u8>>,
    mode: Option<KeyMode>,
    suspended: Signal,
    resized: Signal,
    colour: bool,
    watching: bool,
    remark: String,
}

impl Menu {
    /// Shows the menu. `None` where standard input is no terminal.
    pub(crate) fn open(colour: bool, watching: bool) -> std::io::Result<Option<Self>> {
        let Some(mode) = KeyMode::enable()? else { return Ok(None) };
        let menu = Self {
            keys: keys(),
            mode: Some(mode),
            suspended: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            resized: signal(SignalKind::window_change())?,
            colour,
            watching,
            remark: String::new(),
        };
        menu.draw();
        Ok(Some(menu))
    }

    /// Whether the sources are watched now.
    pub(crate) fn set_watching(&mut self, watching: bool) {
        self.watching = watching;
        self.remark.clear();
        self.draw();
    }

    /// Shows words before the keys, until the next key.
    pub(crate) fn remark(&mut self, text: &str) {
        text.clone_into(&mut self.remark);
        self.draw();
    }

    fn draw(&self) {
        let columns = crate::terminal::session_size().map_or(80, |(columns, _)| usize::from(columns));
        footer::show(&line(&self.remark, self.watching, columns, self.colour));
    }

    /// Waits for a key that means something. Nothing is lost if this is dropped.
    pub(crate) async fn choice(&mut self) -> std::io::Result<Choice> {
        loop {
            let pressed = tokio::select! {
                pressed = self.keys.recv() => match pressed {
                    Some(pressed) => pressed,
                    // The terminal has gone: there are no keys any more.
                    None => return std::future::pending().await,
                },
                _ = self.suspended.recv() => {
                    self.suspend()?;
                    continue;
                }
                _ = self.resized.recv() => {
                    self.draw();
                    continue;
                }
            };
            // An arrow or function key is several bytes, and none of ours.
            if pressed.first() == Some(&0x1b) {
                continue;
            }
            if !self.remark.is_empty() {
                self.remark("");
            }
            for key in pressed {
                match key {
                    b'd' | b'D' => return Ok(Choice::Detach),
                    b'w' | b'W' => return Ok(Choice::Watch),
                    // An empty line between what was and what comes, as without a menu.
                    b'\n' | b'\r' => drop(footer::write(footer::Stream::Stdout, b"\n")),
                    _ => {}
                }
            }
        }
    }

    /// Ctrl-Z: gives the terminal back, stops, and takes it again afterwards.
    fn suspend(&mut self) -> std::io::Result<()> {
        footer::show("");
        self.mode = None;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        self.mode = KeyMode::enable()?;
        self.draw();
        Ok(())
    }
}

impl Drop for Menu {
    fn drop(&mut self) {
        footer::show("");
    }
}

/// The keys as they are pressed. A read of standard input cannot be called off, so it has a thread,
/// which ends with the process.
fn keys() -> UnboundedReceiver<Vec<u8>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 64];
        let mut stdin = std::io::stdin();
        while let Ok(length @ 1..) = stdin.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The line, at most `columns - 1` wide.
fn line(remark: &str, watching: bool, columns: usize, colour: bool) -> String {
    let (key, off) = if colour { ("\u{1b}[1;36m", "\u{1b}[0m") } else { ("", "") };
    let room = columns.saturating_sub(1);
    let watch = if watching { "Disable Watch" } else { "Enable Watch" };
    let keys = format!("w {watch}   d Detach");
    if room < keys.len() {
        return crate::progress::cut(&keys, room);
    }
    let keys = format!("{key}w{off} {watch}   {key}d{off} Detach");
    if remark.is_empty() {
        return keys;
    }
    let remark = crate::progress::cut(remark, room.saturating_sub("w Disable Watch   d Detach   ".len()));
    if remark.is_empty() { keys } else { format!("{keys}   {remark}") }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn the_line_keeps_within_the_window() {
        assert_eq!(line("", false, 80, false), "w Enable Watch   d Detach");
        assert_eq!(line("", true, 80, true), "\u{1b}[1;36mw\u{1b}[0m Disable Watch   \u{1b}[1;36md\u{1b}[0m Detach");
        assert_eq!(line("no rules", true, 80, false), "w Disable Watch   d Detach   no rules");
        for columns in 0..80 {
            assert!(
                line("no service has a develop section", true, columns, false).width() <= columns.saturating_sub(1)
            );
        }
    }
}
