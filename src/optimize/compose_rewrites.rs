//! What rewrites do to a tensor is computed as it is read, not written down in between.

use super::{Fired, Rule};
use crate::diagnostic::numbers;
use crate::plan::{Does, Need, Places, Plan, Storage, TaskId, changed};

pub struct ComposeRewrites;

impl Rule for ComposeRewrites {
    fn name(&self) -> &'static str {
        "compose-rewrites"
    }

    fn doc(&self) -> &'static str {
        "Tensors that a rewrite changes are computed for whoever reads them, from the stored ones, instead of being written \
         to scratch files and read again. Decompositions stay in files where more than one task reads them."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        let scratch: Vec<TaskId> = plan.order.iter().copied().filter(|&id| is_scratch(plan, id)).collect();
        let (mut tensors, mut bytes) = (0, 0);
        let composed: Vec<TaskId> = scratch.into_iter().filter(|&id| is_cheap(plan, id)).collect();
        for &id in &composed {
            bytes += plan.holds(id).scratch;
            let rewriting = plan.tasks[id].rewriting_mut().expect("only rewrites have scratch files");
            tensors += changed(&rewriting.graph, &rewriting.rewrite.touches()).len();
            rewriting.storage = Storage::Lazy;
        }
        if composed.is_empty() {
            return Vec::new();
        }
        let tensors = numbers::things(tensors, "tensor");
        let bytes = numbers::bytes(bytes);
        vec![Fired::new(format!("{tensors} computed when read, without {bytes} of scratch files"))]
    }
}

fn is_scratch(plan: &Plan, id: TaskId) -> bool {
    plan.tasks[id].rewriting().is_some_and(|rewriting| rewriting.storage == Storage::Scratch)
}

fn is_cheap(plan: &Plan, id: TaskId) -> bool {
    let rewriting = plan.tasks[id].rewriting().expect("only rewrites have scratch files");
    let places = Places::of(rewriting.rewrite.touches());
    !rewriting.rewrite.is_costly() || readers(plan, id, &places) <= 1
}

/// How often tensors at some places are read in a version or in those that are made from it without files in between.
fn readers(plan: &Plan, version: TaskId, places: &Places) -> usize {
    let reads = |user: TaskId| match &plan.tasks[user].does {
        _ if plan.needed(user, Need::Written).is_some() => 0,
        Does::Rewrite(rewriting) if rewriting.storage == Storage::Lazy => readers(plan, user, places),
        Does::Rewrite(_) => {
            usize::from(plan.tasks[user].effect().reads.meets(places)) + readers(plan, user, places)
        }
        _ => usize::from(plan.tasks[user].effect().reads.meets(places)),
    };
    plan.users(version)
        .into_iter()
        .filter(|&user| plan.needed(user, Need::Version) == Some(version))
        .map(reads)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::optimize;
    use crate::plan::toys::{planned, texts};

    #[test]
    fn what_is_cheap_is_computed_as_it_is_read() {
        let plan = planned(|body| {
            body.halve(&["head"]).cut("layers", &[1]).save("out");
        });
        let (plan, trace) = optimize(plan, &[&ComposeRewrites]);
        assert_eq!(texts(&plan, "rewrite"), ["halve head", "keep 1 in layers"]);
        assert_eq!(trace.fired[0].1.text, "1 tensor computed when read, without 80 B of scratch files");
    }

    #[test]
    fn a_decomposition_that_two_tasks_read_stays_in_files() {
        let plan = planned(|body| {
            body.factor(&["layers[0].mlp.up"]).measure().save("out");
        });
        assert_eq!(optimize(plan, &[&ComposeRewrites]).1.fired, []);
        let plan = planned(|body| {
            body.factor(&["layers[0].mlp.up"]).save("out");
        });
        assert_eq!(texts(&optimize(plan, &[&ComposeRewrites]).0, "rewrite"), ["factor layers[0].mlp.up"]);
    }
}
