//! Experts of a group made one: neurons brought into the order of the leader's, then a weighted mean of each matrix.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::super::room::Room;
use super::weights::Matrices;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{AxisId, Expert, Experts, Graph, ParamId, SiteId, Weight};
use crate::pass::elements::everything;
use crate::pass::{Context, Finding, Grouped, Work, WorkKind};
use crate::weights::Version;

/// Computes the experts that groups become.
#[derive(Debug)]
pub struct MergeExperts {
    /// Paths of the axes of experts.
    pub axes: Vec<String>,
    pub align: bool,
    /// Whether rows of the router become one too, rather than all staying.
    pub routers: bool,
    reads: Vec<String>,
}

impl MergeExperts {
    pub fn new(graph: &Graph, axes: Vec<String>, align: bool, routers: bool) -> Self {
        Self { axes, align, routers, reads: everything(graph) }
    }
}

/// The name under which a merged tensor is kept: that of the param which it takes the place of.
pub fn merged_name(param: ParamId) -> String {
    param.index().to_string()
}

/// The name under which the merged rows of a router are kept.
pub fn router_name(param: ParamId) -> String {
    format!("router {}", param.index())
}

impl Work for MergeExperts {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let aligned = if self.align { ", neurons aligned" } else { "" };
        format!("merged experts of {}{aligned}", numbers::things(self.axes.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "merge experts of": self.axes, "align": self.align, "routers": self.routers })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let groups = at.found.find(|finding| match finding {
            Finding::Groups(groups) => Some(groups),
            _ => None,
        });
        let groups = groups.expect("experts are merged by their groups");
        let axes: BTreeMap<AxisId, &Grouped> = super::super::axes(graph, &self.axes)
            .into_iter()
            .map(|(path, axis)| (axis, &groups[&path]))
            .collect();
        let layers: Vec<Layer<'_>> = axes
            .into_iter()
            .filter_map(|(axis, grouped)| Some(Layer { of: graph.experts_of(axis)?.1, axis, grouped }))
            .collect();
        let specs = layers.iter().flat_map(|layer| layer.specs(graph, self.routers)).collect();
        let room = Room::new(at.room, specs)?;
        for layer in &layers {
            layer.merge(at.version, &room, self.align)?;
            if self.routers {
                layer.merge_router(at.version, &room)?;
            }
        }
        room.finish(BTreeMap::new())
    }
}

/// The experts of one layer, and their groups.
struct Layer<'a> {
    of: &'a Experts,
    axis: AxisId,
    grouped: &'a Grouped,
}

impl Layer<'_> {
    fn groups(&self) -> usize {
        self.grouped.leaders.len()
    }

    /// Tensors of experts that stay: those of the first ones, or the stacks of all.
    fn params(&self, graph: &Graph) -> BTreeSet<ParamId> {
        let sites = self.of.experts[..self.groups()].iter().flat_map(Expert::sites);
        sites.map(|site| param_of(graph, site)).collect()
    }

    fn specs(&self, graph: &Graph, routers: bool) -> Vec<TensorSpec> {
        let spec = |name: String, param: ParamId| {
            let of = &graph.params[param];
            let mut shape = graph.shape(of);
            for (extent, dim) in shape.iter_mut().zip(&of.dims) {
                if dim.0.as_slice() == [self.axis] {
                    *extent = self.groups();
                }
            }
            TensorSpec { name, dtype: of.dtype, shape }
        };
        let mut specs: Vec<TensorSpec> =
            self.params(graph).into_iter().map(|param| spec(merged_name(param), param)).collect();
        if routers {
            let views = graph.sites[self.of.router].views();
            specs.extend(views.map(|view| spec(router_name(view.param), view.param)));
        }
        specs
    }

    /// One group after the other, in it one member after the other: no more than three experts are in memory.
    fn merge(&self, version: &Version, room: &Room, align: bool) -> Result<(), Diagnostic> {
        for (group, &leader) in self.grouped.leaders.iter().enumerate() {
            let leading = Matrices::read(version, &self.of.experts[leader])?;
            let mut sums: Vec<Vec<f32>> = leading.all().map(|matrix| vec![0.0; matrix.len()]).collect();
            for member in (0..self.of.experts.len()).filter(|&it| self.grouped.group_of[it] == group) {
                let mut matrices = Matrices::read(version, &self.of.experts[member])?;
                if align && member != leader {
                    matrices.reorder(&leading.order_of(&matrices));
                }
                let share = self.grouped.shares[member] as f32;
                for (sum, matrix) in sums.iter_mut().zip(matrices.all()) {
                    sum.iter_mut().zip(matrix).for_each(|(sum, weight)| *sum += share * weight);
                }
            }
            for (site, values) in self.of.experts[group].sites().zip(sums) {
                self.write(version, room, site, values)?;
            }
        }
        Ok(())
    }

    /// Puts the matrix of a site, row after row, where its tensor has it.
    fn write(
        &self,
        version: &Version,
        room: &Room,
        site: SiteId,
        values: Vec<f32>,
    ) -> Result<(), Diagnostic> {
        let graph = &version.graph;
        let (param, transposed) = (param_of(graph, site), graph.sites[site].transposed);
        let Weight::Dense(view) = &graph.sites[site].weight else {
            unreachable!("the pass refuses factored experts")
        };
        // Stacks have their experts outermost: each one's part is a run of the tensor.
        let matrix = graph.matrix(view, transposed);
        let mut stored = vec![0.0; values.len()];
        for (at, value) in values.into_iter().enumerate() {
            stored[matrix.index(at / matrix.inputs, at % matrix.inputs) - matrix.offset] = value;
        }
        room.write_part(&merged_name(param), matrix.offset, &stored)
    }

    /// Rows of the router, and of its bias, as means over groups.
    fn merge_router(&self, version: &Version, room: &Room) -> Result<(), Diagnostic> {
        for view in version.graph.sites[self.of.router].views() {
            let values = version.values(view.param)?;
            let width = values.len() / self.of.experts.len().max(1);
            let mut rows = vec![0.0f32; self.groups() * width];
            for (expert, row) in values.chunks_exact(width.max(1)).enumerate() {
                let (group, share) = (self.grouped.group_of[expert], self.grouped.shares[expert] as f32);
                let sums = &mut rows[group * width..(group + 1) * width];
                sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += share * weight);
            }
            room.write(&router_name(view.param), &mut rows)?;
        }
        Ok(())
    }
}

fn param_of(graph: &Graph, site: SiteId) -> ParamId {
    match &graph.sites[site].weight {
        Weight::Dense(view) | Weight::Factored { left: view, .. } => view.param,
    }
}
