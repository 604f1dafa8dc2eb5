//! What a family is written with: names parameters, infers axes and emits operations at once.
//!
//! ```text
//! let q = m.linear("query", "attention.self.query", x, [heads, head_dim], Bias::With);
//! ```
//! makes the tree node `query`, the parameters `….query.weight [heads head_dim, hidden]` and `….query.bias`
//! with the input dim taken from `x`, and the operation. Axes that meet in an addition become one.

mod error;
mod finish;
mod operations;
mod unify;

use std::collections::{BTreeMap, BTreeSet};

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::export::{Fact, Formula};
use super::param::{Name, NamePart, Param, ParamId, Site, SiteId, SiteKind, View, Weight};
use super::tree::NodeId;
use super::{Block, Graph, OpId, Shared, Tree};
use crate::tensor::DType;

pub use error::{BuildError, Member};

/// What a safetensors header says of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub dtype: DType,
    pub shape: Vec<usize>,
}

/// An extent, and the config field that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    pub extent: usize,
    pub key: Option<String>,
}

impl Size {
    /// An extent that no config field says.
    pub fn fixed(extent: usize) -> Self {
        Self { extent, key: None }
    }

    pub fn keyed(key: &str, extent: usize) -> Self {
        Self { extent, key: Some(key.into()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    With,
    Without,
}

/// The result of an operation while building.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value(OpId);

/// Builds one [`Graph`]. Errors are collected, not returned one by one.
pub struct Builder<'h> {
    graph: Graph,
    headers: Option<&'h BTreeMap<String, Header>>,
    default_dtype: DType,
    /// Axis unification: each axis points at one made earlier, or at itself.
    same: Vec<AxisId>,
    base: String,
    name: Vec<NamePart>,
    node: NodeId,
    /// Name prefixes of lists, to number buffers by.
    lists: Vec<(String, AxisId)>,
    buffers: Vec<&'static str>,
    /// The object of the config that fields are in: `text_config.`, of models of more than one tower.
    fields: String,
    used: BTreeSet<String>,
    errors: Vec<BuildError>,
}

impl<'h> Builder<'h> {
    /// Without headers shapes come from the config alone and every tensor is of `default_dtype`.
    pub fn new(family: &str, headers: Option<&'h BTreeMap<String, Header>>, default_dtype: DType) -> Self {
        let tree = Tree::default();
        let node = tree.root();
        let graph = Graph {
            family: family.into(),
            ops: Default::default(),
            tree: Shared::new(tree),
            axes: Default::default(),
            params: Default::default(),
            sites: Default::default(),
            blocks: Default::default(),
            facts: Default::default(),
            times: None,
        };
        Self {
            graph,
            headers,
            default_dtype,
            same: Vec::new(),
            base: String::new(),
            name: Vec::new(),
            node,
            lists: Vec::new(),
            buffers: Vec::new(),
            fields: String::new(),
            used: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    // -- names

    /// Sets the prefix of all names: the first candidate that a stored name begins with, else `otherwise`.
    pub fn base(&mut self, candidates: &[&str], otherwise: &str) {
        let starts = |prefix: &str| {
            self.headers.is_some_and(|headers| headers.keys().any(|name| name.starts_with(prefix)))
        };
        let known = self.headers.is_some().then(|| candidates.iter().find(|prefix| starts(prefix)));
        self.base = match known {
            Some(found) => found.copied().unwrap_or("").to_string(),
            None => otherwise.to_string(),
        };
        self.name = vec![NamePart::Text(self.base.clone())];
    }

    /// Builds what is named without the base prefix: heads.
    pub fn outside_base<R>(&mut self, build: impl FnOnce(&mut Self) -> R) -> R {
        let name = std::mem::take(&mut self.name);
        let result = build(self);
        self.name = name;
        result
    }

    /// Builds what an object inside the config describes: a tower, whose fields are `text_config.hidden_size`.
    pub fn tower<R>(&mut self, node: &str, key: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        let outer = std::mem::replace(&mut self.fields, format!("{key}."));
        let result = self.scope(node, build);
        self.fields = outer;
        result
    }

    /// Whether the checkpoint holds the tensor (a name relative to the current prefix); `otherwise` without headers.
    pub fn has(&self, name: &str, otherwise: bool) -> bool {
        let full = self.full_name(name).resolve();
        self.headers.map_or(otherwise, |headers| headers.contains_key(&full))
    }

    /// The first of these names that the checkpoint holds, or the first.
    pub fn stored<'n>(&self, names: &[&'n str]) -> &'n str {
        names.iter().find(|name| self.has(name, false)).or(names.first()).copied().unwrap_or_default()
    }

    /// Names ending so are buffers, not weights: carried over, not counted.
    pub fn buffers(&mut self, suffixes: &[&'static str]) {
        self.buffers.extend(suffixes);
    }

    fn full_name(&self, name: &str) -> Name {
        let mut parts = self.name.clone();
        match parts.last_mut() {
            Some(NamePart::Text(text)) => text.push_str(name),
            _ => parts.push(NamePart::Text(name.into())),
        }
        Name::new(parts)
    }

    // -- the tree

    /// Builds what lies under a tree node.
    pub fn scope<R>(&mut self, node: &str, build: impl FnOnce(&mut Self) -> R) -> R {
        let outer = self.node;
        self.node = self.graph.tree.child(outer, node, None);
        let result = build(self);
        self.node = outer;
        result
    }

    /// Residual blocks `layers[0]`, `layers[1]`, …, whose tensors are named `list.NUMBER.…`.
    pub fn layers(
        &mut self,
        axis: AxisId,
        list: &str,
        input: Value,
        mut build: impl FnMut(&mut Self, Value) -> Value,
    ) -> Value {
        let prefix = self.full_name(&format!("{list}.")).resolve();
        self.lists.push((prefix, axis));
        (0..self.graph.extent(axis).max).fold(input, |input, index| {
            self.member("layers", list, axis, index, |m| {
                let output = build(m, input);
                m.graph.blocks.push(Block { node: m.node, input: input.0, output: output.0 });
                output
            })
        })
    }

    /// Every element of a list of nodes and names: `experts[2]`, `….experts.2.`; of a list that ends in `_`, `….expert_2.`.
    pub fn members<R>(
        &mut self,
        node: &str,
        list: &str,
        axis: AxisId,
        mut build: impl FnMut(&mut Self) -> R,
    ) -> Vec<R> {
        let members = 0..self.graph.extent(axis).max;
        members.map(|index| self.member(node, list, axis, index, &mut build)).collect()
    }

    fn member<R>(
        &mut self,
        node: &str,
        list: &str,
        axis: AxisId,
        index: usize,
        build: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = (self.node, self.name.clone());
        self.node = self.graph.tree.child(outer.0, node, Some((axis, index)));
        let dot = if list.ends_with('_') { "" } else { "." };
        let mut name = self.full_name(&format!("{list}{dot}")).0.to_vec();
        name.extend([NamePart::Member(axis, index), NamePart::Text(".".into())]);
        self.name = name;
        let result = build(self);
        (self.node, self.name) = outer;
        result
    }

    /// Every element of a list of nodes that is stored in fused tensors.
    pub fn fused_members<R>(
        &mut self,
        node: &str,
        axis: AxisId,
        mut build: impl FnMut(&mut Self, usize) -> R,
    ) -> Vec<R> {
        let outer = self.node;
        let members = (0..self.graph.extent(axis).max).map(|index| {
            self.node = self.graph.tree.child(outer, node, Some((axis, index)));
            build(self, index)
        });
        let members = members.collect();
        self.node = outer;
        members
    }

    // -- axes

    /// A new axis of the current tree node. A keyed size is also a fact about the config.
    pub fn axis(&mut self, role: Role, size: Size) -> AxisId {
        let axis = self.plain_axis(role, size.extent, size.key.as_deref());
        if let Some(key) = size.key {
            self.fact(&key, Formula::Product(vec![axis]));
        }
        axis
    }

    /// A new axis whose extent follows from `key`, without being its value.
    pub fn plain_axis(&mut self, role: Role, extent: usize, key: Option<&str>) -> AxisId {
        let axis = self.graph.axes.push(Axis {
            role,
            extent: Extent::exact(extent),
            node: self.node,
            key: key.map(|key| format!("{}{key}", self.fields)),
        });
        self.same.push(axis);
        axis
    }

    /// Something the config says about extents.
    pub fn fact(&mut self, key: &str, formula: Formula) {
        let formula = match formula {
            Formula::Quotient { numerator, of } => {
                Formula::Quotient { numerator: format!("{}{numerator}", self.fields), of }
            }
            other => other,
        };
        self.graph.facts.push(Fact { key: format!("{}{key}", self.fields), formula });
    }

    /// The same of a field outside of the tower's object.
    pub fn outer_fact(&mut self, key: &str, formula: Formula) {
        let fields = std::mem::take(&mut self.fields);
        self.fact(key, formula);
        self.fields = fields;
    }

    /// Fields of the config that speak of layers by their numbers.
    pub fn numbered_layers(&mut self, keys: &[&str]) {
        let lists = self.graph.axes.iter().filter(|(_, axis)| axis.role == Role::Layers);
        let layers: Vec<(AxisId, usize)> = lists.map(|(of, axis)| (of, axis.extent.max)).collect();
        for (key, (of, all)) in keys.iter().flat_map(|key| layers.iter().map(move |it| (key, *it))) {
            self.fact(key, Formula::Numbers { of, all });
        }
    }

    // -- parameters

    /// Declares a stored tensor and compares it with the header of that name.
    pub fn param(&mut self, name: &str, dims: Vec<Dim>) -> ParamId {
        let name = self.full_name(name);
        let dtype = self.compare(&name, &dims).unwrap_or(self.default_dtype);
        self.graph.params.push(Param { name, dtype, dims, aliases: Vec::new(), buffer: false })
    }

    /// The stored type of a tensor, which ought to have these dims.
    fn compare(&mut self, name: &Name, dims: &[Dim]) -> Option<DType> {
        let headers = self.headers?;
        let tensor = name.resolve();
        let error = match headers.get(&tensor) {
            None => {
                let (dims, member) = (self.graph.dims_text(dims), self.member_of(name));
                Some(BuildError::Missing { tensor: tensor.clone(), dims, member })
            }
            Some(found)
                if !dims.iter().map(|dim| self.graph.dim_extent(dim)).eq(found.shape.iter().copied()) =>
            {
                Some(self.misshapen(&tensor, &found.shape, dims))
            }
            Some(&Header { dtype, .. }) if !dtype.is_float() => {
                Some(BuildError::NotFloat { tensor: tensor.clone(), dtype })
            }
            Some(_) => None,
        };
        self.errors.extend(error);
        let dtype = headers.get(&tensor).map(|found| found.dtype);
        self.used.insert(tensor);
        dtype
    }

    /// Another stored name of a tensor, where the checkpoint has it: a tied output head. It may be the only one.
    pub fn alias(&mut self, param: ParamId, name: &str) {
        if !self.has(name, false) {
            return;
        }
        let name = self.full_name(name);
        let Param { name: first, dims, .. } = self.graph.params[param].clone();
        let dtype = self.compare(&name, &dims);
        let first = first.resolve();
        let is_of_first =
            |error: &BuildError| matches!(error, BuildError::Missing { tensor, .. } if *tensor == first);
        let before = self.errors.len();
        self.errors.retain(|error| !is_of_first(error));
        let param = &mut self.graph.params[param];
        if self.errors.len() == before {
            param.aliases.push(name.resolve());
        } else {
            (param.name, param.dtype) = (name, dtype.unwrap_or(param.dtype));
        }
    }

    /// Puts a weight into the tree below the current node.
    pub fn site(&mut self, node: &str, kind: SiteKind, weight: View, bias: Option<View>) -> SiteId {
        let node = self.graph.tree.child(self.node, node, None);
        let weight = Weight::Dense(weight);
        let site =
            self.graph.sites.push(Site { node, kind, weight, bias, transposed: false, sparsity: None });
        self.graph.tree.set_site(node, site);
        site
    }

    /// The param of a site's dense weight.
    pub fn weight_param(&self, site: SiteId) -> ParamId {
        match &self.graph.sites[site].weight {
            Weight::Dense(view) | Weight::Factored { left: view, .. } => view.param,
        }
    }

    /// A linear weight without its operation: `name.weight [out, in]`, `name.bias [out]`.
    pub fn linear_site(&mut self, node: &str, name: &str, out: Dim, ins: Dim, bias: Bias) -> SiteId {
        let weight = self.param(&format!("{name}.weight"), vec![out.clone(), ins]);
        let bias = (bias == Bias::With).then(|| View::whole(self.param(&format!("{name}.bias"), vec![out])));
        self.site(node, SiteKind::Linear, View::whole(weight), bias)
    }
}
