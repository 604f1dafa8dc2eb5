//! What a plan takes to carry out: memory and room on the disk, estimated from shapes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::task::{Does, Need, Storage};
use super::{Plan, TaskId};
use crate::graph::{self, Graph, ParamId};

/// Tensors are read, changed and written in blocks of about so many bytes, one a thread.
pub const BLOCK: u64 = 4 << 20;
/// The block as it is stored, its numbers as floats, their scores, and what a change makes of them.
const COPIES: u64 = 6;
/// The program, headers and graphs.
const FIXED: u64 = 40 << 20;

/// Bytes at most, by estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Needs {
    pub memory: u64,
    /// All outputs together.
    pub output: u64,
    /// Tensors between steps, where they are not computed as they are written.
    pub scratch: u64,
}

/// What the plan takes when it is carried out in its order.
pub fn needs(plan: &Plan) -> Needs {
    let held = peak(plan, &plan.order);
    let output = plan.saves().map(|(_, saving)| plan.cost_after(&saving.steps).bytes.max).sum();
    let threads = rayon::current_num_threads() as u64;
    let work = plan.order.iter().map(|&id| plan.works_in(id)).max().unwrap_or(0);
    Needs { memory: FIXED + threads * COPIES * BLOCK + held.findings + work, output, scratch: held.scratch }
}

/// What is held at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Held {
    pub scratch: u64,
    pub findings: u64,
}

/// The most that is held when tasks are done in an order, results dying at their last use.
pub fn peak(plan: &Plan, order: &[TaskId]) -> Held {
    let last = last_uses(plan, order);
    let mut dies: BTreeMap<usize, Vec<Held>> = BTreeMap::new();
    let (mut now, mut most) = (Held::default(), Held::default());
    for (at, id) in order.iter().enumerate() {
        let made = plan.holds(*id);
        now = Held { scratch: now.scratch + made.scratch, findings: now.findings + made.findings };
        most = Held { scratch: most.scratch.max(now.scratch), findings: most.findings.max(now.findings) };
        dies.entry(last[id]).or_default().push(made);
        for dead in dies.remove(&at).unwrap_or_default() {
            now = Held { scratch: now.scratch - dead.scratch, findings: now.findings - dead.findings };
        }
    }
    most
}

/// The place in the order after which a result is not needed. Tensors in scratch files are needed as long as any version
/// that is made of theirs.
pub fn last_uses(plan: &Plan, order: &[TaskId]) -> BTreeMap<TaskId, usize> {
    let places: BTreeMap<TaskId, usize> = order.iter().copied().zip(0..).collect();
    let mut last = places.clone();
    for &id in order.iter().rev() {
        for user in plan.users(id) {
            let is_made_of_it = plan.tasks[user].is_version() && plan.tasks[id].is_version();
            let until = if is_made_of_it { last[&user] } else { places[&user] };
            last.entry(id).and_modify(|last| *last = (*last).max(until));
        }
    }
    last
}

impl Plan {
    /// What a task takes while it runs.
    fn works_in(&self, id: TaskId) -> u64 {
        match (&self.tasks[id].does, self.needed(id, Need::Version)) {
            (Does::Work(work), Some(version)) => work.memory(self.graph(version)),
            _ => 0,
        }
    }

    /// What a task's result takes while it is held.
    pub fn holds(&self, id: TaskId) -> Held {
        match &self.tasks[id].does {
            Does::Work(work) => {
                let Some(version) = self.needed(id, Need::Version) else { return Held::default() };
                Held { findings: finding_bytes(self.graph(version), &work.reads()), scratch: 0 }
            }
            Does::Rewrite(rewriting) if rewriting.storage == Storage::Scratch => {
                let changed = changed(&rewriting.graph, &rewriting.rewrite.touches());
                let bytes = |&id: &ParamId| {
                    let param = &rewriting.graph.params[id];
                    (rewriting.graph.elements(param) * param.dtype.size()) as u64
                };
                Held { scratch: changed.iter().map(bytes).sum(), findings: 0 }
            }
            _ => Held::default(),
        }
    }
}

/// The tensors of some sites and axes that are in a graph.
pub fn changed(graph: &Graph, paths: &[String]) -> Vec<ParamId> {
    let places = graph.places();
    let mut params: Vec<ParamId> = paths.iter().flat_map(|path| tensors_at(graph, &places, path)).collect();
    params.sort_unstable();
    params.dedup();
    params
}

/// The tensors of a site, or those that carry an axis.
pub fn tensors_at(graph: &Graph, places: &graph::Places, path: &str) -> Vec<ParamId> {
    let of_site = places.site(path).into_iter().flat_map(|site| graph.sites[site].views());
    let of_axis = places.axis(path).into_iter().flat_map(|axis| graph.carriers(axis));
    of_site.map(|view| view.param).chain(of_axis).collect()
}

/// All tensors that somebody who reads sites and axes looks at; of layers and experts their members' too.
pub fn read(graph: &Graph, paths: &[String]) -> Vec<ParamId> {
    let places = graph.places();
    let mut params = changed(graph, paths);
    for axis in paths.iter().filter_map(|path| places.axis(path)) {
        let is_member = |param: &graph::Param| param.name.members().any(|(of, _)| of == axis);
        params.extend(graph.params.iter().filter(|(_, param)| is_member(param)).map(|(id, _)| id));
    }
    params.sort_unstable();
    params.dedup();
    params
}

/// A score an element of each axis; little more than its path for a site.
fn finding_bytes(graph: &Graph, paths: &[String]) -> u64 {
    const A_SCORE: u64 = 8;
    const A_SITE: u64 = 64;
    let places = graph.places();
    let bytes = |path: &String| match places.axis(path) {
        Some(axis) => graph.extent(axis).max as u64 * A_SCORE,
        None => A_SITE,
    };
    paths.iter().map(bytes).sum()
}
