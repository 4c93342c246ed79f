//! A plan under construction: steps by identity, edges between them, waves computed at the end.

use std::collections::BTreeSet;

use compose_model::names::ServiceName;
use indexmap::IndexMap;

use crate::op::{Op, OpId};
use crate::plan::{Consent, Note, Step};
use crate::reason::Reason;

/// Steps and notes collected so far.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    // In the order of their making, which nobody sees.
    steps: IndexMap<OpId, Step>,
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
        let mut steps: Vec<&Step> = self.steps.values().collect();
        steps.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        steps.into_iter()
    }

    /// A note in the reference's words.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.notes.push(Note::Warning { text: text.into(), place: None });
    }

    /// The steps, sorted by wave and identity. Steps on a cycle (a fault of the planner, which the
    /// checker reports) come last with wave 0.
    pub(crate) fn into_steps(self) -> (Vec<Step>, Vec<Note>, Vec<Consent>, Vec<Consent>) {
        let count = self.steps.len();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut waiting: Vec<usize> = Vec::with_capacity(count);
        for (index, step) in self.steps.values().enumerate() {
            waiting.push(step.after.len());
            for before in &step.after {
                if let Some(list) = self.steps.get_index_of(before).and_then(|before| followers.get_mut(before)) {
                    list.push(index);
                }
            }
        }
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        let mut current: Vec<usize> = (0..count).filter(|index| waiting.get(*index) == Some(&0)).collect();
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
        let rank = |step: &Step| if step.wave == 0 { usize::MAX } else { step.wave };
        steps.sort_unstable_by(|one, other| (rank(one), &one.id).cmp(&(rank(other), &other.id)));
        (steps, self.notes, self.consents, self.agreed)
    }
}
