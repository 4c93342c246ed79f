//! The output object: what goes to which stream, with how much colour, how wide.
//!
//! Data (tables, identities, logs, plans) goes to standard output, everything else to standard
//! error. No other module writes to either.

use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::Instant;

use crate::footer::{self, Stream};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// A live table that is redrawn.
    Terminal,
    /// One line for each event.
    Plain,
    /// One JSON object for each event.
    Json,
    /// Nothing.
    Quiet,
}

/// `--ansi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ansi {
    /// No colour and no control character.
    Never,
    /// Both, also into files and pipes.
    Always,
    /// Where a terminal reads.
    #[default]
    Auto,
}

/// What output depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputOptions {
    /// `--ansi` or `COMPOSE_ANSI`.
    pub(crate) ansi: Option<String>,
    /// `NO_COLOR` is set.
    pub(crate) no_color: bool,
    /// `--progress` or `COMPOSE_PROGRESS`.
    pub(crate) progress: Option<String>,
    /// `--debug`.
    pub(crate) debug: bool,
}

/// Where everything that is printed goes through.
#[derive(Debug)]
pub(crate) struct Output {
    ansi: Ansi,
    progress: ProgressMode,
    stdout_terminal: bool,
    stderr_terminal: bool,
    started: Instant,
    /// Asked for by a command's own `--quiet`.
    silent: Cell<bool>,
    /// Verbose.
    pub(crate) debug: bool,
}

impl Output {
    /// Looks at the streams and the options.
    ///
    /// # Errors
    /// An option has a value that does not exist, or two contradict each other.
    pub(crate) fn new(options: &OutputOptions) -> anyhow::Result<Self> {
        let stdout_terminal = io::stdout().is_terminal();
        let stderr_terminal = io::stderr().is_terminal();
        let ansi = match options.ansi.as_deref() {
            _ if options.no_color => Ansi::Never,
            None | Some("" | "auto") => Ansi::Auto,
            Some("never") => Ansi::Never,
            Some("always") => Ansi::Always,
            Some(other) => anyhow::bail!("unknown value {other:?} for --ansi: use never, always or auto"),
        };
        let progress = match options.progress.as_deref() {
            None | Some("" | "auto") if ansi != Ansi::Never && stderr_terminal => ProgressMode::Terminal,
            None | Some("" | "auto") => ProgressMode::Plain,
            Some("tty") if ansi == Ansi::Never => {
                anyhow::bail!("can't use --progress tty while ANSI support is disabled")
            }
            Some("tty") => ProgressMode::Terminal,
            Some("plain") if ansi == Ansi::Always && !options.no_color => {
                anyhow::bail!("can't use --progress plain while ANSI support is forced")
            }
            Some("plain") => ProgressMode::Plain,
            Some("json") => ProgressMode::Json,
            Some("quiet" | "none") => ProgressMode::Quiet,
            Some(other) => anyhow::bail!("unsupported --progress value {other:?}"),
        };
        Ok(Self {
            ansi,
            progress,
            stdout_terminal,
            stderr_terminal,
            started: Instant::now(),
            silent: Cell::new(false),
            debug: options.debug,
        })
    }

    /// An object for errors that come before the options are known.
    pub(crate) fn fallback() -> Self {
        Self {
            ansi: Ansi::Auto,
            progress: ProgressMode::Plain,
            stdout_terminal: io::stdout().is_terminal(),
            stderr_terminal: io::stderr().is_terminal(),
            started: Instant::now(),
            silent: Cell::new(false),
            debug: false,
        }
    }

    /// How progress is shown.
    pub(crate) fn progress(&self) -> ProgressMode {
        if self.silent.get() { ProgressMode::Quiet } else { self.progress }
    }

    /// Shows no progress from now on (`--quiet`).
    pub(crate) fn silence_progress(&self) {
        self.silent.set(true);
    }

    /// Whether standard output may be coloured.
    pub(crate) fn colour_on_stdout(&self) -> bool {
        match self.ansi {
            Ansi::Never => false,
            Ansi::Always => true,
            Ansi::Auto => self.stdout_terminal,
        }
    }

    /// Whether standard error may be coloured.
    pub(crate) fn colour_on_stderr(&self) -> bool {
        match self.ansi {
            Ansi::Never => false,
            Ansi::Always => true,
            // Who asks for the display of a terminal gets it whole.
            Ansi::Auto => self.stderr_terminal || self.progress == ProgressMode::Terminal,
        }
    }

    /// Whether control characters are forbidden altogether.
    pub(crate) fn no_control_characters(&self) -> bool {
        self.ansi == Ansi::Never
    }

    /// Whether standard output is a terminal.
    pub(crate) const fn stdout_is_terminal(&self) -> bool {
        self.stdout_terminal
    }

    /// Whether a person can be asked: standard input is a terminal.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal()
    }

    /// Writes data.
    ///
    /// # Errors
    /// What the system says, for example that the reader has gone.
    #[allow(clippy::unused_self)] // A method, so that every write goes through this object.
    pub(crate) fn data(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        footer::write(Stream::Stdout, bytes.as_ref())
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        self.data(format!("{}\n", text.as_ref()))
    }

    /// Writes to standard error. A reader that has gone is no reason to stop working.
    #[allow(clippy::unused_self)]
    pub(crate) fn message(&self, bytes: impl AsRef<[u8]>) {
        let _ = footer::write(Stream::Stderr, bytes.as_ref());
    }

    /// A warning in the reference's form: `WARN[0000] text` on a terminal, a `time= level= msg=`
    /// line otherwise, a JSON object with `--progress json`.
    pub(crate) fn warning(&self, text: &str) {
        self.log("warning", text);
    }

    /// A remark in the form of a warning.
    pub(crate) fn info(&self, text: &str) {
        self.log("info", text);
    }

    fn log(&self, level: &str, text: &str) {
        if self.progress == ProgressMode::Json {
            let object = serde_json::json!({ "level": level, "msg": text, "time": crate::time_format::now_rfc3339() });
            return self.message(format!("{object}\n"));
        }
        if self.stderr_terminal {
            let seconds = self.started.elapsed().as_secs();
            let (word, colour) = if level == "warning" { ("WARN", 33) } else { ("INFO", 36) };
            let (on, off) = match self.colour_on_stderr() {
                true => (format!("\u{1b}[{colour}m"), "\u{1b}[0m"),
                false => (String::new(), ""),
            };
            return self.message(format!("{on}{word}{off}[{seconds:04}] {text} \n"));
        }
        let time = crate::time_format::now_rfc3339();
        self.message(format!("time=\"{time}\" level={level} msg={}\n", quoted(text)));
    }

    /// The error that ends the program.
    pub(crate) fn error(&self, text: &str) {
        if self.progress == ProgressMode::Json {
            return self.message(format!("{}\n", serde_json::json!({ "error": true, "message": text })));
        }
        self.message(format!("{text}\n"));
    }
}

/// Quotes a text as the reference's log lines do.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => out.push_str(&format!("\\u{:04x}", other as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
