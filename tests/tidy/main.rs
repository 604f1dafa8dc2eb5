//! Tests of the repository itself: what the house looks like, and that it stays so.

mod codes;
mod editors;
mod files;
mod form;
mod generated;
mod layers;
mod lists;
mod recipes;
mod rust;
mod sizes;
mod words;
