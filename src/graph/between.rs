//! Numbers that are known, or known to lie between two.

use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

use super::axis::Extent;

/// A number that is known, or known to lie between two (both included).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Between {
    pub min: u64,
    pub max: u64,
}

impl Between {
    pub fn exact(value: u64) -> Self {
        Self { min: value, max: value }
    }

    /// Both bounds changed by something that grows with its argument.
    pub fn map(self, f: impl Fn(u64) -> u64) -> Self {
        Self { min: f(self.min), max: f(self.max) }
    }

    pub fn known(self) -> Option<u64> {
        (self.min == self.max).then_some(self.min)
    }
}

impl From<Extent> for Between {
    fn from(extent: Extent) -> Self {
        Self { min: extent.min as u64, max: extent.max as u64 }
    }
}

impl Add for Between {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
}

impl AddAssign for Between {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul for Between {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }
}

impl Mul<u64> for Between {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        self * Between::exact(factor)
    }
}

impl std::iter::Sum for Between {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}
