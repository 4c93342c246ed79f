//! What an inspection tells of how a container was made, in the words of Compose files. Only for
//! showing: `alpha generate` makes a file of it.

use std::collections::BTreeMap;

use compose_planner::observed::{Further, READ_ONLY};
use serde::Deserialize;

use crate::containers::InspectedConfig;

/// What the engine gives a container that asks for nothing else, in bytes.
const USUAL_SHM: i64 = 64 * 1024 * 1024;

/// A mount.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Mount {
    #[serde(rename = "Destination")]
    destination: String,
    #[serde(rename = "RW")]
    writable: bool,
}

/// The rest of an inspection's `HostConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    cap_add: Option<Vec<String>>,
    cap_drop: Option<Vec<String>>,
    dns: Option<Vec<String>>,
    dns_options: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    extra_hosts: Option<Vec<String>>,
    group_add: Option<Vec<String>>,
    security_opt: Option<Vec<String>>,
    sysctls: Option<BTreeMap<String, String>>,
    tmpfs: Option<BTreeMap<String, String>>,
    devices: Option<Vec<Device>>,
    ulimits: Option<Vec<Ulimit>>,
    init: Option<bool>,
    pid_mode: String,
    ipc_mode: String,
    uts_mode: String,
    #[serde(rename = "UsernsMode")]
    userns_mode: String,
    cgroup_parent: String,
    runtime: String,
    shm_size: i64,
    log_config: LogConfig,
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Device {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ulimit {
    name: String,
    soft: i64,
    hard: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    r#type: String,
    config: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    host_ip: String,
    host_port: String,
}

/// The attributes by their names; what is usual is left out.
pub(crate) fn attributes(
    config: &InspectedConfig,
    host: &HostConfig,
    mounts: Option<&[Mount]>,
) -> BTreeMap<String, Further> {
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: Further| drop(all.insert(name.to_owned(), value));
    for (name, list) in [
        ("cap_add", &host.cap_add),
        ("cap_drop", &host.cap_drop),
        ("dns", &host.dns),
        ("dns_opt", &host.dns_options),
        ("dns_search", &host.dns_search),
        ("extra_hosts", &host.extra_hosts),
        ("group_add", &host.group_add),
        ("security_opt", &host.security_opt),
    ] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            // As files write them; a container that we or the reference made has the long form.
            let prefix = if name.starts_with("cap_") { "CAP_" } else { "" };
            let short = |entry: &String| entry.strip_prefix(prefix).unwrap_or(entry).to_owned();
            put(name, Further::List(list.iter().map(short).collect()));
        }
    }
    for (name, text, usual) in [
        ("stop_signal", &config.stop_signal, ""),
        ("pid", &host.pid_mode, ""),
        ("ipc", &host.ipc_mode, "private"),
        ("uts", &host.uts_mode, ""),
        ("userns_mode", &host.userns_mode, ""),
        ("cgroup_parent", &host.cgroup_parent, ""),
        ("runtime", &host.runtime, "runc"),
    ] {
        if !text.is_empty() && text != usual {
            put(name, Further::Text(text.clone()));
        }
    }
    for (name, flag) in [("init", host.init.unwrap_or_default()), ("stdin_open", config.open_stdin)] {
        if flag {
            put(name, Further::Flag(true));
        }
    }
    if let Some(sysctls) = host.sysctls.as_ref().filter(|sysctls| !sysctls.is_empty()) {
        put("sysctls", Further::Mapping(sysctls.clone()));
    }
    if let Some(seconds) = config.stop_timeout {
        put("stop_grace_period", Further::Text(format!("{seconds}s")));
    }
    if host.shm_size != 0 && host.shm_size != USUAL_SHM {
        put("shm_size", Further::Text(host.shm_size.to_string()));
    }
    let tmpfs = host.tmpfs.iter().flatten().map(|(path, options)| with_options(path, options));
    put_list(&mut all, "tmpfs", tmpfs);
    let device =
        |device: &Device| format!("{}:{}:{}", device.path_on_host, device.path_in_container, device.cgroup_permissions);
    put_list(&mut all, "devices", host.devices.iter().flatten().map(device));
    for limit in host.ulimits.iter().flatten() {
        all.insert(format!("ulimits.{}.soft", limit.name), Further::Number(limit.soft));
        all.insert(format!("ulimits.{}.hard", limit.name), Further::Number(limit.hard));
    }
    let options = host.log_config.config.clone().unwrap_or_default();
    if !options.is_empty() || !matches!(host.log_config.r#type.as_str(), "" | "json-file") {
        all.insert("logging.driver".to_owned(), Further::Text(host.log_config.r#type.clone()));
        if !options.is_empty() {
            all.insert("logging.options".to_owned(), Further::Mapping(options));
        }
    }
    check(&mut all, config);
    put_list(&mut all, "ports", host.port_bindings.iter().flatten().flat_map(|(port, bindings)| ports(port, bindings)));
    let fixed = mounts.unwrap_or_default().iter().filter(|mount| !mount.writable);
    put_list(&mut all, READ_ONLY, fixed.map(|mount| mount.destination.clone()));
    all
}

fn put_list(all: &mut BTreeMap<String, Further>, name: &str, list: impl Iterator<Item = String>) {
    let list: Vec<String> = list.collect();
    if !list.is_empty() {
        all.insert(name.to_owned(), Further::List(list));
    }
}

fn with_options(path: &str, options: &str) -> String {
    if options.is_empty() { path.to_owned() } else { format!("{path}:{options}") }
}

fn check(all: &mut BTreeMap<String, Further>, config: &InspectedConfig) {
    let Some(check) = &config.healthcheck else { return };
    let Some(test) = check.test.as_ref().filter(|test| !test.is_empty()) else { return };
    all.insert("healthcheck.test".to_owned(), Further::List(test.clone()));
    for (name, time) in [("interval", check.interval), ("timeout", check.timeout), ("start_period", check.start_period)]
    {
        if time > 0 {
            all.insert(format!("healthcheck.{name}"), Further::Text(duration(time)));
        }
    }
    if check.retries > 0 {
        all.insert("healthcheck.retries".to_owned(), Further::Number(check.retries.into()));
    }
}

/// Nanoseconds in the largest unit that has no fraction.
fn duration(nanoseconds: u64) -> String {
    let units = [(60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.into_iter().find(|(length, _)| nanoseconds.is_multiple_of(*length));
    unit.map_or_else(|| format!("{nanoseconds}ns"), |(length, name)| format!("{}{name}", nanoseconds / length))
}

/// The bindings of `80/tcp` in the short form.
fn ports(port: &str, bindings: &Option<Vec<Binding>>) -> Vec<String> {
    let port = port.strip_suffix("/tcp").unwrap_or(port);
    let short = |binding: &Binding| {
        let published = if binding.host_port == "0" { "" } else { binding.host_port.as_str() };
        match (binding.host_ip.as_str(), published) {
            ("" | "0.0.0.0", "") => port.to_owned(),
            ("" | "0.0.0.0", published) => format!("{published}:{port}"),
            (address, published) if address.contains(':') => format!("[{address}]:{published}:{port}"),
            (address, published) => format!("{address}:{published}:{port}"),
        }
    };
    bindings.iter().flatten().map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspection_is_told_in_the_words_of_compose_files() {
        let config: InspectedConfig = serde_json::from_value(serde_json::json!({
            "StopSignal": "SIGKILL", "StopTimeout": 3, "OpenStdin": true,
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 90_000_000_000_u64, "Retries": 2},
        }))
        .expect("a configuration");
        let host: HostConfig = serde_json::from_value(serde_json::json!({
            "CapAdd": ["CAP_NET_ADMIN"], "CapDrop": null, "Runtime": "runc", "IpcMode": "private", "ShmSize": 67_108_864,
            "Init": true, "Tmpfs": {"/t": "size=1m", "/u": ""}, "Sysctls": {"a.b": "1"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
            "PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}, {"HostIp": "::1", "HostPort": "81"}],
                "90/udp": [{"HostIp": "", "HostPort": "91"}], "70/tcp": null,
            },
        }))
        .expect("a host configuration");
        let mounts =
            [Mount { destination: "/a".into(), writable: false }, Mount { destination: "/b".into(), writable: true }];
        let lines: Vec<String> = attributes(&config, &host, Some(&mounts))
            .into_iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        let expected = [
            r#"cap_add: List(["NET_ADMIN"])"#,
            r#"healthcheck.interval: Text("90s")"#,
            r#"healthcheck.retries: Number(2)"#,
            r#"healthcheck.test: List(["CMD", "true"])"#,
            r#"init: Flag(true)"#,
            r#"logging.driver: Text("json-file")"#,
            r#"logging.options: Mapping({"max-size": "1m"})"#,
            r#"ports: List(["127.0.0.1::80", "[::1]:81:80", "91:90/udp"])"#,
            r#"read-only mounts: List(["/a"])"#,
            r#"stdin_open: Flag(true)"#,
            r#"stop_grace_period: Text("3s")"#,
            r#"stop_signal: Text("SIGKILL")"#,
            r#"sysctls: Mapping({"a.b": "1"})"#,
            r#"tmpfs: List(["/t:size=1m", "/u"])"#,
            r#"ulimits.nofile.hard: Number(2)"#,
            r#"ulimits.nofile.soft: Number(1)"#,
        ];
        assert_eq!(lines, expected);
    }
}
