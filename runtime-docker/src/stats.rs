//! Figures of a container, computed as the Docker command line does.

use std::collections::BTreeMap;

use compose_runtime::port::Stats;
use serde::Deserialize;

/// The engine's figures.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatsBody {
    cpu_stats: Cpu,
    precpu_stats: Cpu,
    memory_stats: Memory,
    networks: Option<BTreeMap<String, Interface>>,
    blkio_stats: Blkio,
    pids_stats: Processes,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    cpu_usage: CpuUsage,
    system_cpu_usage: u64,
    online_cpus: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: u64,
    percpu_usage: Option<Vec<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    usage: u64,
    limit: u64,
    stats: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    rx_bytes: u64,
    tx_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Blkio {
    io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BlkioEntry {
    op: String,
    value: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Processes {
    current: u64,
}

/// The CPU figures of the moment before.
pub(crate) struct Before(u64, u64);

impl StatsBody {
    pub(crate) fn figures(&self, before: &mut Option<Before>) -> Stats {
        let (cpu, system) = (self.cpu_stats.cpu_usage.total_usage, self.cpu_stats.system_cpu_usage);
        let previous = before
            .take()
            .unwrap_or(Before(self.precpu_stats.cpu_usage.total_usage, self.precpu_stats.system_cpu_usage));
        *before = Some(Before(cpu, system));
        let processors = match self.cpu_stats.online_cpus {
            0 => self.cpu_stats.cpu_usage.percpu_usage.as_ref().map_or(1, |each| each.len() as u64),
            count => count,
        };
        let (used, passed) = (cpu.saturating_sub(previous.0), system.saturating_sub(previous.1));
        let cpu_percent = if passed == 0 { 0.0 } else { used as f64 / passed as f64 * processors as f64 * 100.0 };
        // The page cache that can be dropped at any time is not counted: cgroup v1, then v2.
        let statistic = |name: &str| self.memory_stats.stats.as_ref()?.get(name)?.as_u64();
        let cache = statistic("total_inactive_file").or_else(|| statistic("inactive_file")).unwrap_or(0);
        let usage = self.memory_stats.usage;
        let interfaces = || self.networks.iter().flatten().map(|(_, interface)| interface);
        let block = |wanted: &str| {
            let entries = self.blkio_stats.io_service_bytes_recursive.iter().flatten();
            entries.filter(|entry| entry.op.eq_ignore_ascii_case(wanted)).map(|entry| entry.value).sum()
        };
        Stats {
            cpu_percent,
            memory_used: if cache < usage { usage - cache } else { usage },
            memory_limit: self.memory_stats.limit,
            network_received: interfaces().map(|interface| interface.rx_bytes).sum(),
            network_sent: interfaces().map(|interface| interface.tx_bytes).sum(),
            block_read: block("read"),
            block_written: block("write"),
            processes: self.pids_stats.current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_docker_command_line() {
        let body: StatsBody = serde_json::from_value(serde_json::json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 1000, "limit": 5000, "stats": {"total_inactive_file": 400}},
            "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 7}, {"op": "write", "value": 8}]},
            "pids_stats": {"current": 3},
        }))
        .expect("figures");
        let mut before = None;
        let stats = body.figures(&mut before);
        assert!((stats.cpu_percent - 40.0).abs() < 1e-9);
        assert_eq!((stats.memory_used, stats.network_received, stats.block_written, stats.processes), (600, 11, 8, 3));
        // The same figures again: no time has passed, nothing was used.
        assert!(body.figures(&mut before).cpu_percent.abs() < 1e-9);
    }
}
