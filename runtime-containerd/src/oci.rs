//! The OCI runtime specification of a container: a pure translation; what must be looked up in
//! the image or on the host comes in as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use compose_model::project::Environment;
use compose_planner::spec::{ContainerSpec, Namespace, NetworkMode};
use compose_runtime::RuntimeError;
use compose_runtime::error::Result;
use serde_json::{Value, json};

use crate::client::unsupported;
use crate::image::ImageDefaults;
use crate::resources::{device_rules, limits, resources};
use crate::seccomp::Machine;
use crate::security::Security;
use crate::users::User;

/// dockerd's default capabilities.
pub(crate) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// All capabilities in the kernel's order.
const ALL_CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Paths that a container does not see, as dockerd's.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths that a container cannot change, as dockerd's.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the host brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// The unified cgroup hierarchy alone is mounted.
    pub(crate) cgroup_v2: bool,
    /// systemd manages the cgroups.
    pub(crate) systemd: bool,
    /// The capabilities that this process could give, as the kernel's bits.
    pub(crate) capabilities: u64,
    /// The machine that filters are made for.
    pub(crate) machine: Machine,
}

impl Host {
    pub(crate) fn detect() -> Self {
        // A machine that is confined itself cannot give everything that its kernel knows.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
        let cgroup_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        Self {
            cgroup_v2,
            systemd: cgroup_v2 && Path::new("/run/systemd/system").is_dir(),
            capabilities: bounding.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(u64::MAX),
            machine: Machine::detect(),
        }
    }
}

/// A device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: String,
    /// `b` or `c`.
    pub(crate) kind: &'static str,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    /// `rwm` or less.
    pub(crate) access: String,
}

/// All that a specification is made from.
pub(crate) struct Input<'a> {
    pub(crate) id: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) image: &'a ImageDefaults,
    pub(crate) user: &'a User,
    pub(crate) host: &'a Host,
    pub(crate) hostname: &'a str,
    /// Network namespace; `None`: the host's.
    pub(crate) network: Option<PathBuf>,
    /// Mounts beyond the standard ones.
    pub(crate) mounts: Vec<Value>,
    pub(crate) devices: Vec<Device>,
    pub(crate) security: &'a Security,
    /// An init process is bound to [`INIT`] and starts the program.
    pub(crate) init: bool,
}

/// Where the init process of `init: true` is, as with dockerd.
pub(crate) const INIT: &str = "/sbin/docker-init";

/// Entrypoint and command, from the specification and the image.
pub(crate) fn words(spec: &ContainerSpec, image: &ImageDefaults) -> (Vec<String>, Vec<String>) {
    let own = spec.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    let entrypoint = spec.entrypoint.clone().or_else(|| image.entrypoint.clone()).unwrap_or_default();
    let command = match (&spec.command, own) {
        (Some(command), _) => command.clone(),
        // An entrypoint of one's own does not get the image's command as arguments.
        (None, true) => Vec::new(),
        (None, false) => image.cmd.clone().unwrap_or_default(),
    };
    (entrypoint, command)
}

/// `KEY=value` entries, from the image and the specification.
pub(crate) fn environment(image: &[String], own: &Environment, first: &[(&str, &str)]) -> Vec<String> {
    let mut entries: Vec<(String, String)> =
        first.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut set = |key: &str, value: Option<&str>| match (entries.iter().position(|(name, _)| name == key), value) {
        (Some(index), Some(value)) => entries[index].1 = value.to_owned(),
        (Some(index), None) => drop(entries.remove(index)),
        (None, Some(value)) => entries.push((key.to_owned(), value.to_owned())),
        (None, None) => {}
    };
    for entry in image {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        set(key, Some(value));
    }
    for (key, value) in own {
        set(key, value.as_deref());
    }
    entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The capabilities of a container.
pub(crate) fn capabilities(spec: &ContainerSpec, host: &Host) -> Result<Vec<&'static str>> {
    let known = ALL_CAPABILITIES;
    let possible: Vec<&'static str> = known
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| host.capabilities >> bit & 1 == 1)
        .map(|(_, name)| name)
        .collect();
    if spec.privileged {
        return Ok(possible);
    }
    let find = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let wanted = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        known
            .into_iter()
            .find(|known| *known == wanted)
            .ok_or_else(|| RuntimeError::Invalid { message: format!("unknown capability: {name}") })
    };
    let all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case("all"));
    let listed = |names: &[String]| {
        names.iter().filter(|name| !name.eq_ignore_ascii_case("all")).map(|name| find(name)).collect::<Result<Vec<_>>>()
    };
    let (added, dropped) = (listed(&spec.cap_add)?, listed(&spec.cap_drop)?);
    let base: Vec<&'static str> = if all(&spec.cap_add) {
        possible
    } else if all(&spec.cap_drop) {
        Vec::new()
    } else {
        DEFAULT_CAPABILITIES.to_vec()
    };
    let wanted = |name: &&&'static str| (base.contains(*name) && !dropped.contains(*name)) || added.contains(*name);
    Ok(known.iter().filter(wanted).copied().collect())
}

fn cgroups_path(input: &Input<'_>) -> String {
    let parent = input.spec.cgroup_parent.as_str();
    if input.host.systemd {
        format!("{}:compose:{}", if parent.is_empty() { "system.slice" } else { parent }, input.id)
    } else {
        let parent = if parent.is_empty() { input.namespace } else { parent };
        format!("/{}/{}", parent.trim_matches('/'), input.id)
    }
}

/// A namespace of the kernel that may be the host's: `Some(None)` is a new one.
fn namespace(setting: &Namespace, attribute: &str) -> Result<bool> {
    match setting {
        Namespace::Default => Ok(true),
        Namespace::Engine(mode) if mode == "host" => Ok(false),
        Namespace::Engine(mode) if matches!(mode.as_str(), "" | "private" | "shareable" | "none") => Ok(true),
        Namespace::Engine(mode) => Err(unsupported(&format!("use `{attribute}: {mode}`"))),
        // The path is filled in at each start, by `crate::sharing`.
        Namespace::Container(_) => Ok(true),
    }
}

/// The size of `/dev/shm`.
pub(crate) fn shm_bytes(spec: &ContainerSpec) -> i64 {
    if spec.shm_size.0 > 0 { spec.shm_size.0 } else { 64 * 1024 * 1024 }
}

fn standard_mounts(input: &Input<'_>, own_ipc: bool) -> Vec<Value> {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    ];
    let writable = if input.spec.privileged { "rw" } else { "ro" };
    mounts.push(mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", writable]));
    mounts.push(mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", writable]));
    if own_ipc {
        let size = format!("size={}", shm_bytes(input.spec));
        mounts.push(mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        mounts.push(json!({
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", size]
        }));
    } else {
        for path in ["/dev/mqueue", "/dev/shm"] {
            mounts.push(json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind"] }));
        }
    }
    mounts
}

/// Builds the specification.
pub(crate) fn build(input: Input<'_>) -> Result<Value> {
    let spec = input.spec;
    let (entrypoint, command) = words(spec, input.image);
    let mut arguments: Vec<String> = entrypoint.into_iter().chain(command).collect();
    if arguments.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::Invalid { message: "no command specified".to_owned() });
    }
    if input.init {
        arguments.splice(0..0, [INIT.to_owned(), "--".to_owned()]);
    }
    let mut first = vec![("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")];
    first.push(("HOSTNAME", input.hostname));
    if spec.tty {
        first.push(("TERM", "xterm"));
    }
    first.push(("HOME", &input.user.home));
    let environment = environment(input.image.env.as_deref().unwrap_or_default(), &spec.environment, &first);
    let bounding = capabilities(spec, input.host)?;
    // As `execve` does for a program without root rights.
    let effective = if input.user.uid == 0 { bounding.clone() } else { Vec::new() };
    let working_dir = [spec.working_dir.as_str(), input.image.working_dir.as_deref().unwrap_or_default(), "/"]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or("/");

    let mut namespaces = vec![json!({ "type": "mount" })];
    let own_ipc = namespace(&spec.ipc, "ipc")?;
    for (kind, own) in [
        ("pid", namespace(&spec.pid, "pid")?),
        ("ipc", own_ipc),
        ("uts", spec.uts != "host"),
        ("cgroup", if spec.cgroup.is_empty() { input.host.cgroup_v2 } else { spec.cgroup == "private" }),
    ] {
        if own {
            namespaces.push(json!({ "type": kind }));
        }
    }
    let mut sysctls: BTreeMap<String, String> = BTreeMap::new();
    if let Some(path) = &input.network {
        namespaces.push(json!({ "type": "network", "path": path }));
        if !matches!(spec.network_mode, NetworkMode::Container(_)) {
            sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
            sysctls.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
        }
    }
    sysctls.extend(spec.sysctls.clone());

    let mut resources = resources(&spec.resources)?;
    resources.insert("devices".to_owned(), device_rules(&input)?.into());
    let devices: Vec<Value> = input
        .devices
        .iter()
        .map(|device| {
            json!({
                "path": device.path, "type": device.kind, "major": device.major, "minor": device.minor,
                "fileMode": device.mode, "uid": 0, "gid": 0
            })
        })
        .collect();
    let mut mounts = standard_mounts(&input, own_ipc);
    // A user's mount takes the place of a standard one.
    let destination =
        |mount: &Value| mount["destination"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    let own: Vec<String> = input.mounts.iter().map(destination).collect();
    mounts.retain(|mount| !own.contains(&destination(mount)));
    let mut further = input.mounts.clone();
    further.sort_by_key(|mount| destination(mount).matches('/').count());
    mounts.extend(further);

    let cgroups_path = cgroups_path(&input);
    let mut result = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": spec.tty,
            "user": {
                "uid": input.user.uid, "gid": input.user.gid,
                "additionalGids": input.user.groups.iter().filter(|gid| **gid != input.user.gid).collect::<Vec<_>>(),
            },
            "args": arguments,
            "env": environment,
            "cwd": working_dir,
            "capabilities": { "bounding": bounding, "effective": effective, "permitted": effective },
            "rlimits": limits(&spec.ulimits),
            "noNewPrivileges": input.security.no_new_privileges,
        },
        "root": { "path": "rootfs", "readonly": spec.read_only },
        "mounts": mounts,
        "annotations": spec.annotations,
        "linux": {
            "resources": resources,
            "cgroupsPath": cgroups_path,
            "namespaces": namespaces,
            "devices": devices,
            "sysctl": sysctls,
        },
    });
    if spec.resources.oom_score_adj != 0 {
        result["process"]["oomScoreAdj"] = spec.resources.oom_score_adj.into();
    }
    if spec.uts != "host" {
        result["hostname"] = input.hostname.into();
        if !spec.domainname.is_empty() {
            result["domainname"] = spec.domainname.clone().into();
        }
    }
    if let Some(profile) = &input.security.apparmor {
        result["process"]["apparmorProfile"] = profile.clone().into();
    }
    if let Some(profile) = &input.security.seccomp
        && let Some(filter) = crate::seccomp::filter(profile, &input.host.machine, &bounding)
    {
        result["linux"]["seccomp"] = filter;
    }
    if !input.security.unmasked {
        result["linux"]["maskedPaths"] = json!(MASKED);
        result["linux"]["readonlyPaths"] = json!(READ_ONLY);
    }
    Ok(result)
}

#[cfg(test)]
#[path = "oci_tests.rs"]
mod tests;
