//! What holds for experts wherever elements are taken out.

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{AxisId, Graph, GroupLimit};
use crate::pass::StepScope;
use crate::syntax::ast::ClauseKind;

/// What has to stay whatever the recipe says: a router needs as many experts as it chooses.
pub fn least(graph: &Graph, axis: AxisId) -> usize {
    let Some((_, experts)) = graph.experts_of(axis) else { return 1 };
    let Some(GroupLimit { groups, chosen }) = experts.limit else { return experts.top_k };
    // As many in each group as make enough for a token.
    groups * experts.top_k.div_ceil(chosen)
}

/// Experts that are chosen within groups are as many in each.
///
/// # Errors
/// Where `left` of them are not.
pub fn refuse_uneven_groups(
    step: &StepScope<'_>,
    clause: ClauseKind,
    axis: AxisId,
    left: usize,
) -> Result<(), Diagnostic> {
    let limit = step.graph.experts_of(axis).and_then(|(_, experts)| experts.limit);
    match limit {
        Some(GroupLimit { groups, .. }) if !left.is_multiple_of(groups) => {
            let path = step.graph.axis_path(axis);
            let message =
                format!("the router of `{path}` chooses within {groups} groups, and {left} make no {groups}");
            let more = left.next_multiple_of(groups);
            Err(step.at(clause, &codes::INDIVISIBLE, message).help(format!("let {more} stay")))
        }
        _ => Ok(()),
    }
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
            let Some((_, experts)) = step.graph.experts_of(axis) else { continue };
            let merged = experts.routes.is_some() || experts.transfer.is_some();
            if merged || experts.nulls.is_some() {
                let message = match merged {
                    true => format!("`{path}` were merged: several rows of the router lead to one"),
                    false => format!("`{path}` have null experts beside them"),
                };
                return Err(Diagnostic::at(&codes::MERGED_EXPERTS, target.span, message)
                    .help("put this step before that one"));
            }
        }
    }
    Ok(())
}
