//! `up`, `create` and `scale`: images, networks, volumes, containers, starts, waits, orphans.
//!
//! Here is the order of the whole; [`scope`] finds the services that are touched, [`replica`] makes
//! the steps of one replica, [`reconnect`] those of containers on networks that are replaced.

mod reconnect;
mod replica;
mod scope;

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::{ContainerId, NetworkName, ServiceName, VolumeKey, VolumeName};
use compose_model::project::Service;

pub(crate) use self::replica::{create_steps, shared_with};
use super::networks::{self, Networks};
use super::replicas::{self, Fate, Terms};
use super::stopping::Stop;
use super::volumes::{self, Volumes};
use super::{images, orphans, starts};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::Up;
use crate::lower::{self, Peer, Peers};
use crate::models;
use crate::observed::Container;
use crate::op::{Op, OpId, Target};
use crate::reason::Reason;
use crate::select;
use crate::world::{World, existing, label_of, replica_label};

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
    /// Steps after which models are there.
    models: BTreeMap<String, OpId>,
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
    if world.project.services.is_empty() && !up.all_resources {
        return Err(PlanError::NoServiceSelected);
    }
    let scheduled = world.project.jobs.iter().filter(|(_, job)| !job.triggers["schedule"].is_null());
    let scheduled: Vec<&str> = scheduled.map(|(name, _)| name.as_str()).collect();
    if !scheduled.is_empty() {
        return Err(PlanError::ScheduledJobs { names: scheduled.join(", ") });
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
    scope::widen_to_users_of_replaced_volumes(world, up, &mut scope)?;
    scope::check_names(world, up, &scope)?;
    for name in &scope {
        super::refuse(world, name)?;
    }
    let followers = scope::followers(world, up, &mut scope)?;
    let wishes = images::Wishes { build: up.build, pull: up.pull, now: up.now };
    let images = if up.images_ready {
        images::Images::default()
    } else {
        let mut all: Vec<ServiceName> = scope.iter().filter(|name| !followers.contains(*name)).cloned().collect();
        all.extend(once.map(|service| service.name.clone()).filter(|name| !scope.contains(name)));
        images::plan(world, draft, &all, wishes)?
    };
    let models = if up.images_ready {
        BTreeMap::new()
    } else {
        let users = scope.iter().filter(|name| !followers.contains(*name)).filter_map(|name| world.service(name));
        models::plan(world, draft, users.chain(once), "up")?
    };
    let services = || scope.iter().filter_map(|name| world.service(name)).chain(once);
    let network_keys: BTreeSet<_> = if up.all_resources {
        world.project.networks.keys().collect()
    } else {
        services().flat_map(networks::used_by).collect()
    };
    let volume_keys: BTreeSet<_> = if up.all_resources {
        world.project.volumes.keys().cloned().collect()
    } else {
        services().flat_map(volumes::used_by).map(VolumeKey::from).collect()
    };
    let networks = networks::plan(world, draft, &network_keys)?;
    let volumes = volumes::plan(world, draft, &volume_keys, &up.consent_volumes)?;
    // A pull or build that fails leaves nothing behind: what is made comes after all of them.
    let fetched: BTreeSet<&OpId> = images.steps.values().flatten().collect();
    // Not what is replaced: its removal does not wait, and its users are to have it back.
    let new_networks =
        networks.made_by.iter().filter(|(key, _)| !networks.replaced.values().any(|(_, old)| old == *key));
    let new_volumes =
        volumes.made_by.iter().filter(|(key, _)| !volumes.replaced.contains_key(world.volume_name(key).as_str()));
    for made in new_networks.map(|(_, made)| made).chain(new_volumes.map(|(_, made)| made)) {
        draft.after_all(made, fetched.iter().copied());
    }
    let replan = images.steps.iter().any(|(name, steps)| {
        let mounted = world.service(name).is_some_and(|service| lower::mounted_images(service).next().is_some());
        !steps.is_empty() && (mounted || !world.replicas(name).is_empty())
    });
    let mut run = Run { images, models, networks, volumes, replan, followers, ..Run::empty(world, up, draft, scope) };
    run.peers_out_of_scope();
    run.containers()?;
    let mut gone = orphans::unfinished_one_offs(world, run.draft);
    gone.extend(orphans::plan(world, run.draft, up.remove_orphans, up.ignore_orphans, up.timeout));
    for orphan in gone {
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
            models: BTreeMap::new(),
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
                repair_drift: self.up.repair_drift,
                renew_anonymous_volumes: self.up.renew_anonymous_volumes,
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
