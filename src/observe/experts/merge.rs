//! Experts of a group made one: neurons brought into the order of the leader's, then a weighted mean of each matrix.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde_json::json;

use super::super::room::Room;
use super::weights::Neurons;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{AxisId, Expert, Experts, Graph, ParamId, SiteId, Weight};
use crate::pass::elements::everything;
use crate::pass::{Context, Finding, Grouped, Work, WorkKind};
use crate::tensor::DType;
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

    fn memory(&self, graph: &Graph) -> u64 {
        let axes = super::super::axes(graph, &self.axes);
        let layers = axes.values().filter_map(|&axis| graph.experts_of(axis));
        layers.map(|(_, of)| at_once(graph, of) as u64 * of_group(graph, of, self.align)).max().unwrap_or(0)
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

/// What experts, and shares of them, are made of: sums of all experts, and of the shares of all rows of the router.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixing {
    /// How many there are.
    pub all: usize,
    /// `[count, all]`
    pub experts: Vec<f32>,
    /// `[count, all]`
    pub routes: Vec<f32>,
}

impl Mixing {
    /// Each expert of a set by itself.
    pub fn of_set(set: &[usize], all: usize) -> Self {
        let mut experts = vec![0.0; set.len() * all];
        set.iter().enumerate().for_each(|(row, &expert)| experts[row * all + expert] = 1.0);
        Self { all, routes: experts.clone(), experts }
    }

    pub fn count(&self) -> usize {
        self.experts.len() / self.all.max(1)
    }

    /// Visits all numbers, in order.
    pub fn each(&mut self, visit: impl FnMut(&mut f32)) {
        self.experts.iter_mut().chain(&mut self.routes).for_each(visit);
    }

    /// Makes rows add up to 1; rows that are near to nothing stay.
    pub fn normalize(&mut self) {
        for row in self.experts.chunks_mut(self.all.max(1)).chain(self.routes.chunks_mut(self.all.max(1))) {
            let sum: f32 = row.iter().sum();
            if sum.abs() > 1e-3 {
                row.iter_mut().for_each(|it| *it /= sum);
            }
        }
    }
}

/// The name under which the matrix is kept that makes shares of an axis's experts.
pub fn transfer_name(path: &str) -> String {
    format!("transfer {path}")
}

/// Writes the experts of mixtures and the matrices of shares, by path of the axis.
///
/// # Errors
/// Where weights cannot be read or written.
pub fn write_mixtures(at: &Context<'_>, mixtures: &BTreeMap<String, Mixing>) -> Result<Finding, Diagnostic> {
    let graph = &at.version.graph;
    let axes = super::super::axes(graph, &mixtures.keys().cloned().collect::<Vec<_>>());
    // Groups say here how many experts there are, and no more.
    let grouped = |mixing: &Mixing| Grouped {
        group_of: Vec::new(),
        leaders: (0..mixing.count()).collect(),
        shares: Vec::new(),
    };
    let counted: BTreeMap<&String, Grouped> =
        mixtures.iter().map(|(path, mixing)| (path, grouped(mixing))).collect();
    let layers: Vec<(&String, Layer<'_>)> = axes
        .iter()
        .filter_map(|(path, &axis)| {
            Some((path, Layer { of: graph.experts_of(axis)?.1, axis, grouped: &counted[path] }))
        })
        .collect();
    let specs = layers.iter().flat_map(|(path, layer)| {
        let shape = vec![mixtures[*path].count(), mixtures[*path].all];
        let transfer = TensorSpec { name: transfer_name(path), dtype: DType::F32, shape };
        layer.specs(graph, false).into_iter().chain([transfer])
    });
    let room = Room::new(at.room, specs.collect())?;
    for (path, layer) in &layers {
        let mixing = &mixtures[*path];
        layer.mix(at.version, &room, mixing)?;
        room.write(&transfer_name(path), &mut mixing.routes.clone())?;
    }
    room.finish(BTreeMap::new())
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

    /// Some groups at once, in each one member after the other: what is in memory does not grow with a group.
    fn merge(&self, version: &Version, room: &Room, align: bool) -> Result<(), Diagnostic> {
        let groups: Vec<(usize, usize)> = self.grouped.leaders.iter().copied().enumerate().collect();
        for some in groups.chunks(at_once(&version.graph, self.of)) {
            some.par_iter().try_for_each(|&group| self.merge_group(version, room, align, group))?;
        }
        Ok(())
    }

    fn merge_group(
        &self,
        version: &Version,
        room: &Room,
        align: bool,
        (group, leader): (usize, usize),
    ) -> Result<(), Diagnostic> {
        let read = |member: usize| Neurons::read(version, &self.of.experts[member]);
        let share = |member: usize| self.grouped.shares[member] as f32;
        let others =
            (0..self.of.experts.len()).filter(|&it| self.grouped.group_of[it] == group && it != leader);
        let others: Vec<usize> = others.collect();
        let mut leading = read(leader)?;
        let rounded = (align && !others.is_empty()).then(|| leading.rounded());
        // The last one may be added to the leader itself: nobody is compared with it any more.
        let mut sums = (others.len() > 1).then(|| leading.clone());
        let mut own = share(leader);
        for member in others {
            let neurons = read(member)?;
            let order = rounded.as_ref().map(|rounded| leading.order_of(rounded, &neurons));
            sums.as_mut().unwrap_or(&mut leading).mix(own, (share(member), &neurons), order.as_deref());
            own = 1.0;
        }
        self.write_expert(version, room, group, sums.as_ref().unwrap_or(&leading))
    }

    /// Sums of all experts.
    fn mix(&self, version: &Version, room: &Room, mixing: &Mixing) -> Result<(), Diagnostic> {
        for (number, shares) in mixing.experts.chunks_exact(mixing.all.max(1)).enumerate() {
            let mut sums = Neurons::zeros(version, &self.of.experts[number]);
            for (expert, &share) in self.of.experts.iter().zip(shares).filter(|(_, share)| **share != 0.0) {
                sums.mix(1.0, (share, &Neurons::read(version, expert)?), None);
            }
            self.write_expert(version, room, number, &sums)?;
        }
        Ok(())
    }

    fn write_expert(
        &self,
        version: &Version,
        room: &Room,
        number: usize,
        neurons: &Neurons,
    ) -> Result<(), Diagnostic> {
        let mut sites = self.of.experts[number].sites().zip(neurons.matrices());
        sites.try_for_each(|(site, values)| self.write(version, room, site, values))
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
        matrix.at(0).put(&values, &mut stored);
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

/// Bytes that merging one group holds: the sums, the leader, a member, a matrix that is read or written; where neurons are
/// aligned the leader and the member as integers, a quarter of the size, and the costs of an assignment.
fn of_group(graph: &Graph, of: &Experts, align: bool) -> u64 {
    const FLOAT: u64 = 4;
    let sizes = |site: SiteId| {
        let (out, ins) = graph.site_dims(site);
        (graph.dim_extent(&out) as u64, graph.dim_extent(&ins) as u64)
    };
    let Some(expert) = of.experts.first() else { return 0 };
    let weights: u64 = expert.sites().map(sizes).map(|(out, ins)| out.saturating_mul(ins)).sum();
    let (neurons, _) = sizes(expert.up);
    let (integers, costs) = if align { (weights / 2, neurons.saturating_mul(neurons)) } else { (0, 0) };
    let matrix = weights.div_ceil(2);
    let all = [weights.saturating_mul(3), matrix, integers, costs];
    FLOAT.saturating_mul(all.into_iter().fold(0, u64::saturating_add))
}

/// Groups that are merged at once: one a thread, fewer where they are large, so that memory does not grow with threads.
fn at_once(graph: &Graph, of: &Experts) -> usize {
    const MOST: u64 = 8 << 30;
    let fit = MOST / of_group(graph, of, true).max(1);
    rayon::current_num_threads().min(fit as usize).max(1)
}

fn param_of(graph: &Graph, site: SiteId) -> ParamId {
    match &graph.sites[site].weight {
        Weight::Dense(view) | Weight::Factored { left: view, .. } => view.param,
    }
}
