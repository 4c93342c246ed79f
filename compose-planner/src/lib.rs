//! What a project wants and what runs become a [`Plan`]: a graph of steps that an engine can do,
//! each with its reason.
//!
//! Everything here is a pure function of its arguments: no clock, no environment, no file, no
//! engine, no randomness. Equal input gives an equal plan, byte for byte. What an engine can do
//! comes in as [`Capabilities`]; what it has, as [`Observed`]; what the user asked, as [`Intent`].

pub mod capabilities;
mod check;
pub mod diagram;
mod differ;
mod draft;
mod drift;
mod error;
mod explain;
mod hashes;
pub mod intent;
mod labelled;
pub mod labels;
mod lower;
mod models;
pub mod observed;
mod on_change;
pub mod op;
pub mod plan;
pub mod reason;
mod select;
mod simulate;
pub mod spec;
pub mod text;
mod verbs;
mod world;

pub use capabilities::Capabilities;
pub use check::{Violation, check};
pub use error::PlanError;
pub use explain::{Explanation, Row, explain};
pub use hashes::{ContentKind, content_digest, parse_groups};
pub use intent::Intent;
pub use labelled::project_from_observed;
pub use lower::complete_labels;
pub use observed::Observed;
pub use op::{Op, OpId, Target};
pub use plan::{Note, Plan, Step, needs_contents, needs_detail};
pub use reason::Reason;
pub use select::bound_to;
pub use simulate::simulate;

use std::borrow::Cow;

use compose_model::project::Project;

/// Plans a verb: what is to be done so that the engine has what the intent asks for.
///
/// # Errors
/// What is known to be impossible before anything runs, in the reference's words.
pub fn plan(
    project: &Project,
    observed: &Observed,
    intent: &Intent,
    capabilities: &Capabilities,
) -> Result<Plan, PlanError> {
    let project = match intent {
        Intent::RunOnce(run) => Cow::Owned(verbs::run::project(project, run)),
        _ => Cow::Borrowed(project),
    };
    let project = models::with_variables(project, observed.models.as_ref());
    let world = world::World::new(&project, observed, capabilities);
    let mut draft = draft::Draft::default();
    let mut replan_after_images = false;
    match intent {
        Intent::Up(up) => replan_after_images = verbs::up::plan(&world, &mut draft, up, true)?,
        Intent::Create(up) => replan_after_images = verbs::up::plan(&world, &mut draft, up, false)?,
        Intent::Scale(scale) => replan_after_images = verbs::up::scale(&world, &mut draft, scale)?,
        Intent::RunOnce(run) => replan_after_images = verbs::run::plan(&world, &mut draft, run)?,
        Intent::Down(down) => verbs::down::plan(&world, &mut draft, down)?,
        Intent::Start(start) => verbs::start::plan(&world, &mut draft, start)?,
        Intent::Stop(stop) => verbs::stop::plan(&world, &mut draft, stop)?,
        Intent::Restart(restart) => verbs::restart::plan(&world, &mut draft, restart)?,
        Intent::Kill(kill) => verbs::signals::kill(&world, &mut draft, kill)?,
        Intent::Remove(remove) => verbs::remove::plan(&world, &mut draft, remove)?,
        Intent::Pause(services) => verbs::signals::pause(&world, &mut draft, services)?,
        Intent::Unpause(services) => verbs::signals::unpause(&world, &mut draft, services)?,
        Intent::Pull(pull) => verbs::transfer::pull(&world, &mut draft, pull)?,
        Intent::Push(push) => verbs::transfer::push(&world, &mut draft, push)?,
        Intent::Build(build) => verbs::transfer::build(&world, &mut draft, build)?,
    }
    verbs::order_names(&world, &mut draft);
    let (steps, notes, consents, agreed) = draft.into_steps();
    Ok(Plan {
        version: plan::PLAN_VERSION,
        verb: intent.verb().to_owned(),
        project: project.name.clone(),
        engine: capabilities.engine.clone(),
        steps,
        notes,
        consents,
        agreed,
        replan_after_images,
    })
}
