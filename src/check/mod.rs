//! Names, types and abstract execution: a recipe against a model's graph, without reading a weight.

mod typed;

pub use typed::{
    Branch, ExpectBound, Item, MeasuredAt, Typed, TypedExpect, TypedMeasure, TypedModel, TypedSave, TypedStep,
};
