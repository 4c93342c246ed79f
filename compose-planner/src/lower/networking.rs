//! Networks, aliases, links and ports.

use std::collections::BTreeSet;

use compose_model::names::{ContainerName, NetworkKey};
use compose_model::project::{Service, ServiceNetwork};

use super::{Peers, Role, peer};
use crate::error::PlanError;
use crate::op::Target;
use crate::spec::{EndpointSpec, NetworkMode, PortSpec};
use crate::world::World;

pub(super) fn networks(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    name: &ContainerName,
    role: Role<'_>,
) -> Result<(NetworkMode, Vec<EndpointSpec>), PlanError> {
    let mode = service.network_mode.as_str();
    let mode = match mode.split_once(':') {
        _ if mode.is_empty() => NetworkMode::Networks,
        _ if mode == "none" => NetworkMode::None,
        _ if mode == "host" => NetworkMode::Host,
        Some(("service", other)) => NetworkMode::Container(peer(world, peers, service, "network_mode", other)?),
        Some(("container", other)) => NetworkMode::Container(Target::Named { name: other.into() }),
        _ => NetworkMode::Engine(mode.to_owned()),
    };
    if mode != NetworkMode::Networks {
        return Ok((mode, Vec::new()));
    }
    let links = links(world, peers, service);
    let mut keys: Vec<(&NetworkKey, Option<&ServiceNetwork>)> =
        service.networks.iter().map(|(key, options)| (key, options.as_ref())).collect();
    // Highest priority first; the map has sorted them by name already, and the sort is stable.
    keys.sort_by_key(|(_, options)| std::cmp::Reverse(options.map_or(0, |options| options.priority)));
    let mut endpoints = Vec::new();
    for (index, (key, options)) in keys.into_iter().enumerate() {
        if !world.project.networks.contains_key(key) {
            return Err(PlanError::Undefined {
                service: service.name.clone(),
                kind: "network",
                name: key.to_string(),
                place: world.place(&service.name, &format!("networks.{key}")),
            });
        }
        let aliases = match role {
            Role::Replica { .. } | Role::OneOff { use_aliases: true, .. } | Role::Hook { .. } => true,
            Role::OneOff { .. } => false,
        };
        let mut endpoint = endpoint(world, service, key, options, name, aliases);
        endpoint.links.clone_from(&links);
        if index == 0 && endpoint.mac_address.is_empty() && world.capabilities.endpoint_mac_address {
            endpoint.mac_address.clone_from(&service.mac_address);
        }
        endpoints.push(endpoint);
    }
    Ok((NetworkMode::Networks, endpoints))
}

/// A container's place in one network.
pub(crate) fn endpoint(
    world: &World<'_>,
    service: &Service,
    key: &NetworkKey,
    options: Option<&ServiceNetwork>,
    name: &ContainerName,
    aliases: bool,
) -> EndpointSpec {
    let options = options.cloned().unwrap_or_default();
    let mut names = vec![name.to_string()];
    if aliases {
        names.push(service.name.to_string());
        names.extend(options.aliases);
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let network = world.network_name(key);
    EndpointSpec {
        network_id: crate::verbs::networks::ambiguous_id(world, &network),
        network: network.into(),
        aliases: names,
        links: Vec::new(),
        ipv4_address: options.ipv4_address,
        ipv6_address: options.ipv6_address,
        link_local_ips: options.link_local_ips,
        mac_address: options.mac_address,
        driver_opts: options.driver_opts,
        gw_priority: options.gw_priority,
        interface_name: options.interface_name,
    }
}

/// `container:alias`, for each replica of a linked service under the alias, `S-N` and `P-S-N`;
/// then the external links.
pub(super) fn links(world: &World<'_>, peers: &Peers, service: &Service) -> Vec<String> {
    let mut links = Vec::new();
    for link in &service.links {
        let (other, alias) = link.split_once(':').unwrap_or((link, link));
        for peer in peers.get(other).into_iter().flatten() {
            let name = &peer.name;
            links.push(format!("{name}:{alias}"));
            links.push(format!("{name}:{other}-{}", peer.number));
            links.push(format!("{name}:{}-{other}-{}", world.project.name, peer.number));
        }
    }
    for link in &service.external_links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        links.push(format!("{name}:{alias}"));
    }
    links
}

/// Refuses what is no port; a file may say anything there until a port is wanted.
pub(super) fn check_ports(world: &World<'_>, service: &Service) -> Result<(), PlanError> {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_range =
        |text: &str| is_port(text) || text.split_once('-').is_some_and(|(from, to)| is_port(from) && is_port(to));
    match service.ports.iter().position(|port| !port.published.is_empty() && !is_range(&port.published)) {
        Some(index) => Err(PlanError::InvalidPublishedPort {
            service: service.name.clone(),
            published: service.ports[index].published.clone(),
            place: world.place(&service.name, &format!("ports.{index}")),
        }),
        None => Ok(()),
    }
}

pub(super) fn ports(world: &World<'_>, service: &Service) -> Vec<PortSpec> {
    service
        .ports
        .iter()
        .enumerate()
        .map(|(index, port)| PortSpec {
            target: u16::try_from(port.target).unwrap_or(0),
            protocol: protocol(&port.protocol).to_owned(),
            host_ip: port.host_ip.clone(),
            published: port.published.clone(),
            place: world.place(&service.name, &format!("ports.{index}")),
        })
        .collect()
}

/// Exposed and published ports with their protocols, sorted.
pub(super) fn expose(service: &Service) -> Vec<String> {
    let exposed =
        service.expose.iter().map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let published = service.ports.iter().map(|port| format!("{}/{}", port.target, protocol(&port.protocol)));
    exposed.chain(published).collect::<BTreeSet<String>>().into_iter().collect()
}

fn protocol(text: &str) -> &str {
    if text.is_empty() { "tcp" } else { text }
}
