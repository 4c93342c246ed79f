//! What a project wants and what runs become a [`Plan`]: a graph of steps that an engine can do,
//! each with its reason.
//!
//! Everything here is a pure function of its arguments: no clock, no environment, no file, no
//! engine, no randomness. Equal input gives an equal plan, byte for byte. What an engine can do
//! comes in as [`Capabilities`]; what it has, as [`Observed`]; what the user asked, as [`Intent`].

pub mod capabilities;
mod check;
mod differ;
mod draft;
mod error;
mod hashes;
pub mod intent;
pub mod labels;
mod lower;
pub mod observed;
pub mod op;
pub mod plan;
pub mod reason;
mod select;
pub mod spec;
pub mod text;
mod verbs;
mod world;

pub use capabilities::Capabilities;
pub use check::{Violation, check};
pub use error::PlanError;
pub use hashes::parse_groups;
pub use intent::Intent;
pub use lower::complete_labels;
pub use observed::Observed;
pub use op::{Op, OpId, Target};
pub use plan::{Note, Plan, Step};
pub use reason::Reason;

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
    let world = world::World::new(project, observed, capabilities);
    let mut draft = draft::Draft::default();
    let replan_after_images = match intent {
        Intent::Up(up) => verbs::up::plan(&world, &mut draft, up, true)?,
        Intent::Create(up) => verbs::up::plan(&world, &mut draft, up, false)?,
        Intent::Scale(scale) => verbs::up::scale(&world, &mut draft, scale)?,
        Intent::Down(down) => {
            verbs::down::plan(&world, &mut draft, down)?;
            false
        }
        _ => false,
    };
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
