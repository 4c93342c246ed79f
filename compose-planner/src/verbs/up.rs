//! `up`, `create` and `scale`: images, networks, volumes, containers, starts, waits, orphans.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ContainerId, ContainerName, NetworkName, ServiceName, VolumeName};
use compose_model::project::Service;

use super::networks::{self, Networks};
use super::replicas::{self, Fate, Slot, Terms};
use super::stopping::{self, Stop};
use super::volumes::{self, Volumes};
use super::{images, orphans, starts};
use crate::differ;
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::Up;
use crate::lower::{self, Peer, Peers, Role};
use crate::observed::Container;
use crate::op::{Op, OpId, Target};
use crate::plan::Note;
use crate::reason::Reason;
use crate::select;
use crate::spec::{ContainerSpec, MountSource, Namespace, NetworkMode};
use crate::world::{World, existing, label_of, replica_label, short_id};

/// One replica on its way to running.
#[derive(Debug)]
pub(crate) struct Replica<'a> {
    pub(crate) number: usize,
    /// `web.1`.
    pub(crate) label: String,
    /// The container that it is in the end.
    pub(crate) target: Target,
    /// The container that it is already, where it is not made by this plan.
    pub(crate) there: Option<&'a Container>,
    /// It takes the place of another container, made by this plan or by an interrupted one.
    pub(crate) replaced: bool,
    /// Why it was made or touched; the reason of its start.
    pub(crate) because: Option<Reason>,
    /// Steps that come before its start.
    pub(crate) before_start: Vec<OpId>,
    /// The step that stops it although it stays (changed network, restarted dependency).
    pub(crate) stopped: Option<Stop>,
    /// The stop of the container that it takes the place of.
    pub(crate) old_stop: Option<Stop>,
    /// Steps after which it counts as started; filled by the start phase.
    pub(crate) done: Vec<OpId>,
}

/// What becomes of an observed container, for the replacement of networks and volumes.
#[derive(Clone, Debug, Default)]
struct Disposition {
    stop: Option<OpId>,
    remove: Option<OpId>,
    /// The removal waits for a successor.
    replaced: bool,
}

/// The state of planning one `up`.
pub(crate) struct Run<'w, 'a> {
    pub(crate) world: &'w World<'a>,
    pub(crate) up: &'w Up,
    pub(crate) draft: &'w mut Draft,
    /// Services in dependency order.
    pub(crate) scope: Vec<ServiceName>,
    pub(crate) peers: Peers,
    pub(crate) replicas: BTreeMap<ServiceName, Vec<Replica<'a>>>,
    /// Steps of providers.
    pub(crate) providers: BTreeMap<ServiceName, OpId>,
    /// The services that `--wait` waits for; `None` for all of the scope.
    pub(crate) waited_for: Option<BTreeSet<ServiceName>>,
    /// The rest has to be planned again once the images are there.
    pub(crate) replan: bool,
    /// Services of the scope that are only touched if a container whose namespaces or volumes
    /// they share is replaced.
    followers: BTreeSet<ServiceName>,
    images: images::Images,
    networks: Networks,
    volumes: Volumes,
    dispositions: BTreeMap<ContainerId, Disposition>,
}

/// Plans `up`, or `create` where `start` is false. Tells whether the rest has to be planned again
/// once the images are there.
pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, up: &Up, start: bool) -> Result<bool, PlanError> {
    if world.project.services.is_empty() {
        return Err(PlanError::NoServiceSelected);
    }
    let names: Vec<ServiceName> = up.scale.keys().cloned().collect();
    select::known(world.project, &names)?;
    let scope = select::in_order(world.project, &up.services, !up.no_dependencies)?;
    let mut run = prepare(world, draft, up, scope, None)?;
    starts::plan(&mut run, start)?;
    let replan = run.replan;
    if !world.project.jobs.is_empty() && start {
        let names: Vec<&str> = world.project.jobs.keys().map(ServiceName::as_str).collect();
        draft.warn(format!("jobs are not started by up; trigger them with `docker compose run`: {}", names.join(", ")));
    }
    Ok(replan)
}

/// Plans everything before the starts, for the services of `scope`; `once` is a further service
/// whose images, networks and volumes are needed for a one-off container.
pub(crate) fn prepare<'w, 'a>(
    world: &'w World<'a>,
    draft: &'w mut Draft,
    up: &'w Up,
    mut scope: Vec<ServiceName>,
    once: Option<&Service>,
) -> Result<Run<'w, 'a>, PlanError> {
    widen_to_users_of_replaced_volumes(world, up, &mut scope)?;
    check_names(world, up, &scope)?;
    for name in &scope {
        super::refuse(world, name)?;
    }
    let followers = followers(world, up, &mut scope)?;
    let wishes = images::Wishes { build: up.build, pull: up.pull, now: up.now };
    let images = if up.images_ready {
        images::Images::default()
    } else {
        let mut all: Vec<ServiceName> = scope.iter().filter(|name| !followers.contains(*name)).cloned().collect();
        all.extend(once.map(|service| service.name.clone()).filter(|name| !scope.contains(name)));
        images::plan(world, draft, &all, wishes)?
    };
    let services = || scope.iter().filter_map(|name| world.service(name)).chain(once);
    let network_keys: BTreeSet<_> = if up.all_resources {
        world.project.networks.keys().cloned().collect()
    } else {
        services().flat_map(networks::used_by).collect()
    };
    let volume_keys: BTreeSet<_> = if up.all_resources {
        world.project.volumes.keys().cloned().collect()
    } else {
        services().flat_map(volumes::used_by).collect()
    };
    let networks = networks::plan(world, draft, &network_keys)?;
    let volumes = volumes::plan(world, draft, &volume_keys, &up.consent_volumes)?;
    let replan = images.steps.iter().any(|(name, steps)| {
        let mounted = world.service(name).is_some_and(|service| lower::mounted_images(service).next().is_some());
        !steps.is_empty() && (mounted || !world.replicas(name).is_empty())
    });
    let mut run = Run { images, networks, volumes, replan, followers, ..Run::empty(world, up, draft, scope) };
    run.peers_out_of_scope();
    run.containers()?;
    for orphan in orphans::plan(world, run.draft, up.remove_orphans, up.ignore_orphans, up.timeout) {
        let disposition = Disposition { stop: orphan.stop, remove: Some(orphan.remove), replaced: false };
        run.dispositions.insert(orphan.container, disposition);
    }
    run.remove_replaced_volumes();
    run.reconnect();
    Ok(run)
}

/// How many replicas are wanted.
pub(crate) fn wanted(up: &Up, service: &Service) -> usize {
    up.scale.get(&service.name).copied().unwrap_or_else(|| service.replicas())
}

/// A volume that is replaced takes all its users with it, named or not.
fn widen_to_users_of_replaced_volumes(
    world: &World<'_>,
    up: &Up,
    scope: &mut Vec<ServiceName>,
) -> Result<(), PlanError> {
    if up.consent_volumes.is_empty() {
        return Ok(());
    }
    let replaced: BTreeSet<_> = world
        .project
        .volumes
        .keys()
        .filter(|key| up.consent_volumes.contains(&world.volume_name(key)) && volumes::changed(world, key))
        .cloned()
        .collect();
    let used = |name: &ServiceName| {
        world.service(name).is_some_and(|service| volumes::used_by(service).iter().any(|key| replaced.contains(key)))
    };
    if !scope.iter().any(used) {
        return Ok(());
    }
    let further: Vec<ServiceName> = world
        .project
        .services
        .keys()
        .filter(|name| !scope.contains(name) && used(name) && !world.replicas(name).is_empty())
        .cloned()
        .collect();
    if !further.is_empty() {
        let all: Vec<ServiceName> = scope.iter().cloned().chain(further).collect();
        *scope = select::in_order(world.project, &all, false)?;
    }
    Ok(())
}

/// Services that were not asked for but share namespaces or volumes of those that were: a
/// replacement would leave them with a container that is gone. They are added to the scope.
fn followers(world: &World<'_>, up: &Up, scope: &mut Vec<ServiceName>) -> Result<BTreeSet<ServiceName>, PlanError> {
    let mut found: BTreeSet<ServiceName> = BTreeSet::new();
    if up.no_dependencies || scope.len() == world.project.services.len() {
        return Ok(found);
    }
    let mut all: BTreeSet<ServiceName> = scope.iter().cloned().collect();
    loop {
        let further: Vec<ServiceName> = world
            .project
            .services
            .values()
            .filter(|service| !all.contains(&service.name) && !world.replicas(&service.name).is_empty())
            .filter(|service| select::bound_to(service).iter().any(|parent| all.contains(parent)))
            .map(|service| service.name.clone())
            .collect();
        if further.is_empty() {
            break;
        }
        all.extend(further.iter().cloned());
        found.extend(further);
    }
    if !found.is_empty() {
        let all: Vec<ServiceName> = all.into_iter().collect();
        *scope = select::in_order(world.project, &all, false)?;
    }
    Ok(found)
}

/// Names of their own are unique and belong to one replica.
fn check_names(world: &World<'_>, up: &Up, scope: &[ServiceName]) -> Result<(), PlanError> {
    let mut taken: BTreeMap<&str, &ServiceName> = BTreeMap::new();
    for service in scope.iter().filter_map(|name| world.service(name)) {
        let name = service.container_name.as_str();
        if name.is_empty() {
            continue;
        }
        let place = || world.place(&service.name, "container_name");
        if wanted(up, service) > 1 {
            return Err(PlanError::CustomNameScaled {
                service: service.name.clone(),
                name: name.to_owned(),
                place: place(),
            });
        }
        if let Some(first) = taken.insert(name, &service.name) {
            return Err(PlanError::ContainerNameTaken {
                first: first.clone(),
                second: service.name.clone(),
                name: name.to_owned(),
                place: place(),
            });
        }
    }
    Ok(())
}

impl<'a> Replica<'a> {
    /// A container that is there and stays.
    pub(crate) fn there(container: &'a Container) -> Self {
        Self {
            number: container.number.unwrap_or(1),
            label: label_of(container),
            target: existing(container),
            there: Some(container),
            replaced: false,
            because: None,
            before_start: Vec::new(),
            stopped: None,
            old_stop: None,
            done: Vec::new(),
        }
    }
}

impl<'w, 'a> Run<'w, 'a> {
    /// A run that has decided nothing yet.
    pub(crate) fn empty(world: &'w World<'a>, up: &'w Up, draft: &'w mut Draft, scope: Vec<ServiceName>) -> Self {
        Self {
            world,
            up,
            draft,
            scope,
            peers: Peers::new(),
            replicas: BTreeMap::new(),
            providers: BTreeMap::new(),
            waited_for: None,
            replan: false,
            followers: BTreeSet::new(),
            images: images::Images::default(),
            networks: Networks::default(),
            volumes: Volumes::default(),
            dispositions: BTreeMap::new(),
        }
    }

    /// Lets others refer to the replicas of a service.
    pub(crate) fn add_peers(&mut self, name: &ServiceName, list: &[Replica<'_>]) {
        let peers = list.iter().map(|replica| Peer {
            number: replica.number,
            name: replica.target.name().clone(),
            target: replica.target.clone(),
        });
        self.peers.insert(name.clone(), peers.collect());
    }

    /// Services that this run leaves alone are what is observed.
    fn peers_out_of_scope(&mut self) {
        let scope: BTreeSet<&ServiceName> = self.scope.iter().collect();
        for name in self.world.project.services.keys().filter(|name| !scope.contains(name)) {
            let list: Vec<Peer> = self
                .world
                .replicas(name)
                .iter()
                .map(|container| Peer {
                    number: container.number.unwrap_or(1),
                    name: container.name.clone(),
                    target: existing(container),
                })
                .collect();
            self.peers.insert(name.clone(), list);
        }
    }

    /// Decides about every service of the scope and adds the steps up to, not including, starts.
    fn containers(&mut self) -> Result<(), PlanError> {
        let named: BTreeSet<ServiceName> = if self.up.services.is_empty() {
            self.scope.iter().cloned().collect()
        } else {
            self.up.services.iter().cloned().collect()
        };
        let networks: BTreeSet<NetworkName> = self.networks.replaced.keys().cloned().collect();
        let volumes: BTreeSet<VolumeName> = self.volumes.replaced.keys().cloned().collect();
        let mut renewed: BTreeSet<ServiceName> = BTreeSet::new();
        for name in self.scope.clone() {
            let Some(service) = self.world.service(&name) else { continue };
            if let Some(provider) = &service.provider {
                let op = Op::RunProvider {
                    service: name.clone(),
                    provider: Box::new(provider.clone()),
                    verb: "up".to_owned(),
                };
                let because = Reason::Requested { by: "up".to_owned() };
                let id = self.draft.add(OpId::new("provider", &name), op, because, Some(&name));
                self.providers.insert(name, id);
                continue;
            }
            let mut count = wanted(self.up, service);
            if self.followers.contains(&name) {
                let there = self.world.replicas(&name);
                if !select::bound_to(service).iter().any(|parent| renewed.contains(parent)) {
                    let list: Vec<Replica<'_>> = there.iter().map(|container| Replica::there(container)).collect();
                    self.add_peers(&name, &list);
                    continue;
                }
                count = there.len();
            }
            let terms = Terms {
                peers: &self.peers,
                recreate: if named.contains(&name) { self.up.recreate } else { self.up.recreate_dependencies },
                dependency: !named.contains(&name),
                wanted: count,
                networks: &networks,
                volumes: &volumes,
                renewed: &renewed,
            };
            let decision = replicas::decide(self.world, service, &terms);
            let mut list = Vec::new();
            let (mut remade, mut fresh): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
            for slot in decision.slots {
                let removed_first = match slot.fate {
                    Fate::Remake(..) => true,
                    Fate::Replace(..) => !self.world.capabilities.rename,
                    _ => false,
                };
                if removed_first {
                    remade.push(replica_label(&name, slot.number));
                } else if matches!(slot.fate, Fate::Create(_)) {
                    fresh.push(replica_label(&name, slot.number));
                }
                if matches!(slot.fate, Fate::Replace(..) | Fate::Remake(..) | Fate::Finish { .. }) {
                    renewed.insert(name.clone());
                }
                list.push(self.slot(service, slot, &networks)?);
            }
            let surplus: Vec<OpId> = decision
                .surplus
                .into_iter()
                .map(|(container, because)| self.surplus(service, container, &because))
                .collect();
            self.order_removals(&remade, &fresh, &surplus);
            self.add_peers(&name, &list);
            self.replicas.insert(name, list);
        }
        Ok(())
    }

    /// Where a container is removed before its successor is made, an interruption in between loses
    /// its number. So surplus ones go first, then the highest numbers, and the lowest are made
    /// first: what is left counts on to the same numbers.
    fn order_removals(&mut self, remade: &[String], fresh: &[String], surplus: &[OpId]) {
        for label in remade {
            self.draft.after_all(&OpId::new("remove", format!("{label}.old")), surplus);
        }
        if let (Some(last), true) = (remade.last(), self.world.capabilities.rename) {
            for label in fresh {
                self.draft.after(&OpId::new("create", label), &OpId::new("create", last));
            }
        }
        for pair in remade.windows(2) {
            if let [lower, higher] = pair {
                let remove = |label: &String| OpId::new("remove", format!("{label}.old"));
                if self.world.capabilities.rename {
                    self.draft.after(&remove(lower), &remove(higher));
                    self.draft.after(&OpId::new("create", higher), &OpId::new("create", lower));
                }
            }
        }
    }

    /// Removes a container that has no place any more.
    fn surplus(&mut self, service: &Service, container: &'a Container, because: &Reason) -> OpId {
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
    fn slot(
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
            Fate::Keep(container) => self.keep(service, container, &mut replica, networks),
            Fate::Rename(container) => {
                let found = format!("{} has a temporary name", container.name);
                self.draft.notes.push(Note::Unfinished { text: format!("{found}; it becomes {name}") });
                self.rename(existing(container), &name, Reason::Unfinished { found }, &mut replica);
                self.keep(service, container, &mut replica, networks);
                replica.replaced = true;
            }
            Fate::Finish { old, new } => {
                let found = format!("{} was to replace {}", new.name, old.name);
                self.draft.notes.push(Note::Unfinished { text: format!("{found}; the replacement is finished") });
                let because = Reason::Unfinished { found };
                let removed = self.retire(service, old, &mut replica, &because, &[]);
                let rename = self.rename(existing(new), &name, because, &mut replica);
                self.draft.after(&rename, &removed);
                self.keep(service, new, &mut replica, networks);
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
            Fate::Replace(old, because) => self.replace(service, old, because, &mut replica, name, networks)?,
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

    fn disposition(&mut self, container: &Container) -> &mut Disposition {
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
        let label = format!("{}.old", replica.label);
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
        let networks = networks::used_by(service);
        let networks = networks.iter().filter_map(|key| self.networks.made_by.get(key));
        let volumes = volumes::used_by(service);
        let volumes = volumes.iter().filter_map(|key| self.volumes.made_by.get(key));
        // Providers tell variables that their dependents are created with.
        let needed = select::dependencies(self.world.project, service);
        let providers = needed.keys().filter_map(|name| self.providers.get(name));
        images.chain(networks).chain(volumes).chain(providers).cloned().chain(shared_with(spec)).collect()
    }

    /// What a pull or a build of this plan brings is not known yet: the engine's side fills in the
    /// identity of the image that it used.
    pub(crate) fn with_coming_image(&self, service: &Service, mut spec: ContainerSpec) -> ContainerSpec {
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
        spec: ContainerSpec,
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
    ) {
        replica.target = match &replica.target {
            // A rename before gave it its name already.
            Target::Named { .. } if replica.before_start.is_empty() => existing(container),
            Target::Named { name } => Target::Existing { id: container.id.clone(), name: name.clone() },
            other => other.clone(),
        };
        replica.there = Some(container);
        if container.state.is_up() || !service.network_mode.is_empty() {
            return;
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
    }

    /// The removal of a replaced volume comes after that of all its users.
    fn remove_replaced_volumes(&mut self) {
        for (volume, remove) in &self.volumes.replaced {
            for container in &self.world.observed.containers {
                let uses = container.mounts.iter().any(|mount| mount.volume.as_ref() == Some(volume));
                let gone = self.dispositions.get(&container.id).and_then(|disposition| disposition.remove.as_ref());
                if let (true, Some(gone)) = (uses, gone) {
                    self.draft.after(remove, gone);
                }
            }
        }
    }

    /// Containers on a replaced network are stopped, disconnected, connected to the new one and
    /// started again, keeping their identity.
    fn reconnect(&mut self) {
        for (network, (remove, key)) in self.networks.replaced.clone() {
            let create = self.networks.made_by.get(&key).cloned();
            let attached = self.world.observed.containers.iter().filter(|container| {
                container.project.as_ref() == Some(&self.world.project.name)
                    && container.networks.contains_key(&network)
            });
            for container in attached {
                self.reconnect_one(container, &network, &key, &remove, create.as_ref());
            }
        }
    }

    fn reconnect_one(
        &mut self,
        container: &'a Container,
        network: &NetworkName,
        key: &compose_model::names::NetworkKey,
        remove: &OpId,
        create: Option<&OpId>,
    ) {
        let because = Reason::Follows { op: remove.clone() };
        let disposition = self.dispositions.get(&container.id).cloned().unwrap_or_default();
        let place = |label: &str| OpId::new("disconnect", format!("{label}.{key}"));
        let op = Op::Disconnect { container: existing(container), network: network.clone() };
        if let Some(gone) = &disposition.remove {
            if !disposition.replaced {
                self.draft.after(remove, gone);
                return;
            }
            let id = place(&format!("{}.old", label_of(container)));
            self.draft.add(id.clone(), op, because, Some(&container.service));
            if let Some(stop) = &disposition.stop {
                self.draft.after(&id, stop);
            }
            self.draft.after(gone, &id);
            self.draft.after(remove, &id);
            return;
        }
        let label = label_of(container);
        if container.hook.is_some() {
            // What a hook of an interrupted run left behind is not worth a new connection.
            let found = format!("{} is left over from an earlier run", container.name);
            let op = Op::RemoveContainer { container: existing(container), volumes: false, force: true };
            let because = Reason::Unfinished { found };
            let gone = self.draft.add(OpId::new("remove", label), op, because, Some(&container.service));
            self.draft.after(remove, &gone);
            return;
        }
        let service = self.world.service(&container.service);
        let stop = match &disposition.stop {
            Some(stop) => Some(stop.clone()),
            None if container.state.is_up() => {
                let stop = stopping::stop(self.draft, container, service, &label, self.up.timeout, &because);
                let replica = self
                    .replicas
                    .values_mut()
                    .flatten()
                    .find(|replica| replica.there.is_some_and(|there| there.id == container.id));
                let last = stop.last.clone();
                if let Some(replica) = replica {
                    replica.stopped = Some(stop);
                }
                Some(last)
            }
            None => None,
        };
        let disconnect = self.draft.add(place(&label), op, because.clone(), Some(&container.service));
        if let Some(stop) = &stop {
            self.draft.after(&disconnect, stop);
            self.disposition(container).stop = Some(stop.clone());
        }
        self.draft.after(remove, &disconnect);
        let endpoint = match service.and_then(|service| Some((service, service.networks.get(key)?))) {
            Some((service, options)) => lower::endpoint(
                self.world,
                service,
                key,
                options.as_ref(),
                &container.name,
                !container.one_off && container.hook.is_none(),
            ),
            // No longer on that network, or not in the file: only its own name.
            None => crate::spec::EndpointSpec {
                network: network.clone(),
                aliases: vec![container.name.to_string()],
                ..crate::spec::EndpointSpec::default()
            },
        };
        let connect = self.draft.add(
            OpId::new("connect", format!("{label}.{key}")),
            Op::Connect { container: existing(container), endpoint: Box::new(endpoint) },
            because.clone(),
            Some(&container.service),
        );
        self.draft.after(&connect, &disconnect);
        if let Some(create) = create {
            self.draft.after(&connect, create);
        }
        let replica = self
            .replicas
            .values_mut()
            .flatten()
            .find(|replica| replica.there.is_some_and(|there| there.id == container.id));
        match replica {
            Some(replica) => {
                replica.before_start.push(connect);
                replica.because = Some(because);
            }
            // Nobody else starts it again.
            None if container.state.is_up() => {
                let op = Op::Start { container: existing(container), ports: Vec::new() };
                let start = self.draft.add(OpId::new("start", &label), op, because, Some(&container.service));
                self.draft.after(&start, &connect);
            }
            None => {}
        }
    }
}

/// Adds a creation and, where the engine takes one network at a time, the connections. Returns the
/// steps that come before the start.
pub(crate) fn create_steps(
    world: &World<'_>,
    draft: &mut Draft,
    id: OpId,
    mut spec: ContainerSpec,
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
    draft.add(id.clone(), Op::CreateContainer { spec: Box::new(spec), replaces }, because.clone(), Some(&service));
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

/// `scale`: as `up` for the named services, with their counts; replicas that differ from the file
/// are replaced as by `up`.
pub(crate) fn scale(world: &World<'_>, draft: &mut Draft, scale: &crate::intent::Scale) -> Result<bool, PlanError> {
    let up = Up {
        services: scale.replicas.keys().cloned().collect(),
        scale: scale.replicas.clone(),
        no_dependencies: scale.no_dependencies,
        ..Up::default()
    };
    plan(world, draft, &up, true)
}
