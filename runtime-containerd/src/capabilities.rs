//! What this backend can do, as the planner's data. Declared is what is true today.

use std::path::PathBuf;

use compose_planner::Capabilities;
use compose_planner::capabilities::{Concurrency, RefusedAttribute};

use crate::client::ENGINE;
use crate::cni::plugin_directory;

/// Attributes that cannot be honoured, with the reason that the user reads.
const REFUSED: &[(&str, &str)] = &[
    ("gpus", "devices by capability are not supported on containerd; name device files below `devices`"),
    ("deploy.resources.reservations.devices", "devices by capability are not supported on containerd"),
    ("networks.*.link_local_ips", "CNI's network plug-ins give no link-local addresses"),
    ("isolation", "isolation is a Windows attribute"),
    ("storage_opt", "containerd's snapshotters take no options for a single container"),
    ("use_api_socket", "there is no Docker API socket on a machine that has only containerd"),
    ("runtime", "only runc is used on containerd"),
    ("credential_spec", "credential_spec is a Windows attribute"),
];

/// The kernel's switch; absent where it has no IPv6 at all.
const IPV6_DISABLED: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

/// Why networks have no IPv6, from the text of [`IPV6_DISABLED`].
fn ipv6_refusal(switch: Option<&str>) -> String {
    match switch.map(str::trim) {
        Some("0") => String::new(),
        Some(_) => "IPv6 is disabled on this machine; enable it with `sysctl net.ipv6.conf.all.disable_ipv6=0`, or \
                    take `enable_ipv6` away"
            .to_owned(),
        None => "the kernel of this machine has no IPv6; take `enable_ipv6` away".to_owned(),
    }
}

/// The capabilities on this machine.
pub(crate) fn capabilities(version: &str, plugin_directories: &[PathBuf]) -> Capabilities {
    let networks = plugin_directory(plugin_directories).is_some();
    let mut refused: Vec<RefusedAttribute> = REFUSED
        .iter()
        .map(|(attribute, reason)| RefusedAttribute {
            attribute: (*attribute).to_owned(),
            reason: (*reason).to_owned(),
        })
        .collect();
    if !networks {
        refused.push(RefusedAttribute {
            attribute: "networks".to_owned(),
            reason:
                "no network plug-ins were found in CNI_PATH, /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni; install \
                     them (Debian: containernetworking-plugins), or use `network_mode: host` or `none`"
                    .to_owned(),
        });
    }
    Capabilities {
        engine: ENGINE.to_owned(),
        version: version.to_owned(),
        rename: true,
        networks_at_create: true,
        build: false,
        secrets_in_memory: true,
        build_refusal: crate::build::NO_BUILDER.to_owned(),
        registry: true,
        health: true,
        restart_policies: true,
        networks,
        published_ports: networks,
        volumes: true,
        pause: true,
        volume_subpath: true,
        image_mounts: true,
        start_interval: true,
        endpoint_mac_address: true,
        engine_networks: false,
        interface_name: false,
        ipv6_refusal: ipv6_refusal(std::fs::read_to_string(IPV6_DISABLED).ok().as_deref()),
        default_pids_limit: 0,
        named_devices: Some(crate::cdi::names()),
        log_drivers: Some(["json-file", "local", "none"].map(str::to_owned).into()),
        port_protocols: Some(["tcp", "udp"].map(str::to_owned).into()),
        refused,
        outlives_clients: false,
        concurrency: Concurrency { create: 8, remove: 8, transfer: 3, build: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_is_refused_where_the_machine_has_none() {
        assert_eq!(ipv6_refusal(Some("0\n")), "");
        assert!(ipv6_refusal(Some("1\n")).contains("disabled"));
        assert!(ipv6_refusal(None).contains("no IPv6"));
    }
}
