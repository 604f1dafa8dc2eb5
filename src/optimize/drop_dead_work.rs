//! What a later step removes anyway is neither scored nor changed before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Fired, Rule};
use crate::diagnostic::numbers;
use crate::graph::{AxisId, Graph, NodeId, ParamId};
use crate::pass::{Rewrite, Work};
use crate::plan::{Does, Need, Plan, TaskId, read, tensors_at};

pub struct DropDeadWork;

impl Rule for DropDeadWork {
    fn name(&self) -> &'static str {
        "drop-dead-work"
    }

    fn doc(&self) -> &'static str {
        "Layers and experts that a later step certainly removes are left out of the scores and rewrites before it, where \
         nobody else looks at them and leaving them out changes nothing for the others. What no output needs is not done."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        let mut fired = Vec::new();
        let mut gone = Gone::default();
        for id in plan.order.clone().into_iter().rev() {
            match &plan.tasks[id].does {
                Does::Rewrite(_) => gone.rewrite(plan, id, &mut fired),
                Does::Work(_) => gone.work(plan, id, &mut fired),
                _ => {}
            }
        }
        match plan.sweep_unused() {
            0 => {}
            unused => {
                fired.push(Fired::new(format!("{} that no output needs", numbers::things(unused, "task"))));
            }
        }
        fired
    }
}

/// Paths of sites and axes.
type Paths = BTreeSet<String>;

/// For each task that was looked at the places, as it names them, that it does not need: a rewrite of the version that it
/// changes, a work of the finding and the version that it reads. Users are looked at before what they use.
#[derive(Default)]
struct Gone(BTreeMap<TaskId, Paths>);

impl Gone {
    fn rewrite(&mut self, plan: &mut Plan, id: TaskId, fired: &mut Vec<Fired>) {
        let version = plan.needed(id, Need::Version).expect("a rewrite is of a version");
        let (before, rewrite) = (
            Arc::clone(plan.graph(version)),
            Arc::clone(&plan.tasks[id].rewriting().expect("a rewrite").rewrite),
        );
        let dead = self.of_version(plan, id);
        let mut gone = removed(&before, rewrite.as_ref());
        gone.extend(as_before(&before, plan.graph(id), rewrite.as_ref(), &dead));
        let touched: Paths = rewrite.touches().into_iter().collect();
        let hit: Paths = touched.intersection(&gone).cloned().collect();
        // A rewrite that is left as it is needs all of its findings.
        let kept = match () {
            () if hit.is_empty() => gone,
            () if !costs_stay(plan, id) || makes_tensors(&before, plan.graph(id)) => Paths::new(),
            () if hit == touched => {
                fired.push(Fired::new(format!(
                    "`{}` changes only what is removed later",
                    plan.tasks[id].describe()
                )));
                plan.replace(id, version);
                gone
            }
            () => match rewrite.without(&hit) {
                Some(less) => {
                    fired.push(left_out(&hit, &touched, &plan.tasks[id].describe()));
                    set_rewrite(plan, id, less);
                    gone
                }
                None => Paths::new(),
            },
        };
        self.0.insert(id, kept);
    }

    fn work(&mut self, plan: &mut Plan, id: TaskId, fired: &mut Vec<Fired>) {
        let work = Arc::clone(plan.tasks[id].work().expect("a work"));
        let gone = self.of_finding(plan, id);
        let read: Paths = work.reads().into_iter().collect();
        let hit: Paths = read.intersection(&gone).cloned().collect();
        // A work that reads findings alone names its places nowhere, and is asked all the same.
        let asked = if read.is_empty() { &gone } else { &hit };
        let less: Option<Arc<dyn Work>> = if asked.is_empty() { None } else { work.without(asked) };
        let kept = match less {
            Some(less) if less.arguments() != work.arguments() || less.reads() != work.reads() => {
                fired.push(left_out(&hit, &read, &work.describe()));
                plan.tasks[id].does = Does::Work(less);
                gone
            }
            Some(_) => gone,
            None if !read.is_empty() && hit.is_empty() => gone,
            None => Paths::new(),
        };
        self.0.insert(id, kept);
    }

    /// Places of the version that a task makes which nobody needs.
    fn of_version(&self, plan: &Plan, id: TaskId) -> Paths {
        let users = plan.users(id);
        let rewrites = users.iter().filter(|user| plan.tasks[**user].rewriting().is_some());
        let mut dead = common(rewrites.map(|user| self.0.get(user)));
        for user in users {
            match &plan.tasks[user].does {
                Does::Rewrite(_) => {}
                Does::Work(work) => keep_what_is_read(plan.graph(id), &work.reads(), &mut dead),
                _ => dead.clear(),
            }
        }
        dead
    }

    /// Places that no user of a finding needs.
    fn of_finding(&self, plan: &Plan, id: TaskId) -> Paths {
        let users = plan.users(id);
        let users = users.iter().filter(|user| plan.needed(**user, Need::Finding) == Some(id));
        common(users.map(|user| self.0.get(user)))
    }
}

/// Whoever reads an axis reads all tensors that carry it, those of other places among them.
fn keep_what_is_read(graph: &Graph, reads: &[String], dead: &mut Paths) {
    if dead.is_empty() || reads.is_empty() {
        return;
    }
    let read: BTreeSet<ParamId> = read(graph, reads).into_iter().collect();
    let places = graph.places();
    dead.retain(|path| tensors_at(graph, &places, path).iter().all(|param| !read.contains(param)));
}

/// What is in all of some sets.
fn common<'a>(mut sets: impl Iterator<Item = Option<&'a Paths>>) -> Paths {
    let Some(Some(first)) = sets.next() else { return Paths::new() };
    sets.fold(first.clone(), |common, set| {
        set.map_or_else(Paths::new, |set| common.intersection(set).cloned().collect())
    })
}

fn left_out(hit: &Paths, all: &Paths, what: &str) -> Fired {
    let places = numbers::things(all.len().max(hit.len()), "place");
    Fired::new(format!("{} of {places} of `{what}` are removed later", hit.len()))
}

/// Costs after a step are reported. Where they depend on weights, all of the step has to be done to know them.
fn costs_stay(plan: &Plan, id: TaskId) -> bool {
    let rewriting = plan.tasks[id].rewriting().expect("a rewrite");
    let is_known = |&step: &usize| {
        let after = plan.step(step).after;
        [after.params, after.macs, after.bytes].iter().all(|cost| cost.known().is_some())
    };
    rewriting.parts.iter().flat_map(|part| &part.steps).all(is_known)
}

/// Whether there are more tensors than before. They are numbered as they are made, and files of graphs show the numbers.
fn makes_tensors(before: &Graph, after: &Graph) -> bool {
    before.params.bound() != after.params.bound() || before.axes.bound() != after.axes.bound()
}

fn set_rewrite(plan: &mut Plan, id: TaskId, rewrite: Arc<dyn Rewrite>) {
    let rewriting = plan.tasks[id].rewriting_mut().expect("a rewrite");
    if let [part] = rewriting.parts.as_mut_slice() {
        part.rewrite = Arc::clone(&rewrite);
    }
    rewriting.rewrite = rewrite;
}

/// Sites and axes of the members that a rewrite certainly takes out.
fn removed(graph: &Graph, rewrite: &dyn Rewrite) -> Paths {
    let places = graph.places();
    let removes = rewrite.removes();
    let gone: Vec<(AxisId, &Vec<usize>)> =
        removes.iter().filter_map(|(path, elements)| Some((places.axis(path)?, elements))).collect();
    let is_gone = |member: &(AxisId, usize)| {
        gone.iter().any(|(axis, elements)| *axis == member.0 && elements.contains(&member.1))
    };
    let tops = graph.tree.iter().filter(|(_, node)| node.member.as_ref().is_some_and(is_gone));
    tops.flat_map(|(id, _)| below(graph, id)).collect()
}

/// Paths of all sites and axes at a node and below.
fn below(graph: &Graph, node: NodeId) -> Paths {
    let nodes: BTreeSet<NodeId> = graph.tree.below(node).into_iter().collect();
    let sites = graph.sites.iter().filter(|(_, site)| nodes.contains(&site.node));
    let axes = graph.axes.iter().filter(|(_, axis)| nodes.contains(&axis.node));
    let sites = sites.map(|(_, site)| graph.tree.path(site.node));
    sites.chain(axes.map(|(id, _)| graph.axis_path(id))).collect()
}

/// The names that places of the version after a rewrite have in the one before it. Places whose number weights decide
/// have none.
fn as_before(before: &Graph, after: &Graph, rewrite: &dyn Rewrite, paths: &Paths) -> Paths {
    let unsure = chosen_by_weights(before, after, rewrite);
    let is_sure = |node: NodeId| {
        let mut above = before.tree.above(node);
        !above.any(|id| before.tree[id].member.as_ref().is_some_and(|(axis, _)| unsure.contains(axis)))
    };
    let places = after.places();
    let name = |path: &String| {
        let site = places.site(path).and_then(|id| before.sites.get(id));
        if let Some(site) = site.filter(|site| before.tree.get(site.node).is_some()) {
            return is_sure(site.node).then(|| before.tree.path(site.node));
        }
        let axis = places.axis(path)?;
        let node = before.axes.get(axis)?.node;
        is_sure(node).then(|| before.axis_path(axis))
    };
    paths.iter().filter_map(name).collect()
}

/// Axes that lose elements of which the rewrite does not say which.
fn chosen_by_weights(before: &Graph, after: &Graph, rewrite: &dyn Rewrite) -> BTreeSet<AxisId> {
    let removes = rewrite.removes();
    let is_unsure = |id: &AxisId| {
        let now = after.axes.get(*id).map(|axis| axis.extent);
        let lost = now.map(|now| before.extent(*id).max - now.min);
        let said = removes.get(&before.axis_path(*id)).map_or(0, Vec::len);
        lost.is_some_and(|lost| lost != said)
    };
    before.axes.ids().filter(is_unsure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::{Trace, optimize};
    use crate::plan::toys::{Body, neurons, planned, texts};

    fn optimized(write: impl FnOnce(&mut Body)) -> (Plan, Trace) {
        optimize(planned(write), &[&DropDeadWork])
    }

    #[test]
    fn layers_that_are_dropped_are_neither_scored_nor_cut() {
        let (plan, _) = optimized(|body| {
            body.prune(&[0, 1, 2], 4).cut("layers", &[0, 3]).save("out");
        });
        assert_eq!(texts(&plan, "score"), ["sum of layers[0].mlp.neurons"]);
        assert_eq!(
            texts(&plan, "rewrite"),
            ["keep 4 in layers[0].mlp.neurons, to scratch files", "keep 2 in layers, to scratch files"]
        );
    }

    #[test]
    fn places_are_followed_through_steps_that_number_them_anew() {
        let (plan, _) = optimized(|body| {
            // Layer 3 is layer 2 for the last step, which drops it.
            let sites = ["layers[1].mlp.up", "layers[3].mlp.up"];
            body.halve(&sites).cut("layers", &[0, 1, 3]).cut("layers", &[0, 1]).save("out");
        });
        assert_eq!(texts(&plan, "rewrite")[0], "halve layers[1].mlp.up, to scratch files");
    }

    #[test]
    fn a_step_of_which_nothing_is_left_is_not_done() {
        let (plan, trace) = optimized(|body| {
            body.prune(&[1], 4).cut("layers", &[0]).save("out");
        });
        let kinds: Vec<&str> = plan.ordered().map(|(_, task)| task.kind()).collect();
        assert_eq!(kinds, ["source", "rewrite", "save"]);
        assert_eq!(trace.fired.len(), 2, "{:?}", trace.fired);
    }

    #[test]
    fn what_somebody_else_looks_at_stays() {
        let save = |body: &mut Body| {
            body.save("first");
        };
        let measure = |body: &mut Body| {
            body.measure();
        };
        for look in [save, measure] {
            let (plan, trace) = optimized(|body| {
                look(body.halve(&["layers[1].mlp.up"]));
                body.cut("layers", &[0]).save("out");
            });
            assert_eq!(texts(&plan, "rewrite").len(), 2);
            assert_eq!(trace.fired, []);
        }
    }

    #[test]
    fn an_axis_that_is_scored_is_read_in_layers_that_are_dropped_too() {
        let (_, trace) = optimized(|body| {
            body.prune(&[1], 4).scored(&["hidden".to_string()], 3).cut("layers", &[0]).save("out");
        });
        assert_eq!(trace.fired, []);
    }

    #[test]
    fn elements_that_weights_choose_drop_nothing_for_certain() {
        let (_, trace) = optimized(|body| {
            body.halve(&["layers[1].mlp.up"]).drop_by_score(3).save("out");
        });
        assert_eq!(trace.fired, []);
    }

    #[test]
    fn a_part_of_a_place_is_no_place() {
        let (_, trace) = optimized(|body| {
            body.halve(&["layers[1].mlp.down"]).cut(&neurons(1), &[0, 1]).save("out");
        });
        assert_eq!(trace.fired, []);
    }

    #[test]
    fn steps_after_the_last_save_are_not_done() {
        let (plan, _) = optimized(|body| {
            body.cut("layers", &[0]).save("out").prune(&[0], 4);
        });
        assert_eq!(plan.order.len(), 3);
    }
}
