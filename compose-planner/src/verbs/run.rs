//! `run`: one container of a service, after what it depends on.

use compose_model::names::{ContainerName, ServiceName};
use compose_model::project::Project;

use super::starts;
use super::up;
use crate::draft::Draft;
use crate::error::PlanError;
use crate::intent::{RunOnce, Up};
use crate::lower::{self, Role};
use crate::op::{Op, OpId, Target};
use crate::reason::Reason;
use crate::select;
use crate::spec::RestartPolicy;
use crate::world::World;

/// The project with the service as the command line changed it, also where it is a job or not
/// enabled.
pub(crate) fn project(project: &Project, run: &RunOnce) -> Project {
    let mut project = project.clone();
    project.services.insert(run.service.name.clone(), run.service.clone());
    project.disabled_services.remove(&run.service.name);
    project
}

/// Plans a one-off; `world` is made from [`project`].
pub(crate) fn plan(world: &World<'_>, draft: &mut Draft, run: &RunOnce) -> Result<bool, PlanError> {
    // With the variables of its models.
    let service = world.service(&run.service.name).unwrap_or(&run.service);
    if service.provider.is_some() {
        return Err(PlanError::ProviderHasNoContainer { service: service.name.clone() });
    }
    super::refuse(world, &service.name)?;
    let needed: Vec<ServiceName> = if run.no_dependencies {
        Vec::new()
    } else {
        let needed = select::dependencies(world.project, service);
        needed.keys().filter(|name| world.project.services.contains_key(*name)).cloned().collect()
    };
    let scope = if needed.is_empty() { Vec::new() } else { select::in_order(world.project, &needed, true)? };
    let up = Up { services: needed, no_dependencies: false, ..run.up.clone() };
    let mut state = up::prepare(world, draft, &up, scope, Some(service))?;
    if state.replan {
        // The second round makes the container, once: it would find this one's name taken.
        return Ok(true);
    }
    starts::plan(&mut state, true)?;
    let name = if !run.name.is_empty() {
        run.name.clone()
    } else {
        let slug = run.slug.get(..12).unwrap_or(&run.slug);
        let separator = world.separator;
        format!("{}{separator}{}{separator}run{separator}{slug}", world.project.name, service.name)
    };
    if let Some(holder) = world.observed.containers.iter().find(|container| container.name.as_str() == name) {
        return Err(PlanError::NameTaken { name, holder: holder.id.to_string() });
    }
    let role = Role::OneOff { slug: &run.slug, use_aliases: run.use_aliases };
    let mut spec = lower::container(world, &state.peers, service, ContainerName::from(name.as_str()), role)?;
    spec.restart = RestartPolicy::No;
    spec.auto_remove = run.auto_remove;
    spec.tty = run.tty;
    spec.stdin_open = run.interactive;
    spec.stdin_once = run.interactive;
    let label = format!("{}.run", service.name);
    let because = Reason::Requested { by: "run".to_owned() };
    let mut waits = Vec::new();
    if !run.no_dependencies {
        for (needed, terms) in select::dependencies(world.project, service).iter() {
            waits.extend(state.providers.get(needed).cloned());
            for replica in state.replicas.get(needed).into_iter().flatten() {
                waits.extend(starts::wait_for(state.draft, &service.name, needed, terms, replica, None));
            }
        }
    }
    // Not made before its turn: where a dependency fails, nothing is left behind.
    let mut needs = state.needs_of(service, &spec);
    needs.extend(waits.iter().cloned());
    let spec = state.with_coming_image(service, spec);
    let create = OpId::new("create", &label);
    let before = up::create_steps(world, state.draft, create.clone(), spec, None, &because, &needs);
    let target = Target::MadeBy { op: create, name: name.into() };
    let draft = state.draft;
    if run.start {
        let mut once = service.clone();
        once.post_start.clear();
        starts::start_steps(world, draft, &once, &label, &target, because, &before, &waits)?;
    } else {
        let files = lower::files(world, service)?;
        if !files.is_empty() {
            let id = OpId::new("copy-in", &label);
            draft.add(id.clone(), Op::CopyIn { container: target, files }, because, Some(&service.name));
            draft.after_all(&id, &before);
        }
    }
    Ok(false)
}
