//! The interpreter: each operation of a graph, done to the rows of a batch.
//!
//! All families run through here; an operation is one arm of one `match`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Tensor};

use super::experts::experts;
use super::inserted::{behind, inserted};
use super::kernel::attention::Heads;
use super::kernel::rope::Turns;
use super::reduce::reduced;
use super::rows::{Batch, Inputs, Rows};
use super::watch::{Gates, Watch};
use super::weights::{Loaded, Matrix};
use super::{Failure, grid, op};
use crate::graph::{Attention, AttentionKind, Graph, Op, OpId, Rope, SiteId};

/// What an operation makes: a row for each token (or one for each sample), samples one after the other.
#[derive(Debug, Clone)]
pub struct Value {
    /// `[rows, features]`
    pub tensor: Tensor,
    pub rows: Arc<Rows>,
}

/// Values by the operation that made them.
pub type Values = BTreeMap<OpId, Value>;

/// What every operation sees.
pub struct Running<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Loaded,
    pub batch: &'a Batch,
    pub gates: &'a Gates,
    pub turns: &'a TurnsOf,
}

/// Rotary tables, each made once.
#[derive(Debug, Default)]
pub struct TurnsOf(Mutex<Vec<(Rope, usize, Arc<Turns>)>>);

impl TurnsOf {
    fn get(&self, rope: &Rope, head_dim: usize, positions: usize) -> Arc<Turns> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fits = |(other, dim, turns): &&(Rope, usize, Arc<Turns>)| {
            other == rope && *dim == head_dim && turns.positions() >= positions
        };
        if let Some((.., turns)) = known.iter().find(fits) {
            return Arc::clone(turns);
        }
        let turns = Arc::new(Turns::new(rope, head_dim, positions.next_power_of_two()));
        known.push((rope.clone(), head_dim, Arc::clone(&turns)));
        turns
    }
}

impl Running<'_> {
    /// Does some operations in their order; what they read is in `values`, and what they make is put there.
    ///
    /// # Errors
    /// Where a product fails, which is an error of ours.
    pub fn run(&self, ops: &[OpId], values: &mut Values, watch: &mut dyn Watch) -> Result<(), Failure> {
        for &id in ops {
            let operands: Vec<Value> =
                self.graph.operands(id).iter().filter_map(|operand| values.get(operand).cloned()).collect();
            let made = self.op(id, &operands, watch)?;
            if let Some(value) = made {
                watch.made(id, &value)?;
                values.insert(id, value);
            }
        }
        Ok(())
    }

    fn op(&self, id: OpId, operands: &[Value], watch: &mut dyn Watch) -> Result<Option<Value>, Failure> {
        let node = &self.graph.ops[id];
        Ok(Some(match &node.op {
            Op::TokenIds | Op::Pixels => return Ok(None),
            Op::Embedding(site) => self.looked_up(*site)?,
            Op::Positions { table, offset } => self.positions(*table, *offset, &operands[0])?,
            Op::GridPositions { table, grid, patch } => {
                self.grid_positions(*table, *grid, *patch, &operands[0])?
            }
            Op::Types(table) => {
                let row = self.table(*table).narrow(0, 0, 1)?;
                let tensor = row.broadcast_as(operands[0].tensor.shape())?.contiguous()?;
                operands[0].with(tensor)
            }
            Op::Patches(site) => self.patches(*site)?,
            Op::Prepend(site) => self.prepended(*site, &operands[0])?,
            Op::Linear(site) => self.linear(*site, &operands[0], watch)?,
            Op::LayerNorm { site, eps } | Op::RmsNorm { site, eps } => {
                let weights = self.weights.get(*site);
                let weight = weights.dense()?;
                // Narrower than the features, it is of each head by itself.
                let x = &operands[0].tensor;
                let heads = x.contiguous()?.reshape(((), weight.elem_count()))?;
                let normed = op::norm(&heads, &weight, weights.bias.as_ref(), *eps)?;
                let value = operands[0].with(normed.reshape(x.shape())?);
                watch.normed(*site, &value)?;
                value
            }
            Op::LayerScale(site) => {
                let scale = self.weights.get(*site).dense()?;
                operands[0].with(operands[0].tensor.broadcast_mul(&scale)?)
            }
            Op::Activation(of) => operands[0].with(op::activation(*of, &operands[0].tensor)?),
            Op::Attention(Attention { relative: Some(_), .. }) => return Err(self.not_run()),
            Op::Attention(attention) => self.attention(attention, id, operands)?,
            Op::ReduceTokens(of) => {
                let [x, query, key] = operands else { unreachable!("a reduction has three operands") };
                let heads = self.heads(&of.attention, id, [1, 2, 2], [query, key]);
                match self.turned(&of.attention, heads.head_dim, [query, key])? {
                    Some([query, key]) => reduced(of, heads, x, [&query, &key])?,
                    None => reduced(of, heads, x, [query, key])?,
                }
            }
            Op::LatentAttention | Op::Part(_) => return Err(self.not_run()),
            Op::Behind(first) => behind(*first, &operands[0])?,
            Op::InsertPicture { placeholder } => {
                let (ids, _) = self.ids()?;
                inserted(*placeholder, ids, &operands[0], &operands[1])?
            }
            Op::Experts(of) => experts(self, of, &operands[0], watch)?,
            Op::Add => operands[0].with((&operands[0].tensor + &operands[1].tensor)?),
            Op::Multiply => operands[0].with((&operands[0].tensor * &operands[1].tensor)?),
            Op::Weigh => operands[0].with(operands[0].tensor.broadcast_mul(&operands[1].tensor)?),
            Op::Scale(factor) => operands[0].with((&operands[0].tensor * *factor)?),
            Op::Token(number) => operands[0].pooled(|range| range.start + number)?,
            Op::Last => operands[0].pooled(|range| range.end - 1)?,
            Op::Mean => operands[0].mean()?,
            Op::Output(name) => {
                watch.output(name, &operands[0], self.batch)?;
                operands[0].clone()
            }
        }))
    }

    /// The checker refuses data for such models; this is for who does not ask it.
    pub(super) fn not_run(&self) -> Failure {
        Failure::NotRun(self.graph.cannot_run().unwrap_or("an operation of it is only counted"))
    }

    /// Readers give what the graph takes; of a picture and a text together there is none.
    fn ids(&self) -> Result<(&[u32], &Rows), Failure> {
        match &self.batch.inputs {
            Inputs::Tokens { ids, rows } | Inputs::Both { ids, rows, .. } => Ok((ids, rows)),
            Inputs::Pixels { .. } => Err(self.not_shown()),
        }
    }

    fn pixels(&self) -> Result<(&[f32], [usize; 3]), Failure> {
        match &self.batch.inputs {
            Inputs::Pixels { values, shape } | Inputs::Both { values, shape, .. } => Ok((values, *shape)),
            Inputs::Tokens { .. } => Err(self.not_shown()),
        }
    }

    fn not_shown(&self) -> Failure {
        Failure::NotRun(self.graph.cannot_be_shown().unwrap_or("it takes other samples"))
    }

    fn table(&self, site: SiteId) -> Tensor {
        match &self.weights.get(site).matrix {
            Matrix::Dense(table) => table.clone(),
            Matrix::Factored { .. } => unreachable!("tables are not factored"),
        }
    }

    fn looked_up(&self, site: SiteId) -> Result<Value, Failure> {
        let (ids, rows) = self.ids()?;
        let table = self.table(site);
        let most = table.dims()[0];
        if let Some(id) = ids.iter().find(|&&id| id as usize >= most) {
            return Err(Failure::UnknownToken { id: *id, vocabulary: most });
        }
        let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?;
        Ok(Value { tensor: table.index_select(&ids, 0)?, rows: Arc::new(rows.clone()) })
    }

    fn positions(&self, site: SiteId, offset: usize, x: &Value) -> Result<Value, Failure> {
        // A table of pictures' positions is stored with a dim of 1 in front.
        let table = self.table(site);
        let (most, positions) = (table.dims()[0] - offset, x.rows.positions());
        if let Some(&position) = positions.iter().find(|&&position| position >= most) {
            return Err(Failure::TooLong { tokens: position + 1, positions: most });
        }
        let at: Vec<u32> = positions.iter().map(|position| (position + offset) as u32).collect();
        let at = Tensor::from_vec(at, positions.len(), &Device::Cpu)?;
        Ok(x.with(table.index_select(&at, 0)?))
    }

    /// The table's grid resampled to the picture's, behind the row of the token in front.
    fn grid_positions(
        &self,
        site: SiteId,
        grid: [usize; 2],
        patch: [usize; 2],
        x: &Value,
    ) -> Result<Value, Failure> {
        let (_, [_, height, width]) = self.pixels()?;
        let mut table = self.table(site);
        let patches = [height / patch[0], width / patch[1]];
        if patches != grid {
            let weights =
                op::tensor(grid::weights(grid, patches), (patches[0] * patches[1], grid[0] * grid[1]))?;
            let front = table.narrow(0, 0, 1)?;
            let rows = table.narrow(0, 1, grid[0] * grid[1])?.t()?.contiguous()?;
            table = Tensor::cat(&[front, op::linear(&weights, &rows, None)?], 0)?;
        }
        let tensor = Tensor::cat(&vec![table; self.batch.samples()], 0)?;
        Ok(x.with(tensor))
    }

    /// A linear over the weights of a site, gated and watched.
    pub(super) fn linear(&self, site: SiteId, x: &Value, watch: &mut dyn Watch) -> Result<Value, Failure> {
        let gated = self.gates.applied(site, x, self.batch)?;
        let x = gated.as_ref().unwrap_or(x);
        watch.input(site, x)?;
        let weights = self.weights.get(site);
        let y = x.with(weights.apply(&x.tensor)?);
        watch.linear(site, &y)?;
        Ok(y)
    }

    /// The heads of an attention whose queries, keys and values are these operands of an operation.
    fn heads(&self, of: &Attention, id: OpId, places: [usize; 3], [query, key]: [&Value; 2]) -> Heads {
        let operands = self.graph.operands(id);
        let innermost = |place: usize| {
            let features = self.graph.ops[operands[place]].value.last();
            let axis = features.and_then(|dim| dim.0.last());
            axis.map_or(1, |&axis| self.graph.extent(axis).max).max(1)
        };
        let (head_dim, value_dim) = (innermost(places[1]), innermost(places[2]));
        let width = |value: &Value| value.tensor.dims()[1];
        let kv_heads = (width(key) / head_dim).max(1);
        Heads {
            kv_heads,
            group: width(query) / head_dim / kv_heads,
            head_dim,
            value_dim,
            scale: of.scale as f32,
            causal: of.causal,
            window: of.window,
        }
    }

    /// Queries and keys turned by the places of their tokens, where an attention turns them.
    fn turned(
        &self,
        of: &Attention,
        head_dim: usize,
        [query, key]: [&Value; 2],
    ) -> Result<Option<[Value; 2]>, Failure> {
        let Some(rope) = &of.rope else { return Ok(None) };
        let positions = Arc::new(query.rows.positions());
        let longest = positions.iter().max().map_or(1, |last| last + 1);
        let turns = self.turns.get(rope, head_dim, longest);
        let query = query.with(op::rope(&query.tensor, &turns, &positions)?);
        let key = key.with(op::rope(&key.tensor, &turns, &positions)?);
        Ok(Some([query, key]))
    }

    fn attention(&self, of: &Attention, id: OpId, operands: &[Value]) -> Result<Value, Failure> {
        let [query, key, value] = operands else { unreachable!("attention has three operands") };
        let heads = self.heads(of, id, [0, 1, 2], [query, key]);
        let head_dim = heads.head_dim;
        let turned = self.turned(of, head_dim, [query, key])?;
        let [turned_query, turned_key] =
            turned.map_or_else(|| [query.tensor.clone(), key.tensor.clone()], |it| it.map(|it| it.tensor));
        let sequences = Arc::new(query.rows.ranges());
        if of.kind == AttentionKind::Flow {
            return Ok(query.with(op::flow(heads, &sequences, &turned_query, &turned_key, &value.tensor)?));
        }
        let bias = if of.by_size { key.rows.log_sizes() } else { None };
        Ok(query.with(op::attention(heads, &sequences, bias, &turned_query, &turned_key, &value.tensor)?))
    }

    /// Every patch of every picture as a row, times the kernel as a matrix.
    fn patches(&self, site: SiteId) -> Result<Value, Failure> {
        let (values, [channels, height, width]) = self.pixels()?;
        let weights = self.weights.get(site);
        let kernel = weights.dense()?;
        let [patch_height, patch_width] = self.patch(site);
        let (down, across) = (height / patch_height, width / patch_width);
        let inputs = channels * patch_height * patch_width;
        let picture = channels * height * width;
        let mut rows = Vec::with_capacity(self.batch.samples() * down * across * inputs);
        for pixels in values.chunks_exact(picture.max(1)) {
            for patch in 0..down * across {
                let (top, left) = (patch / across * patch_height, patch % across * patch_width);
                for line in 0..channels * patch_height {
                    let (channel, y) = (line / patch_height, top + line % patch_height);
                    rows.extend_from_slice(&pixels[(channel * height + y) * width + left..][..patch_width]);
                }
            }
        }
        let count = self.batch.samples() * down * across;
        let rows = op::tensor(rows, (count, inputs))?;
        let tensor = op::linear(&rows, &kernel, weights.bias.as_ref())?;
        let of = Rows::of(std::iter::repeat_n(down * across, self.batch.samples()));
        Ok(Value { tensor, rows: Arc::new(of) })
    }

    /// Height and width of the kernel: its last two dims.
    fn patch(&self, site: SiteId) -> [usize; 2] {
        let view = self.graph.matrix_views(site).next().expect("a site has a weight");
        let shape = self.graph.shape(&self.graph.params[view.param]);
        [shape[shape.len() - 2], shape[shape.len() - 1]]
    }

    fn prepended(&self, site: SiteId, x: &Value) -> Result<Value, Failure> {
        let token = self.weights.get(site).dense()?.reshape((1, ()))?;
        let mut parts = Vec::new();
        for range in x.rows.ranges() {
            parts.push(token.clone());
            parts.push(x.tensor.narrow(0, range.start, range.len())?);
        }
        Ok(Value { tensor: Tensor::cat(&parts, 0)?, rows: Arc::new(x.rows.prepended(1)) })
    }
}

impl Value {
    /// Other features for the same rows.
    pub fn with(&self, tensor: Tensor) -> Self {
        Self { tensor, rows: Arc::clone(&self.rows) }
    }

    /// One row of each sample.
    fn pooled(&self, row: impl Fn(std::ops::Range<usize>) -> usize) -> Result<Self, Failure> {
        let rows: Vec<u32> = self.rows.ranges().into_iter().map(|range| row(range) as u32).collect();
        let at = Tensor::from_vec(rows, self.rows.samples(), &Device::Cpu)?;
        Ok(Self { tensor: self.tensor.index_select(&at, 0)?, rows: Arc::new(self.rows.pooled()) })
    }

    /// The mean of each sample's rows, each as often as it stands for tokens.
    ///
    /// # Errors
    /// Where the tensor is not of rows: an error of ours.
    pub fn mean(&self) -> Result<Self, Failure> {
        let mean = |range: std::ops::Range<usize>| {
            let rows = self.tensor.narrow(0, range.start, range.len())?;
            let Some(sizes) = self.rows.sizes().map(|sizes| &sizes[range]) else {
                return rows.mean_keepdim(0);
            };
            let sum: f32 = sizes.iter().sum();
            let shares: Vec<f32> = sizes.iter().map(|size| size / sum).collect();
            rows.broadcast_mul(&op::tensor(shares, (sizes.len(), 1))?)?.sum_keepdim(0)
        };
        let means = self.rows.ranges().into_iter().map(mean);
        let means: Vec<Tensor> = means.collect::<candle_core::Result<_>>()?;
        Ok(Self { tensor: Tensor::cat(&means, 0)?, rows: Arc::new(self.rows.pooled()) })
    }
}
