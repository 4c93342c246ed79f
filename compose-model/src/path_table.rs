//! Tables keyed by attribute path (`services.*.ports`), walked in step with a tree.
//!
//! A pattern is split at dots; `*` stands for any one key or list index. Exact parts win over `*`.

use std::collections::HashMap;

/// A table of rules.
#[derive(Debug)]
pub(crate) struct PathTable<T> {
    rule: Option<T>,
    children: HashMap<&'static str, Self, foldhash::fast::RandomState>,
    any: Option<Box<Self>>,
}

impl<T: Copy> PathTable<T> {
    /// A table of the given patterns; a later one replaces an equal earlier one.
    pub(crate) fn new(rules: impl IntoIterator<Item = (&'static str, T)>) -> Self {
        let mut table = Self::empty();
        for (pattern, rule) in rules {
            table.add(pattern, rule);
        }
        table
    }

    fn empty() -> Self {
        Self { rule: None, children: HashMap::default(), any: None }
    }

    fn add(&mut self, pattern: &'static str, rule: T) {
        let mut table = self;
        for part in pattern.split('.') {
            table = match part {
                "*" => table.any.get_or_insert_with(|| Box::new(Self::empty())),
                part => table.children.entry(part).or_insert_with(Self::empty),
            };
        }
        table.rule = Some(rule);
    }

    /// The table below a key.
    pub(crate) fn below(&self, key: &str) -> Option<&Self> {
        self.children.get(key).or(self.any.as_deref())
    }

    /// The table below the items of a list.
    pub(crate) fn items(&self) -> Option<&Self> {
        self.any.as_deref()
    }

    /// The rule for this very path.
    pub(crate) fn rule(&self) -> Option<T> {
        self.rule
    }
}

/// The table below a key of a table that may have ended already.
pub(crate) fn below<'a, T: Copy>(table: Option<&'a PathTable<T>>, key: &str) -> Option<&'a PathTable<T>> {
    table.and_then(|table| table.below(key))
}
