//! `restart`: containers in place, dependencies first, with dependents that ask for it.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::ServiceName;
use compose_model::project::Condition;

use super::{starts, stopping};
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::Restart;
use crate::lower;
use crate::observed::State;
use crate::op::{Op, OpId};
use crate::reason::Reason;
use crate::select;
use crate::world::{World, existing, label_of};

pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, restart: &Restart) -> Result<(), PlanError> {
    select::known(world.project, &restart.services)?;
    let mut because: BTreeMap<ServiceName, Reason> = BTreeMap::new();
    let named: BTreeSet<ServiceName> = if restart.services.is_empty() {
        world.project.services.keys().cloned().collect()
    } else {
        restart.services.iter().cloned().collect()
    };
    for name in &named {
        because.insert(name.clone(), Reason::Requested { by: "restart".to_owned() });
    }
    if !restart.no_dependencies {
        let dependents = select::dependents(world.project);
        let mut open: Vec<ServiceName> = named.iter().cloned().collect();
        while let Some(name) = open.pop() {
            for (dependent, terms) in dependents.get(&name).into_iter().flatten() {
                if terms.restart && !because.contains_key(dependent) {
                    let reason = Reason::DependencyRestarted { service: name.to_string() };
                    because.insert(dependent.clone(), reason);
                    open.push(dependent.clone());
                }
            }
        }
    }
    let all: Vec<ServiceName> = because.keys().cloned().collect();
    let scope = select::in_order(world.project, &all, false)?;
    let mut done: BTreeMap<ServiceName, Vec<OpId>> = BTreeMap::new();
    for name in &scope {
        let (Some(service), Some(reason)) = (world.service(name), because.get(name)) else { continue };
        let mut before: Vec<OpId> = Vec::new();
        for (needed, terms) in select::dependencies(world.project, service).iter() {
            let Some(restarted) = done.get(needed) else { continue };
            before.extend(restarted.iter().cloned());
            if terms.condition == Condition::ServiceStarted {
                continue;
            }
            for container in world.replicas(needed) {
                let (label, target) = (label_of(container), existing(container));
                let wait = starts::await_step(draft, name, needed, terms, &label, target, None);
                draft.after_all(&wait, restarted);
                before.push(wait);
            }
        }
        let mut own = Vec::new();
        for container in world.replicas(name) {
            let label = label_of(container);
            let mut last: Vec<OpId> = before.clone();
            let hook = |draft: &mut Draft,
                        moment: &str,
                        index: usize,
                        hook: &compose_model::project::Hook,
                        last: &mut Vec<OpId>| {
                let id = OpId::new("hook", format!("{label}.{moment}.{index}"));
                let op = Op::RunHook {
                    container: existing(container),
                    service: name.clone(),
                    hook: Box::new(lower::exec_hook(moment, index, hook)),
                    optional: false,
                };
                draft.add(id.clone(), op, reason.clone(), Some(name));
                draft.after_all(&id, last.iter());
                *last = vec![id];
            };
            if container.state == State::Running {
                for (index, command) in service.pre_stop.iter().enumerate() {
                    hook(draft, "pre_stop", index, command, &mut last);
                }
            }
            let id = OpId::new("restart", &label);
            let timeout = stopping::timeout(restart.timeout, Some(service));
            draft.add(id.clone(), Op::Restart { container: existing(container), timeout }, reason.clone(), Some(name));
            draft.after_all(&id, &last);
            last = vec![id];
            for (index, command) in service.post_start.iter().enumerate() {
                hook(draft, "post_start", index, command, &mut last);
            }
            own.extend(last);
        }
        done.insert(name.clone(), if own.is_empty() { before } else { own });
    }
    Ok(())
}
