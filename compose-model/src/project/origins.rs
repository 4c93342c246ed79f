//! Where the attributes of a project were written.

use serde::{Deserialize, Serialize};

/// A place in a file, for people: 1-based line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file as it was named when loading, or relative to the working directory.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// The places of all attributes of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    places: std::collections::BTreeMap<String, Place>,
}

impl Origins {
    /// Notes where the attribute with this dotted path was written.
    pub fn insert(&mut self, path: impl Into<String>, place: Place) {
        self.places.insert(path.into(), place);
    }

    /// The place of the attribute, or of the nearest attribute above it that has one.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// The place of exactly this attribute.
    #[must_use]
    pub fn exact(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// All places, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(path, place)| (path.as_str(), place))
    }
}
