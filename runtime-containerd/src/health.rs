//! Health checks: what a check is, and what results make of a container's health. dockerd's
//! rules, without clock and engine; who runs the probes is [`crate::supervisor`].

use std::time::Duration;

use compose_model::units::Duration as Length;
use compose_planner::spec::HealthcheckSpec;
use serde::{Deserialize, Serialize};

use crate::image::ImageHealthcheck;

/// dockerd's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u64 = 3;
/// Results that are kept.
const KEPT: usize = 5;
/// Bytes of a probe's output that are kept.
pub(crate) const OUTPUT: usize = 4096;

/// A check with all its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retries: u64,
    pub(crate) start_period: Duration,
    pub(crate) start_interval: Duration,
}

/// The check of a service over the one of its image: each value that the service leaves out is
/// the image's. `None`: there is none, or it is disabled.
pub(crate) fn effective(own: Option<&HealthcheckSpec>, image: Option<&ImageHealthcheck>) -> Option<HealthcheckSpec> {
    let image = image.cloned().unwrap_or_default();
    let mut check = own.cloned().unwrap_or_default();
    if check.test.is_empty() {
        check.test = image.test.unwrap_or_default();
    }
    let length = |nanoseconds: i64| (nanoseconds > 0).then_some(Length(nanoseconds));
    check.interval = check.interval.or_else(|| length(image.interval));
    check.timeout = check.timeout.or_else(|| length(image.timeout));
    check.start_period = check.start_period.or_else(|| length(image.start_period));
    check.start_interval = check.start_interval.or_else(|| length(image.start_interval));
    check.retries = check.retries.or_else(|| u64::try_from(image.retries).ok().filter(|retries| *retries > 0));
    (!matches!(check.test.first().map(String::as_str), None | Some("NONE"))).then_some(check)
}

impl Check {
    /// Fills in the defaults; `None` if there is nothing to run.
    pub(crate) fn of(spec: &HealthcheckSpec) -> Option<Self> {
        let (first, rest) = spec.test.split_first()?;
        let command = match first.as_str() {
            "CMD" => rest.to_vec(),
            "CMD-SHELL" => ["/bin/sh", "-c"].map(str::to_owned).into_iter().chain(rest.first().cloned()).collect(),
            _ => return None,
        };
        let or = |length: Option<Length>, default: Duration| {
            length.map(Length::to_std).filter(|length| !length.is_zero()).unwrap_or(default)
        };
        (!command.is_empty()).then(|| Self {
            command,
            interval: or(spec.interval, INTERVAL),
            timeout: or(spec.timeout, TIMEOUT),
            retries: spec.retries.filter(|retries| *retries > 0).unwrap_or(RETRIES),
            start_period: or(spec.start_period, Duration::ZERO),
            start_interval: or(spec.start_interval, START_INTERVAL),
        })
    }

    /// Longest time from the start until it calls its container unhealthy.
    pub(crate) fn patience(&self) -> Duration {
        let round = self.interval.saturating_add(self.timeout);
        let retries = u32::try_from(self.retries).unwrap_or(u32::MAX);
        self.start_period.saturating_add(round.saturating_mul(retries))
    }

    /// The time from one probe to the next, `since_start` after the start.
    pub(crate) fn pause(&self, status: Status, since_start: Duration) -> Duration {
        if since_start < self.start_period && status == Status::Starting { self.start_interval } else { self.interval }
    }
}

/// What the results so far mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl Status {
    /// As the label has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One probe's result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Probe {
    /// RFC 3339.
    pub(crate) start: String,
    /// RFC 3339.
    pub(crate) end: String,
    /// -1: it was not run to its end.
    pub(crate) exit_code: i64,
    pub(crate) output: String,
}

/// What is kept of a container's probes, as a file in its state directory: all of it can be found
/// out again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    /// Of which run; another start begins anew.
    pub(crate) started: String,
    pub(crate) status: Status,
    pub(crate) failing_streak: u64,
    pub(crate) log: Vec<Probe>,
}

impl Health {
    /// Takes a result in.
    pub(crate) fn take(&mut self, check: &Check, since_start: Duration, probe: Probe) {
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if self.status != Status::Starting || since_start >= check.start_period {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = Status::Unhealthy;
            }
        }
        self.log.push(probe);
        let surplus = self.log.len().saturating_sub(KEPT);
        self.log.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        let spec = HealthcheckSpec {
            test: ["CMD-SHELL", "test -e /ready"].map(str::to_owned).into(),
            retries: Some(2),
            start_period: Some(Length::from_seconds(10)),
            ..HealthcheckSpec::default()
        };
        Check::of(&spec).unwrap()
    }

    fn probe(exit_code: i64) -> Probe {
        Probe { exit_code, ..Probe::default() }
    }

    #[test]
    fn missing_values_are_dockerds() {
        let check = check();
        assert_eq!(check.command, ["/bin/sh", "-c", "test -e /ready"]);
        assert_eq!((check.interval, check.timeout, check.start_interval), (INTERVAL, TIMEOUT, START_INTERVAL));
        assert_eq!(check.pause(Status::Starting, Duration::from_secs(9)), START_INTERVAL);
        assert_eq!(check.pause(Status::Healthy, Duration::from_secs(9)), INTERVAL);
        assert_eq!(check.pause(Status::Starting, Duration::from_secs(10)), INTERVAL);
    }

    #[test]
    fn failures_count_after_the_start_period_and_after_the_first_success() {
        // Seconds after the start, exit code, expected status.
        let table: &[(u64, i64, Status)] = &[
            (1, 1, Status::Starting),
            (2, 1, Status::Starting),
            (9, 1, Status::Starting),
            (10, 1, Status::Starting),
            (11, -1, Status::Unhealthy),
            (12, 0, Status::Healthy),
            (13, 1, Status::Healthy),
            (14, 1, Status::Unhealthy),
        ];
        let mut health = Health::default();
        for (second, code, wanted) in table {
            health.take(&check(), Duration::from_secs(*second), probe(*code));
            assert_eq!(health.status, *wanted, "after {second} s");
        }
        assert_eq!(health.log.len(), KEPT);
        let mut early = Health::default();
        early.take(&check(), Duration::from_secs(1), probe(0));
        for second in [2, 3] {
            early.take(&check(), Duration::from_secs(second), probe(1));
        }
        assert_eq!(early.status, Status::Unhealthy, "the first success ends the start period");
    }

    #[test]
    fn a_services_values_go_over_the_images_and_none_disables() {
        let image = ImageHealthcheck {
            test: Some(["CMD", "probe"].map(str::to_owned).into()),
            interval: 7_000_000_000,
            ..ImageHealthcheck::default()
        };
        let own = HealthcheckSpec { retries: Some(9), ..HealthcheckSpec::default() };
        let both = effective(Some(&own), Some(&image)).unwrap();
        assert_eq!((both.test.len(), both.interval, both.retries), (2, Some(Length::from_seconds(7)), Some(9)));
        assert!(effective(None, Some(&image)).is_some());
        assert!(effective(None, None).is_none());
        let none = HealthcheckSpec { test: vec!["NONE".to_owned()], ..HealthcheckSpec::default() };
        assert!(effective(Some(&none), Some(&image)).is_none());
    }
}
