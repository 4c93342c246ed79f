//! A plan in a file: what was asked, what is to be done, and what the engine's state was, so that
//! `apply` can tell whether it has moved.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use compose_planner::plan::PLAN_VERSION;
use compose_planner::{Intent, Observed, Plan};
use serde::{Deserialize, Serialize};

/// The content of a plan file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedPlan {
    /// The steps.
    pub(crate) plan: Plan,
    /// What was asked, for the round that follows the images.
    pub(crate) intent: Intent,
    /// What the engine had, as far as the plan rests on it.
    pub(crate) state: State,
}

/// The facts of the engine's state that plans rest on, each as text by the name of its object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    /// The state of a project.
    pub(crate) fn of(observed: &Observed, project: &str) -> Self {
        let mut facts = BTreeMap::new();
        for container in &observed.containers {
            let hash = container.config_hash.get(..12).unwrap_or(&container.config_hash);
            let fact =
                format!("{} {} definition {hash} image {}", container.id, container.state.as_str(), container.image_id);
            facts.insert(format!("container {}", container.name), fact);
        }
        for (name, copies) in &observed.networks {
            for copy in
                copies.iter().filter(|copy| copy.project.as_ref().is_some_and(|owner| owner.as_str() == project))
            {
                facts.insert(format!("network {name}"), copy.id.clone());
            }
        }
        for (name, volume) in &observed.volumes {
            if volume.project.as_ref().is_some_and(|owner| owner.as_str() == project) {
                facts.insert(format!("volume {name}"), volume.config_hash.clone().unwrap_or_default());
            }
        }
        Self(facts)
    }

    /// What has moved between two looks, one line each.
    pub(crate) fn moved(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, before) in &self.0 {
            match now.0.get(name) {
                None => lines.push(format!("{name} has gone")),
                Some(after) if after != before => lines.push(format!("{name} was {before}, is {after}")),
                Some(_) => {}
            }
        }
        for (name, after) in &now.0 {
            if !self.0.contains_key(name) {
                lines.push(format!("{name} is new: {after}"));
            }
        }
        lines
    }
}

impl SavedPlan {
    /// Writes the file.
    pub(crate) fn write(&self, path: &str) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write the plan to {path}"))
    }

    /// Reads a file.
    pub(crate) fn read(path: &str) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read the plan {path}"))?;
        let saved: Self = serde_json::from_slice(&text).map_err(|error| {
            anyhow::anyhow!(
                "{path}:{}:{}: this is no plan written by `compose plan -o`: {error}",
                error.line(),
                error.column()
            )
        })?;
        if saved.plan.version != PLAN_VERSION {
            bail!(
                "{path} has plan version {}, this program reads {PLAN_VERSION}; make the plan again",
                saved.plan.version
            );
        }
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use compose_planner::observed::Container;

    use super::*;

    #[test]
    fn what_has_moved_is_told_object_by_object() {
        let container = |name: &str, id: &str| Container { name: name.into(), id: id.into(), ..Container::default() };
        let state = |containers: Vec<Container>| State::of(&Observed { containers, ..Observed::default() }, "shop");
        let before = state(vec![container("a", "1"), container("b", "2")]);
        let after = state(vec![container("b", "3"), container("c", "4")]);
        assert_eq!(before.moved(&before), Vec::<String>::new());
        assert_eq!(
            before.moved(&after),
            [
                "container a has gone",
                "container b was 2 created definition  image , is 3 created definition  image ",
                "container c is new: 4 created definition  image ",
            ]
        );
    }
}
