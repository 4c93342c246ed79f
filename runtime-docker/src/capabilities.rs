//! What an engine can do, from the API version that it speaks.

use compose_planner::Capabilities;
use compose_planner::capabilities::Concurrency;

use crate::transport::ApiVersion;

/// What Podman limits the processes of a container to where nothing is asked for.
const PODMAN_PIDS_LIMIT: i64 = 2048;

/// The capabilities of an engine with this API.
pub(crate) fn of(version: ApiVersion, engine_version: &str, is_podman: bool) -> Capabilities {
    let since = |minor| version >= ApiVersion(1, minor);
    Capabilities {
        engine: "docker".to_owned(),
        version: engine_version.to_owned(),
        rename: true,
        networks_at_create: since(44),
        build: true,
        build_refusal: String::new(),
        secrets_in_memory: false,
        registry: true,
        health: true,
        restart_policies: true,
        networks: true,
        published_ports: true,
        volumes: true,
        pause: true,
        volume_subpath: since(45),
        image_mounts: since(48),
        start_interval: since(44),
        endpoint_mac_address: since(44),
        engine_networks: true,
        ipv6_refusal: String::new(),
        default_pids_limit: if is_podman { PODMAN_PIDS_LIMIT } else { 0 },
        interface_name: since(49),
        named_devices: None,
        log_drivers: None,
        port_protocols: None,
        refused: Vec::new(),
        outlives_clients: true,
        concurrency: Concurrency {
            create: 8,
            // Engine 20.10 has been seen to lock up in its network code when ten containers of
            // one network were stopped at once.
            remove: if since(42) { 8 } else { 4 },
            transfer: 4,
            build: 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_api_version() {
        let old = of(ApiVersion(1, 41), "20.10.24", false);
        assert!(!old.networks_at_create && !old.volume_subpath && !old.start_interval);
        assert_eq!(old.concurrency.remove, 4);
        let new = of(ApiVersion(1, 51), "28.5.2", false);
        assert!(new.networks_at_create && new.image_mounts && new.interface_name);
        assert_eq!(new.concurrency.remove, 8);
    }
}
