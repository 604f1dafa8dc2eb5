//! What a task reads and writes: tree paths of sites and axes.

use std::collections::BTreeSet;

/// A set of places in a model's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// The whole model.
    All,
    Some(BTreeSet<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub reads: Places,
    pub writes: Places,
}

impl Places {
    pub fn of(paths: impl IntoIterator<Item = String>) -> Self {
        Self::Some(paths.into_iter().collect())
    }

    pub fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Some(places) if places.is_empty())
    }

    /// Whether a place is in both, or lies below one of the other.
    pub fn meets(&self, other: &Places) -> bool {
        match (self, other) {
            (Self::All, other) | (other, Self::All) => !other.is_empty(),
            (Self::Some(left), Self::Some(right)) => {
                left.iter().any(|left| right.iter().any(|right| related(left, right)))
            }
        }
    }
}

impl Effect {
    pub fn reads(reads: Places) -> Self {
        Self { reads, writes: Places::none() }
    }

    pub fn writes(writes: Places) -> Self {
        Self { reads: Places::none(), writes }
    }
}

/// Whether one path is the other, or one of its parents.
fn related(left: &str, right: &str) -> bool {
    is_below(left, right) || is_below(right, left)
}

/// Whether a path is the other or lies below it: `layers[3].mlp` below `layers[3]`, but `layers[3]` not below `layers`.
pub fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_meet_where_one_is_or_contains_the_other() {
        let some = |paths: &[&str]| Places::of(paths.iter().map(|&path| path.to_string()));
        assert!(some(&["layers[1]"]).meets(&some(&["layers[1].mlp.up"])));
        assert!(!some(&["layers[1]"]).meets(&some(&["layers[10].mlp.up"])));
        assert!(Places::All.meets(&some(&["head"])));
        assert!(!Places::All.meets(&Places::none()));
    }
}
