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
        // Identities are text: from here on steps go by their place in the sorted list.
        let mut steps: Vec<Step> = std::mem::take(&mut self.steps).into_values().collect();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
        let mut waiting: Vec<usize> = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            waiting.push(step.after.len());
            for before in &step.after {
                if let Ok(before) = steps.binary_search_by(|other| other.id.cmp(before))
                    && let Some(list) = followers.get_mut(before)
                {
                    list.push(index);
                }
            }
        }
        let mut current: Vec<usize> = (0..steps.len()).filter(|index| waiting.get(*index) == Some(&0)).collect();
        let mut wave = 0;
        while !current.is_empty() {
            wave += 1;
            let mut next = Vec::new();
            for index in current {
                if let Some(step) = steps.get_mut(index) {
                    step.wave = wave;
                }
                for follower in followers.get(index).into_iter().flatten() {
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
        // Stable: the map has sorted them by identity already.
        steps.sort_by_key(|step| if step.wave == 0 { usize::MAX } else { step.wave });
        (steps, self.notes, self.consents, self.agreed)
    }
}
