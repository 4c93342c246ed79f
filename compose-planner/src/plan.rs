//! The plan: steps, their order, and what was left alone. Plain data with a stable JSON form.

use std::collections::BTreeSet;

use compose_model::names::{ContainerId, ProjectName, ServiceName};
use compose_model::project::Place;
use serde::{Deserialize, Serialize};

use crate::differ;
use crate::observed::Observed;
use crate::op::{Op, OpId, Target};
use crate::reason::Reason;
use crate::spec::FileSpec;

/// Version of the JSON form. It grows when a reader of the old form could misread the new one.
pub const PLAN_VERSION: u32 = 1;

/// A graph of steps. Equal input gives an equal plan, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The verb that it is for.
    pub verb: String,
    /// The project.
    pub project: ProjectName,
    /// The backend that it was made for.
    pub engine: String,
    /// The steps, sorted by wave and then by identity.
    pub steps: Vec<Step>,
    /// What was left alone, and warnings.
    pub notes: Vec<Note>,
    /// What the user has to agree to first.
    pub consents: Vec<Consent>,
    /// What the user has agreed to before; steps that lose data rest on these.
    #[serde(default)]
    pub agreed: Vec<Consent>,
    /// After the images of this plan are pulled and built, the rest must be planned again, since
    /// what they turn out to be decides about containers.
    pub replan_after_images: bool,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its identity.
    pub id: OpId,
    /// Longest path from a step without predecessors, from 1.
    pub wave: usize,
    /// What it does.
    pub op: Op,
    /// Steps that must have succeeded before.
    pub after: BTreeSet<OpId>,
    /// Why it is there.
    pub because: Reason,
    /// The service that it is for, where there is one.
    pub service: Option<ServiceName>,
}

/// Something to tell that is no step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A container that stays as it is.
    LeftAlone {
        /// `web.1`.
        what: String,
        /// Its name.
        container: String,
        /// `up to date, healthy`.
        why: String,
        /// It runs (the reference prints `Running` for it).
        running: bool,
    },
    /// Containers of services that the file does not have.
    Orphans {
        /// Their names, sorted.
        containers: Vec<String>,
    },
    /// An earlier run was interrupted.
    Unfinished {
        /// What was found and what is done about it.
        text: String,
    },
    /// A warning, in the words of the reference where it has one.
    Warning {
        /// The text.
        text: String,
        /// Where it comes from.
        place: Option<Place>,
    },
    /// An image that is not pulled or pushed, and why.
    Skipped {
        /// The image or service.
        what: String,
        /// Why.
        why: String,
    },
}

/// Something that loses data and needs the user's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "consent", rename_all = "snake_case")]
pub enum Consent {
    /// A volume whose definition changed: it would be removed and made anew.
    RecreateVolume {
        /// Its name in the engine.
        volume: String,
    },
    /// A volume that is removed with its data (`down --volumes`).
    RemoveVolume {
        /// Its name in the engine.
        volume: String,
    },
    /// Stopped containers that `rm` would remove.
    RemoveContainers {
        /// Their names.
        containers: Vec<String>,
    },
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step with this identity.
    #[must_use]
    pub fn step(&self, id: &OpId) -> Option<&Step> {
        self.steps.iter().find(|step| &step.id == id)
    }
}

/// Containers whose old values the reasons of a plan could show if they were inspected: the
/// caller inspects them, fills in [`crate::observed::Container::detail`] and plans again. Empty
/// when nothing more can be learned, so that two rounds are enough.
#[must_use]
pub fn needs_detail(plan: &Plan, observed: &Observed) -> Vec<ContainerId> {
    let inspected: BTreeSet<&ContainerId> = observed
        .containers
        .iter()
        .filter(|container| container.detail.is_some())
        .map(|container| &container.id)
        .collect();
    let mut found = Vec::new();
    for step in &plan.steps {
        let (Op::CreateContainer { replaces: Some(Target::Existing { id, .. }), .. }, Reason::Changed { changes }) =
            (&step.op, &step.because)
        else {
            continue;
        };
        let learns = changes.is_empty() || changes.iter().any(|change| differ::is_inspectable(&change.attribute));
        if learns && !inspected.contains(id) {
            found.push(id.clone());
        }
    }
    found
}

/// Files in running containers that a plan would deliver anew: the caller reads them back, fills in
/// [`crate::observed::Container::delivered`] and plans again, since a label cannot tell what was
/// delivered after the container was made.
#[must_use]
pub fn needs_contents<'p>(plan: &'p Plan, observed: &Observed) -> Vec<(ContainerId, &'p FileSpec)> {
    let mut found = Vec::new();
    for step in &plan.steps {
        let (Op::CopyIn { container: Target::Existing { id, .. }, files }, Reason::ContentChanged { .. }) =
            (&step.op, &step.because)
        else {
            continue;
        };
        let known = observed.containers.iter().find(|container| container.id == *id).map(|found| &found.delivered);
        let unknown = |file: &&FileSpec| known.is_none_or(|known| !known.contains_key(&file.object));
        found.extend(files.iter().filter(unknown).map(|file| (id.clone(), file)));
    }
    found
}
