//! The common way to take elements out of axes: score them, choose which stay, keep those.
//!
//! Passes over heads, neurons, experts or layers differ in what they offer, not in how it is done: they put these pieces
//! together. A choice is made for each axis alone, for all axes together, or under a bound on the model's cost.

mod choose;
mod experts;
mod keep;
mod knapsack;
mod score;

pub use choose::{Choice, ChooseElements, Limits};
pub use experts::{least, refuse_merged, refuse_uneven_groups};
pub use keep::{KeepElements, Stay};
pub use knapsack::cost_with;
pub use score::{ScoreElements, everything};
