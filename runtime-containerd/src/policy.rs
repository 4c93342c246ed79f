//! When a container is started again after its process has ended: dockerd's rules, without
//! clock and engine.

use std::time::Duration;

use compose_planner::spec::RestartPolicy;

/// The first wait before a restart.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// A run of this length makes the waits short again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// What is known of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i64,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// How often the policy has started the container already.
    pub(crate) restarts: u64,
    /// The wait before this run; zero if it was started by hand.
    pub(crate) waited: Duration,
}

/// The wait until the next start; `None`: it stays as it is. Nobody has asked it to stop.
pub(crate) fn wait_before_restart(policy: &RestartPolicy, ended: Ended) -> Option<Duration> {
    let again = match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure(most) => ended.code != 0 && (*most == 0 || ended.restarts < *most),
    };
    again.then(|| next_wait(ended.waited, ended.ran))
}

/// The wait that follows a wait: twice as long, from 100 ms to a minute.
pub(crate) fn next_wait(waited: Duration, ran: Duration) -> Duration {
    if waited.is_zero() || ran >= GOOD_RUN { FIRST } else { (waited * 2).min(LONGEST) }
}

/// Whether a container is started when the machine has started (dockerd: when the daemon has).
/// `stopped`: somebody asked it to stop; `code`: how its last run ended, `None` if that was lost.
pub(crate) fn starts_at_boot(policy: &RestartPolicy, stopped: bool, code: Option<i64>) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !stopped,
        RestartPolicy::OnFailure(_) => !stopped && code != Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ended(code: i64, ran: u64, restarts: u64, waited: u64) -> Ended {
        Ended { code, ran: Duration::from_secs(ran), restarts, waited: Duration::from_millis(waited) }
    }

    #[test]
    fn policies_restart_as_dockerds() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        for (policy, run, wanted) in [
            (No, ended(1, 0, 0, 0), None),
            (Always, ended(0, 0, 0, 0), Some(100)),
            (UnlessStopped, ended(0, 0, 1, 100), Some(200)),
            (Always, ended(1, 0, 9, 51_200), Some(60_000)),
            (Always, ended(1, 10, 9, 51_200), Some(100)),
            (Always, ended(1, 9, 1, 100), Some(200)),
            (OnFailure(0), ended(0, 0, 0, 0), None),
            (OnFailure(0), ended(1, 0, 100, 60_000), Some(60_000)),
            (OnFailure(2), ended(1, 0, 1, 100), Some(200)),
            (OnFailure(2), ended(1, 0, 2, 200), None),
        ] {
            let wait = wait_before_restart(&policy, run).map(|wait| wait.as_millis());
            assert_eq!(wait, wanted, "{policy:?} {run:?}");
        }
    }

    #[test]
    fn a_boot_starts_what_dockerd_starts() {
        use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
        for (policy, stopped, code, wanted) in [
            (No, false, None, false),
            (Always, true, Some(0), true),
            (UnlessStopped, true, None, false),
            (UnlessStopped, false, None, true),
            (OnFailure(3), false, None, true),
            (OnFailure(3), false, Some(0), false),
            (OnFailure(3), true, Some(1), false),
        ] {
            assert_eq!(starts_at_boot(&policy, stopped, code), wanted, "{policy:?} {stopped} {code:?}");
        }
    }
}
