//! The second half of `up`: starts in dependency order, waits, hooks.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::ServiceName;
use compose_model::project::{Condition, Dependency, Service};
use compose_model::units::Duration;

use super::stopping;
use super::up::{Replica, Run};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::lower;
use crate::observed::{Container, Health, State};
use crate::op::{Op, OpId, Target, Until};
use crate::plan::Note;
use crate::reason::Reason;
use crate::select;
use crate::world::{World, existing, label_of, state_text};

/// Plans the starts of a run; with `start` false only what was stopped on the way is started again.
pub(crate) fn plan(run: &mut Run<'_, '_>, start: bool) -> Result<(), PlanError> {
    let jobs = select::jobs(run.world.project);
    if start {
        restart_dependents(run);
    }
    let scope = run.scope.clone();
    let mut done: BTreeMap<ServiceName, Vec<Replica<'_>>> = BTreeMap::new();
    // Services in which something is started by this plan.
    let mut moving: BTreeSet<ServiceName> = BTreeSet::new();
    for name in &scope {
        let (Some(service), Some(mut list)) = (run.world.service(name), run.replicas.remove(name)) else { continue };
        let wanted: Vec<bool> =
            list.iter().map(|replica| needs_start(run, replica, start, jobs.contains(name))).collect();
        let starts = wanted.contains(&true);
        let waits = waits(run, service, &done, &moving, starts);
        if starts {
            let hooks = pre_start(run, service, &list, &wanted, &waits)?;
            for (replica, _) in list.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted) {
                let before: Vec<OpId> = if hooks.is_empty() { waits.clone() } else { hooks.clone() };
                start_replica(run.world, run.draft, service, replica, &before)?;
            }
            moving.insert(name.clone());
        }
        for (replica, wanted) in list.iter().zip(&wanted) {
            if !wanted {
                left_alone(run.draft, replica, start);
            }
        }
        if let Some(provider) = run.providers.get(name) {
            run.draft.after_all(provider, &waits);
        }
        done.insert(name.clone(), list);
    }
    for (name, provider) in &run.providers {
        let Some(service) = run.world.service(name) else { continue };
        for needed in select::dependencies(run.world.project, service).keys() {
            let before = done.get(needed).into_iter().flatten().flat_map(|replica| &replica.done);
            run.draft.after_all(provider, before);
        }
    }
    if start && run.up.wait {
        for name in &scope {
            if run.waited_for.as_ref().is_some_and(|waited_for| !waited_for.contains(name)) {
                continue;
            }
            let allow_exit = jobs.contains(name);
            for replica in done.get(name).into_iter().flatten() {
                let op = Op::Await {
                    container: replica.target.clone(),
                    service: name.clone(),
                    until: Until::Ready { allow_exit },
                    within: run.up.wait_timeout,
                    required: true,
                };
                let id = OpId::new("await", format!("{}.ready", replica.label));
                run.draft.add(id.clone(), op, Reason::Wait, Some(name));
                run.draft.after_all(&id, &replica.done);
            }
        }
    }
    run.replicas = done;
    Ok(())
}

/// Dependents with `restart: true` are stopped before what they depend on is replaced.
fn restart_dependents(run: &mut Run<'_, '_>) {
    for name in run.scope.clone() {
        let Some(service) = run.world.service(&name) else { continue };
        for (needed, terms) in &service.depends_on {
            if !terms.restart {
                continue;
            }
            let moved = |replica: &&Replica<'_>| replica.replaced || replica.stopped.is_some();
            let stops: Vec<OpId> = run
                .replicas
                .get(needed)
                .into_iter()
                .flatten()
                .filter(moved)
                .filter_map(|replica| replica.stopped.as_ref().or(replica.old_stop.as_ref()))
                .map(|stop| stop.first.clone())
                .collect();
            if !run.replicas.get(needed).into_iter().flatten().any(|replica| moved(&replica)) {
                continue;
            }
            let replaced = run.replicas.get(needed).into_iter().flatten().any(|replica| replica.replaced);
            let service_name = needed.to_string();
            let because = if replaced {
                Reason::DependencyReplaced { service: service_name }
            } else {
                Reason::DependencyRestarted { service: service_name }
            };
            for replica in run.replicas.get_mut(&name).into_iter().flatten() {
                if replica.stopped.is_none()
                    && let Some(there) = replica.there.filter(|there| there.state.is_up())
                {
                    let stop =
                        stopping::stop(run.draft, there, Some(service), &replica.label, run.up.timeout, &because);
                    replica.stopped = Some(stop);
                    replica.because = Some(because.clone());
                }
                // One that is replaced itself is stopped only when its successor is there, which may in
                // turn need what is replaced: no order between the two.
                if let Some(stop) = replica.stopped.as_ref() {
                    for before in &stops {
                        run.draft.after(before, &stop.last);
                    }
                }
            }
        }
    }
}

/// Whether this plan starts the replica.
fn needs_start(run: &Run<'_, '_>, replica: &Replica<'_>, start: bool, job: bool) -> bool {
    if replica.stopped.is_some() {
        return true;
    }
    if !start {
        return false;
    }
    let Some(there) = replica.there else { return true };
    let completed = there.state == State::Exited && there.exit_code == Some(0);
    if job && completed && run.up.keep_completed_jobs && !run.up.rerun_jobs && !replica.replaced {
        return false;
    }
    !matches!(there.state, State::Running | State::Restarting)
}

/// What a service of the scope waits for before it starts. The waits themselves are planned also
/// where only the dependency moves, so that its failure is the run's failure.
fn waits(
    run: &mut Run<'_, '_>,
    service: &Service,
    done: &BTreeMap<ServiceName, Vec<Replica<'_>>>,
    moving: &BTreeSet<ServiceName>,
    starts: bool,
) -> Vec<OpId> {
    let mut before = Vec::new();
    for (needed, terms) in select::dependencies(run.world.project, service).iter() {
        if let Some(provider) = run.providers.get(needed) {
            before.push(provider.clone());
        }
        let Some(list) = done.get(needed) else { continue };
        if !starts && !moving.contains(needed) {
            continue;
        }
        for replica in list {
            before.extend(wait_for(run.draft, &service.name, needed, terms, replica, run.up.wait_timeout));
        }
    }
    before
}

/// The steps after which a replica satisfies the condition.
pub(crate) fn wait_for(
    draft: &mut Draft,
    dependent: &ServiceName,
    needed: &ServiceName,
    terms: &Dependency,
    replica: &Replica<'_>,
    within: Option<Duration>,
) -> Vec<OpId> {
    if terms.condition == Condition::ServiceStarted {
        return replica.done.clone();
    }
    let ended_well = |there: &&Container| there.state == State::Exited && there.exit_code == Some(0);
    let unmoved = replica.done.is_empty();
    if unmoved
        && terms.condition == Condition::ServiceCompletedSuccessfully
        && replica.there.is_some_and(|there| ended_well(&there))
    {
        return Vec::new();
    }
    let healthy = |there: &Container| there.state == State::Running && there.health == Health::Healthy;
    if unmoved && terms.condition == Condition::ServiceHealthy && replica.there.is_some_and(healthy) {
        return Vec::new();
    }
    let id = await_step(draft, dependent, needed, terms, &replica.label, replica.target.clone(), within);
    draft.after_all(&id, &replica.done);
    vec![id]
}

/// Adds the wait for a container to satisfy a condition.
pub(crate) fn await_step(
    draft: &mut Draft,
    dependent: &ServiceName,
    needed: &ServiceName,
    terms: &Dependency,
    label: &str,
    container: Target,
    within: Option<Duration>,
) -> OpId {
    let word = match terms.condition {
        Condition::ServiceStarted => "started",
        Condition::ServiceHealthy => "healthy",
        Condition::ServiceCompletedSuccessfully => "completed",
    };
    let optional = if terms.required { "" } else { ".optional" };
    let op = Op::Await {
        container,
        service: needed.clone(),
        until: Until::from(terms.condition),
        within,
        required: terms.required,
    };
    draft.add(
        OpId::new("await", format!("{label}.{word}{optional}")),
        op,
        Reason::Dependency { of: dependent.to_string() },
        Some(needed),
    )
}

/// `pre_start` hooks: containers of their own, one after the other, before a service of which nothing
/// runs is started, and before replaced containers are. Returns what the starts come after; empty where there are no hooks to run.
fn pre_start(
    run: &mut Run<'_, '_>,
    service: &Service,
    list: &[Replica<'_>],
    wanted: &[bool],
    waits: &[OpId],
) -> Result<Vec<OpId>, PlanError> {
    let fresh = list.iter().zip(wanted).any(|(replica, wanted)| *wanted && replica.replaced);
    let runs = run.world.replicas(&service.name).iter().any(|container| container.state.is_up());
    if service.pre_start.is_empty() || (!fresh && runs) {
        return Ok(Vec::new());
    }
    let mut last: Vec<OpId> = Vec::new();
    for (index, hook) in service.pre_start.iter().enumerate() {
        let targets: Vec<&Replica<'_>> =
            if hook.per_replica { list.iter().collect() } else { list.iter().take(1).collect() };
        for replica in targets {
            let mut spec = lower::hook_container(run.world, &run.peers, service, hook, index, replica.target.clone())?;
            let mut label = format!("{}.pre_start.{index}", service.name);
            if hook.per_replica {
                label = format!("{}.pre_start.{index}", replica.label);
                spec.name = format!("{}-{}", spec.name, replica.number).into();
            }
            let because = Reason::Follows { op: OpId::new("start", &replica.label) };
            let create = OpId::new("create", &label);
            let files = hook_files(run.world, &hook.service, service)?;
            let name = spec.name.clone();
            let shared = super::up::shared_with(&spec);
            let mut before = replica.before_start.clone();
            before.extend(shared);
            let leftover = run.world.hooks.iter().find(|container| container.name == name);
            if let Some(leftover) = leftover {
                let found = format!("{name} is left over from an earlier run");
                let op = Op::RemoveContainer { container: existing(leftover), volumes: false, force: true };
                let id = OpId::new("remove", label_of(leftover));
                before.push(run.draft.add(id, op, Reason::Unfinished { found }, Some(&service.name)));
            }
            let made = super::up::create_steps(run.world, run.draft, create.clone(), spec, None, &because, &before);
            let target = Target::MadeBy { op: create, name };
            let mut ready = made;
            ready.extend(last.iter().cloned());
            ready.extend(waits.iter().cloned());
            if !files.is_empty() {
                let copy = OpId::new("copy-in", &label);
                let op = Op::CopyIn { container: target.clone(), files };
                run.draft.add(copy.clone(), op, because.clone(), Some(&service.name));
                run.draft.after_all(&copy, &ready);
                ready.push(copy);
            }
            let start = OpId::new("start", &label);
            let op = Op::Start { container: target.clone(), ports: Vec::new() };
            run.draft.add(start.clone(), op, because.clone(), Some(&service.name));
            run.draft.after_all(&start, &ready);
            let finish = OpId::new("finish-hook", &label);
            let op = Op::FinishHook { container: target, service: service.name.clone(), index };
            run.draft.add(finish.clone(), op, because, Some(&service.name));
            run.draft.after(&finish, &start);
            last = vec![finish];
        }
    }
    Ok(last)
}

/// Files that are copied into a hook's container: its own, else the service's.
fn hook_files(world: &World<'_>, hook: &Service, service: &Service) -> Result<Vec<crate::spec::FileSpec>, PlanError> {
    if hook.secrets.is_empty() && hook.configs.is_empty() {
        lower::files(world, service)
    } else {
        lower::files(world, hook)
    }
}

/// Copies files in, starts, and runs `post_start` hooks.
fn start_replica(
    world: &World<'_>,
    draft: &mut Draft,
    service: &Service,
    replica: &mut Replica<'_>,
    waits: &[OpId],
) -> Result<(), PlanError> {
    let because = replica
        .because
        .clone()
        .unwrap_or_else(|| Reason::NotRunning { state: replica.there.map(state_text).unwrap_or_default() });
    let mut before = replica.before_start.clone();
    before.extend(replica.stopped.iter().map(|stop| stop.last.clone()));
    let paused = replica.there.is_some_and(|there| there.state == State::Paused) && replica.stopped.is_none();
    if paused {
        let id = OpId::new("unpause", &replica.label);
        let op = Op::Unpause { container: replica.target.clone() };
        draft.add(id.clone(), op, because, Some(&service.name));
        draft.after_all(&id, &before);
        replica.done = vec![id];
        return Ok(());
    }
    let steps = start_steps(world, draft, service, &replica.label, &replica.target, because, &before, waits)?;
    replica.done = steps;
    Ok(())
}

/// The steps that start one container; returns the last ones.
#[allow(clippy::too_many_arguments)] // Called from `up` and `start` with all of them different.
pub(crate) fn start_steps(
    world: &World<'_>,
    draft: &mut Draft,
    service: &Service,
    label: &str,
    target: &Target,
    because: Reason,
    before: &[OpId],
    waits: &[OpId],
) -> Result<Vec<OpId>, PlanError> {
    let mut before = before.to_vec();
    let files = lower::files(world, service)?;
    if !files.is_empty() {
        let id = OpId::new("copy-in", label);
        draft.add(id.clone(), Op::CopyIn { container: target.clone(), files }, because.clone(), Some(&service.name));
        draft.after_all(&id, &before);
        before = vec![id];
    }
    let ports = service
        .ports
        .iter()
        .enumerate()
        .filter(|(_, port)| !port.published.is_empty())
        .filter_map(|(index, port)| {
            let place = world.place(&service.name, &format!("ports.{index}"))?;
            let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
            Some((format!("{}/{protocol}", port.published), place))
        })
        .collect();
    let start = OpId::new("start", label);
    draft.add(start.clone(), Op::Start { container: target.clone(), ports }, because.clone(), Some(&service.name));
    draft.after_all(&start, &before);
    draft.after_all(&start, waits);
    let mut last = start;
    for (index, hook) in service.post_start.iter().enumerate() {
        let id = OpId::new("hook", format!("{label}.post_start.{index}"));
        let op = Op::RunHook {
            container: target.clone(),
            service: service.name.clone(),
            hook: Box::new(lower::exec_hook("post_start", index, hook)),
            optional: false,
        };
        draft.add(id.clone(), op, because.clone(), Some(&service.name));
        draft.after(&id, &last);
        last = id;
    }
    Ok(vec![last])
}

/// The note on a container that nothing happens to.
fn left_alone(draft: &mut Draft, replica: &Replica<'_>, start: bool) {
    let Some(there) = replica.there else { return };
    if replica.because.is_some() {
        return;
    }
    let running = there.state.is_up();
    let health = match there.health {
        crate::observed::Health::None => "",
        crate::observed::Health::Starting => ", health starting",
        crate::observed::Health::Healthy => ", healthy",
        crate::observed::Health::Unhealthy => ", unhealthy",
    };
    let why = if running {
        format!("up to date{health}")
    } else if start {
        "up to date, completed".to_owned()
    } else {
        format!("up to date, {}", state_text(there))
    };
    draft.notes.push(Note::LeftAlone { what: replica.label.clone(), container: there.name.to_string(), why, running });
}
