//! The criteria: a file each, and the list.

pub mod lamp;
pub mod magnitude;
pub mod random;

use crate::pass::CriterionSpec;

/// Every criterion there is, in the order of the manual.
pub static CRITERIA: &[&CriterionSpec] = &[&magnitude::SPEC, &lamp::SPEC, &random::SPEC];
