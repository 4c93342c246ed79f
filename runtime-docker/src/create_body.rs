//! From a container's specification to the body of the engine's `create` call.
//!
//! The SDK's models are the body's types, so that every field's spelling is checked; the few
//! that they lack are added to the JSON.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models;
use compose_model::names::ContainerName;
use compose_model::project::{DeviceMapping, Place, StringMap, Ulimit};
use compose_planner::labels;
use compose_planner::op::Target;
use compose_planner::spec::{
    API_CREDENTIALS, ContainerSpec, EndpointSpec, HealthcheckSpec, MountSource, MountSpec, Namespace, NetworkMode,
    RestartPolicy,
};
use compose_runtime::error::Result;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::error;
use crate::transport::ApiVersion;

/// What the endpoint says about containers.
pub(crate) struct Defaults {
    pub(crate) platform: String,
    socket: String,
    config: std::path::PathBuf,
    /// Seconds between asking a container to stop and killing it, where the file says nothing and
    /// the engine has to be told.
    stop_timeout: Option<i64>,
}

/// What a Docker engine waits by itself. Podman's service takes silence for none at all, and kills.
const STOP_TIMEOUT: i64 = 10;

impl Defaults {
    pub(crate) fn of(endpoint: &Endpoint, is_podman: bool) -> Self {
        let socket = endpoint.host.strip_prefix("unix://").filter(|path| !path.is_empty());
        Self {
            platform: endpoint.default_platform.clone(),
            socket: socket.unwrap_or("/var/run/docker.sock").to_owned(),
            config: endpoint.config_directory.join("config.json"),
            stop_timeout: is_podman.then_some(STOP_TIMEOUT),
        }
    }

    /// The user's registry configuration, if there is one.
    pub(crate) fn registry_config(&self) -> Option<String> {
        std::fs::read_to_string(&self.config).ok()
    }
}

/// The archive that puts the registry configuration into a container.
pub(crate) fn registry_config_archive(config: &[u8]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(config.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    let path = format!("{}/config.json", API_CREDENTIALS.trim_start_matches('/'));
    let written = archive.append_data(&mut header, path, config).and_then(|()| archive.into_inner());
    written.map_err(|cause| error::local(format!("cannot pack the registry configuration: {cause}")))
}

/// The body, as JSON.
pub(crate) fn body(
    spec: &ContainerSpec,
    image: Option<String>,
    version: ApiVersion,
    defaults: &Defaults,
) -> Result<Value> {
    let mut all_labels = hash_map(&spec.labels);
    if let Some(image) = image {
        all_labels.insert(labels::IMAGE.to_owned(), image);
    }
    let mut environment: Vec<String> = spec
        .environment
        .iter()
        .map(|(key, value)| value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")))
        .collect();
    // Who sets the variable wants credentials of their own.
    if spec.use_api_socket && !spec.environment.contains_key("DOCKER_CONFIG") {
        environment.push(format!("DOCKER_CONFIG={API_CREDENTIALS}"));
    }
    let mut exposed: Vec<String> = spec.expose.iter().flat_map(|text| exposed(text)).collect();
    exposed.extend(spec.ports.iter().map(|port| format!("{}/{}", port.target, protocol(&port.protocol))));
    exposed.sort();
    exposed.dedup();
    let body = models::ContainerCreateBody {
        hostname: some(&spec.hostname),
        domainname: some(&spec.domainname),
        user: some(&spec.user),
        attach_stdin: Some(spec.stdin_once),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(exposed).filter(|list| !list.is_empty()),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin_open),
        stdin_once: Some(spec.stdin_once),
        env: Some(environment),
        cmd: spec.command.clone(),
        healthcheck: spec.healthcheck.as_ref().map(healthcheck),
        image: Some(spec.image.as_str().to_owned()),
        working_dir: some(&spec.working_dir),
        entrypoint: spec.entrypoint.clone(),
        labels: Some(all_labels),
        stop_signal: some(&spec.stop_signal),
        stop_timeout: spec.stop_grace_period.map(|period| period.0 / 1_000_000_000).or(defaults.stop_timeout),
        host_config: Some(host_config(spec, version, defaults)?),
        networking_config: networking(spec, version),
        ..models::ContainerCreateBody::default()
    };
    let mut body =
        serde_json::to_value(body).map_err(|cause| error::local(format!("cannot write a request: {cause}")))?;
    complete(&mut body, spec, version);
    Ok(body)
}

/// What the SDK's models lack.
fn complete(body: &mut Value, spec: &ContainerSpec, version: ApiVersion) {
    // Below 1.44 the engine takes the address from the top level alone.
    let mac = spec.networks.first().map(|endpoint| &endpoint.mac_address).filter(|mac| !mac.is_empty());
    let mac = mac.unwrap_or(&spec.mac_address);
    if version < ApiVersion(1, 44) && !mac.is_empty() {
        body["MacAddress"] = Value::from(mac.as_str());
    }
    // Texts where the SDK has closed enumerations: the engine judges them.
    let host = &mut body["HostConfig"];
    if !spec.cgroup.is_empty() {
        host["CgroupnsMode"] = Value::from(spec.cgroup.as_str());
    }
    if !spec.isolation.is_empty() {
        host["Isolation"] = Value::from(spec.isolation.as_str());
    }
    let propagations: BTreeMap<&str, &str> = spec
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Bind { propagation, .. } if !propagation.is_empty() => {
                Some((mount.target.as_str(), propagation.as_str()))
            }
            _ => None,
        })
        .collect();
    for mount in host["Mounts"].as_array_mut().into_iter().flatten() {
        let propagation = mount["Target"].as_str().and_then(|target| propagations.get(target).copied());
        if let Some(propagation) = propagation {
            mount["BindOptions"]["Propagation"] = Value::from(propagation);
        }
    }
}

fn hash_map(map: &StringMap) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn maybe_map(map: &StringMap) -> Option<HashMap<String, String>> {
    Some(map).filter(|map| !map.is_empty()).map(hash_map)
}

fn some(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn list(list: &[String]) -> Option<Vec<String>> {
    Some(list).filter(|list| !list.is_empty()).map(<[String]>::to_vec)
}

fn non_zero<T: Default + PartialEq>(value: T) -> Option<T> {
    Some(value).filter(|value| *value != T::default())
}

fn protocol(text: &str) -> &str {
    if text.is_empty() { "tcp" } else { text }
}

/// `80`, `80/udp`, `80-82/tcp` as single ports.
fn exposed(text: &str) -> Vec<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match ports.split_once('-').map(|(first, last)| (first.parse::<u16>(), last.parse::<u16>())) {
        Some((Ok(first), Ok(last))) => (first..=last).map(|port| format!("{port}/{protocol}")).collect(),
        _ => vec![format!("{ports}/{protocol}")],
    }
}

fn healthcheck(check: &HealthcheckSpec) -> models::HealthConfig {
    let nanoseconds = |duration: Option<compose_model::units::Duration>| duration.map(|duration| duration.0);
    models::HealthConfig {
        test: list(&check.test),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: check.retries.and_then(|retries| i64::try_from(retries).ok()),
        start_period: nanoseconds(check.start_period),
        start_interval: nanoseconds(check.start_interval),
    }
}

fn target(target: &Target) -> &str {
    match target {
        Target::Existing { id, .. } => id.as_str(),
        Target::MadeBy { name, .. } | Target::Named { name } => ContainerName::as_str(name),
    }
}

fn namespace(namespace: &Namespace) -> Option<String> {
    match namespace {
        Namespace::Default => None,
        Namespace::Container(other) => Some(format!("container:{}", target(other))),
        Namespace::Engine(mode) => Some(mode.clone()),
    }
}

/// What the engine knows the endpoint's network by.
fn network_key(endpoint: &EndpointSpec) -> String {
    endpoint.network_id.clone().unwrap_or_else(|| endpoint.network.as_str().to_owned())
}

fn network_mode(spec: &ContainerSpec) -> String {
    match &spec.network_mode {
        NetworkMode::Networks => spec.networks.first().map_or_else(|| "none".to_owned(), network_key),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::Container(other) => format!("container:{}", target(other)),
        NetworkMode::Engine(mode) => mode.clone(),
    }
}

fn networking(spec: &ContainerSpec, version: ApiVersion) -> Option<models::NetworkingConfig> {
    if !matches!(spec.network_mode, NetworkMode::Networks) || spec.networks.is_empty() {
        return None;
    }
    let count = if version >= ApiVersion(1, 44) { spec.networks.len() } else { 1 };
    let mut endpoints: HashMap<String, models::EndpointSettings> = HashMap::new();
    for (index, endpoint) in spec.networks.iter().take(count).enumerate() {
        let mut settings = endpoint_settings(endpoint, version);
        if index == 0 && endpoint.mac_address.is_empty() && version >= ApiVersion(1, 44) {
            settings.mac_address = some(&spec.mac_address);
        }
        endpoints.insert(network_key(endpoint), settings);
    }
    Some(models::NetworkingConfig { endpoints_config: Some(endpoints) })
}

/// A container's place in a network.
pub(crate) fn endpoint_settings(endpoint: &EndpointSpec, version: ApiVersion) -> models::EndpointSettings {
    let addresses = models::EndpointIpamConfig {
        ipv4_address: some(&endpoint.ipv4_address),
        ipv6_address: some(&endpoint.ipv6_address),
        link_local_ips: list(&endpoint.link_local_ips),
    };
    let mut options = hash_map(&endpoint.driver_opts);
    if !endpoint.interface_name.is_empty() {
        options.insert("com.docker.network.endpoint.ifname".to_owned(), endpoint.interface_name.clone());
    }
    models::EndpointSettings {
        ipam_config: Some(addresses).filter(|addresses| *addresses != models::EndpointIpamConfig::default()),
        links: list(&endpoint.links),
        aliases: list(&endpoint.aliases),
        mac_address: some(&endpoint.mac_address),
        driver_opts: Some(options).filter(|options| !options.is_empty()),
        gw_priority: non_zero(endpoint.gw_priority).filter(|_| version >= ApiVersion(1, 48)),
        ..models::EndpointSettings::default()
    }
}

fn host_config(spec: &ContainerSpec, version: ApiVersion, defaults: &Defaults) -> Result<models::HostConfig> {
    let mut binds = Vec::new();
    let mut mounts = Vec::new();
    for mount in &spec.mounts {
        match bind_text(mount, version) {
            Some(text) => binds.push(text),
            None => mounts.push(mount_object(mount, version)),
        }
    }
    if spec.use_api_socket {
        binds.push(format!("{}:/var/run/docker.sock", defaults.socket));
    }
    let mut bindings: models::PortMap = HashMap::new();
    for port in &spec.ports {
        let key = format!("{}/{}", port.target, protocol(&port.protocol));
        let binding =
            models::PortBinding { host_ip: Some(port.host_ip.clone()), host_port: Some(port.published.clone()) };
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    let tmpfs = spec.tmpfs.iter().map(|text| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    });
    let volumes_from = spec.volumes_from.iter().map(|from| {
        let mode = if from.read_only { "ro" } else { "rw" };
        format!("{}:{mode}", target(&from.container))
    });
    let security = security(spec)?;
    let (devices, requests) = devices(spec);
    let resources = &spec.resources;
    let blkio = resources.blkio.as_ref();
    let throttle = |list: &[compose_model::project::ThrottleDevice]| {
        let devices: Vec<_> = list
            .iter()
            .map(|device| models::ThrottleDevice { path: Some(device.path.clone()), rate: Some(device.rate.0) })
            .collect();
        Some(devices).filter(|devices| !devices.is_empty())
    };
    let weights = blkio.map(|blkio| {
        let device = |device: &compose_model::project::WeightDevice| models::ResourcesBlkioWeightDevice {
            path: Some(device.path.clone()),
            weight: Some(device.weight.into()),
        };
        blkio.weight_device.iter().map(device).collect::<Vec<_>>()
    });
    Ok(models::HostConfig {
        cpu_shares: non_zero(resources.cpu_shares),
        memory: non_zero(resources.mem_limit.0),
        cgroup_parent: some(&spec.cgroup_parent),
        blkio_weight: blkio.and_then(|blkio| non_zero(blkio.weight)),
        blkio_weight_device: weights.filter(|weights| !weights.is_empty()),
        blkio_device_read_bps: blkio.and_then(|blkio| throttle(&blkio.device_read_bps)),
        blkio_device_write_bps: blkio.and_then(|blkio| throttle(&blkio.device_write_bps)),
        blkio_device_read_iops: blkio.and_then(|blkio| throttle(&blkio.device_read_iops)),
        blkio_device_write_iops: blkio.and_then(|blkio| throttle(&blkio.device_write_iops)),
        cpu_period: non_zero(resources.cpu_period),
        cpu_quota: non_zero(resources.cpu_quota),
        cpu_realtime_period: non_zero(resources.cpu_rt_period),
        cpu_realtime_runtime: non_zero(resources.cpu_rt_runtime),
        cpuset_cpus: some(&resources.cpuset),
        devices,
        device_cgroup_rules: list(&spec.device_cgroup_rules),
        device_requests: requests,
        memory_reservation: non_zero(resources.mem_reservation.0),
        memory_swap: non_zero(resources.memswap_limit.0),
        memory_swappiness: resources.mem_swappiness,
        nano_cpus: non_zero(resources.nano_cpus),
        oom_kill_disable: Some(resources.oom_kill_disable).filter(|disable| *disable),
        init: spec.init,
        pids_limit: non_zero(resources.pids_limit),
        ulimits: Some(spec.ulimits.iter().map(ulimit).collect::<Vec<_>>()).filter(|list| !list.is_empty()),
        cpu_count: non_zero(resources.cpu_count),
        cpu_percent: non_zero(resources.cpu_percent),
        binds: Some(binds).filter(|binds| !binds.is_empty()),
        log_config: spec.logging.as_ref().map(|logging| models::HostConfigLogConfig {
            typ: Some(logging.driver.clone()),
            config: Some(hash_map(&logging.options)),
        }),
        network_mode: Some(network_mode(spec)),
        port_bindings: Some(bindings).filter(|bindings| !bindings.is_empty()),
        restart_policy: Some(restart_policy(&spec.restart)),
        auto_remove: Some(spec.auto_remove).filter(|remove| *remove),
        volumes_from: Some(volumes_from.collect::<Vec<_>>()).filter(|list| !list.is_empty()),
        mounts: Some(mounts).filter(|mounts| !mounts.is_empty()),
        annotations: maybe_map(&spec.annotations),
        cap_add: capabilities(&spec.cap_add),
        cap_drop: capabilities(&spec.cap_drop),
        dns: list(&spec.dns),
        dns_options: list(&spec.dns_opt),
        dns_search: list(&spec.dns_search),
        extra_hosts: list(&spec.extra_hosts.iter().map(|host| host.replacen('=', ":", 1)).collect::<Vec<_>>()),
        group_add: list(&spec.group_add),
        ipc_mode: namespace(&spec.ipc),
        links: list(&spec.links),
        oom_score_adj: non_zero(resources.oom_score_adj),
        pid_mode: namespace(&spec.pid),
        privileged: Some(spec.privileged).filter(|privileged| *privileged),
        readonly_rootfs: Some(spec.read_only).filter(|read_only| *read_only),
        masked_paths: security.unconfined.then(Vec::new),
        readonly_paths: security.unconfined.then(Vec::new),
        security_opt: list(&security.options),
        storage_opt: maybe_map(&spec.storage_opt),
        tmpfs: Some(tmpfs.collect::<HashMap<_, _>>()).filter(|map| !map.is_empty()),
        uts_mode: some(&spec.uts),
        userns_mode: some(&spec.userns_mode),
        shm_size: non_zero(spec.shm_size.0),
        sysctls: maybe_map(&spec.sysctls),
        runtime: some(&spec.runtime),
        ..models::HostConfig::default()
    })
}

fn ulimit((name, limit): (&String, &Ulimit)) -> models::ResourcesUlimits {
    let (soft, hard) = match *limit {
        Ulimit::Single(both) => (both, both),
        Ulimit::Pair { soft, hard } => (soft, hard),
    };
    models::ResourcesUlimits { name: Some(name.clone()), soft: Some(soft), hard: Some(hard) }
}

fn restart_policy(policy: &RestartPolicy) -> models::RestartPolicy {
    let (name, count) = match *policy {
        RestartPolicy::No => (models::RestartPolicyNameEnum::NO, 0),
        RestartPolicy::Always => (models::RestartPolicyNameEnum::ALWAYS, 0),
        RestartPolicy::UnlessStopped => (models::RestartPolicyNameEnum::UNLESS_STOPPED, 0),
        RestartPolicy::OnFailure(count) => {
            (models::RestartPolicyNameEnum::ON_FAILURE, i64::try_from(count).unwrap_or(0))
        }
    };
    models::RestartPolicy { name: Some(name), maximum_retry_count: Some(count) }
}

/// Names of capabilities as the engine writes them: `NET_ADMIN` is `CAP_NET_ADMIN`, and `ALL` says all.
fn capabilities(names: &[String]) -> Option<Vec<String>> {
    let name = |name: &String| {
        let name = name.trim().to_ascii_uppercase();
        if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    };
    let names: BTreeSet<String> = names.iter().map(name).collect();
    if names.contains("ALL") {
        return Some(vec!["ALL".to_owned()]);
    }
    Some(names.into_iter().collect()).filter(|names: &Vec<String>| !names.is_empty())
}

/// The short form of a mount, where it says all: the reference uses it too, and only it makes
/// missing host directories on every engine.
fn bind_text(mount: &MountSpec, version: ApiVersion) -> Option<String> {
    let mut options = vec![if mount.read_only { "ro" } else { "rw" }];
    let source = match &mount.source {
        MountSource::Bind { path, create_host_path: true, propagation, recursive, selinux }
            // Only a text has a label of SELinux; on old engines only a text makes a missing path; and
            // what is no propagation is left for the engine to refuse.
            if recursive.is_empty()
                && !path.contains(':')
                && (propagation.is_empty() || !selinux.is_empty() || version < ApiVersion(1, 42)
                    || propagation.parse::<models::MountBindOptionsPropagationEnum>().is_err()) =>
        {
            options.extend([selinux.as_str(), propagation.as_str()].into_iter().filter(|option| !option.is_empty()));
            path.as_str()
        }
        MountSource::Volume { name, nocopy, subpath, labels, selinux }
            if subpath.is_empty() && labels.is_empty() && (!nocopy || !selinux.is_empty()) =>
        {
            options.extend(Some(selinux.as_str()).filter(|option| !option.is_empty()));
            if *nocopy {
                options.push("nocopy");
            }
            name.as_str()
        }
        _ => return None,
    };
    (!mount.target.contains(':')).then(|| format!("{source}:{}:{}", mount.target, options.join(",")))
}

fn mount_object(mount: &MountSpec, version: ApiVersion) -> models::Mount {
    let mut object = models::Mount {
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only).filter(|read_only| *read_only),
        consistency: some(&mount.consistency),
        ..models::Mount::default()
    };
    let volume = |nocopy: bool, subpath: &str, labels: &StringMap| {
        let options = models::MountVolumeOptions {
            no_copy: Some(nocopy).filter(|nocopy| *nocopy),
            labels: maybe_map(labels),
            subpath: some(subpath),
            driver_config: None,
        };
        Some(options).filter(|options| *options != models::MountVolumeOptions::default())
    };
    match &mount.source {
        MountSource::Bind { path, create_host_path, propagation, recursive, .. } => {
            object.typ = Some(models::MountType::BIND);
            object.source = Some(path.clone());
            let options = models::MountBindOptions {
                create_mountpoint: Some(true).filter(|_| *create_host_path && version >= ApiVersion(1, 42)),
                propagation: propagation.parse().ok().filter(|_| !propagation.is_empty()),
                non_recursive: Some(true).filter(|_| recursive == "disabled"),
                read_only_non_recursive: Some(true).filter(|_| recursive == "writable"),
                read_only_force_recursive: Some(true).filter(|_| recursive == "readonly"),
            };
            object.bind_options = Some(options).filter(|options| *options != models::MountBindOptions::default());
        }
        MountSource::Volume { name, nocopy, subpath, labels, .. } => {
            object.typ = Some(models::MountType::VOLUME);
            object.source = Some(name.as_str().to_owned());
            object.volume_options = volume(*nocopy, subpath, labels);
        }
        MountSource::Anonymous { carried, nocopy, subpath, labels } => {
            object.typ = Some(models::MountType::VOLUME);
            object.source = carried.as_ref().map(|name| name.as_str().to_owned());
            object.volume_options = volume(*nocopy, subpath, labels);
        }
        MountSource::Tmpfs { size, mode } => {
            object.typ = Some(models::MountType::TMPFS);
            let options = models::MountTmpfsOptions {
                size_bytes: non_zero(size.0),
                mode: non_zero(i64::from(*mode)),
                options: None,
            };
            object.tmpfs_options = Some(options).filter(|options| *options != models::MountTmpfsOptions::default());
        }
        MountSource::Image { image, subpath } => {
            object.typ = Some(models::MountType::IMAGE);
            object.source = Some(image.as_str().to_owned());
            object.image_options = some(subpath).map(|subpath| models::MountImageOptions { subpath: Some(subpath) });
        }
        MountSource::NamedPipe { path } => {
            object.typ = Some(models::MountType::NPIPE);
            object.source = Some(path.clone());
        }
        MountSource::Cluster { name } => {
            object.typ = Some(models::MountType::CLUSTER);
            object.source = Some(name.clone());
        }
    }
    object
}

struct Security {
    options: Vec<String>,
    /// `systempaths=unconfined`: no masked and no read-only paths.
    unconfined: bool,
}

/// A seccomp profile's file is read here: the engine wants its text.
fn security(spec: &ContainerSpec) -> Result<Security> {
    let mut security = Security { options: Vec::new(), unconfined: false };
    for (index, option) in spec.security_opt.iter().enumerate() {
        let (key, value) = option.split_once('=').or_else(|| option.split_once(':')).unwrap_or((option, ""));
        match key {
            "systempaths" if value == "unconfined" => security.unconfined = true,
            "seccomp" if !matches!(value, "unconfined" | "builtin") => {
                let place = spec.places.get(&format!("security_opt.{index}"));
                security.options.push(format!("seccomp={}", seccomp(value, place)?));
            }
            _ => security.options.push(option.clone()),
        }
    }
    Ok(security)
}

fn seccomp(path: &str, place: Option<&Place>) -> Result<String> {
    let at = place.map(|place| format!("{place}: ")).unwrap_or_default();
    let refuse = |why: String| error::local(format!("{at}opening seccomp profile ({path}) failed: {why}"));
    let text = std::fs::read_to_string(path).map_err(|cause| refuse(cause.to_string()))?;
    let profile: Value = serde_json::from_str(&text).map_err(|cause| refuse(cause.to_string()))?;
    Ok(profile.to_string())
}

type Devices = (Option<Vec<models::DeviceMapping>>, Option<Vec<models::DeviceRequest>>);

fn devices(spec: &ContainerSpec) -> Devices {
    let (by_name, plain): (Vec<&DeviceMapping>, Vec<_>) = spec.devices.iter().partition(|device| device.is_named());
    let devices: Vec<_> = plain
        .into_iter()
        .map(|device| models::DeviceMapping {
            path_on_host: Some(device.source.clone()),
            path_in_container: Some(if device.target.is_empty() { &device.source } else { &device.target }.clone()),
            cgroup_permissions: Some(some(&device.permissions).unwrap_or_else(|| "rwm".to_owned())),
        })
        .collect();
    let mut requests: Vec<_> = spec
        .device_requests
        .iter()
        .map(|request| models::DeviceRequest {
            driver: some(&request.driver),
            count: non_zero(request.count),
            device_ids: list(&request.device_ids),
            capabilities: Some(vec![request.capabilities.clone()]),
            options: maybe_map(&request.options),
        })
        .collect();
    if !by_name.is_empty() {
        requests.push(models::DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(by_name.into_iter().map(|device| device.source.clone()).collect()),
            ..models::DeviceRequest::default()
        });
    }
    (Some(devices).filter(|list| !list.is_empty()), Some(requests).filter(|list| !list.is_empty()))
}
