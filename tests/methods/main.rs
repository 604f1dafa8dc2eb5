//! What steps do to weights, in numbers: cases worked by hand, what has to hold for any weights, and other programs' results.
//!
//! Each test is a recipe against a model made on the spot: checked, lowered and carried out as a run does it.

mod balanced;
mod calibrated;
mod calibrated_invariants;
mod calibrated_units;
mod cast;
mod experts;
mod factorize;
mod flow;
mod golden;
mod invariants;
mod mixtures;
mod model;
mod published;
mod rates;
mod recovered;
mod run;
mod runtime;
mod shrinking;
mod sparsify;
mod tokens;
mod trained;
mod training;
mod units;
mod vision_language;
