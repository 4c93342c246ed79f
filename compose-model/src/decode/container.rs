//! What services, jobs and `pre_start` hooks share: the attributes of a container.

use crate::diagnostic::Diagnostics;
use crate::project::{
    BlkioConfig, CredentialSpec, DeviceMapping, EnvFile, FileReference, Hook, Logging, Service, ServiceModel,
    ServiceNetwork, ThrottleDevice, WeightDevice,
};
use crate::tree::Node;

use super::deploy::device_requests;
use super::fields::Fields;
use super::mounts::mounts;

/// Fills in the attributes of a container.
pub(super) fn container(service: &mut Service, fields: &Fields<'_>, diagnostics: &mut Diagnostics) {
    service.annotations = fields.string_map("annotations");
    service.blkio_config = fields.map("blkio_config", |config| blkio_config(config, diagnostics));
    service.cap_add = fields.texts("cap_add");
    service.cap_drop = fields.texts("cap_drop");
    service.cgroup_parent = fields.text("cgroup_parent");
    service.cgroup = fields.text("cgroup");
    service.cpu_count = fields.int("cpu_count", diagnostics);
    service.cpu_percent = fields.float("cpu_percent", diagnostics);
    service.cpu_period = fields.int("cpu_period", diagnostics);
    service.cpu_quota = fields.int("cpu_quota", diagnostics);
    service.cpu_rt_period = fields.int("cpu_rt_period", diagnostics);
    service.cpu_rt_runtime = fields.int("cpu_rt_runtime", diagnostics);
    service.cpus = fields.float("cpus", diagnostics);
    service.cpuset = fields.text("cpuset");
    service.cpu_shares = fields.int("cpu_shares", diagnostics);
    service.command = fields.command("command", diagnostics);
    service.configs = file_references(fields, "configs", diagnostics);
    service.credential_spec = fields.map("credential_spec", |spec| CredentialSpec {
        config: spec.text("config"),
        file: spec.text("file"),
        registry: spec.text("registry"),
        extensions: spec.extensions(),
    });
    service.device_cgroup_rules = fields.texts("device_cgroup_rules");
    service.devices = fields.items("devices", |device| DeviceMapping {
        source: device.text("source"),
        target: device.text("target"),
        permissions: device.text("permissions"),
        extensions: device.extensions(),
    });
    service.dns = fields.texts("dns");
    service.dns_opt = fields.texts("dns_opt");
    service.dns_search = fields.texts("dns_search");
    service.domainname = fields.text("domainname");
    service.entrypoint = fields.command("entrypoint", diagnostics);
    service.environment = fields.environment("environment", diagnostics);
    service.env_file = fields.items("env_file", |file| EnvFile {
        path: file.text("path"),
        required: file.optional_flag("required", diagnostics).unwrap_or(true),
        format: file.text("format"),
        extensions: file.extensions(),
    });
    service.extra_hosts = fields.hosts("extra_hosts", diagnostics);
    service.group_add = fields.names("group_add", diagnostics);
    service.gpus = device_requests(fields, "gpus", diagnostics);
    service.hostname = fields.text("hostname");
    service.image = fields.text("image");
    service.init = fields.optional_flag("init", diagnostics);
    service.ipc = fields.text("ipc");
    service.isolation = fields.text("isolation");
    service.labels = fields.string_map("labels");
    service.label_file = fields.texts("label_file");
    service.logging = fields.map("logging", |logging| Logging {
        driver: logging.text("driver"),
        options: logging.string_map("options"),
        extensions: logging.extensions(),
    });
    service.mem_limit = fields.bytes("mem_limit", diagnostics);
    service.mem_reservation = fields.bytes("mem_reservation", diagnostics);
    service.memswap_limit = fields.bytes("memswap_limit", diagnostics);
    service.mem_swappiness = fields.bytes("mem_swappiness", diagnostics).0;
    service.mac_address = fields.text("mac_address");
    for (name, model) in fields.optional_children("models") {
        let model = model.map(|model| ServiceModel {
            endpoint_var: model.text("endpoint_var"),
            model_var: model.text("model_var"),
            extensions: model.extensions(),
        });
        service.models.insert(name.to_owned(), model);
    }
    service.network_mode = fields.text("network_mode");
    for (name, network) in fields.optional_children("networks") {
        let network = network.map(|network| service_network(&network, diagnostics));
        service.networks.insert(name.into(), network);
    }
    service.oom_kill_disable = fields.flag("oom_kill_disable", diagnostics);
    service.oom_score_adj = fields.int("oom_score_adj", diagnostics);
    service.pid = fields.text("pid");
    service.pids_limit = fields.int("pids_limit", diagnostics);
    service.platform = fields.text("platform");
    service.privileged = fields.flag("privileged", diagnostics);
    service.pull_policy = fields.text("pull_policy");
    service.pull_refresh_after = Some(fields.text("pull_refresh_after")).filter(|age| !age.is_empty());
    service.read_only = fields.flag("read_only", diagnostics);
    service.runtime = fields.text("runtime");
    service.secrets = file_references(fields, "secrets", diagnostics);
    service.security_opt = fields.texts("security_opt");
    service.shm_size = fields.bytes("shm_size", diagnostics);
    service.stop_grace_period = fields.duration("stop_grace_period", diagnostics);
    service.stop_signal = fields.text("stop_signal");
    service.storage_opt = fields.strict_map("storage_opt", diagnostics);
    service.sysctls = fields.string_map("sysctls");
    service.tmpfs = fields.texts("tmpfs");
    service.ulimits = fields.ulimits(diagnostics);
    service.use_api_socket = fields.flag("use_api_socket", diagnostics);
    service.user = fields.text("user");
    service.userns_mode = fields.text("userns_mode");
    service.uts = fields.text("uts");
    service.volumes = mounts(fields, diagnostics);
    service.volumes_from = fields.texts("volumes_from");
    service.working_dir = fields.text("working_dir");
    service.extensions = fields.extensions();
}

fn service_network(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> ServiceNetwork {
    ServiceNetwork {
        aliases: fields.texts("aliases"),
        driver_opts: fields.string_map("driver_opts"),
        gw_priority: fields.int("gw_priority", diagnostics),
        interface_name: fields.text("interface_name"),
        ipv4_address: fields.text("ipv4_address"),
        ipv6_address: fields.text("ipv6_address"),
        link_local_ips: fields.texts("link_local_ips"),
        mac_address: fields.text("mac_address"),
        priority: fields.int("priority", diagnostics),
        extensions: fields.extensions(),
    }
}

fn blkio_config(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> BlkioConfig {
    let mut limits = |key: &str| {
        fields.items(key, |device| ThrottleDevice {
            path: device.text("path"),
            rate: device.bytes("rate", diagnostics),
            extensions: device.extensions(),
        })
    };
    BlkioConfig {
        device_read_bps: limits("device_read_bps"),
        device_read_iops: limits("device_read_iops"),
        device_write_bps: limits("device_write_bps"),
        device_write_iops: limits("device_write_iops"),
        weight: fields.unsigned("weight", "uint16", diagnostics),
        weight_device: fields.items("weight_device", |device| WeightDevice {
            path: device.text("path"),
            weight: device.unsigned("weight", "uint16", diagnostics),
            extensions: device.extensions(),
        }),
        extensions: fields.extensions(),
    }
}

/// `secrets`, `configs`.
pub(super) fn file_references(fields: &Fields<'_>, key: &str, diagnostics: &mut Diagnostics) -> Vec<FileReference> {
    fields.items(key, |reference| FileReference {
        source: reference.text("source"),
        target: reference.text("target"),
        uid: reference.text("uid"),
        gid: reference.text("gid"),
        mode: reference.mode("mode", diagnostics),
        extensions: reference.extensions(),
    })
}

/// A command executed in a container.
pub(super) fn hook(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Hook {
    Hook {
        command: fields.command("command", diagnostics),
        user: fields.text("user"),
        privileged: fields.flag("privileged", diagnostics),
        working_dir: fields.text("working_dir"),
        environment: fields.environment("environment", diagnostics),
        extensions: fields.extensions(),
    }
}

/// Words of the mapping `options` whose values are one text or a list of them.
pub(super) fn word_lists(fields: &Fields<'_>, key: &str) -> crate::project::Sorted<String, Vec<String>> {
    let Some(options) = fields.object(key) else { return crate::project::Sorted::new() };
    let names = fields.node(key).and_then(Node::as_mapping).into_iter().flatten();
    // A list of no words counts as not written.
    names.map(|(name, _)| (name.to_string(), options.texts(name))).filter(|(_, words)| !words.is_empty()).collect()
}
