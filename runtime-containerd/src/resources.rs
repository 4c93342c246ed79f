//! What a container may use: processor, memory, disks, devices, and the limits of its processes.

use std::collections::BTreeMap;

use compose_model::project::Ulimit;
use compose_planner::spec::ResourceSpec;
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Map, Value, json};

use crate::oci::Input;

fn device_numbers(path: &str) -> Result<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).map_err(|error| crate::client::local(path, error))?;
    Ok((rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev())))
}

/// `linux.resources` without devices.
pub(crate) fn resources(wanted: &ResourceSpec) -> Result<Map<String, Value>> {
    let mut all = Map::new();
    let mut cpu = Map::new();
    let (mut period, mut quota) = (wanted.cpu_period, wanted.cpu_quota);
    if wanted.nano_cpus > 0 {
        period = 100_000;
        quota = i64::try_from(i128::from(wanted.nano_cpus) * 100_000 / 1_000_000_000).unwrap_or(i64::MAX);
    }
    for (key, value) in [
        ("period", period),
        ("quota", quota),
        ("shares", wanted.cpu_shares),
        ("realtimePeriod", wanted.cpu_rt_period),
        ("realtimeRuntime", wanted.cpu_rt_runtime),
    ] {
        if value != 0 {
            cpu.insert(key.to_owned(), value.into());
        }
    }
    if !wanted.cpuset.is_empty() {
        cpu.insert("cpus".to_owned(), wanted.cpuset.clone().into());
    }
    let mut memory = Map::new();
    let limit = wanted.mem_limit.0;
    for (key, value) in [("limit", limit), ("reservation", wanted.mem_reservation.0)] {
        if value > 0 {
            memory.insert(key.to_owned(), value.into());
        }
    }
    // dockerd's default: as much swap as memory.
    match wanted.memswap_limit.0 {
        0 if limit > 0 => drop(memory.insert("swap".to_owned(), limit.saturating_mul(2).into())),
        0 => {}
        value => drop(memory.insert("swap".to_owned(), value.into())),
    }
    if let Some(swappiness) = wanted.mem_swappiness.filter(|value| *value >= 0) {
        memory.insert("swappiness".to_owned(), swappiness.into());
    }
    if wanted.oom_kill_disable {
        memory.insert("disableOOMKiller".to_owned(), true.into());
    }
    if wanted.pids_limit != 0 {
        let limit = if wanted.pids_limit < 0 { -1 } else { wanted.pids_limit };
        all.insert("pids".to_owned(), json!({ "limit": limit }));
    }
    if let Some(blkio) = &wanted.blkio {
        let mut block = Map::new();
        if blkio.weight > 0 {
            block.insert("weight".to_owned(), blkio.weight.into());
        }
        let mut weights = Vec::new();
        for device in &blkio.weight_device {
            let (major, minor) = device_numbers(&device.path)?;
            weights.push(json!({ "major": major, "minor": minor, "weight": device.weight }));
        }
        block.insert("weightDevice".to_owned(), weights.into());
        for (key, devices) in [
            ("throttleReadBpsDevice", &blkio.device_read_bps),
            ("throttleWriteBpsDevice", &blkio.device_write_bps),
            ("throttleReadIOPSDevice", &blkio.device_read_iops),
            ("throttleWriteIOPSDevice", &blkio.device_write_iops),
        ] {
            let mut list = Vec::new();
            for device in devices {
                let (major, minor) = device_numbers(&device.path)?;
                list.push(json!({ "major": major, "minor": minor, "rate": device.rate.0 }));
            }
            block.insert(key.to_owned(), list.into());
        }
        all.insert("blockIO".to_owned(), block.into());
    }
    for (key, part) in [("cpu", cpu), ("memory", memory)] {
        if !part.is_empty() {
            all.insert(key.to_owned(), part.into());
        }
    }
    Ok(all)
}

pub(crate) fn device_rules(input: &Input<'_>) -> Result<Vec<Value>> {
    if input.spec.privileged {
        return Ok(vec![json!({ "allow": true, "access": "rwm" })]);
    }
    // runc adds the default devices by itself.
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    for device in &input.devices {
        rules.push(json!({
            "allow": true, "type": device.kind, "major": device.major, "minor": device.minor, "access": device.access
        }));
    }
    for rule in &input.spec.device_cgroup_rules {
        let wrong = || RuntimeError::Invalid { message: format!("invalid device cgroup rule: `{rule}`") };
        let mut parts = rule.split_whitespace();
        let (kind, numbers, access) = (parts.next(), parts.next(), parts.next());
        let (Some(kind), Some((major, minor)), Some(access)) =
            (kind, numbers.and_then(|text| text.split_once(':')), access)
        else {
            return Err(wrong());
        };
        let mut entry = Map::from_iter([
            ("allow".to_owned(), true.into()),
            ("type".to_owned(), kind.into()),
            ("access".to_owned(), access.into()),
        ]);
        for (key, number) in [("major", major), ("minor", minor)] {
            if number != "*" {
                entry.insert(key.to_owned(), number.parse::<i64>().map_err(|_| wrong())?.into());
            }
        }
        rules.push(entry.into());
    }
    Ok(rules)
}

pub(crate) fn limits(ulimits: &BTreeMap<String, Ulimit>) -> Vec<Value> {
    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let limit = |(name, limit): (&String, &Ulimit)| {
        let (soft, hard) = match limit {
            Ulimit::Single(both) => (*both, *both),
            Ulimit::Pair { soft, hard } => (*soft, *hard),
        };
        json!({
            "type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": number(soft), "hard": number(hard)
        })
    };
    ulimits.iter().map(limit).collect()
}
