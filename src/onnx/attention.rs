//! Attention: rotary positions, which keys a query sees, key and value heads that several query heads share.

use super::builder::Name;
use super::lower::{CannotExport, Lowering, Rows, Value};
use super::proto::{Attribute, element};
use crate::graph::{Attention, AttentionKind, OpId, Rope};

/// Heads and their widths.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    pub query: usize,
    pub kv: usize,
    /// Of a query and of a key.
    pub dim: usize,
    pub value_dim: usize,
}

impl Lowering<'_> {
    /// The heads of an attention whose query, key and value are these operands of an operation.
    pub fn heads(&self, op: OpId, places: [usize; 3]) -> Heads {
        let operands = self.graph.operands(op);
        let [query, key, value] = places.map(|place| operands[place]);
        let innermost = |op: OpId| {
            let axis = self.graph.ops[op].value.last().and_then(|dim| dim.0.last());
            axis.map_or(1, |&axis| self.graph.extent(axis).max).max(1)
        };
        let (dim, value_dim) = (innermost(key), innermost(value));
        Heads { query: self.width(query) / dim, kv: (self.width(key) / dim).max(1), dim, value_dim }
    }

    pub fn attention(&mut self, of: &Attention, op: OpId, operands: &[Value]) -> Result<Value, CannotExport> {
        let [query, key, value] = operands else { unreachable!("attention has three operands") };
        if of.relative.is_some() {
            return Err(self.cannot("numbers by how far tokens are apart are counted by tamis and not run"));
        }
        let heads = self.heads(op, [0, 1, 2]);
        if of.kind == AttentionKind::Flow {
            return Ok(self.flow(heads, [query, key, value]));
        }
        let mut q = self.by_heads(&query.name, heads.query, heads.dim);
        let mut k = self.by_heads(&key.name, heads.kv, heads.dim);
        if let Some(rope) = &of.rope {
            if query.rows.mask.is_none() {
                return Err(self.cannot("pictures have no positions to turn by"));
            }
            let turns = self.turns(rope, heads.dim, &query.rows);
            q = self.turned(&q, &turns, heads.dim);
            k = self.turned(&k, &turns, heads.dim);
        }
        let v = self.by_heads(&value.name, heads.kv, heads.value_dim);
        let v = self.repeated(&v, heads, heads.value_dim);
        let seen = self.seen(of, key);
        let sizes = if of.by_size { key.rows.sizes.clone() } else { None };
        let shares = self.attended(of, heads, &q, &k, seen.as_deref(), sizes.as_deref());
        let context = self.b.op("MatMul", &[&shares, &v]);
        let rows = self.b.transpose(&context, &[0, 2, 1, 3]);
        Ok(query.with(self.b.reshape(&rows, &[0, 0, (heads.query * heads.value_dim) as i64])))
    }

    /// `[batch, tokens, heads dim]` to `[batch, heads, tokens, dim]`.
    pub fn by_heads(&mut self, x: &str, heads: usize, dim: usize) -> Name {
        let split = self.b.reshape(x, &[0, 0, heads as i64, dim as i64]);
        self.b.transpose(&split, &[0, 2, 1, 3])
    }

    /// Each head as often as query heads share it, one after the other.
    fn repeated(&mut self, x: &str, heads: Heads, dim: usize) -> Name {
        let group = heads.query / heads.kv;
        if group == 1 {
            return x.to_owned();
        }
        let apart = self.b.unsqueeze(x, &[2]);
        let shape = self.b.ints(&[1, 1, group as i64, 1, 1]);
        let copies = self.b.op("Expand", &[&apart, &shape]);
        self.b.reshape(&copies, &[0, heads.query as i64, -1, dim as i64])
    }

    /// How much queries `[batch, heads, queries, dim]` attend to keys `[batch, kv, keys, dim]`: `[batch, heads, queries, keys]`.
    pub fn attended(
        &mut self,
        of: &Attention,
        heads: Heads,
        query: &str,
        key: &str,
        seen: Option<&str>,
        sizes: Option<&str>,
    ) -> Name {
        let key = self.repeated(key, heads, heads.dim);
        let key = self.b.transpose(&key, &[0, 1, 3, 2]);
        let scale = self.b.float(of.scale as f32);
        let query = self.b.op("Mul", &[query, &scale]);
        let mut scores = self.b.op("MatMul", &[&query, &key]);
        if let Some(sizes) = sizes {
            let bias = self.b.op("Log", &[sizes]);
            let bias = self.b.unsqueeze(&bias, &[1, 2]);
            scores = self.b.op("Add", &[&scores, &bias]);
        }
        if let Some(seen) = seen {
            // Not infinite: a row of padding that sees nothing would be of no numbers.
            let least = self.b.float(f32::MIN);
            scores = self.b.op("Where", &[seen, &scores, &least]);
        }
        self.b.softmax(&scores)
    }

    /// Which keys each query sees: `[batch or 1, 1, queries or 1, keys]`; none where all see all.
    fn seen(&mut self, of: &Attention, x: &Value) -> Option<Name> {
        let mask = x.rows.mask.clone();
        let is_bounded = of.causal || of.window.is_some();
        if mask.is_none() && !is_bounded {
            return None;
        }
        let (causal, window) = (of.causal, of.window);
        let key = format!("seen {mask:?} {causal} {window:?}");
        let tokens = x.name.clone();
        Some(self.b.once(key, |b| {
            let real = mask.map(|mask| {
                let real = b.cast(&mask, element::BOOL);
                b.unsqueeze(&real, &[1, 2])
            });
            let mut parts: Vec<Name> = real.into_iter().collect();
            if is_bounded {
                let count = b.extent(&tokens, 1);
                let places = b.range(&count);
                let (down, across) = (b.unsqueeze(&places, &[1]), b.unsqueeze(&places, &[0]));
                let back = b.op("Sub", &[&down, &across]);
                if causal {
                    let zero = b.int(0);
                    parts.push(b.op("GreaterOrEqual", &[&back, &zero]));
                }
                if let Some(window) = window {
                    let window = b.int(window as i64);
                    parts.push(b.op("Less", &[&back, &window]));
                }
            }
            let first = parts.remove(0);
            parts.iter().fold(first, |seen, part| b.op("And", &[&seen, part]))
        }))
    }

    /// Cosines and sines, `[batch, 1, tokens, half]`. Angles are made in f64, as the model's runtime does: in f32 those of late
    /// positions are off by more than a step of the fast pairs.
    pub fn turns(&mut self, rope: &Rope, dim: usize, rows: &Rows) -> [Name; 2] {
        let places = self.places(rows);
        let speeds: Vec<f64> = (0..dim / 2).map(|pair| rope.speed(pair, dim)).collect();
        let key = format!("{places} {rope:?} {dim}");
        let angles = self.b.once(format!("angles {key}"), |b| {
            let places = b.cast(&places, element::DOUBLE);
            let places = b.unsqueeze(&places, &[1, 3]);
            let speeds = b.doubles(&speeds);
            b.op("Mul", &[&places, &speeds])
        });
        ["Cos", "Sin"].map(|kind| {
            self.b.once(format!("{kind} {key}"), |b| {
                let turn = b.op(kind, &[&angles]);
                b.cast(&turn, element::FLOAT)
            })
        })
    }

    /// Pairs of dims, halves against each other, turned by the angles of their rows (RoFormer, arXiv:2104.09864).
    pub fn turned(&mut self, x: &str, [cos, sin]: &[Name; 2], dim: usize) -> Name {
        let half = (dim / 2) as i64;
        let sizes = self.b.ints(&[half, half]);
        let [first, second] = self.b.op_of("Split", &[x, &sizes], vec![Attribute::int("axis", -1)]);
        let mut side = |kind: &str, own: &str, other: &str| {
            let (own, other) = (self.b.op("Mul", &[own, cos]), self.b.op("Mul", &[other, sin]));
            self.b.op(kind, &[&own, &other])
        };
        let (left, right) = (side("Sub", &first, &second), side("Add", &second, &first));
        self.b.concat(&[&left, &right], -1)
    }
}
