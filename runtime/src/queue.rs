//! A dependency queue that knows nothing of engines: nodes, edges, a class for each node, and
//! what is ready next. It holds no future and no lock; the executor's loop drives it.
//!
//! Life of a node: waiting, ready, running, then finished or failed. A failure skips everything
//! that needs the node, directly or through others. A *tolerant* node ends this chain: when one of
//! its predecessors fails it is skipped itself, and its own dependents are released.

use std::collections::{BTreeMap, BTreeSet};

/// Why a graph cannot be worked off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// A key was added twice.
    #[error("`{0}` is there twice")]
    Twice(String),
    /// An edge leads to nowhere.
    #[error("`{node}` comes after `{missing}`, which is not there")]
    Unknown {
        /// The node with the edge.
        node: String,
        /// The missing one.
        missing: String,
    },
    /// Some nodes wait for each other.
    #[error("these wait for each other: {}", .0.join(", "))]
    Cycle(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Ready,
    Running,
    Ended,
}

#[derive(Debug)]
struct Node<K, C> {
    key: K,
    class: C,
    tolerant: bool,
    stage: Stage,
    /// Predecessors that have not ended.
    missing: usize,
    dependents: Vec<usize>,
}

/// What one node is, when building a [`Queue`].
#[derive(Clone, Debug)]
pub struct Entry<K, C> {
    /// Its identity.
    pub key: K,
    /// Its class.
    pub class: C,
    /// Keys of its predecessors.
    pub after: Vec<K>,
    /// Whether a failed predecessor skips only this node and not its dependents.
    pub tolerant: bool,
}

/// The queue. Nodes that are ready come out in the order in which they were given.
#[derive(Debug)]
pub struct Queue<K, C> {
    nodes: Vec<Node<K, C>>,
    index: BTreeMap<K, usize>,
    ready: BTreeMap<C, BTreeSet<usize>>,
    unended: usize,
}

impl<K, C> Queue<K, C>
where
    K: Ord + Clone + std::fmt::Display,
    C: Ord + Copy,
{
    /// Builds the queue.
    ///
    /// # Errors
    /// On a double key, an edge to a missing node, or a cycle.
    pub fn new(entries: impl IntoIterator<Item = Entry<K, C>>) -> Result<Self, QueueError> {
        let mut nodes = Vec::new();
        let mut index = BTreeMap::new();
        let mut edges = Vec::new();
        for entry in entries {
            let position = nodes.len();
            if index.insert(entry.key.clone(), position).is_some() {
                return Err(QueueError::Twice(entry.key.to_string()));
            }
            let after: BTreeSet<K> = entry.after.into_iter().collect();
            nodes.push(Node {
                key: entry.key,
                class: entry.class,
                tolerant: entry.tolerant,
                stage: Stage::Waiting,
                missing: after.len(),
                dependents: Vec::new(),
            });
            edges.push(after);
        }
        for (position, after) in edges.into_iter().enumerate() {
            for key in after {
                let Some(&predecessor) = index.get(&key) else {
                    return Err(QueueError::Unknown {
                        node: nodes[position].key.to_string(),
                        missing: key.to_string(),
                    });
                };
                nodes[predecessor].dependents.push(position);
            }
        }
        let unended = nodes.len();
        let mut queue = Self { nodes, index, ready: BTreeMap::new(), unended };
        queue.refuse_cycles()?;
        for position in 0..queue.nodes.len() {
            if queue.nodes[position].missing == 0 {
                queue.make_ready(position);
            }
        }
        Ok(queue)
    }

    /// Kahn's algorithm on a copy of the counters: what is never freed is on or behind a cycle.
    fn refuse_cycles(&self) -> Result<(), QueueError> {
        let mut missing: Vec<usize> = self.nodes.iter().map(|node| node.missing).collect();
        let mut free: Vec<usize> = (0..missing.len()).filter(|&position| missing[position] == 0).collect();
        let mut freed = 0;
        while let Some(position) = free.pop() {
            freed += 1;
            for &dependent in &self.nodes[position].dependents {
                missing[dependent] -= 1;
                if missing[dependent] == 0 {
                    free.push(dependent);
                }
            }
        }
        if freed == missing.len() {
            return Ok(());
        }
        let stuck = self.nodes.iter().zip(&missing).filter(|(_, missing)| **missing > 0);
        Err(QueueError::Cycle(stuck.map(|(node, _)| node.key.to_string()).collect()))
    }

    fn make_ready(&mut self, position: usize) {
        let node = &mut self.nodes[position];
        node.stage = Stage::Ready;
        self.ready.entry(node.class).or_default().insert(position);
    }

    /// Takes the first ready node whose class may run now.
    pub fn dequeue(&mut self, mut admit: impl FnMut(C) -> bool) -> Option<K> {
        let position = *self
            .ready
            .iter()
            .filter(|(class, positions)| !positions.is_empty() && admit(**class))
            .filter_map(|(_, positions)| positions.first())
            .min()?;
        let node = &mut self.nodes[position];
        node.stage = Stage::Running;
        if let Some(positions) = self.ready.get_mut(&node.class) {
            positions.remove(&position);
        }
        Some(node.key.clone())
    }

    /// Takes everything that could be handed over in one go with a node that was just taken: what
    /// is ready and of its class, and what is of its class and waits for nothing else than these.
    /// They come out in an order in which each comes after what it needs.
    pub fn dequeue_along(&mut self, first: &K) -> Vec<K> {
        let Some(&position) = self.index.get(first) else { return Vec::new() };
        let class = self.nodes[position].class;
        let ready = self.ready.get_mut(&class).map(std::mem::take).unwrap_or_default();
        let mut group: Vec<usize> = std::iter::once(position).chain(ready).collect();
        let mut freed: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = 0;
        while let Some(&position) = group.get(next) {
            next += 1;
            self.nodes[position].stage = Stage::Running;
            for &dependent in &self.nodes[position].dependents {
                let node = &self.nodes[dependent];
                if node.class == class && node.stage == Stage::Waiting {
                    let freed = freed.entry(dependent).or_default();
                    *freed += 1;
                    if *freed == node.missing {
                        group.push(dependent);
                    }
                }
            }
        }
        group.into_iter().skip(1).map(|position| self.nodes[position].key.clone()).collect()
    }

    /// Notes that a running node ended well (or that its failure is tolerated).
    pub fn finish(&mut self, key: &K) {
        if let Some(&position) = self.index.get(key)
            && self.end(position)
        {
            self.release(position);
        }
    }

    /// Notes that a running node failed, and returns what is skipped because of it, in the order
    /// in which the nodes were given.
    pub fn fail(&mut self, key: &K) -> Vec<K> {
        let Some(&position) = self.index.get(key) else { return Vec::new() };
        if !self.end(position) {
            return Vec::new();
        }
        let mut skipped = BTreeSet::new();
        let mut pending = self.nodes[position].dependents.clone();
        while let Some(next) = pending.pop() {
            if !self.end(next) {
                continue;
            }
            skipped.insert(next);
            if !self.nodes[next].tolerant {
                pending.extend(self.nodes[next].dependents.iter().copied());
            }
        }
        // Only now: a dependent of a tolerant node may have been skipped on another way.
        for &position in &skipped {
            if self.nodes[position].tolerant {
                self.release(position);
            }
        }
        skipped.into_iter().map(|position| self.nodes[position].key.clone()).collect()
    }

    /// Ends all nodes that do not run, and returns them.
    pub fn drain(&mut self) -> Vec<K> {
        let mut drained = Vec::new();
        for position in 0..self.nodes.len() {
            if matches!(self.nodes[position].stage, Stage::Waiting | Stage::Ready) && self.end(position) {
                drained.push(self.nodes[position].key.clone());
            }
        }
        drained
    }

    /// Whether every node has ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.unended == 0
    }

    /// Moves a node to its end; `false` if it had ended before.
    fn end(&mut self, position: usize) -> bool {
        let node = &mut self.nodes[position];
        if node.stage == Stage::Ended {
            return false;
        }
        if node.stage == Stage::Ready
            && let Some(positions) = self.ready.get_mut(&node.class)
        {
            positions.remove(&position);
        }
        node.stage = Stage::Ended;
        self.unended -= 1;
        true
    }

    fn release(&mut self, position: usize) {
        for dependent in self.nodes[position].dependents.clone() {
            let node = &mut self.nodes[dependent];
            node.missing = node.missing.saturating_sub(1);
            if node.missing == 0 && node.stage == Stage::Waiting {
                self.make_ready(dependent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: u32, after: &[u32]) -> Entry<u32, u8> {
        Entry { key, class: 0, after: after.to_vec(), tolerant: false }
    }

    fn queue(entries: &[(u32, &[u32])]) -> Queue<u32, u8> {
        Queue::new(entries.iter().map(|(key, after)| entry(*key, after))).expect("a sound graph")
    }

    fn all(queue: &mut Queue<u32, u8>) -> Vec<u32> {
        std::iter::from_fn(|| queue.dequeue(|_| true)).collect()
    }

    #[test]
    fn a_node_is_ready_when_all_its_predecessors_have_finished() {
        let mut queue = queue(&[(1, &[]), (2, &[]), (3, &[1, 2])]);
        assert_eq!(all(&mut queue), [1, 2]);
        queue.finish(&1);
        assert!(all(&mut queue).is_empty());
        queue.finish(&2);
        assert_eq!(all(&mut queue), [3]);
        assert!(!queue.is_done());
        queue.finish(&3);
        assert!(queue.is_done());
    }

    #[test]
    fn ready_nodes_come_out_in_the_given_order_and_only_of_admitted_classes() {
        let entries =
            [(5, 1), (4, 0), (3, 1)].map(|(key, class)| Entry { key, class, after: Vec::new(), tolerant: false });
        let mut queue: Queue<u32, u8> = Queue::new(entries).expect("a sound graph");
        assert_eq!(queue.dequeue(|class| class == 0), Some(4));
        assert_eq!(queue.dequeue(|class| class == 0), None);
        assert_eq!(all(&mut queue), [5, 3]);
    }

    #[test]
    fn a_group_is_what_is_ready_and_what_waits_for_the_group_alone() {
        let mut entries = vec![entry(1, &[]), entry(2, &[]), entry(3, &[1, 2]), entry(4, &[3]), entry(5, &[3, 6])];
        entries.extend([entry(6, &[]), entry(7, &[1])]);
        entries[5].class = 1;
        entries[6].class = 1;
        let mut queue = Queue::new(entries).expect("a sound graph");
        assert_eq!(queue.dequeue(|class| class == 0), Some(1));
        assert_eq!(queue.dequeue_along(&1), [2, 3, 4], "5 needs 6, which is of another class");
        assert_eq!(all(&mut queue), [6]);
        queue.finish(&1);
        assert_eq!(all(&mut queue), [7], "3 runs already");
        queue.finish(&2);
        queue.finish(&6);
        assert_eq!(queue.fail(&3), [4, 5]);
        queue.finish(&7);
        assert!(queue.is_done());
    }

    #[test]
    fn a_failure_skips_all_that_need_the_node_and_nothing_else() {
        let mut queue = queue(&[(1, &[]), (2, &[1]), (3, &[2]), (4, &[]), (5, &[4])]);
        assert_eq!(all(&mut queue), [1, 4]);
        assert_eq!(queue.fail(&1), [2, 3]);
        queue.finish(&4);
        assert_eq!(all(&mut queue), [5]);
        queue.finish(&5);
        assert!(queue.is_done());
    }

    #[test]
    fn a_tolerant_node_is_skipped_and_releases_its_dependents() {
        let mut entries = vec![entry(1, &[]), entry(2, &[1]), entry(3, &[2]), entry(4, &[2, 1])];
        entries[1].tolerant = true;
        let mut queue = Queue::new(entries).expect("a sound graph");
        assert_eq!(all(&mut queue), [1]);
        assert_eq!(queue.fail(&1), [2, 4], "4 needs 1 itself");
        assert_eq!(all(&mut queue), [3]);
        queue.finish(&3);
        assert!(queue.is_done());
    }

    #[test]
    fn draining_ends_what_does_not_run() {
        let mut queue = queue(&[(1, &[]), (2, &[1]), (3, &[])]);
        assert_eq!(queue.dequeue(|_| true), Some(1));
        assert_eq!(queue.drain(), [2, 3]);
        queue.finish(&1);
        assert!(queue.is_done());
        assert!(all(&mut queue).is_empty());
    }

    #[test]
    fn unsound_graphs_are_refused() {
        let build = |entries: &[(u32, &[u32])]| {
            Queue::new(entries.iter().map(|(key, after)| entry(*key, after))).expect_err("unsound")
        };
        assert_eq!(build(&[(1, &[]), (1, &[])]), QueueError::Twice("1".into()));
        assert_eq!(build(&[(1, &[7])]), QueueError::Unknown { node: "1".into(), missing: "7".into() });
        assert_eq!(build(&[(1, &[2]), (2, &[1]), (3, &[])]), QueueError::Cycle(vec!["1".into(), "2".into()]));
    }

    proptest! {
        /// Whatever fails, each node ends exactly once: run, or skipped because something that it
        /// needs failed; and nothing runs before what it needs.
        #[test]
        fn every_node_ends_once_and_in_order(
            edges in prop::collection::vec(prop::collection::vec(0_u32..40, 0..4), 1..40),
            failing in prop::collection::btree_set(0_u32..40, 0..6),
        ) {
            let entries: Vec<Entry<u32, u8>> = edges.iter().enumerate().map(|(key, after)| {
                let key = u32::try_from(key).unwrap();
                Entry { key, class: 0, after: after.iter().copied().filter(|other| *other < key).collect(), tolerant: false }
            }).collect();
            let mut queue = Queue::new(entries.clone()).expect("edges lead backwards");
            let (mut finished, mut lost) = (BTreeSet::new(), BTreeSet::new());
            while let Some(key) = queue.dequeue(|_| true) {
                let after = &entries[key as usize].after;
                prop_assert!(after.iter().all(|other| finished.contains(other)));
                if failing.contains(&key) {
                    lost.insert(key);
                    for skipped in queue.fail(&key) {
                        prop_assert!(lost.insert(skipped));
                    }
                } else {
                    prop_assert!(finished.insert(key));
                    queue.finish(&key);
                }
            }
            prop_assert!(queue.is_done());
            prop_assert!(finished.is_disjoint(&lost));
            prop_assert_eq!(finished.len() + lost.len(), entries.len());
        }
    }
}
