//! Steps to tasks. What is wanted twice is one task: a sweep's branches share what they have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::stable_graph::StableDiGraph;

use super::change::effect;
use super::gain::gain;
use super::key::key;
use super::task::{Does, Entry, Expecting, Measuring, Need, Part, Rewriting, Saving, Storage, Task};
use super::{Model, Plan, Step, TaskId};
use crate::check::{Branch, ExpectBound, Item, Typed, TypedExpect, TypedMeasure, TypedSave, TypedStep};
use crate::checkpoint::Digest;
use crate::graph::{Cost, Graph};
use crate::pass::{Stage, Work};

/// The tasks of a recipe, as it is written; nothing is optimized but that equal tasks are one.
pub fn build(typed: &Typed) -> Plan {
    let model = Model {
        name: typed.model.name.clone(),
        path: typed.model.path.clone(),
        graph: Arc::clone(&typed.model.graph),
        cost: typed.model.cost,
    };
    let plan = Plan {
        tasks: StableDiGraph::new(),
        order: Vec::new(),
        wanted: 0,
        model,
        at: typed.at,
        title: typed.title.clone(),
        header: typed.header.clone(),
        params: typed.params.clone(),
        steps: Vec::new(),
    };
    let mut building = Building { plan, known: BTreeMap::new() };
    let source = building.task(Does::Source, &[], None);
    let place = Place { version: source, cost: typed.model.cost, ..Place::default() };
    building.body(&typed.body, place);
    building.plan
}

struct Building {
    plan: Plan,
    known: BTreeMap<Digest, TaskId>,
}

/// Where in the recipe a statement stands, and what it sees.
#[derive(Debug, Clone, Default)]
struct Place {
    version: TaskId,
    cost: Cost,
    /// The steps behind it, by number.
    steps: Vec<usize>,
    branch: Vec<String>,
    entries: Vec<Entry>,
}

impl Place {
    fn last_step(&self) -> usize {
        self.steps.last().copied().unwrap_or(0)
    }
}

impl Building {
    /// A task, or the one of the same key.
    fn task(&mut self, does: Does, needs: &[(Need, TaskId)], step: Option<usize>) -> TaskId {
        let plan = &mut self.plan;
        let inputs: Vec<(Need, Digest)> =
            needs.iter().map(|&(need, id)| (need, plan.tasks[id].key)).collect();
        let key = key(&does, &inputs, plan.at, plan.model.graph.times.as_deref());
        plan.wanted += 1;
        let id = *self.known.entry(key).or_insert_with(|| {
            let id = plan.tasks.add_node(Task { does, key, steps: Vec::new() });
            plan.order.push(id);
            for &(need, from) in needs {
                plan.tasks.add_edge(from, id, need);
            }
            id
        });
        let steps = &mut plan.tasks[id].steps;
        steps.extend(step.filter(|step| steps.last() != Some(step)));
        id
    }

    fn body(&mut self, items: &[Item], mut place: Place) {
        let mut saves = Vec::new();
        for item in items {
            match item {
                Item::Step(step) => self.step(step, &mut place),
                Item::Measure(measure) => self.measure(measure, &mut place),
                Item::Expect(expect) => self.expect(expect, &mut place),
                Item::Save(save) => saves.push((self.save(save, &place), place.version, place.entries.len())),
                Item::Sweep(branches) => self.sweep(branches, &place),
            }
        }
        // What is said of a model after it was saved is said of the save.
        for (save, version, seen) in saves {
            let later: Vec<Entry> = place.entries[seen..]
                .iter()
                .filter(|entry| self.version_of(entry.task) == Some(version))
                .cloned()
                .collect();
            if let Does::Save(saving) = &mut self.plan.tasks[save].does {
                saving.entries.extend(later);
            }
        }
    }

    fn sweep(&mut self, branches: &[Branch], place: &Place) {
        for branch in branches {
            let mut inner = place.clone();
            inner.branch.push(branch.label.clone());
            self.body(&branch.body, inner);
        }
    }

    /// The version that a measure, or the measure of an expectation, is taken of.
    fn version_of(&self, id: TaskId) -> Option<TaskId> {
        let value = self.plan.needed(id, Need::Value).unwrap_or(id);
        self.plan.needed(value, Need::Version)
    }

    fn step(&mut self, step: &TypedStep, place: &mut Place) {
        let number = self.plan.steps.len() + 1;
        self.plan.steps.push(Step {
            number,
            verb: step.verb,
            text: step.text.clone(),
            span: step.span,
            branch: place.branch.clone(),
            before: place.cost,
            after: step.cost,
            bound: step.lowering.bound,
            gain: gain(self.plan.graph(place.version), &step.graph),
            notes: step.lowering.notes.clone(),
        });
        place.steps.push(number);
        place.cost = step.cost;
        let Some((last, first)) = step.lowering.stages.split_last() else { return };
        let mut graph = Arc::clone(self.plan.graph(place.version));
        for stage in first {
            graph = effect(&graph, stage.rewrite.as_ref());
            self.stage(stage, graph.clone(), number, place);
        }
        self.stage(last, Arc::clone(&step.graph), number, place);
    }

    fn stage(&mut self, stage: &Stage, graph: Arc<Graph>, step: usize, place: &mut Place) {
        let mut needs = vec![(Need::Version, place.version)];
        for work in &stage.work {
            let found = self.work(work, &needs, step);
            needs.truncate(1);
            needs.push((Need::Finding, found));
        }
        let rewrite = Arc::clone(&stage.rewrite);
        let part = Part { rewrite: Arc::clone(&rewrite), steps: Vec::new() };
        let rewriting = Rewriting { rewrite, parts: vec![part], graph, storage: Storage::Scratch };
        place.version = self.task(Does::Rewrite(rewriting), &needs, Some(step));
        let made = self.plan.tasks[place.version].rewriting_mut().expect("a rewrite was put there");
        made.parts.iter_mut().for_each(|part| part.steps.push(step));
    }

    fn work(&mut self, work: &Arc<dyn Work>, needs: &[(Need, TaskId)], step: usize) -> TaskId {
        self.task(Does::Work(Arc::clone(work)), needs, Some(step))
    }

    fn measure(&mut self, measure: &TypedMeasure, place: &mut Place) {
        let task = self.value(measure, place.version);
        place.entries.push(Entry { task, after_step: place.last_step() });
    }

    /// A measure's value of a version.
    fn value(&mut self, measure: &TypedMeasure, version: TaskId) -> TaskId {
        let measuring = Measuring {
            text: measure.text.clone(),
            span: measure.span,
            spec: measure.spec,
            measure: Arc::clone(&measure.measure),
            sites: measure.sites.clone(),
        };
        self.task(Does::Measure(measuring), &[(Need::Version, version)], None)
    }

    fn expect(&mut self, expect: &TypedExpect, place: &mut Place) {
        let mut needs = vec![(Need::Value, self.value(&expect.measured, place.version))];
        if let ExpectBound::OfInput(_) = expect.bound {
            let source = self.plan.source();
            needs.push((Need::InputValue, self.value(&expect.measured, source)));
        }
        let expecting =
            Expecting { text: expect.text.clone(), span: expect.span, op: expect.op, bound: expect.bound };
        let task = self.task(Does::Expect(expecting), &needs, None);
        place.entries.push(Entry { task, after_step: place.last_step() });
    }

    fn save(&mut self, save: &TypedSave, place: &Place) -> TaskId {
        let saving = Saving {
            path: save.path.clone(),
            span: save.span,
            shard_size: save.shard_size,
            dtype: save.dtype,
            loads: save.loads.clone(),
            steps: place.steps.clone(),
            branch: place.branch.clone(),
            entries: place.entries.clone(),
        };
        self.task(Does::Save(saving), &[(Need::Version, place.version)], None)
    }
}
