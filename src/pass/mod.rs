//! What a pass, a criterion, a measure and an argument are. The lists of them stand in `passes`, `criteria`, `measures`.
//!
//! A pass's file holds its idea and an example, its definition (`pass!`), and its lowering to work and rewrites.
//! From the definition alone come the checker's rules, the manual, the schema, completion and hover.

mod amount;
mod argument;
pub mod call;
mod context;
mod criterion;
pub mod elements;
mod evaluate;
mod grouping;
mod lowering;
mod measure;
mod noun;
mod placed;
mod progress;
mod reader;
mod recovery;
mod registry;
mod spec;
mod step;
mod teacher;
pub mod tokens;
mod training;
mod value;

use std::fmt::Debug;

pub use amount::{Budget, BudgetAmount, CostMeasure};
pub use argument::{Argument, Bytes, Count, Counts, Quantity, Ratio, Told, Type, Wrong, word};
pub use context::{Context, Findings, is_causal};
pub use criterion::{
    Asked, Choosing, Criterion, ElementScores, Factorizing, Masking, Reconstructing, Scorer, UnitScores,
};
pub use evaluate::{Names, NoNames, constant, evaluate, shown, written};
pub use grouping::{Grouping, Seen, Sight};
pub use lowering::{
    Bound as CostBound, Finding, Grouped, Kept, Lowering, Point, Rewrite, Stage, Statistics, Traded,
    Training, Work, WorkKind,
};
pub use measure::{Measure, MeasureSpec, Unit};
pub use noun::{NOUNS, Noun, NounKind};
pub use placed::Placed;
pub use progress::{Progress, Silent};
pub use reader::{Data, DataKind, For, Input, Pixels, Reader, ReaderSpec, Sample, Samples, Sides, Takes};
pub use recovery::{Aim, Equations, Projected, Recovery};
pub use registry::Registry;
pub use spec::{Bound, ClauseSpec, CriterionSpec, FieldSpec, PassSpec, bind_call, summary};
pub use step::{StepScope, Target};
pub use teacher::{NamedModel, OtherModel, Teachers};
pub use training::{Factor, HeldOut, Length, Optimizer, Positive, Regimen, Schedule, Tuning};
pub use value::{CallArgument, Value, ValueKind};

use crate::diagnostic::Diagnostic;

/// A verb with its arguments bound.
pub trait Pass: Debug + Send + Sync {
    /// The work and rewrites of the step, from shapes alone.
    ///
    /// # Errors
    /// Where the step cannot be done to this graph, pointing at the clause at fault.
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic>;
}
