//! The steps that bring one replica to the point where it can be started: made, replaced, kept,
//! renamed, removed.

use std::collections::BTreeSet;

use compose_model::names::{ContainerName, NetworkName, ServiceName};
use compose_model::project::Service;

use super::{Disposition, Replica, Run};
use crate::differ;
use crate::draft::Draft;
use crate::drift::{self, Repair};
use crate::error::PlanError;
use crate::lower::{self, Role};
use crate::observed::Container;
use crate::on_change::OnChange;
use crate::op::{Op, OpId, Target};
use crate::plan::Note;
use crate::reason::{Change, Reason};
use crate::select;
use crate::spec::{ContainerSpec, MountSource, Namespace, NetworkMode};
use crate::verbs::replicas::{self, Fate, Slot};
use crate::verbs::volumes::{self, Volumes};
use crate::verbs::{networks, stopping};
use crate::world::{World, existing, label_of, replica_label, short_id};

impl<'a> Run<'_, 'a> {
    /// Removes a container that has no place any more.
    pub(super) fn surplus(&mut self, service: &Service, container: &'a Container, because: &Reason) -> OpId {
        let mut label = label_of(container);
        if self.draft.has(&OpId::new("remove", &label)) || matches!(because, Reason::Unfinished { .. }) {
            label = format!("{label}.{}", short_id(container));
        }
        if let Reason::Unfinished { found } = because {
            self.draft.notes.push(Note::Unfinished { text: format!("{found}; it is removed") });
        }
        let (stop, remove) =
            stopping::stop_and_remove(self.draft, container, Some(service), &label, self.up.timeout, false, because);
        let stop = stop.map(|stop| stop.last);
        let disposition = Disposition { stop, remove: Some(remove.clone()), replaced: false };
        self.dispositions.insert(container.id.clone(), disposition);
        remove
    }

    /// The steps of one replica.
    pub(super) fn slot(
        &mut self,
        service: &Service,
        slot: Slot<'a>,
        networks: &BTreeSet<NetworkName>,
    ) -> Result<Replica<'a>, PlanError> {
        let number = slot.number;
        let label = replica_label(&service.name, number);
        let name = self.world.container_name(service, number);
        let mut replica = Replica {
            number,
            label,
            target: Target::Named { name: name.clone() },
            there: None,
            replaced: false,
            because: None,
            before_start: Vec::new(),
            stopped: None,
            old_stop: None,
            done: Vec::new(),
        };
        match slot.fate {
            Fate::Keep(container) => self.keep(service, container, &mut replica, networks)?,
            Fate::Rename(container) => {
                let found = format!("{} has a temporary name", container.name);
                self.draft.notes.push(Note::Unfinished { text: format!("{found}; it becomes {name}") });
                self.rename(existing(container), &name, Reason::Unfinished { found }, &mut replica);
                self.keep(service, container, &mut replica, networks)?;
                replica.replaced = true;
            }
            Fate::Finish { old, new } => {
                let found = format!("{} was to replace {}", new.name, old.name);
                self.draft.notes.push(Note::Unfinished { text: format!("{found}; the replacement is finished") });
                let because = Reason::Unfinished { found };
                let removed = self.retire(service, old, &mut replica, &because, &[]);
                let rename = self.rename(existing(new), &name, because, &mut replica);
                self.draft.after(&rename, &removed);
                self.keep(service, new, &mut replica, networks)?;
                replica.replaced = true;
            }
            Fate::Create(because) => {
                let role = Role::Replica { number, replaces: None, carry_volumes: false };
                let spec = lower::container(self.world, &self.peers, service, name, role)?;
                self.create(service, OpId::new("create", &replica.label), spec, None, because, &mut replica);
            }
            Fate::Remake(old, because) => {
                let removed = self.retire(service, old, &mut replica, &because, &[]);
                self.disposition(old).replaced = false;
                let carry = !self.up.renew_anonymous_volumes;
                let role = Role::Replica { number, replaces: Some(old), carry_volumes: carry };
                let mut spec = lower::container(self.world, &self.peers, service, name, role)?;
                forget_replaced_volumes(&mut spec, &self.volumes);
                let id = OpId::new("create", &replica.label);
                self.create(service, id.clone(), spec, Some(existing(old)), because, &mut replica);
                self.draft.after(&id, &removed);
                replica.replaced = true;
            }
            Fate::Replace(old, because) => {
                if replicas::has_temporary_name(old) {
                    let text = format!("{} has a temporary name; it is replaced", old.name);
                    self.draft.notes.push(Note::Unfinished { text });
                }
                self.replace(service, old, because, &mut replica, name, networks)?;
            }
        }
        Ok(replica)
    }

    /// Makes the successor beside the old container, or after it where it has to.
    fn replace(
        &mut self,
        service: &Service,
        old: &'a Container,
        because: Reason,
        replica: &mut Replica<'a>,
        name: ContainerName,
        networks: &BTreeSet<NetworkName>,
    ) -> Result<(), PlanError> {
        let role = Role::Replica {
            number: replica.number,
            replaces: Some(old),
            carry_volumes: !self.up.renew_anonymous_volumes,
        };
        let rename = self.world.capabilities.rename;
        let temporary = if rename { ContainerName::new(format!("{}_{name}", short_id(old))) } else { name.clone() };
        let spec = lower::container(self.world, &self.peers, service, temporary, role)?;
        let label = replica.label.clone();
        replica.replaced = true;
        if !rename {
            // Everything that may fail before the container exists comes before the stop.
            let on_replaced = replicas::on_replaced_network(old, networks);
            let before = if on_replaced { Vec::new() } else { self.needs_of(service, &spec) };
            let removed = self.retire(service, old, replica, &Reason::Replaced, &before);
            self.disposition(old).replaced = false;
            let id = OpId::new("create", &label);
            self.create(service, id.clone(), spec, Some(existing(old)), because, replica);
            self.draft.after(&id, &removed);
            return Ok(());
        }
        let id = OpId::new("create", format!("{label}.new"));
        self.create(service, id.clone(), spec, Some(existing(old)), because, replica);
        let made: Vec<OpId> = replica.before_start.clone();
        let on_replaced = replicas::on_replaced_network(old, networks);
        let before: &[OpId] = if on_replaced { &[] } else { &made };
        let removed = self.retire(service, old, replica, &Reason::Replaced, before);
        self.draft.after_all(&removed, &made);
        self.disposition(old).replaced = true;
        let target = Target::MadeBy { op: id, name: name.clone() };
        let rename = self.rename(target.clone(), &name, Reason::FinishReplace, replica);
        self.draft.after(&rename, &removed);
        replica.target = target;
        Ok(())
    }

    pub(super) fn disposition(&mut self, container: &Container) -> &mut Disposition {
        self.dispositions.entry(container.id.clone()).or_default()
    }

    /// Stops and removes a container whose place is taken; the stop comes after `before`.
    fn retire(
        &mut self,
        service: &Service,
        old: &'a Container,
        replica: &mut Replica<'a>,
        because: &Reason,
        before: &[OpId],
    ) -> OpId {
        let label = format!("{}{}", replica.label, stopping::OLD);
        let (stop, remove) =
            stopping::stop_and_remove(self.draft, old, Some(service), &label, self.up.timeout, false, because);
        match &stop {
            Some(stop) => self.draft.after_all(&stop.first, before),
            None => self.draft.after_all(&remove, before),
        }
        let last = stop.as_ref().map(|stop| stop.last.clone());
        *self.disposition(old) = Disposition { stop: last, remove: Some(remove.clone()), replaced: false };
        replica.old_stop = stop;
        remove
    }

    fn rename(&mut self, container: Target, to: &ContainerName, because: Reason, replica: &mut Replica<'a>) -> OpId {
        let id = OpId::new("rename", &replica.label);
        let service = replica.label.rsplit_once('.').map(|(service, _)| ServiceName::from(service));
        self.draft.add(id.clone(), Op::Rename { container, to: to.clone() }, because.clone(), service.as_ref());
        self.draft.after_all(&id, &replica.before_start);
        replica.because.get_or_insert(because);
        replica.before_start = vec![id.clone()];
        id
    }

    /// Steps that must be done before a container of the service can be made.
    pub(crate) fn needs_of(&self, service: &Service, spec: &ContainerSpec) -> Vec<OpId> {
        let images = self.images.steps.get(&service.name).into_iter().flatten();
        let networks = networks::used_by(service).filter_map(|key| self.networks.made_by.get(key));
        let volumes = volumes::used_by(service).filter_map(|key| self.volumes.made_by.get(key));
        // Providers tell variables that their dependents are created with.
        let needed = select::dependencies(self.world.project, service);
        let providers = needed.keys().filter_map(|name| self.providers.get(name));
        let models = service.models.keys().filter_map(|key| self.models.get(key));
        let resources = images.chain(networks).chain(volumes).chain(providers).chain(models).cloned();
        resources.chain(shared_with(spec)).chain(self.linked(service, spec)).collect()
    }

    /// Steps that make the containers that the engine looks for by name when it makes one with links
    /// on its own network. Elsewhere a link is an alias, and nobody has to be there.
    fn linked(&self, service: &Service, spec: &ContainerSpec) -> Vec<OpId> {
        if spec.links.is_empty() {
            return Vec::new();
        }
        let others = service.links.iter().map(|link| link.split(':').next().unwrap_or(link));
        let peers = others.flat_map(|other| self.peers.get(other).into_iter().flatten().map(move |peer| (other, peer)));
        peers
            .flat_map(|(other, peer)| {
                let made = match &peer.target {
                    Target::MadeBy { op, .. } => Some(op.clone()),
                    Target::Existing { .. } | Target::Named { .. } => None,
                };
                // One that is replaced has its name only at the end.
                let renamed = OpId::new("rename", replica_label(&ServiceName::from(other), peer.number));
                made.into_iter().chain(self.draft.has(&renamed).then_some(renamed))
            })
            .collect()
    }

    /// What a pull or a build of this plan brings is not known yet: the engine's side fills in the
    /// identity of the image that it used.
    pub(crate) fn with_coming_image(&self, service: &Service, mut spec: Box<ContainerSpec>) -> Box<ContainerSpec> {
        if self.images.steps.get(&service.name).is_some_and(|steps| !steps.is_empty()) {
            spec.image_id = None;
            spec.labels.remove(crate::labels::IMAGE);
        }
        spec
    }

    /// Creates a container and connects it to its further networks.
    fn create(
        &mut self,
        service: &Service,
        id: OpId,
        spec: Box<ContainerSpec>,
        replaces: Option<Target>,
        because: Reason,
        replica: &mut Replica<'a>,
    ) {
        let needs = self.needs_of(service, &spec);
        let spec = self.with_coming_image(service, spec);
        replica.before_start = create_steps(self.world, self.draft, id.clone(), spec, replaces, &because, &needs);
        replica.target = Target::MadeBy { op: id, name: self.world.container_name(service, replica.number) };
        replica.because = Some(because);
    }

    /// A container that stays; one that does not run is connected to what it lacks.
    fn keep(
        &mut self,
        service: &Service,
        container: &'a Container,
        replica: &mut Replica<'a>,
        networks: &BTreeSet<NetworkName>,
    ) -> Result<(), PlanError> {
        replica.target = match &replica.target {
            // A rename before gave it its name already.
            Target::Named { .. } if replica.before_start.is_empty() => existing(container),
            Target::Named { name } => Target::Existing { id: container.id.clone(), name: name.clone() },
            other => other.clone(),
        };
        replica.there = Some(container);
        if container.state.is_up() {
            self.deliver(service, container, replica)?;
        }
        if self.up.repair_drift {
            self.repair(service, container, replica)?;
        }
        if container.state.is_up() || !service.network_mode.is_empty() {
            return Ok(());
        }
        let name = self.world.container_name(service, replica.number);
        for network in differ::missing_networks(self.world, service, container, networks) {
            let Some((key, options)) = service.networks.iter().find(|(key, _)| self.world.network_name(key) == network)
            else {
                continue;
            };
            let because = Reason::Disconnected { what: format!("network {network}") };
            let target = existing(container);
            let endpoint = lower::endpoint(self.world, service, key, options.as_ref(), &name, true);
            let connect = OpId::new("connect", format!("{}.{key}", replica.label));
            self.draft.add(
                connect.clone(),
                Op::Connect { container: target.clone(), endpoint: Box::new(endpoint) },
                because.clone(),
                Some(&service.name),
            );
            if container.networks.contains_key(network.as_str()) {
                let disconnect = OpId::new("disconnect", format!("{}.{key}", replica.label));
                let op = Op::Disconnect { container: target, network: network.as_str().into() };
                self.draft.add(disconnect.clone(), op, because, Some(&service.name));
                self.draft.after(&connect, &disconnect);
            }
            if let Some(made) = self.networks.made_by.get(key) {
                self.draft.after(&connect, made);
            }
            replica.before_start.push(connect);
        }
        Ok(())
    }

    /// Brings a changed config or secret into a running container that need not be replaced for it.
    fn deliver(
        &mut self,
        service: &Service,
        container: &'a Container,
        replica: &mut Replica<'a>,
    ) -> Result<(), PlanError> {
        match differ::changed_contents(self.world, service, container) {
            // What is copied in before each start brings the new content along.
            Some((OnChange::Restart, because)) => {
                let label = &replica.label;
                let stop = stopping::stop(self.draft, container, Some(service), label, self.up.timeout, &because);
                replica.stopped = Some(stop);
                replica.because = Some(because);
            }
            Some((OnChange::Signal(signal), because)) => {
                // A file of the host that is still mounted from an earlier definition is there already.
                let mounted = |target: &String| container.mounts.iter().any(|mount| mount.target == *target);
                let mut files = lower::files(self.world, service)?;
                files.retain(|file| !mounted(&file.target));
                let kill = OpId::new("kill", &replica.label);
                let op = Op::Kill { container: existing(container), signal };
                self.draft.add(kill.clone(), op, because.clone(), Some(&service.name));
                if !files.is_empty() {
                    let copy = OpId::new("copy-in", &replica.label);
                    let op = Op::CopyIn { container: existing(container), files };
                    self.draft.add(copy.clone(), op, because.clone(), Some(&service.name));
                    self.draft.after(&kill, &copy);
                }
                replica.because = Some(because);
            }
            Some((OnChange::Recreate | OnChange::Ignore, _)) | None => {}
        }
        Ok(())
    }

    /// Undoes what was changed by hand and can be undone without a replacement: name and networks.
    fn repair(
        &mut self,
        service: &Service,
        container: &'a Container,
        replica: &mut Replica<'a>,
    ) -> Result<(), PlanError> {
        let name = self.world.container_name(service, replica.number);
        let because = |change: &Change| Reason::Drift { changes: vec![change.clone()] };
        for drift in drift::of(self.world, &self.peers, service, container)? {
            let target = existing(container);
            match &drift.repair {
                Repair::Rename => {
                    let id = OpId::new("rename", &replica.label);
                    let op = Op::Rename { container: target, to: name.clone() };
                    self.draft.add(id, op, because(&drift.change), Some(&service.name));
                }
                Repair::Disconnect(network) => {
                    let id = OpId::new("disconnect", format!("{}.{network}", replica.label));
                    let op = Op::Disconnect { container: target, network: network.clone() };
                    self.draft.add(id, op, because(&drift.change), Some(&service.name));
                }
                Repair::Connect(endpoint) => {
                    let network = &endpoint.network;
                    let connect = OpId::new("connect", format!("{}.{network}", replica.label));
                    let op = Op::Connect { container: target.clone(), endpoint: endpoint.clone() };
                    self.draft.add(connect.clone(), op, because(&drift.change), Some(&service.name));
                    if container.networks.contains_key(network) {
                        let disconnect = OpId::new("disconnect", format!("{}.{network}", replica.label));
                        let op = Op::Disconnect { container: target, network: network.clone() };
                        self.draft.add(disconnect.clone(), op, because(&drift.change), Some(&service.name));
                        self.draft.after(&connect, &disconnect);
                    }
                }
                Repair::Replace => continue,
            }
            replica.because.get_or_insert(because(&drift.change));
        }
        Ok(())
    }
}

/// Adds a creation and, where the engine takes one network at a time, the connections. Returns the
/// steps that come before the start.
pub(crate) fn create_steps(
    world: &World<'_>,
    draft: &mut Draft,
    id: OpId,
    mut spec: Box<ContainerSpec>,
    replaces: Option<Target>,
    because: &Reason,
    needs: &[OpId],
) -> Vec<OpId> {
    let further = if world.capabilities.networks_at_create || spec.networks.len() < 2 {
        Vec::new()
    } else {
        spec.networks.split_off(1)
    };
    let service = spec.service.clone();
    let name = spec.name.clone();
    draft.add(id.clone(), Op::CreateContainer { spec, replaces }, because.clone(), Some(&service));
    draft.after_all(&id, needs);
    let mut steps = vec![id.clone()];
    let target = id.0.strip_prefix("create:").unwrap_or(&id.0).to_owned();
    for endpoint in further {
        let project = format!("{}_", world.project.name);
        let network = endpoint.network.as_str();
        let key = network.strip_prefix(&project).unwrap_or(network);
        let connect = OpId::new("connect", format!("{target}.{key}"));
        let op = Op::Connect {
            container: Target::MadeBy { op: id.clone(), name: name.clone() },
            endpoint: Box::new(endpoint),
        };
        draft.add(connect.clone(), op, Reason::Follows { op: id.clone() }, Some(&service));
        draft.after(&connect, &id);
        steps.push(connect);
    }
    steps
}

/// The steps that make containers whose namespaces or volumes the new one shares.
pub(crate) fn shared_with(spec: &ContainerSpec) -> Vec<OpId> {
    let mut targets: Vec<&Target> = spec.volumes_from.iter().map(|from| &from.container).collect();
    if let NetworkMode::Container(target) = &spec.network_mode {
        targets.push(target);
    }
    for namespace in [&spec.ipc, &spec.pid] {
        if let Namespace::Container(target) = namespace {
            targets.push(target);
        }
    }
    targets
        .into_iter()
        .filter_map(|target| match target {
            Target::MadeBy { op, .. } => Some(op.clone()),
            Target::Existing { .. } | Target::Named { .. } => None,
        })
        .collect()
}

/// Fresh data: what is carried over must not be a volume that is removed.
fn forget_replaced_volumes(spec: &mut ContainerSpec, volumes: &Volumes) {
    for mount in &mut spec.mounts {
        if let MountSource::Anonymous { carried, .. } = &mut mount.source
            && carried.as_ref().is_some_and(|volume| volumes.replaced.contains_key(volume))
        {
            *carried = None;
        }
    }
}
