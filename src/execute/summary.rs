//! All that is told of an output, put together from the records of the run.

use std::collections::BTreeMap;

use super::finish::Finishing;
use super::record::{Record, cost, counted, rank, upper};
use super::write::Written;
use crate::graph::{Between, Costs, Graph, NodeId, ParamId, Role, SiteId};
use crate::plan::{Does, Plan, Saving, Step as PlannedStep};
use crate::provenance::{
    At, Cost, Expectation, Input, InputFile, Layer, LoadsIn, Measured, Note, Provenance, Recipe, SCHEMA,
    Step, Tensor, Tool, Totals, Width,
};

/// The whole story of an output. `zeros` are of the input's tensors, by name.
pub fn summary(
    finishing: &Finishing<'_>,
    saving: &Saving,
    written: &Written,
    files: &[InputFile],
    zeros: &BTreeMap<String, u64>,
) -> Provenance {
    let (plan, options) = (finishing.plan, finishing.options);
    let (input, output) = (&*plan.model.graph, &written.version.graph);
    let before: BTreeMap<ParamId, u64> = input
        .params
        .iter()
        .map(|(id, param)| (id, zeros.get(&param.name.resolve()).copied().unwrap_or(0)))
        .collect();
    let recipe = Recipe {
        title: plan.title.clone(),
        doc: options.recipe.doc.clone(),
        header: plan.header.clone(),
        params: plan.params.clone(),
        branch: saving.branch.clone(),
        text: options.recipe.text.clone(),
    };
    Provenance {
        schema: SCHEMA,
        tool: tool(),
        recipe,
        input: Input {
            name: plan.model.name.clone(),
            path: plan.model.path.display().to_string(),
            family: input.family.clone(),
            files: files.to_vec(),
        },
        at: At { tokens: input.text_tokens().map(|_| plan.at.tokens), batch: plan.at.batch },
        before: totals(input, &before, plan.at.batch),
        after: totals(output, &written.zeros, plan.at.batch),
        steps: steps(finishing, saving, written),
        layers: layers(plan, input, &before, output, &written.zeros),
        tensors: tensors(output, &written.zeros),
        measures: measures(finishing, saving),
        expectations: expectations(finishing, saving),
        notes: saving.steps.iter().flat_map(|&step| notes(plan.step(step))).collect(),
        loads_in: LoadsIn {
            transformers: written.cannot_say.is_empty(),
            because: written.cannot_say.clone(),
        },
    }
}

pub fn tool() -> Tool {
    Tool { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() }
}

fn totals(graph: &Graph, zeros: &BTreeMap<ParamId, u64>, batch: u64) -> Totals {
    let zeros = graph.weights().filter_map(|(id, _)| zeros.get(&id)).sum();
    Totals { cost: cost(graph, batch), zeros }
}

fn steps(finishing: &Finishing<'_>, saving: &Saving, written: &Written) -> Vec<Step> {
    let plan = finishing.plan;
    let mut before = exact(&plan.model.cost).unwrap_or_default();
    let mut steps = Vec::new();
    for &number in &saving.steps {
        let records: Vec<&Record> = finishing.records_of(number).collect();
        let planned = plan.step(number);
        // What shapes tell is the same whether or not rules left out what a later step removes.
        let after = exact(&planned.after).or(records.last().map(|record| record.after)).unwrap_or(before);
        steps.push(step(planned, &records, &written.version.graph, before, after));
        before = after;
    }
    steps
}

fn step(planned: &PlannedStep, records: &[&Record], output: &Graph, before: Cost, after: Cost) -> Step {
    let is_site = |id: SiteId| output.sites.get(id).is_some();
    let cast = records.iter().flat_map(|record| &record.cast);
    Step {
        number: planned.number,
        verb: planned.verb.into(),
        text: planned.text.clone(),
        before,
        after,
        planned: Cost {
            params: planned.after.params,
            macs: planned.after.macs,
            flops: planned.after.flops(),
            bytes: planned.after.bytes,
            nanoseconds: planned.after.nanoseconds,
        },
        budget: planned.bound,
        // Rules may do a step in pieces, each of which knows it.
        curve: records
            .iter()
            .map(|record| record.curve.clone())
            .find(|curve| !curve.is_empty())
            .unwrap_or_default(),
        kept: alive(records.iter().flat_map(|record| &record.kept), |id| output.axes.get(id).is_some()),
        factored: alive(records.iter().flat_map(|record| &record.factored), is_site),
        sparsified: alive(records.iter().flat_map(|record| &record.sparsified), is_site),
        cast: counted(cast.filter(|(id, _)| output.params.get(*id).is_some()).map(|&(_, dtype)| dtype)),
        training: records.iter().find_map(|record| record.training.clone()),
    }
}

/// Of things that are gone in the end nothing is told.
fn alive<'r, I: Copy + 'r, T: Clone + 'r>(
    noted: impl Iterator<Item = &'r (I, T)>,
    is_there: impl Fn(I) -> bool,
) -> Vec<T> {
    noted.filter(|(id, _)| is_there(*id)).map(|(_, what)| what.clone()).collect()
}

fn exact(cost: &crate::graph::Cost) -> Option<Cost> {
    let known = Between::known;
    Some(Cost {
        params: known(cost.params)?,
        macs: known(cost.macs)?,
        flops: known(cost.flops())?,
        bytes: known(cost.bytes)?,
        nanoseconds: known(cost.nanoseconds)?,
    })
}

fn notes(step: &PlannedStep) -> Vec<Note> {
    let note = |note: &crate::diagnostic::Diagnostic| Note {
        step: step.number,
        code: note.code.name.into(),
        message: note.message.clone(),
    };
    step.notes.iter().map(note).collect()
}

fn layers(
    plan: &Plan,
    input: &Graph,
    zeros_before: &BTreeMap<ParamId, u64>,
    output: &Graph,
    zeros_after: &BTreeMap<ParamId, u64>,
) -> Vec<Layer> {
    let (costs_before, costs_after) = (input.costs(plan.at.batch), output.costs(plan.at.batch));
    let of = |graph: &Graph, costs: &Costs, node: NodeId, zeros: &BTreeMap<ParamId, u64>| Totals {
        cost: upper(&costs[node]),
        zeros: params_below(graph, node).iter().filter_map(|id| zeros.get(id)).sum(),
    };
    let layer = |block: &crate::graph::Block| {
        let node = block.node;
        let is_there = output.tree.get(node).is_some();
        Layer {
            place: input.tree.path(node),
            now: is_there.then(|| output.tree.path(node)),
            before: of(input, &costs_before, node, zeros_before),
            after: match is_there {
                true => of(output, &costs_after, node, zeros_after),
                false => Totals::default(),
            },
            axes: widths(input, output, node),
        }
    };
    input.blocks.iter().map(layer).collect()
}

fn params_below(graph: &Graph, node: NodeId) -> Vec<ParamId> {
    let sites = graph.sites_below(node);
    let mut params: Vec<ParamId> =
        sites.iter().flat_map(|&site| graph.sites[site].views()).map(|view| view.param).collect();
    params.sort_unstable();
    params.dedup();
    params
}

/// Axes of a block that passes can shorten.
fn widths(input: &Graph, output: &Graph, node: NodeId) -> Vec<Width> {
    let counts = |role: Role| {
        matches!(
            role,
            Role::Heads | Role::KvHeads | Role::Group | Role::Neurons | Role::Experts | Role::Channels
        )
    };
    let is_in = |axis: &crate::graph::Axis| input.tree.above(axis.node).any(|above| above == node);
    let prefix = format!("{}.", input.tree.path(node));
    let width = |(id, axis): (crate::graph::AxisId, &crate::graph::Axis)| {
        let path = input.axis_path(id);
        Width {
            axis: path.strip_prefix(&prefix).unwrap_or(&path).to_string(),
            role: axis.role,
            before: axis.extent.max,
            after: output.axes.get(id).map_or(0, |axis| axis.extent.max),
        }
    };
    input.axes.iter().filter(|(_, axis)| counts(axis.role) && is_in(axis)).map(width).collect()
}

fn tensors(graph: &Graph, zeros: &BTreeMap<ParamId, u64>) -> Vec<Tensor> {
    let mut owners: BTreeMap<ParamId, (String, Option<usize>)> = BTreeMap::new();
    for (_, site) in graph.sites.iter() {
        for view in site.views() {
            let is_factor = Some(view) != site.bias.as_ref();
            let rank = rank(graph, site).filter(|_| is_factor);
            owners.entry(view.param).or_insert_with(|| (graph.tree.path(site.node), rank));
        }
    }
    let tensor = |(id, param): (ParamId, &crate::graph::Param)| {
        let (place, rank) = owners.remove(&id).unwrap_or_default();
        Tensor {
            name: param.name.resolve(),
            place,
            dtype: param.dtype,
            shape: graph.shape(param),
            axes: graph.dims_text(&param.dims),
            zeros: zeros.get(&id).copied().unwrap_or(0),
            rank,
            buffer: param.buffer,
        }
    };
    graph.params.iter().map(tensor).collect()
}

fn measures(finishing: &Finishing<'_>, saving: &Saving) -> Vec<Measured> {
    let measured = |entry: &crate::plan::Entry| match &finishing.plan.task(entry.task).does {
        Does::Measure(measuring) => Some(Measured {
            text: measuring.text.clone(),
            after_step: entry.after_step,
            unit: measuring.spec.unit,
            value: finishing.values[&entry.task],
        }),
        _ => None,
    };
    saving.entries.iter().filter_map(measured).collect()
}

fn expectations(finishing: &Finishing<'_>, saving: &Saving) -> Vec<Expectation> {
    let compared = |entry: &crate::plan::Entry| {
        let expectation = finishing.expectations.get(&entry.task)?;
        Some(Expectation { after_step: entry.after_step, ..expectation.clone() })
    };
    saving.entries.iter().filter_map(compared).collect()
}
