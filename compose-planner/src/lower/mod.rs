//! `compose_model::Service` → [`ContainerSpec`]: everything that an engine has to be told, with
//! names, labels and namespaces resolved. Nothing here looks at why a container is made.

mod labels;
mod mounts;
mod networking;
mod resources;

use std::collections::BTreeMap;

use compose_model::names::{ContainerId, ContainerName, ImageRef, ServiceName};
use compose_model::project::{Build, Healthcheck, Hook, Network, Place, PreStartHook, Service, ServiceNetwork, Volume};

use crate::error::PlanError;
use crate::observed::Container;
use crate::op::{OpId, Target};
use crate::spec::{
    BuildSpec, ContainerSpec, FileContent, HealthcheckSpec, HookSpec, Namespace, NetworkSpec, RestartPolicy,
    VolumeSpec, VolumesFrom,
};
use crate::world::World;

pub(crate) use labels::{hashed_service, image_volume_digest};
pub(crate) use mounts::{Watched, files, is_anonymous, lacks_content, on_change};
pub(crate) use networking::endpoint;

/// The replicas that a service has when all is done, by number.
pub(crate) type Peers = BTreeMap<ServiceName, Vec<Peer>>;

/// One replica that others may refer to.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) number: usize,
    pub(crate) name: ContainerName,
    pub(crate) target: Target,
}

/// What a container is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'r> {
    /// A replica with this number; `replaces` is the container that it takes the place of.
    Replica { number: usize, replaces: Option<&'r Container>, carry_volumes: bool },
    /// A container of `run`.
    OneOff { slug: &'r str, use_aliases: bool },
    /// A `pre_start` hook of `service`.
    Hook { index: usize, of: &'r ServiceName },
}

/// The specification of a container of `service`, to be created under `name`.
pub(crate) fn container(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    name: ContainerName,
    role: Role<'_>,
) -> Result<Box<ContainerSpec>, PlanError> {
    let image = world.image_reference(service);
    let number = match role {
        Role::Replica { number, .. } => Some(number),
        Role::OneOff { .. } | Role::Hook { .. } => None,
    };
    // A replacement answers to its final name from the start.
    let known_as = match role {
        Role::Replica { number, .. } => world.container_name(service, number),
        Role::OneOff { .. } | Role::Hook { .. } => name.clone(),
    };
    let (network_mode, networks) = networking::networks(world, peers, service, &known_as, role)?;
    networking::check_ports(world, service)?;
    let mounts = mounts::mounts(world, service, role)?;
    let mut files = Vec::new();
    if world.capabilities.secrets_in_memory {
        files = mounts::files(world, service)?;
        files.retain(|file| file.secret);
    }
    let known_image = world.image(&image);
    let (hashed, late) = hashed_service(world, peers, service);
    let labels = labels::labels(world, service, &hashed, late, role, known_image);
    let primary_mac = networks.first().is_some_and(|endpoint| !endpoint.mac_address.is_empty());
    // Large: from here on it is not moved.
    let mut spec = Box::new(ContainerSpec {
        service: match role {
            Role::Hook { of, .. } => of.clone(),
            _ => service.name.clone(),
        },
        name,
        number,
        image_id: known_image.map(|image| image.identity(&service.platform).clone()),
        platform: service.platform.clone(),
        labels,
        command: service.command.clone(),
        entrypoint: service.entrypoint.clone(),
        environment: service.environment.clone(),
        user: service.user.clone(),
        working_dir: service.working_dir.clone(),
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        tty: service.tty,
        stdin_open: service.stdin_open,
        stop_signal: service.stop_signal.clone(),
        stop_grace_period: service.stop_grace_period,
        restart: restart_policy(service),
        healthcheck: service.healthcheck.as_ref().map(|check| healthcheck(world, check)),
        ports: networking::ports(world, service),
        expose: networking::expose(service),
        mac_address: if primary_mac { String::new() } else { service.mac_address.clone() },
        links: if matches!(network_mode, crate::spec::NetworkMode::Engine(_)) {
            networking::links(world, peers, service)
        } else {
            Vec::new()
        },
        network_mode,
        networks,
        mounts,
        tmpfs: service.tmpfs.clone(),
        volumes_from: volumes_from(world, peers, service)?,
        extra_hosts: service.extra_hosts.to_vec(),
        dns: service.dns.clone(),
        dns_opt: service.dns_opt.clone(),
        dns_search: service.dns_search.clone(),
        ipc: namespace(world, peers, service, "ipc", &service.ipc)?,
        pid: namespace(world, peers, service, "pid", &service.pid)?,
        uts: service.uts.clone(),
        userns_mode: service.userns_mode.clone(),
        cgroup: service.cgroup.clone(),
        cgroup_parent: service.cgroup_parent.clone(),
        cap_add: service.cap_add.clone(),
        cap_drop: service.cap_drop.clone(),
        privileged: service.privileged,
        read_only: service.read_only,
        init: service.init,
        isolation: service.isolation.clone(),
        runtime: service.runtime.clone(),
        security_opt: security_options(service),
        storage_opt: service.storage_opt.clone(),
        sysctls: service.sysctls.clone(),
        annotations: service.annotations.clone(),
        group_add: service.group_add.clone(),
        ulimits: service.ulimits.clone(),
        logging: service.logging.clone(),
        shm_size: service.shm_size,
        resources: resources::resources(service),
        devices: service.devices.clone(),
        device_cgroup_rules: service.device_cgroup_rules.clone(),
        device_requests: resources::device_requests(service),
        use_api_socket: service.use_api_socket,
        image,
        files,
        ..ContainerSpec::default()
    });
    // The name is no part of the hash.
    spec.late_hash = late.then(|| Box::new(Service { name: ServiceName::default(), ..hashed.into_owned() }));
    spec.places = places(world, &spec.service);
    Ok(spec)
}

/// The specification of a `pre_start` hook's container: the hook's attributes over the service's,
/// with the volumes of `replica`.
pub(crate) fn hook_container(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    hook: &PreStartHook,
    index: usize,
    replica: Target,
) -> Result<Box<ContainerSpec>, PlanError> {
    let own = &*hook.service;
    let mut merged = own.clone();
    merged.name = service.name.clone();
    if merged.image.is_empty() {
        merged.image = service.image_reference(&world.project.name);
        if merged.command.is_none() {
            merged.command.clone_from(&service.command);
        }
        if merged.entrypoint.is_none() && own.command.is_none() {
            merged.entrypoint.clone_from(&service.entrypoint);
        }
    }
    let mut environment = service.environment.clone();
    environment.extend(hook.from_files.clone());
    environment.extend(own.environment.clone());
    merged.environment = environment;
    if merged.networks.is_empty() && merged.network_mode.is_empty() {
        let aliases = |options: &Option<ServiceNetwork>| {
            let aliases = options.as_ref().map(|options| options.aliases.clone()).filter(|list| !list.is_empty())?;
            Some(ServiceNetwork { aliases, ..ServiceNetwork::default() })
        };
        merged.networks = service.networks.iter().map(|(key, options)| (key.clone(), aliases(options))).collect();
        merged.network_mode.clone_from(&service.network_mode);
    }
    macro_rules! inherit {
        ($($field:ident)*) => { $(if merged.$field.is_empty() { merged.$field.clone_from(&service.$field); })* };
    }
    inherit!(user working_dir platform extra_hosts dns dns_opt dns_search secrets configs runtime);
    merged.depends_on.clone_from(&service.depends_on);
    merged.restart = "no".to_owned();
    merged.container_name.clear();
    merged.healthcheck = None;
    merged.ports.clear();
    let name = ContainerName::new(format!("{}-{}-pre_start-{index}", world.project.name, service.name));
    let mut spec = container(world, peers, &merged, name, Role::Hook { index, of: &service.name })?;
    spec.volumes_from.push(VolumesFrom { container: replica, read_only: false });
    Ok(spec)
}

/// A `post_start` or `pre_stop` command.
pub(crate) fn exec_hook(moment: &str, index: usize, hook: &Hook) -> HookSpec {
    HookSpec {
        moment: moment.to_owned(),
        index,
        command: hook.command.clone().unwrap_or_default(),
        user: hook.user.clone(),
        privileged: hook.privileged,
        working_dir: hook.working_dir.clone(),
        environment: hook.environment.clone(),
    }
}

/// A network of the project.
pub(crate) fn network(world: &World<'_>, key: &str, network: &Network, name: &str) -> NetworkSpec {
    NetworkSpec {
        name: name.into(),
        driver: network.driver.clone(),
        driver_opts: network.driver_opts.clone(),
        ipam: network.ipam.clone(),
        internal: network.internal,
        attachable: network.attachable,
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        labels: labels::of_network(world, key, network),
    }
}

/// A volume of the project.
pub(crate) fn volume(world: &World<'_>, key: &str, volume: &Volume, name: &str) -> VolumeSpec {
    VolumeSpec {
        name: name.into(),
        driver: volume.driver.clone(),
        driver_opts: volume.driver_opts.clone(),
        labels: labels::of_volume(world, key, volume),
    }
}

/// What to build for a service.
pub(crate) fn build(world: &World<'_>, service: &Service, build: &Build) -> BuildSpec {
    let mut merged = build.clone();
    let mut service_contexts = std::collections::BTreeMap::new();
    // `service:NAME` contexts refer to another service's image.
    for (context, value) in &mut merged.additional_contexts {
        if let Some(name) = value.strip_prefix("service:")
            && let Some(other) = world.project.services.get(name)
        {
            service_contexts.insert(context.clone(), other.name.clone());
            *value = format!("docker-image://{}", world.image_reference(other));
        }
    }
    let secrets = build
        .secrets
        .iter()
        .filter_map(|reference| {
            let object = world.project.secrets.get(reference.source.as_str())?;
            let id = if reference.target.is_empty() { &reference.source } else { &reference.target };
            let content = if object.environment.is_empty() {
                FileContent::File { path: object.file.clone() }
            } else {
                FileContent::Environment { variable: object.environment.clone() }
            };
            Some((id.clone(), content))
        })
        .collect();
    let labels = [
        (crate::labels::PROJECT, world.project.name.to_string()),
        (crate::labels::SERVICE, service.name.to_string()),
        (crate::labels::VERSION, crate::labels::COMPOSE_VERSION.to_owned()),
    ];
    BuildSpec {
        service: service.name.clone(),
        image: world.image_reference(service),
        secret_references: build.secrets.clone(),
        build: merged,
        labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        platform: service.platform.clone(),
        secrets,
        service_contexts,
        ..BuildSpec::default()
    }
}

/// `restart`, or `deploy.restart_policy`, which wins where both are written.
fn restart_policy(service: &Service) -> RestartPolicy {
    if let Some(policy) = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref()) {
        return match policy.condition.as_str() {
            "none" | "no" => RestartPolicy::No,
            "on-failure" => RestartPolicy::OnFailure(policy.max_attempts.unwrap_or(0)),
            "unless-stopped" => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::Always,
        };
    }
    let (name, attempts) = service.restart.split_once(':').unwrap_or((&service.restart, ""));
    match name {
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => RestartPolicy::OnFailure(attempts.parse().unwrap_or(0)),
        _ => RestartPolicy::No,
    }
}

fn healthcheck(world: &World<'_>, check: &Healthcheck) -> HealthcheckSpec {
    if check.disable || check.test.first().is_some_and(|word| word == "NONE") {
        return HealthcheckSpec { test: vec!["NONE".to_owned()], ..HealthcheckSpec::default() };
    }
    HealthcheckSpec {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        retries: check.retries,
        start_period: check.start_period,
        // An engine that does not know it checks at its interval from the start.
        start_interval: check.start_interval.filter(|_| world.capabilities.start_interval),
    }
}

fn security_options(service: &Service) -> Vec<String> {
    let mut options = service.security_opt.clone();
    if let Some(credential) = &service.credential_spec {
        if !credential.registry.is_empty() {
            options.push(format!("credentialspec=registry://{}", credential.registry));
        } else if !credential.file.is_empty() {
            options.push(format!("credentialspec=file://{}", credential.file));
        }
    }
    options
}

/// `service:x` and `container:x` become targets; other modes are the engine's.
fn namespace(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    attribute: &str,
    mode: &str,
) -> Result<Namespace, PlanError> {
    Ok(match mode.split_once(':') {
        _ if mode.is_empty() => Namespace::Default,
        Some(("service", other)) => Namespace::Container(peer(world, peers, service, attribute, other)?),
        Some(("container", name)) => Namespace::Container(Target::Named { name: name.into() }),
        _ => Namespace::Engine(mode.to_owned()),
    })
}

/// The lowest replica of another service.
fn peer(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    attribute: &str,
    other: &str,
) -> Result<Target, PlanError> {
    peers.get(other).and_then(|list| list.first()).map(|peer| peer.target.clone()).ok_or_else(|| {
        PlanError::NoContainerToShare {
            service: service.name.clone(),
            what: match attribute {
                "volumes_from" => "volume",
                "ipc" => "IPC namespace",
                "pid" => "PID namespace",
                _ => "network namespace",
            },
            other: other.into(),
            place: world.place(&service.name, attribute),
        }
    })
}

fn volumes_from(world: &World<'_>, peers: &Peers, service: &Service) -> Result<Vec<VolumesFrom>, PlanError> {
    let mut found = Vec::new();
    for text in &service.volumes_from {
        let (container, rest) = match text.strip_prefix("container:") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let (name, mode) = rest.split_once(':').unwrap_or((rest, "rw"));
        let container = if container {
            Target::Named { name: name.into() }
        } else {
            peer(world, peers, service, "volumes_from", name)?
        };
        found.push(VolumesFrom { container, read_only: mode == "ro" });
    }
    Ok(found)
}

/// Places of the attributes that engines complain about.
fn places(world: &World<'_>, service: &ServiceName) -> BTreeMap<String, Place> {
    let mut path = format!("services.{service}.");
    let stem = path.len();
    ["image", "command", "entrypoint", "platform", "runtime", "devices", "network_mode", "ports", "volumes", "networks"]
        .into_iter()
        .filter_map(|attribute| {
            path.truncate(stem);
            path.push_str(attribute);
            let place = world.project.origins.exact(&path)?;
            Some((attribute.to_owned(), place.clone()))
        })
        .collect()
}

/// Completes the `config-hash` label of a container that shares a namespace with, or mounts the
/// volumes of, a container made by the same plan: the hash covers that container's identity,
/// which only execution knows. `id_of` tells the identity of what a step made. To be called before
/// the container is created; without effect where [`ContainerSpec::late_hash`] is `None`.
pub fn complete_labels(spec: &mut ContainerSpec, id_of: impl Fn(&OpId) -> Option<ContainerId>) {
    let Some(service) = spec.late_hash.take() else {
        return;
    };
    let id = |target: &Target| -> Option<String> {
        match target {
            Target::Existing { id, .. } => Some(id.to_string()),
            Target::MadeBy { op, .. } => id_of(op).map(|id| id.to_string()),
            Target::Named { name } => Some(name.to_string()),
        }
    };
    let mut service = *service;
    if let crate::spec::NetworkMode::Container(target) = &spec.network_mode
        && let Some(id) = id(target)
    {
        service.network_mode = format!("container:{id}");
    }
    for (text, namespace) in [(&mut service.ipc, &spec.ipc), (&mut service.pid, &spec.pid)] {
        if let Namespace::Container(target) = namespace
            && let Some(id) = id(target)
        {
            *text = format!("container:{id}");
        }
    }
    for (text, from) in service.volumes_from.iter_mut().zip(&spec.volumes_from) {
        if !text.starts_with("container:")
            && let Some(id) = id(&from.container)
        {
            *text = id;
        }
    }
    spec.labels.insert(crate::labels::CONFIG_HASH.to_owned(), crate::hashes::service(&service));
}

/// The name of the image that a `type: image` mount shows.
pub(crate) fn mounted_images(service: &Service) -> impl Iterator<Item = (&str, ImageRef)> {
    service
        .volumes
        .iter()
        .filter(|mount| mount.kind == "image")
        .map(|mount| (mount.target.as_str(), ImageRef::from(mount.source.as_str())))
}
