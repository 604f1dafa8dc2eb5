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
        vec![Fired::new(format!("{tensors} computed as they are read, {bytes} of scratch files less"))]
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
