//! Long-running programs of ours, found again by a later run of this tool.
//!
//! A pid file holds the pid and the start time of the process: a pid that the kernel
//! gave to another program meanwhile is never taken for ours.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon with its pid file `NAME.pid` and log `NAME.log` in one folder.
pub(crate) struct Daemon {
    name: String,
    folder: PathBuf,
}

impl Daemon {
    /// Names a daemon; nothing is started.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { name: name.to_owned(), folder: folder.to_owned() }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// The pid, if the process that was started is still there.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.pid_file()).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid)?.to_string() == started).then_some(pid)
    }

    /// Starts the command detached from this terminal.
    pub(crate) fn start(&self, command: &mut Command) -> Result<()> {
        let log = File::create(self.log()).with_context(|| format!("cannot write {}", self.log().display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run `{}`", shell::shown(command)))?;
        let started = start_time(child.id()).context("the process is gone already")?;
        std::fs::write(self.pid_file(), format!("{} {started}\n", child.id()))?;
        Ok(())
    }

    /// Waits until `ready` says so, the process is gone, or `limit` is over.
    pub(crate) fn wait_ready(&self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            if self.pid().is_none() || Instant::now() > end {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let what = if self.pid().is_none() { "did not start" } else { "does not answer" };
                bail!("{} {what}; the end of {}:\n{}", self.name, self.log().display(), shell::last_lines(&log, 8));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks the process to end, and ends it by force after `limit`.
    pub(crate) fn stop(&self, limit: Duration) {
        for (signal, limit) in [("-TERM", limit), ("-KILL", Duration::from_secs(10))] {
            let Some(pid) = self.pid() else { break };
            shell::succeeds(Command::new("kill").args([signal, &pid.to_string()]));
            let end = Instant::now() + limit;
            while self.pid().is_some() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        // Nobody starts a daemon twice, so a file that cannot be removed does no harm.
        let _ = std::fs::remove_file(self.pid_file());
    }
}

/// When the process was started, in clock ticks since boot; none when it is gone or only waits to be reaped.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; fields are counted after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Processes of the given programs whose command line names `path` or something below it.
pub(crate) fn naming(path: &Path, programs: &[&str]) -> Vec<u32> {
    let path = path.to_string_lossy().into_owned();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    pids.filter(|pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let Some(program) = words.next() else { return false };
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        programs.iter().any(|name| program.starts_with(name)) && words.any(|word| word.contains(&path))
    })
    .collect()
}

/// Ends a process at once.
pub(crate) fn kill(pid: u32) {
    shell::succeeds(Command::new("kill").args(["-KILL", &pid.to_string()]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_forgotten_when_it_ended() {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let daemon = Daemon::new(&folder, "sleeper");
        assert_eq!(daemon.pid(), None);
        daemon.start(Command::new("sleep").arg("60")).unwrap();
        let pid = daemon.pid().unwrap();
        std::fs::write(daemon.pid_file(), format!("{pid} 1\n")).unwrap();
        assert_eq!(daemon.pid(), None, "another start time is another process");
        let started = start_time(pid).unwrap();
        std::fs::write(daemon.pid_file(), format!("{pid} {started}\n")).unwrap();
        daemon.stop(Duration::from_secs(10));
        assert_eq!(start_time(pid), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
