//! What holds for experts wherever elements are taken out.

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{AxisId, Graph};
use crate::pass::StepScope;

/// What has to stay whatever the recipe says: a router needs as many experts as it chooses.
pub fn least(graph: &Graph, axis: AxisId) -> usize {
    graph.experts_of(axis).map_or(1, |(_, experts)| experts.top_k)
}

/// Experts that several rows of their router lead to are not taken out, nor merged again.
///
/// # Errors
/// Where a step means such experts.
pub fn refuse_merged(step: &StepScope<'_>) -> Result<(), Diagnostic> {
    let places = step.graph.places();
    for target in step.targets {
        for path in &target.axes {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            if step.graph.experts_of(axis).is_some_and(|(_, experts)| experts.routes.is_some()) {
                let message = format!("`{path}` were merged: several rows of the router lead to one");
                return Err(Diagnostic::at(&codes::MERGED_EXPERTS, target.span, message)
                    .help("put this step before the one that merges"));
            }
        }
    }
    Ok(())
}
