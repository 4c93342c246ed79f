//! A plan under construction: steps by identity, edges between them, waves computed at the end.

use std::collections::{BTreeMap, BTreeSet};

use compose_model::names::ServiceName;

use crate::op::{Op, OpId};
use crate::plan::{Consent, Note, Step};
use crate::reason::Reason;

/// Steps and notes collected so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    steps: BTreeMap<OpId, Step>,
    /// Notes, in the order of their making.
    pub(crate) notes: Vec<Note>,
    /// What the user has to agree to.
    pub(crate) consents: Vec<Consent>,
    /// What the user agreed to.
    pub(crate) agreed: Vec<Consent>,
}

impl Draft {
    /// Adds a step; where the identity is taken already, the first one stays.
    pub(crate) fn add(&mut self, id: OpId, op: Op, because: Reason, service: Option<&ServiceName>) -> OpId {
        self.steps.entry(id.clone()).or_insert_with(|| Step {
            id: id.clone(),
            wave: 0,
            op,
            after: BTreeSet::new(),
            because,
            service: service.cloned(),
        });
        id
    }

    /// Orders `step` after `before`. Without effect when either is the other or `step` is unknown.
    pub(crate) fn after(&mut self, step: &OpId, before: &OpId) {
        if step == before {
            return;
        }
        if let Some(step) = self.steps.get_mut(step) {
            step.after.insert(before.clone());
        }
    }

    /// Orders `step` after all of `before`.
    pub(crate) fn after_all<'a>(&mut self, step: &OpId, before: impl IntoIterator<Item = &'a OpId>) {
        if let Some(entry) = self.steps.get_mut(step) {
            entry.after.extend(before.into_iter().filter(|before| *before != step).cloned());
        }
    }

    /// Whether there is such a step.
    pub(crate) fn has(&self, id: &OpId) -> bool {
        self.steps.contains_key(id)
    }

    /// Whether there is no step at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All steps, by identity.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.values()
    }

    /// A note in the reference's words.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.notes.push(Note::Warning { text: text.into(), place: None });
    }

    /// The steps, sorted by wave and identity. Steps on a cycle (a fault of the planner, which the
    /// checker reports) come last with wave 0.
    pub(crate) fn into_steps(mut self) -> (Vec<Step>, Vec<Note>, Vec<Consent>, Vec<Consent>) {
        let mut followers: BTreeMap<&OpId, Vec<&OpId>> = BTreeMap::new();
        let mut waiting: BTreeMap<&OpId, usize> = BTreeMap::new();
        for step in self.steps.values() {
            waiting.insert(&step.id, step.after.len());
            for before in &step.after {
                followers.entry(before).or_default().push(&step.id);
            }
        }
        let mut waves: BTreeMap<OpId, usize> = BTreeMap::new();
        let mut current: Vec<&OpId> = waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        let mut wave = 0;
        while !current.is_empty() {
            wave += 1;
            let mut next = Vec::new();
            for id in current {
                waves.insert(id.clone(), wave);
                for follower in followers.get(id).into_iter().flatten() {
                    if let Some(count) = waiting.get_mut(*follower) {
                        *count -= 1;
                        if *count == 0 {
                            next.push(*follower);
                        }
                    }
                }
            }
            current = next;
        }
        for (id, step) in &mut self.steps {
            step.wave = waves.get(id).copied().unwrap_or(0);
        }
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        // Stable: the map has sorted them by identity already.
        steps.sort_by_key(|step| if step.wave == 0 { usize::MAX } else { step.wave });
        (steps, self.notes, self.consents, self.agreed)
    }
}
