//! What a family is written with: names parameters, infers axes and emits operations at once.
//!
//! ```text
//! let q = m.linear("query", "attention.self.query", x, [heads, head_dim], Bias::With);
//! ```
//! makes the tree node `query`, the parameters `….query.weight [heads head_dim, hidden]` and `….query.bias`
//! with the input dim taken from `x`, and the operation. Axes that meet in an addition become one.

use std::collections::{BTreeMap, BTreeSet};

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::export::{Fact, Formula};
use super::op::{Activation, Attention, Experts, Op, OpNode};
use super::param::{Name, NamePart, Param, ParamId, Site, SiteId, SiteKind, View, Weight};
use super::tree::NodeId;
use super::{Arena, Block, Graph, OpId, Tree};
use crate::tensor::DType;

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

/// A disagreement between what the config says and what the checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// The config asks for a tensor that is not there.
    Missing { tensor: String, dims: String },
    /// A tensor has another shape than the config says. `keys` are the config fields behind the dims.
    Misshapen { tensor: String, found: Vec<usize>, dims: String, keys: Vec<String> },
    /// A tensor that the architecture has no place for.
    Extra { tensor: String, shape: Vec<usize> },
    /// Two extents that an operation joins differ.
    Disagree { at: String, left: String, right: String, keys: Vec<String> },
}

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
            tree,
            axes: Arena::default(),
            params: Arena::default(),
            sites: Arena::default(),
            blocks: Vec::new(),
            facts: Vec::new(),
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

    /// Whether the checkpoint holds the tensor (a name relative to the current prefix); `otherwise` without headers.
    pub fn has(&self, name: &str, otherwise: bool) -> bool {
        let full = self.full_name(name).resolve();
        self.headers.map_or(otherwise, |headers| headers.contains_key(&full))
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
        Name(parts)
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
        count: Size,
        list: &str,
        input: Value,
        mut build: impl FnMut(&mut Self, Value) -> Value,
    ) -> Value {
        let axis = self.axis(Role::Layers, count.clone());
        (0..count.extent).fold(input, |input, index| {
            self.member("layers", list, axis, index, |m| {
                let output = build(m, input);
                m.graph.blocks.push(Block { node: m.node, input: input.0, output: output.0 });
                output
            })
        })
    }

    /// Builds one element of a list of nodes and names: `experts[2]`, `….experts.2.`.
    pub fn member<R>(
        &mut self,
        node: &str,
        list: &str,
        axis: AxisId,
        index: usize,
        build: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = (self.node, self.name.clone());
        self.node = self.graph.tree.child(outer.0, node, Some((axis, index)));
        let mut name = self.full_name(&format!("{list}.")).0;
        if let Some(NamePart::Text(prefix)) = name.first()
            && index == 0
            && name.len() == 1
        {
            self.lists.push((prefix.clone(), axis));
        }
        name.extend([NamePart::Member(axis, index), NamePart::Text(".".into())]);
        self.name = name;
        let result = build(self);
        (self.node, self.name) = outer;
        result
    }

    /// A tree node for one element of a list that is stored in one fused tensor.
    pub fn fused_member<R>(
        &mut self,
        node: &str,
        axis: AxisId,
        index: usize,
        build: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let outer = self.node;
        self.node = self.graph.tree.child(outer, node, Some((axis, index)));
        let result = build(self);
        self.node = outer;
        result
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
            key: key.map(Into::into),
        });
        self.same.push(axis);
        axis
    }

    /// Something the config says about extents.
    pub fn fact(&mut self, key: &str, formula: Formula) {
        self.graph.facts.push(Fact { key: key.into(), formula });
    }

    fn find(&self, mut axis: AxisId) -> AxisId {
        while self.same[axis.index()] != axis {
            axis = self.same[axis.index()];
        }
        axis
    }

    fn unify_dims(&mut self, left: &Dim, right: &Dim) {
        for (&left, &right) in left.0.iter().zip(&right.0) {
            self.unify(left, right);
        }
        if left.0.len() != right.0.len() {
            let (left, right) = (left.clone(), right.clone());
            self.disagree(&left, &right);
        }
    }

    /// Makes two axes one: they are joined by an operation.
    fn unify(&mut self, left: AxisId, right: AxisId) {
        let (left, right) = (self.find(left), self.find(right));
        if self.graph.extent(left) != self.graph.extent(right) {
            self.disagree(&left.into(), &right.into());
        }
        let (first, later) = if left < right { (left, right) } else { (right, left) };
        self.same[later.index()] = first;
    }

    fn disagree(&mut self, left: &Dim, right: &Dim) {
        let text = |dim: &Dim| self.graph.dims_text(std::slice::from_ref(dim));
        let keys = self.keys(&[left.clone(), right.clone()]);
        let error = BuildError::Disagree {
            at: self.graph.tree.path(self.node),
            left: text(left),
            right: text(right),
            keys,
        };
        self.errors.push(error);
    }

    fn keys(&self, dims: &[Dim]) -> Vec<String> {
        let keys: BTreeSet<String> = dims
            .iter()
            .flat_map(|dim| &dim.0)
            .filter_map(|&axis| self.graph.axes[axis].key.clone())
            .collect();
        keys.into_iter().collect()
    }

    // -- parameters

    /// Declares a stored tensor and compares it with the header of that name.
    pub fn param(&mut self, name: &str, dims: Vec<Dim>) -> ParamId {
        let name = self.full_name(name);
        let tensor = name.resolve();
        let shape: Vec<usize> = dims.iter().map(|dim| self.graph.dim_extent(dim)).collect();
        let mut dtype = self.default_dtype;
        if let Some(headers) = self.headers {
            let text = self.graph.dims_text(&dims);
            match headers.get(&tensor) {
                None => self.errors.push(BuildError::Missing { tensor: tensor.clone(), dims: text }),
                Some(found) => {
                    dtype = found.dtype;
                    if found.shape != shape {
                        let (found, keys) = (found.shape.clone(), self.keys(&dims));
                        let tensor = tensor.clone();
                        self.errors.push(BuildError::Misshapen { tensor, found, dims: text, keys });
                    }
                }
            }
            self.used.insert(tensor);
        }
        self.graph.params.push(Param { name, dtype, dims, aliases: Vec::new(), buffer: false })
    }

    /// Another stored name of a tensor, where the checkpoint has it: a tied output head.
    pub fn alias(&mut self, param: ParamId, name: &str) {
        let name = self.full_name(name).resolve();
        if self.headers.is_some_and(|headers| headers.contains_key(&name)) {
            self.used.insert(name.clone());
            self.graph.params[param].aliases.push(name);
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

    // -- operations

    /// Adds an operation at a tree node.
    fn push(&mut self, op: Op, node: NodeId, operands: &[Value], value: Vec<Dim>) -> Value {
        let op = self.graph.ops.add_node(OpNode { op, node, value });
        for (place, operand) in operands.iter().enumerate() {
            self.graph.ops.add_edge(operand.0, op, place);
        }
        Value(op)
    }

    fn push_at_site(&mut self, op: Op, site: SiteId, operands: &[Value], value: Vec<Dim>) -> Value {
        let node = self.graph.sites[site].node;
        self.push(op, node, operands, value)
    }

    /// The dims of a value.
    pub fn dims(&self, value: Value) -> &[Dim] {
        &self.graph.ops[value.0].value
    }

    /// The innermost dim of a value: its features.
    pub fn features(&self, value: Value) -> Dim {
        self.dims(value).last().cloned().unwrap_or(Dim(Vec::new()))
    }

    fn with_features(&self, value: Value, features: Dim) -> Vec<Dim> {
        let mut dims = self.dims(value).to_vec();
        dims.pop();
        dims.push(features);
        dims
    }

    /// The text's token ids, `[tokens]`; their number is stated later.
    pub fn token_ids(&mut self, tokens: usize) -> Value {
        let tokens = self.plain_axis(Role::Tokens, tokens, None);
        self.push(Op::TokenIds, self.node, &[], vec![tokens.into()])
    }

    /// A picture, `[channels, height, width]`.
    pub fn pixels(&mut self, channels: AxisId, height: usize, width: usize) -> Value {
        let height = self.plain_axis(Role::Height, height, None);
        let width = self.plain_axis(Role::Width, width, None);
        self.push(Op::Pixels, self.node, &[], vec![channels.into(), height.into(), width.into()])
    }

    /// A table looked up by token id.
    pub fn embedding(
        &mut self,
        node: &str,
        name: &str,
        ids: Value,
        rows: AxisId,
        hidden: AxisId,
    ) -> (Value, SiteId) {
        let site = self.table(node, name, rows, hidden);
        let mut dims = self.dims(ids).to_vec();
        dims.push(hidden.into());
        (self.push_at_site(Op::Embedding(site), site, &[ids], dims), site)
    }

    /// A table without its operation: `name.weight [rows, hidden]`.
    pub fn table(&mut self, node: &str, name: &str, rows: AxisId, hidden: AxisId) -> SiteId {
        let weight = self.param(&format!("{name}.weight"), vec![rows.into(), hidden.into()]);
        self.site(node, SiteKind::Embedding, View::whole(weight), None)
    }

    /// Adds rows of a position table to `x`.
    pub fn add_positions(&mut self, x: Value, table: SiteId, offset: usize) -> Value {
        let dims = self.dims(x).to_vec();
        let rows = self.push_at_site(Op::Positions { table, offset }, table, &[x], dims);
        self.join_table(x, table);
        self.add(x, rows)
    }

    /// Adds row 0 of a segment table to `x`.
    pub fn add_types(&mut self, x: Value, table: SiteId) -> Value {
        let dims = self.dims(x).to_vec();
        let row = self.push_at_site(Op::Types(table), table, &[x], dims);
        self.join_table(x, table);
        self.add(x, row)
    }

    fn join_table(&mut self, x: Value, table: SiteId) {
        let param = self.weight_param(table);
        let features = self.graph.params[param].dims.last().cloned().expect("a table has two dims");
        let x = self.features(x);
        self.unify_dims(&x, &features);
    }

    /// `name.weight [out, in]` and `name.bias [out]` applied to `x`.
    pub fn linear(&mut self, node: &str, name: &str, x: Value, out: impl Into<Dim>, bias: Bias) -> Value {
        let (out, ins) = (out.into(), self.features(x));
        let site = self.linear_site(node, name, out.clone(), ins, bias);
        self.apply_linear(site, x, out)
    }

    /// A linear operation over a site that is there already.
    pub fn apply_linear(&mut self, site: SiteId, x: Value, out: Dim) -> Value {
        let dims = self.with_features(x, out);
        self.push_at_site(Op::Linear(site), site, &[x], dims)
    }

    /// A linear that stores its weight as `[in, out]` (GPT-2's `Conv1D`).
    pub fn transposed_linear(&mut self, node: &str, name: &str, x: Value, out: impl Into<Dim>) -> Value {
        let (out, ins) = (out.into(), self.features(x));
        let weight = self.param(&format!("{name}.weight"), vec![ins, out.clone()]);
        let bias = self.param(&format!("{name}.bias"), vec![out.clone()]);
        let site = self.site(node, SiteKind::Linear, View::whole(weight), Some(View::whole(bias)));
        self.graph.sites[site].transposed = true;
        self.apply_linear(site, x, out)
    }

    /// Several linears of equal output dims in one transposed tensor `[in, part out]`, a tree node a part.
    pub fn transposed_fused<const N: usize>(
        &mut self,
        nodes: [&str; N],
        name: &str,
        x: Value,
        part: Role,
        out: Dim,
    ) -> [Value; N] {
        let parts = self.plain_axis(part, N, None);
        let fused = Dim::new(std::iter::once(parts).chain(out.0.iter().copied()));
        let ins = self.features(x);
        let weight = self.param(&format!("{name}.weight"), vec![ins, fused.clone()]);
        let bias = self.param(&format!("{name}.bias"), vec![fused]);
        let mut index = 0;
        nodes.map(|node| {
            let part = |param| View { param, fixed: vec![(parts, index)] };
            let (weight, bias) = (part(weight), part(bias));
            index += 1;
            let site = self.site(node, SiteKind::Linear, weight, Some(bias));
            self.graph.sites[site].transposed = true;
            self.apply_linear(site, x, out.clone())
        })
    }

    /// Non-overlapping patches: `name.weight [hidden, channels, height, width]`, flattened to `tokens`.
    pub fn patches(
        &mut self,
        node: &str,
        name: &str,
        x: Value,
        size: usize,
        tokens: usize,
        hidden: AxisId,
    ) -> Value {
        let channels = self.dims(x).first().cloned().expect("a picture has channels");
        let height = self.plain_axis(Role::Height, size, Some("patch_size"));
        let width = self.plain_axis(Role::Width, size, Some("patch_size"));
        let dims = vec![hidden.into(), channels, height.into(), width.into()];
        let weight = self.param(&format!("{name}.weight"), dims);
        let bias = self.param(&format!("{name}.bias"), vec![hidden.into()]);
        let site = self.site(node, SiteKind::Conv, View::whole(weight), Some(View::whole(bias)));
        let tokens = self.plain_axis(Role::Tokens, tokens, None);
        self.push_at_site(Op::Patches(site), site, &[x], vec![tokens.into(), hidden.into()])
    }

    /// Puts learned tokens `name [1, 1, hidden]` in front of `x`, which then has `tokens` tokens.
    pub fn prepend(&mut self, node: &str, name: &str, x: Value, tokens: usize) -> Value {
        let one = self.plain_axis(Role::One, 1, None);
        let hidden = self.features(x);
        let token = self.param(name, vec![one.into(), one.into(), hidden.clone()]);
        let site = self.site(node, SiteKind::Token, View::whole(token), None);
        let tokens = self.plain_axis(Role::Tokens, tokens, None);
        self.push_at_site(Op::Prepend(site), site, &[x], vec![tokens.into(), hidden])
    }

    /// A free table of positions `name [1, positions, hidden]`, added to `x`.
    pub fn add_position_rows(&mut self, node: &str, name: &str, x: Value, positions: AxisId) -> Value {
        let one = self.plain_axis(Role::One, 1, None);
        let rows = self.param(name, vec![one.into(), positions.into(), self.features(x)]);
        let site = self.site(node, SiteKind::Embedding, View::whole(rows), None);
        self.add_positions(x, site, 0)
    }

    pub fn layer_norm(&mut self, node: &str, name: &str, x: Value, eps: f64) -> Value {
        let features = self.features(x);
        let weight = self.param(&format!("{name}.weight"), vec![features.clone()]);
        let bias = self.param(&format!("{name}.bias"), vec![features]);
        let site = self.site(node, SiteKind::Norm, View::whole(weight), Some(View::whole(bias)));
        let dims = self.dims(x).to_vec();
        self.push_at_site(Op::LayerNorm { site, eps }, site, &[x], dims)
    }

    pub fn rms_norm(&mut self, node: &str, name: &str, x: Value, eps: f64) -> Value {
        let features = self.features(x);
        let weight = self.param(&format!("{name}.weight"), vec![features]);
        let site = self.site(node, SiteKind::Norm, View::whole(weight), None);
        let dims = self.dims(x).to_vec();
        self.push_at_site(Op::RmsNorm { site, eps }, site, &[x], dims)
    }

    pub fn activation(&mut self, activation: Activation, x: Value) -> Value {
        let dims = self.dims(x).to_vec();
        self.push(Op::Activation(activation), self.node, &[x], dims)
    }

    /// Queries `[tokens, (kv_heads group) head_dim]`, keys and values `[tokens, kv_heads head_dim]`.
    pub fn attention(&mut self, attention: Attention, query: Value, key: Value, value: Value) -> Value {
        let dims = self.dims(query).to_vec();
        self.push(Op::Attention(attention), self.node, &[query, key, value], dims)
    }

    pub fn experts(&mut self, experts: Experts, x: Value) -> Value {
        let dims = self.dims(x).to_vec();
        self.push(Op::Experts(experts), self.node, &[x], dims)
    }

    /// The axes of both become one.
    pub fn add(&mut self, left: Value, right: Value) -> Value {
        self.join(Op::Add, left, right)
    }

    pub fn multiply(&mut self, left: Value, right: Value) -> Value {
        self.join(Op::Multiply, left, right)
    }

    fn join(&mut self, op: Op, left: Value, right: Value) -> Value {
        let (dims, others) = (self.dims(left).to_vec(), self.dims(right).to_vec());
        for (left, right) in dims.iter().zip(&others) {
            self.unify_dims(left, right);
        }
        self.push(op, self.node, &[left, right], dims)
    }

    /// The first token's row.
    pub fn first(&mut self, x: Value) -> Value {
        let features = self.features(x);
        self.push(Op::First, self.node, &[x], vec![features])
    }

    /// The last token's row.
    pub fn last(&mut self, x: Value) -> Value {
        let features = self.features(x);
        self.push(Op::Last, self.node, &[x], vec![features])
    }

    /// Names a result of the model.
    pub fn output(&mut self, name: &str, x: Value) {
        let dims = self.dims(x).to_vec();
        self.push(Op::Output(name.into()), self.node, &[x], dims);
    }

    // -- the end

    /// The graph, or every disagreement with the checkpoint.
    pub fn finish(mut self) -> Result<Graph, Vec<BuildError>> {
        self.take_buffers_and_extras();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let same: Vec<AxisId> = (0..self.same.len()).map(|at| self.find(self.same[at])).collect();
        Ok(unified(self.graph, |axis| same[axis.index()]))
    }

    fn take_buffers_and_extras(&mut self) {
        let Some(headers) = self.headers else { return };
        for (name, header) in headers.iter().filter(|(name, _)| !self.used.contains(*name)) {
            if self.buffers.iter().any(|suffix| name.ends_with(suffix)) {
                let dims = header
                    .shape
                    .iter()
                    .map(|&extent| {
                        self.graph.axes.push(Axis {
                            role: Role::One,
                            extent: Extent::exact(extent),
                            node: self.graph.tree.root(),
                            key: None,
                        })
                    })
                    .map(Dim::from)
                    .collect();
                let name = self.numbered(name);
                let buffer = Param { name, dtype: header.dtype, dims, aliases: Vec::new(), buffer: true };
                self.graph.params.push(buffer);
            } else {
                self.errors.push(BuildError::Extra { tensor: name.clone(), shape: header.shape.clone() });
            }
        }
        self.same.extend(self.graph.axes.ids().skip(self.same.len()).collect::<Vec<_>>());
    }

    /// A buffer's name with the number of its layer as a member.
    fn numbered(&self, name: &str) -> Name {
        let found = self.lists.iter().find_map(|(prefix, axis)| {
            let rest = name.strip_prefix(prefix.as_str())?;
            let (number, tail) = rest.split_once('.')?;
            let number = number.parse().ok()?;
            Some(Name(vec![
                NamePart::Text(prefix.clone()),
                NamePart::Member(*axis, number),
                NamePart::Text(format!(".{tail}")),
            ]))
        });
        found.unwrap_or_else(|| Name(vec![NamePart::Text(name.into())]))
    }
}

/// Replaces every axis by its representative and forgets the others.
fn unified(mut graph: Graph, same: impl Fn(AxisId) -> AxisId) -> Graph {
    let dim = |dim: &mut Dim| dim.0.iter_mut().for_each(|axis| *axis = same(*axis));
    for (_, param) in graph.params.iter_mut() {
        param.dims.iter_mut().for_each(dim);
        for part in &mut param.name.0 {
            if let NamePart::Member(axis, _) = part {
                *axis = same(*axis);
            }
        }
    }
    for op in graph.ops.node_weights_mut() {
        op.value.iter_mut().for_each(dim);
        if let Op::Experts(experts) = &mut op.op {
            experts.axis = same(experts.axis);
        }
    }
    for (_, site) in graph.sites.iter_mut() {
        for (axis, _) in site.views_mut().flat_map(|view| &mut view.fixed) {
            *axis = same(*axis);
        }
    }
    graph.tree.map_axes(&same);
    for fact in &mut graph.facts {
        fact.formula.map_axes(&same);
    }
    let mut facts = Vec::new();
    for fact in std::mem::take(&mut graph.facts) {
        if !facts.contains(&fact) {
            facts.push(fact);
        }
    }
    graph.facts = facts;
    graph.axes.retain(|id, _| same(id) == id);
    graph
}
