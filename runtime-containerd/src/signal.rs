//! Signals by name and number, and sending them.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// SIGKILL.
pub(crate) const KILL: u32 = 9;
/// SIGTERM.
pub(crate) const TERM: u32 = 15;

/// Names in Linux's order, from number 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// Sends a signal to a container's first process without containerd, which runs runc for each one.
/// `false`: it was not sent, for containerd to do it or to say why not.
pub(crate) fn send(id: &str, process: u32, number: u32) -> bool {
    let sent = || {
        let process = Pid::from_raw(i32::try_from(process).ok()?)?;
        let signal = Signal::from_named_raw(i32::try_from(number).ok()?)?;
        let handle = pidfd_open(process, PidfdFlags::empty()).ok()?;
        // Whoever has that number by now, or here: the container's process is in its control group.
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.as_raw_nonzero())).ok()?;
        groups.contains(id).then_some(())?;
        pidfd_send_signal(handle, signal).ok()
    };
    sent().is_some()
}

/// The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`; `None` for other text.
pub(crate) fn number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse::<u32>().ok()? };
        return (offset <= 30).then_some(34 + offset);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let offset = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse::<u32>().ok()? };
        return (offset <= 30).then_some(64 - offset);
    }
    NAMES.iter().position(|known| *known == name).and_then(|index| u32::try_from(index + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, wanted) in [
            ("SIGTERM", Some(15)),
            ("kill", Some(9)),
            ("2", Some(2)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SYS", Some(31)),
            ("0", None),
            ("65", None),
            ("SIGNONE", None),
            ("", None),
        ] {
            assert_eq!(number(text), wanted, "{text}");
        }
    }
}
