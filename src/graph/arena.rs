//! Numbered storage whose numbers stay valid when elements are taken out.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// The number of a `T` in its [`Arena`].
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id<T> {
    index: u32,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    fn new(index: usize) -> Self {
        Self { index: u32::try_from(index).expect("fewer than 2^32 elements"), of: PhantomData }
    }

    /// A number fit for dense side tables.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

// Derives would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.index.cmp(&other.index)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index)
    }
}

/// Elements by number, in the order they were put in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arena<T> {
    slots: Vec<Option<T>>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub fn push(&mut self, element: T) -> Id<T> {
        self.slots.push(Some(element));
        Id::new(self.slots.len() - 1)
    }

    /// Absent once it was removed.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.index()).and_then(Option::as_ref)
    }

    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        self.slots.get_mut(id.index()).and_then(Option::take)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((Id::new(at), slot.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(at, slot)| Some((Id::new(at), slot.as_mut()?)))
    }

    pub fn ids(&self) -> impl Iterator<Item = Id<T>> {
        self.iter().map(|(id, _)| id)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(Id<T>, &T) -> bool) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|element| !keep(Id::new(at), element)) {
                *slot = None;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// One more than the largest number in use: the size of a side table.
    pub fn bound(&self) -> usize {
        self.slots.len()
    }
}

/// The element must be there: for ids that the graph itself holds.
impl<T> std::ops::Index<Id<T>> for Arena<T> {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        self.get(id).expect("the graph holds ids of live elements only")
    }
}

impl<T> std::ops::IndexMut<Id<T>> for Arena<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.slots
            .get_mut(id.index())
            .and_then(Option::as_mut)
            .expect("the graph holds ids of live elements only")
    }
}
