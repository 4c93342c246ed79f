//! What a plan is made from, indexed once: the project, the observed resources by service, the
//! names they have or get.

use std::collections::{BTreeMap, HashMap};

use compose_model::names::{ContainerName, ImageRef, NetworkKey, ServiceName, VolumeKey};
use compose_model::project::{Place, Project, Service};

use crate::capabilities::Capabilities;
use crate::observed::{Container, Image, Observed};
use crate::op::Target;

/// All inputs but the intent, with indexes.
pub(crate) struct World<'a> {
    pub(crate) project: &'a Project,
    pub(crate) observed: &'a Observed,
    pub(crate) capabilities: &'a Capabilities,
    /// Asked for several times for each service, which the sorted map makes dear in large projects.
    services: HashMap<&'a ServiceName, &'a Service>,
    /// Replicas (no one-offs, no hooks) by service, by number and then name.
    replicas: BTreeMap<&'a ServiceName, Vec<&'a Container>>,
    /// Containers of `pre_start` hooks.
    pub(crate) hooks: Vec<&'a Container>,
    /// Containers of `run`.
    pub(crate) one_offs: Vec<&'a Container>,
    /// Between the parts of names: `-`, or `_` in compatibility mode.
    pub(crate) separator: &'static str,
}

impl<'a> World<'a> {
    pub(crate) fn new(project: &'a Project, observed: &'a Observed, capabilities: &'a Capabilities) -> Self {
        let mut replicas: BTreeMap<&ServiceName, Vec<&Container>> = BTreeMap::new();
        let (mut hooks, mut one_offs) = (Vec::new(), Vec::new());
        for container in &observed.containers {
            if container.project.as_ref() != Some(&project.name) {
                continue;
            }
            if container.hook.is_some() {
                hooks.push(container);
            } else if container.one_off {
                one_offs.push(container);
            } else {
                replicas.entry(&container.service).or_default().push(container);
            }
        }
        for list in replicas.values_mut() {
            list.sort_by(|a, b| (a.number, &a.name, &a.id).cmp(&(b.number, &b.name, &b.id)));
        }
        for list in [&mut hooks, &mut one_offs] {
            list.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        }
        let compatible = project
            .environment
            .get("COMPOSE_COMPATIBILITY")
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true"));
        let separator = if compatible { "_" } else { "-" };
        let services = project.services.iter().collect();
        Self { project, observed, capabilities, services, replicas, hooks, one_offs, separator }
    }

    /// A service of the project.
    pub(crate) fn service(&self, name: &ServiceName) -> Option<&'a Service> {
        self.services.get(name).copied()
    }

    /// The containers of a service, by number.
    pub(crate) fn replicas(&self, service: &ServiceName) -> &[&'a Container] {
        self.replicas.get(service).map_or(&[], Vec::as_slice)
    }

    /// Whether the file declares the service, enabled or not, or the job.
    pub(crate) fn declares(&self, service: &ServiceName) -> bool {
        self.project.services.contains_key(service)
            || self.project.disabled_services.contains_key(service)
            || self.project.jobs.contains_key(service)
    }

    /// Containers of services that the file does not have, and one-offs that have ended.
    pub(crate) fn orphans(&self) -> Vec<&'a Container> {
        let mut found: Vec<&Container> = self
            .replicas
            .iter()
            .filter(|(service, _)| !self.declares(service))
            .flat_map(|(_, list)| list.iter().copied())
            .chain(self.one_offs.iter().copied().filter(|container| !container.state.is_up()))
            .collect();
        found.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        found
    }

    /// The name that replica `number` of a service has in the engine.
    pub(crate) fn container_name(&self, service: &Service, number: usize) -> ContainerName {
        if service.container_name.is_empty() {
            let separator = self.separator;
            ContainerName::new(format!("{}{separator}{}{separator}{number}", self.project.name, service.name))
        } else {
            ContainerName::from(service.container_name.as_str())
        }
    }

    /// The engine's name of a network.
    pub(crate) fn network_name(&self, key: &NetworkKey) -> String {
        match self.project.networks.get(key) {
            Some(network) if !network.name.is_empty() => network.name.clone(),
            Some(network) if network.external => key.to_string(),
            _ => format!("{}_{key}", self.project.name),
        }
    }

    /// The engine's name of a volume.
    pub(crate) fn volume_name(&self, key: &VolumeKey) -> String {
        match self.project.volumes.get(key) {
            Some(volume) if !volume.name.is_empty() => volume.name.clone(),
            Some(volume) if volume.external => key.to_string(),
            _ => format!("{}_{key}", self.project.name),
        }
    }

    /// The image that a service's containers run.
    pub(crate) fn image_reference(&self, service: &Service) -> ImageRef {
        ImageRef::new(service.image_reference(&self.project.name))
    }

    /// The local image of this name, in whatever form the engine knows it.
    pub(crate) fn image(&self, reference: &ImageRef) -> Option<&'a Image> {
        let images = &self.observed.images;
        if let Some(image) = images.get(reference) {
            return Some(image);
        }
        let text = reference.as_str();
        let tagged = if has_tag(text) { text.to_owned() } else { format!("{text}:latest") };
        let short = tagged.strip_prefix("docker.io/").unwrap_or(&tagged);
        let short = short.strip_prefix("library/").unwrap_or(short);
        [tagged.clone(), short.to_owned(), format!("docker.io/{short}"), format!("docker.io/library/{short}")]
            .into_iter()
            .find_map(|form| images.get(form.as_str()))
    }

    /// Where an attribute below a service is written.
    pub(crate) fn place(&self, service: &ServiceName, attribute: &str) -> Option<Place> {
        self.project.origins.nearest(&format!("services.{service}.{attribute}")).cloned()
    }
}

/// Whether the reference names a tag or a digest.
fn has_tag(reference: &str) -> bool {
    reference.contains('@') || reference.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// The target of a container that is there.
pub(crate) fn existing(container: &Container) -> Target {
    Target::Existing { id: container.id.clone(), name: container.name.clone() }
}

/// `web.1`: how ids of steps name a replica.
pub(crate) fn replica_label(service: &ServiceName, number: usize) -> String {
    format!("{service}.{number}")
}

/// How ids of steps name any container: `web.1` for replicas, the name for others.
pub(crate) fn label_of(container: &Container) -> String {
    match container.number {
        Some(number) if !container.one_off && container.hook.is_none() => replica_label(&container.service, number),
        _ => container.name.to_string(),
    }
}

/// The first 12 digits of a container's identity.
pub(crate) fn short_id(container: &Container) -> &str {
    let id = container.id.as_str();
    id.get(..12).unwrap_or(id)
}

/// The state as reasons print it: `exited (3)`.
pub(crate) fn state_text(container: &Container) -> String {
    match container.exit_code {
        Some(code) if !container.state.is_up() && container.state != crate::observed::State::Created => {
            format!("{} ({code})", container.state.as_str())
        }
        _ => container.state.as_str().to_owned(),
    }
}
