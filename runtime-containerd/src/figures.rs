//! Figures of a container, from the kernel's files, and its processes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use compose_runtime::port::{Items, Stats};
use containerd_client::services::v1::ListPidsRequest;
use containerd_client::types::v1::Status;

use crate::client::local;
use crate::core::{Core, name_of};

/// Time between two figures, as dockerd's.
const STEP: Duration = Duration::from_secs(1);

/// Where the kernel keeps the figures of a process's control groups.
struct Groups {
    pid: u32,
    cpu: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
    block: PathBuf,
    unified: bool,
}

impl Groups {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let unified = PathBuf::from("/sys/fs/cgroup/cgroup.controllers").exists();
        let path = |controller: &str| {
            let line = text.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
                let fits = if unified { names.is_empty() } else { names.split(',').any(|name| name == controller) };
                fits.then(|| path.trim_start_matches('/').to_owned())
            });
            let base = if unified { "/sys/fs/cgroup".to_owned() } else { format!("/sys/fs/cgroup/{controller}") };
            PathBuf::from(base).join(line.unwrap_or_default())
        };
        Some(Self {
            pid,
            cpu: path("cpuacct"),
            memory: path("memory"),
            pids: path("pids"),
            block: path("blkio"),
            unified,
        })
    }

    /// Processor time in nanoseconds.
    fn processor(&self) -> u64 {
        if self.unified {
            field(&self.cpu.join("cpu.stat"), "usage_usec").saturating_mul(1000)
        } else {
            number(&self.cpu.join("cpuacct.usage"))
        }
    }

    fn stats(&self, cpu_percent: f64) -> Stats {
        let (used, cache, limit) = if self.unified {
            let stat = self.memory.join("memory.stat");
            (number(&self.memory.join("memory.current")), field(&stat, "inactive_file"), "memory.max")
        } else {
            let stat = self.memory.join("memory.stat");
            let used = number(&self.memory.join("memory.usage_in_bytes"));
            (used, field(&stat, "total_inactive_file"), "memory.limit_in_bytes")
        };
        let host = field(&PathBuf::from("/proc/meminfo"), "MemTotal:").saturating_mul(1024);
        let limit = match number(&self.memory.join(limit)) {
            0 => host,
            limit => limit.min(host),
        };
        let (received, sent) = traffic(self.pid);
        let (read, written) = self.blocks();
        Stats {
            cpu_percent,
            memory_used: used.saturating_sub(cache),
            memory_limit: limit,
            network_received: received,
            network_sent: sent,
            block_read: read,
            block_written: written,
            processes: number(&self.pids.join("pids.current")),
        }
    }

    fn blocks(&self) -> (u64, u64) {
        let file = if self.unified { "io.stat" } else { "blkio.throttle.io_service_bytes" };
        let text = std::fs::read_to_string(self.block.join(file)).unwrap_or_default();
        let (mut read, mut written) = (0, 0);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            for word in &words {
                if let Some(value) = word.strip_prefix("rbytes=") {
                    read += value.parse().unwrap_or(0);
                } else if let Some(value) = word.strip_prefix("wbytes=") {
                    written += value.parse().unwrap_or(0);
                }
            }
            match words.as_slice() {
                [_, "Read", value] => read += value.parse().unwrap_or(0),
                [_, "Write", value] => written += value.parse().unwrap_or(0),
                _ => {}
            }
        }
        (read, written)
    }
}

fn number(path: &std::path::Path) -> u64 {
    std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn field(path: &std::path::Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == name).then(|| words.next()?.parse().ok()).flatten()
    });
    value.unwrap_or(0)
}

/// Bytes received and sent on all devices but `lo`, as seen by a process.
fn traffic(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut sum = (0, 0);
    for (device, figures) in text.lines().filter_map(|line| line.split_once(':')) {
        let figures: Vec<u64> = figures.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
        if device.trim() != "lo" {
            sum.0 += figures.first().copied().unwrap_or(0);
            sum.1 += figures.get(8).copied().unwrap_or(0);
        }
    }
    sum
}

impl Core {
    /// The process of a running container.
    async fn running_pid(&self, name: &str) -> Result<u32> {
        let container = self.find(name).await?;
        let task = self.task(&container.id).await?;
        let task = task.filter(|task| matches!(task.status(), Status::Running | Status::Paused));
        task.map(|task| task.pid).ok_or_else(|| RuntimeError::Conflict {
            message: format!("container {} is not running", name_of(&container)),
        })
    }

    /// Figures once, or every second until the container ends.
    pub(crate) async fn figures(&self, name: &str, follow: bool) -> Result<Items<Stats>> {
        let pid = self.running_pid(name).await?;
        let Some(groups) = Groups::of(pid) else {
            return Err(local(format!("/proc/{pid}/cgroup"), "not readable"));
        };
        let state = (groups, tokio::time::Instant::now(), None::<u64>, false);
        Ok(Box::pin(futures_util::stream::unfold(state, move |(groups, at, before, done)| async move {
            if done {
                return None;
            }
            let before = before.unwrap_or_else(|| groups.processor());
            tokio::time::sleep_until(at + STEP).await;
            if !PathBuf::from(format!("/proc/{}", groups.pid)).exists() {
                return None;
            }
            let now = tokio::time::Instant::now();
            let after = groups.processor();
            let elapsed = now.duration_since(at).as_nanos().max(1) as f64;
            let percent = after.saturating_sub(before) as f64 / elapsed * 100.0;
            let stats = groups.stats(percent);
            Some((Ok(stats), (groups, now, Some(after), !follow)))
        })))
    }

    /// The processes of a container, as `ps -ef` shows them.
    pub(crate) async fn processes(&self, name: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        self.running_pid(name).await?;
        let container = self.find(name).await?;
        let request = self.client.request(ListPidsRequest { container_id: container.id });
        let pids = self.client.call("Tasks.ListPids", self.client.tasks().list_pids(request)).await?;
        let pids: BTreeSet<String> = pids.processes.into_iter().map(|process| process.pid.to_string()).collect();
        let output = tokio::process::Command::new("ps")
            .arg("-ef")
            .output()
            .await
            .map_err(|error| local("the program `ps`", error))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let Some(pid_column) = titles.iter().position(|title| title == "PID") else {
            return Err(local("the program `ps`", "its output has no column PID"));
        };
        let mut rows = Vec::new();
        for line in lines {
            let mut row: Vec<String> = Vec::with_capacity(titles.len());
            let mut rest = line.trim_start();
            while row.len() + 1 < titles.len() {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                row.push(rest[..end].to_owned());
                rest = rest[end..].trim_start();
            }
            row.push(rest.to_owned());
            if row.get(pid_column).is_some_and(|pid| pids.contains(pid)) {
                rows.push(row);
            }
        }
        Ok((titles, rows))
    }
}
