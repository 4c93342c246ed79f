//! What was changed by hand on a container whose definition is still the recorded one: what the file
//! asks for, as it would be created now, against what an inspection tells.

use compose_model::names::NetworkName;
use compose_model::project::Service;

use crate::error::PlanError;
use crate::hashes;
use crate::lower::{self, Peers, Role};
use crate::observed::{Container, Detail};
use crate::reason::Change;
use crate::spec::{ContainerSpec, EndpointSpec, MountSource, NetworkMode, RestartPolicy, cpus_text};
use crate::world::World;

/// One difference, and what undoes it. The old value of the change is the actual one.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    pub(crate) change: Change,
    pub(crate) repair: Repair,
}

/// What undoes a change by hand.
#[derive(Clone, Debug)]
pub(crate) enum Repair {
    /// A new container in its place.
    Replace,
    /// Its name.
    Rename,
    /// A network that the file does not have for it.
    Disconnect(NetworkName),
    /// A network that it lacks, or where it answers to other names or addresses.
    Connect(Box<EndpointSpec>),
}

/// The changes that only a replacement undoes; `None` where there are none.
pub(crate) fn replacing(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    container: &Container,
) -> Option<Vec<Change>> {
    let all = of(world, peers, service, container).ok()?;
    let changes: Vec<Change> =
        all.into_iter().filter(|drift| matches!(drift.repair, Repair::Replace)).map(|drift| drift.change).collect();
    (!changes.is_empty()).then_some(changes)
}

/// Everything that was changed by hand, by attribute. Empty where the container was not inspected or
/// where its recorded definition is another one, since then nothing tells the two apart.
pub(crate) fn of(
    world: &World<'_>,
    peers: &Peers,
    service: &Service,
    container: &Container,
) -> Result<Vec<Drift>, PlanError> {
    let Some(detail) = container.detail.as_deref() else { return Ok(Vec::new()) };
    let (hashed, late) = lower::hashed_service(world, peers, service);
    if late || hashes::service(&hashed) != container.config_hash {
        return Ok(Vec::new());
    }
    let number = container.number.unwrap_or(1);
    let name = world.container_name(service, number);
    let role = Role::Replica { number, replaces: None, carry_volumes: false };
    let spec = lower::container(world, peers, service, name, role)?;
    let mut comparison = Comparison { world, service, found: Vec::new() };
    comparison.identity(&spec, container);
    comparison.process(&spec, detail);
    comparison.limits(&spec, detail);
    comparison.mounts(&spec, container);
    comparison.networks(&spec, container, detail);
    Ok(comparison.found)
}

struct Comparison<'c> {
    world: &'c World<'c>,
    service: &'c Service,
    found: Vec<Drift>,
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

impl Comparison<'_> {
    fn add(&mut self, attribute: &str, path: &str, actual: Option<String>, wanted: Option<String>, repair: Repair) {
        let place = if wanted.is_some() { self.world.place(&self.service.name, path) } else { None };
        let change = Change { attribute: attribute.to_owned(), old: actual, new: wanted, place };
        self.found.push(Drift { change, repair });
    }

    /// Compares a value that is told only where the file gives one.
    fn given(&mut self, attribute: &str, actual: &str, wanted: &str) {
        if !wanted.is_empty() && actual != wanted {
            self.add(attribute, attribute, text(actual), text(wanted), Repair::Replace);
        }
    }

    fn identity(&mut self, spec: &ContainerSpec, container: &Container) {
        if container.name != spec.name && container.replaces.is_none() {
            let (actual, wanted) = (container.name.to_string(), spec.name.to_string());
            self.add("container_name", "container_name", Some(actual), Some(wanted), Repair::Rename);
        }
        let (recorded, actual) = (container.recorded_image.as_str(), container.image_id.as_str());
        // An engine may tell the image of all platforms where that of one was recorded.
        let same = recorded == actual
            || self.world.observed.images.get(actual).is_some_and(|image| image.has_identity(recorded));
        if !recorded.is_empty() && !actual.is_empty() && !same {
            self.add("image", "image", text(actual), text(recorded), Repair::Replace);
        }
        for (name, wanted) in &self.service.labels {
            let actual = container.labels.get(name);
            if actual != Some(wanted) {
                let shown = |value: &String| (!hashes::looks_secret(name)).then(|| value.clone());
                let (actual, wanted) = (actual.and_then(shown), shown(wanted));
                self.add(&format!("labels {name}"), &format!("labels.{name}"), actual, wanted, Repair::Replace);
            }
        }
    }

    fn process(&mut self, spec: &ContainerSpec, detail: &Detail) {
        for (name, wanted) in &spec.environment {
            let Some(wanted) = wanted else { continue };
            let prefix = format!("{name}=");
            let actual = detail.environment.iter().find_map(|entry| entry.strip_prefix(&prefix));
            if actual != Some(wanted) {
                let shown = |value: &str| (!hashes::looks_secret(name)).then(|| value.to_owned());
                let (actual, wanted) = (actual.and_then(shown), shown(wanted));
                let attribute = format!("environment {name}");
                self.add(&attribute, &format!("environment.{name}"), actual, wanted, Repair::Replace);
            }
        }
        for (attribute, wanted, actual) in
            [("command", &spec.command, &detail.command), ("entrypoint", &spec.entrypoint, &detail.entrypoint)]
        {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| !wanted.is_empty() && *wanted != actual) {
                self.add(attribute, attribute, text(&actual.join(" ")), text(&wanted.join(" ")), Repair::Replace);
            }
        }
        self.given("user", &detail.user, &spec.user);
        self.given("working_dir", &detail.working_dir, &spec.working_dir);
        // A backend that tells no limits tells none of these either.
        let told = detail.limits.is_some();
        if told {
            self.given("hostname", &detail.hostname, &spec.hostname);
        }
        for (attribute, wanted, actual) in [
            ("tty", spec.tty, detail.tty),
            ("privileged", spec.privileged, detail.privileged),
            ("read_only", spec.read_only, detail.read_only),
        ] {
            if wanted != actual && (told || attribute == "tty") {
                self.add(attribute, attribute, Some(actual.to_string()), Some(wanted.to_string()), Repair::Replace);
            }
        }
        let wanted = match &spec.restart {
            RestartPolicy::No => "no".to_owned(),
            RestartPolicy::Always => "always".to_owned(),
            RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
            RestartPolicy::OnFailure(0) => "on-failure".to_owned(),
            RestartPolicy::OnFailure(attempts) => format!("on-failure:{attempts}"),
        };
        let actual = if detail.restart.is_empty() { "no" } else { &detail.restart };
        if actual != wanted {
            self.add("restart", "restart", text(actual), Some(wanted), Repair::Replace);
        }
    }

    /// What `docker update` changes.
    fn limits(&mut self, spec: &ContainerSpec, detail: &Detail) {
        let Some(limits) = &detail.limits else { return };
        let resources = &spec.resources;
        let number = |value: i64| if value == 0 { String::new() } else { value.to_string() };
        let wanted = [
            (
                "blkio_config.weight",
                resources.blkio.as_ref().map_or_else(String::new, |blkio| number(blkio.weight.into())),
            ),
            ("cpu_period", number(resources.cpu_period)),
            ("cpu_quota", number(resources.cpu_quota)),
            ("cpu_shares", number(resources.cpu_shares)),
            ("cpus", cpus_text(resources.nano_cpus)),
            ("cpuset", resources.cpuset.clone()),
            ("mem_limit", number(resources.mem_limit.0)),
            ("mem_reservation", number(resources.mem_reservation.0)),
            ("pids_limit", number(resources.pids_limit.max(0))),
        ];
        for (attribute, wanted) in wanted {
            let actual = limits.get(attribute).map_or("", String::as_str);
            let is_default = wanted.is_empty()
                && attribute == "pids_limit"
                && actual == number(self.world.capabilities.default_pids_limit);
            if actual != wanted && !is_default {
                self.add(attribute, attribute, text(actual), text(&wanted), Repair::Replace);
            }
        }
        // Where it is not asked for, the engine makes it twice the memory.
        let swap = number(resources.memswap_limit.0);
        self.given("memswap_limit", limits.get("memswap_limit").map_or("", String::as_str), &swap);
    }

    fn mounts(&mut self, spec: &ContainerSpec, container: &Container) {
        for mount in &spec.mounts {
            let listed = matches!(
                mount.source,
                MountSource::Bind { .. } | MountSource::Volume { .. } | MountSource::Anonymous { .. }
            );
            if listed && !container.mounts.iter().any(|there| there.target == mount.target) {
                self.add(&format!("volumes {}", mount.target), "volumes", None, text(&mount.target), Repair::Replace);
            }
        }
    }

    fn networks(&mut self, spec: &ContainerSpec, container: &Container, detail: &Detail) {
        if !matches!(spec.network_mode, NetworkMode::Networks) {
            return;
        }
        for endpoint in &spec.networks {
            let attribute = format!("network {}", endpoint.network);
            let Some(there) = detail.endpoints.get(&endpoint.network) else {
                if !container.networks.contains_key(&endpoint.network) {
                    let repair = Repair::Connect(Box::new(endpoint.clone()));
                    self.add(
                        &attribute,
                        "networks",
                        Some("not connected".to_owned()),
                        Some("connected".to_owned()),
                        repair,
                    );
                }
                continue;
            };
            let connect = || Repair::Connect(Box::new(endpoint.clone()));
            let missing: Vec<&str> =
                endpoint.aliases.iter().filter(|alias| !there.aliases.contains(*alias)).map(String::as_str).collect();
            if !missing.is_empty() && container.name == spec.name {
                let attribute = format!("{attribute} aliases");
                let actual = there.aliases.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
                self.add(&attribute, "networks", Some(actual), Some(endpoint.aliases.join(" ")), connect());
            }
            for (name, wanted, actual) in [
                ("ipv4_address", &endpoint.ipv4_address, &there.ipv4_address),
                ("ipv6_address", &endpoint.ipv6_address, &there.ipv6_address),
            ] {
                if !wanted.is_empty() && wanted != actual {
                    self.add(&format!("{attribute} {name}"), "networks", text(actual), text(wanted), connect());
                }
            }
        }
        for network in container.networks.keys() {
            let wanted = spec.networks.iter().any(|endpoint| {
                endpoint.network == *network || container.networks.get(network) == Some(&endpoint.network.to_string())
            });
            if !wanted {
                let repair = Repair::Disconnect(network.clone());
                let attribute = format!("network {network}");
                self.add(&attribute, "networks", Some("connected".to_owned()), None, repair);
            }
        }
    }
}
