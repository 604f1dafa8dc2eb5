//! Operations of the builder: each names its parameters, infers its axes and joins the graph.

use super::super::axis::{AxisId, Dim, Role};
use super::super::op::{Activation, Attention, Experts, Op, OpNode};
use super::super::param::{SiteId, SiteKind, View};
use super::super::tree::NodeId;
use super::{Bias, Builder, Value};

/// What costs are for where nobody says how long texts are.
const USUAL_TOKENS: usize = 128;

impl Builder<'_> {
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
        self.dims(value).last().cloned().unwrap_or_default()
    }

    fn with_features(&self, value: Value, features: Dim) -> Vec<Dim> {
        let mut dims = self.dims(value).to_vec();
        dims.pop();
        dims.push(features);
        dims
    }

    /// The text's token ids, `[tokens]`: as many as usual where there are positions for them, until others are stated.
    pub fn token_ids(&mut self, positions: usize) -> Value {
        let tokens = positions.min(USUAL_TOKENS);
        let tokens = self.plain_axis(Role::Tokens, tokens, None);
        self.push(Op::TokenIds, self.node, &[], vec![tokens.into()])
    }

    /// A second text's token ids, as many as those of the first: what a decoder reads beside an encoder.
    pub fn more_token_ids(&mut self, first: Value) -> Value {
        let dims = self.dims(first).to_vec();
        self.push(Op::TokenIds, self.node, &[], dims)
    }

    /// A picture, `[channels, height, width]`.
    pub fn pixels(&mut self, channels: AxisId, [height, width]: [usize; 2]) -> Value {
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

    /// A table that is there already, looked up by further token ids.
    pub fn looked_up(&mut self, table: SiteId, ids: Value) -> Value {
        let param = self.weight_param(table);
        let mut dims = self.dims(ids).to_vec();
        dims.push(self.graph.params[param].dims.last().cloned().expect("a table has two dims"));
        let node = self.node;
        self.push(Op::Embedding(table), node, &[ids], dims)
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

    /// A linear to the rows of a table of words. Where it is tied, the table is its weight, which the checkpoint may
    /// hold a second time as `name.weight`. Of its possible names the bias has the first that is stored.
    pub fn word_linear(
        &mut self,
        node: &str,
        table: SiteId,
        tied: bool,
        name: &str,
        biases: &[&str],
        x: Value,
    ) -> Value {
        let rows = self.rows(table);
        let weight = if tied {
            let weight = self.weight_param(table);
            self.join_table(x, table);
            self.alias(weight, &format!("{name}.weight"));
            weight
        } else {
            let features = self.features(x);
            self.param(&format!("{name}.weight"), vec![rows.clone(), features])
        };
        let bias = (!biases.is_empty()).then(|| {
            let stored = self.stored(biases);
            let bias = self.param(stored, vec![rows.clone()]);
            biases.iter().filter(|name| **name != stored).for_each(|name| self.alias(bias, name));
            View::whole(bias)
        });
        let site = self.site(node, SiteKind::Linear, View::whole(weight), bias);
        self.apply_linear(site, x, rows)
    }

    /// What a table has a row for.
    pub fn rows(&self, table: SiteId) -> Dim {
        let param = self.weight_param(table);
        self.graph.params[param].dims.first().cloned().expect("a table has two dims")
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

    /// Non-overlapping patches: `name.weight [hidden, channels, height, width]`, flattened to tokens.
    pub fn patches(&mut self, node: &str, name: &str, x: Value, patch: [usize; 2], hidden: AxisId) -> Value {
        self.patches_with(node, name, x, patch, hidden, Bias::With)
    }

    /// The same with or without a bias.
    pub fn patches_with(
        &mut self,
        node: &str,
        name: &str,
        x: Value,
        patch: [usize; 2],
        hidden: AxisId,
        bias: Bias,
    ) -> Value {
        let picture = self.dims(x).to_vec();
        let side = |at: usize| picture.get(at).map_or(0, |dim| self.graph.dim_extent(dim));
        let tokens = (side(1) / patch[0].max(1)) * (side(2) / patch[1].max(1));
        let channels = picture.first().cloned().expect("a picture has channels");
        let [height, width, tokens] = self.scope(node, |m| {
            let height = m.plain_axis(Role::Height, patch[0], Some("patch_size"));
            let width = m.plain_axis(Role::Width, patch[1], Some("patch_size"));
            [height, width, m.plain_axis(Role::Tokens, tokens, Some("image_size"))]
        });
        let dims = vec![hidden.into(), channels, height.into(), width.into()];
        let weight = self.param(&format!("{name}.weight"), dims);
        let bias = (bias == Bias::With)
            .then(|| View::whole(self.param(&format!("{name}.bias"), vec![hidden.into()])));
        let site = self.site(node, SiteKind::Conv, View::whole(weight), bias);
        self.push_at_site(Op::Patches(site), site, &[x], vec![tokens.into(), hidden.into()])
    }

    /// Puts a learned token `name [1, 1, hidden]` in front of `x`.
    pub fn prepend(&mut self, node: &str, name: &str, x: Value) -> Value {
        let one = Dim::default();
        let dims = vec![one.clone(), one, self.features(x)];
        self.prepend_stored(node, name, x, dims)
    }

    /// The same with a token that is stored as `name [hidden]`.
    pub fn prepend_vector(&mut self, node: &str, name: &str, x: Value) -> Value {
        let dims = vec![self.features(x)];
        self.prepend_stored(node, name, x, dims)
    }

    fn prepend_stored(&mut self, node: &str, name: &str, x: Value, dims: Vec<Dim>) -> Value {
        let tokens = self.dims(x).first().map_or(0, |dim| self.graph.dim_extent(dim)) + 1;
        let hidden = self.features(x);
        let token = self.param(name, dims);
        let site = self.site(node, SiteKind::Token, View::whole(token), None);
        let tokens = self.scope(node, |m| m.plain_axis(Role::Tokens, tokens, None));
        self.push_at_site(Op::Prepend(site), site, &[x], vec![tokens.into(), hidden])
    }

    /// A free table `name [1, positions, hidden]` with a row for each token of `x`, added to it.
    pub fn add_position_rows(&mut self, node: &str, name: &str, x: Value) -> Value {
        let tokens = self.dims(x).first().map_or(0, |dim| self.graph.dim_extent(dim));
        let positions = self.plain_axis(Role::Positions, tokens, Some("image_size"));
        let rows = self.param(name, vec![Dim::default(), positions.into(), self.features(x)]);
        let site = self.site(node, SiteKind::Embedding, View::whole(rows), None);
        self.add_positions(x, site, 0)
    }

    /// A table `name [1, 1 + rows x columns, hidden]` of positions in a grid, added to a picture's tokens, the one in front too.
    pub fn add_grid_positions(
        &mut self,
        node: &str,
        name: &str,
        x: Value,
        grid: [usize; 2],
        patch: [usize; 2],
    ) -> Value {
        let positions = self.plain_axis(Role::Positions, 1 + grid[0] * grid[1], Some("image_size"));
        let rows = self.param(name, vec![Dim::default(), positions.into(), self.features(x)]);
        let table = self.site(node, SiteKind::Embedding, View::whole(rows), None);
        let dims = self.dims(x).to_vec();
        let rows = self.push_at_site(Op::GridPositions { table, grid, patch }, table, &[x], dims);
        self.join_table(x, table);
        self.add(x, rows)
    }

    /// `x` with every feature times a number, `name [hidden]`.
    pub fn layer_scale(&mut self, node: &str, name: &str, x: Value) -> Value {
        let scale = self.param(name, vec![self.features(x)]);
        let site = self.site(node, SiteKind::Scale, View::whole(scale), None);
        let dims = self.dims(x).to_vec();
        self.push_at_site(Op::LayerScale(site), site, &[x], dims)
    }

    /// A free token `name [1, hidden]` that only training reads.
    pub fn unused_token(&mut self, node: &str, name: &str, x: Value) {
        let token = self.param(name, vec![Dim::default(), self.features(x)]);
        self.site(node, SiteKind::Token, View::whole(token), None);
    }

    pub fn layer_norm(&mut self, node: &str, name: &str, x: Value, eps: f64) -> Value {
        let features = self.features(x);
        // Files converted from TensorFlow, bert-base-uncased among them, call them so.
        let gamma = self.has(&format!("{name}.gamma"), false);
        let (weight, bias) = if gamma { ("gamma", "beta") } else { ("weight", "bias") };
        let weight = self.param(&format!("{name}.{weight}"), vec![features.clone()]);
        let bias = self.param(&format!("{name}.{bias}"), vec![features]);
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

    /// A norm of each head by itself: `name.weight [head_dim]` for `[tokens, heads head_dim]`.
    pub fn head_norm(&mut self, node: &str, name: &str, x: Value, head_dim: AxisId, eps: f64) -> Value {
        let weight = self.param(&format!("{name}.weight"), vec![head_dim.into()]);
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

    /// Queries `[tokens, heads head_dim]`, keys and values of each head `[tokens, heads width]`, the keys' part that all heads share
    /// `[tokens, turned]`, to `[tokens, out]`.
    pub fn latent_attention(&mut self, query: Value, keys: Value, turned: Value, out: Dim) -> Value {
        let dims = self.with_features(query, out);
        self.push(Op::LatentAttention, self.node, &[query, keys, turned], dims)
    }

    /// Features from number `first` on.
    pub fn part(&mut self, first: usize, x: Value, features: Dim) -> Value {
        let dims = self.with_features(x, features);
        self.push(Op::Part(first), self.node, &[x], dims)
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

    /// Every row of `x` times its number in `weights [tokens, 1]`.
    pub fn weigh(&mut self, x: Value, weights: Value) -> Value {
        let dims = self.dims(x).to_vec();
        self.push(Op::Weigh, self.node, &[x, weights], dims)
    }

    pub fn scale(&mut self, factor: f64, x: Value) -> Value {
        let dims = self.dims(x).to_vec();
        self.push(Op::Scale(factor), self.node, &[x], dims)
    }

    fn join(&mut self, op: Op, left: Value, right: Value) -> Value {
        let (dims, others) = (self.dims(left).to_vec(), self.dims(right).to_vec());
        for (left, right) in dims.iter().zip(&others) {
            self.unify_dims(left, right);
        }
        self.push(op, self.node, &[left, right], dims)
    }

    /// The row of the token of this number; 0 is the first.
    pub fn token(&mut self, number: usize, x: Value) -> Value {
        let features = self.features(x);
        self.push(Op::Token(number), self.node, &[x], vec![features])
    }

    /// The last token's row.
    pub fn last(&mut self, x: Value) -> Value {
        let features = self.features(x);
        self.push(Op::Last, self.node, &[x], vec![features])
    }

    /// Tokens from number `first` on.
    pub fn behind(&mut self, first: usize, x: Value) -> Value {
        let tokens = self.dims(x).first().map_or(0, |dim| self.graph.dim_extent(dim));
        let tokens = self.plain_axis(Role::Tokens, tokens.saturating_sub(first), None);
        let dims = vec![tokens.into(), self.features(x)];
        self.push(Op::Behind(first), self.node, &[x], dims)
    }

    /// A text's rows with those of a picture in the place of its placeholder, the token of this id, which does not count.
    pub fn insert_picture(&mut self, placeholder: u32, text: Value, picture: Value) -> Value {
        let (features, others) = (self.features(text), self.features(picture));
        self.unify_dims(&features, &others);
        let tokens = |m: &Self, x| m.dims(x).first().map_or(0, |dim| m.graph.dim_extent(dim));
        let all = tokens(self, text) + tokens(self, picture);
        let tokens = self.plain_axis(Role::Tokens, all, None);
        self.push(
            Op::InsertPicture { placeholder },
            self.node,
            &[text, picture],
            vec![tokens.into(), features],
        )
    }

    /// Names a result of the model.
    pub fn output(&mut self, name: &str, x: Value) {
        let dims = self.dims(x).to_vec();
        self.push(Op::Output(name.into()), self.node, &[x], dims);
    }
}
