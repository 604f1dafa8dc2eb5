//! Flow attention (Flowformer, arXiv:2202.06258, section 3), in the operators of the paper's formulas.

use super::attention::Heads;
use super::builder::Name;
use super::lower::{Lowering, Value};
use super::proto::element;

/// Keeps sums from 0.
const EPS: f32 = 1e-6;

impl Lowering<'_> {
    /// Padding takes no part, neither as source nor as sink.
    pub fn flow(&mut self, heads: Heads, [query, key, value]: [&Value; 3]) -> Value {
        let real = query.rows.mask.clone().map(|mask| {
            let real = self.b.cast(&mask, element::FLOAT);
            self.b.unsqueeze(&real, &[1, 3])
        });
        let [q, k] = [query, key].map(|x| {
            let gates = self.b.op("Sigmoid", &[&x.name]);
            let gates = self.by_heads(&gates, heads.query, heads.dim);
            self.real_rows(gates, real.as_deref())
        });
        let v = self.by_heads(&value.name, heads.query, heads.value_dim);
        let [sink_in, source_out] = [(&q, &k), (&k, &q)].map(|(rows, all)| {
            let exchanged = self.with_all(rows, all);
            self.b.op("Reciprocal", &[&exchanged])
        });
        let sunk = self.b.op("Mul", &[&q, &sink_in]);
        let sourced = self.b.op("Mul", &[&k, &source_out]);
        let allocation = self.with_all(&q, &sourced);
        let allocation = self.b.op("Sigmoid", &[&allocation]);
        let competition = self.competition(&k, &sunk, real.as_deref());
        let competing = self.b.op("Mul", &[&v, &competition]);
        let keys = self.b.transpose(&k, &[0, 1, 3, 2]);
        let source = self.b.op("MatMul", &[&keys, &competing]);
        let context = self.b.op("MatMul", &[&sunk, &source]);
        let context = self.b.op("Mul", &[&context, &allocation]);
        let rows = self.b.transpose(&context, &[0, 2, 1, 3]);
        query.with(self.b.reshape(&rows, &[0, 0, (heads.query * heads.value_dim) as i64]))
    }

    /// Shares of the sources, `[batch, heads, tokens, 1]`, whose mean over the real ones is 1.
    fn competition(&mut self, key: &str, sunk: &str, real: Option<&str>) -> Name {
        let conserved = self.with_all(key, sunk);
        let (least, most) = (self.b.float(-1.0), self.b.float(1.0));
        let conserved = self.b.op("Clip", &[&conserved, &least, &most]);
        let shares = self.b.op("Exp", &[&conserved]);
        let shares = self.real_rows(shares, real);
        let mean = match real {
            Some(real) => {
                let (total, count) = (self.b.sum(&shares, 2, true), self.b.sum(real, 2, true));
                self.b.op("Div", &[&total, &count])
            }
            None => self.b.reduce("ReduceMean", &shares, 2, true),
        };
        self.b.op("Div", &[&shares, &mean])
    }

    /// Zeros for padding.
    fn real_rows(&mut self, x: Name, real: Option<&str>) -> Name {
        match real {
            Some(real) => self.b.op("Mul", &[&x, real]),
            None => x,
        }
    }

    /// What each row of one side exchanges with all of the other: `[batch, heads, tokens, 1]`.
    fn with_all(&mut self, rows: &str, all: &str) -> Name {
        let eps = self.b.float(EPS);
        let rows = self.b.op("Add", &[rows, &eps]);
        let all = self.b.sum(all, 2, true);
        let all = self.b.op("Add", &[&all, &eps]);
        let exchanged = self.b.op("Mul", &[&rows, &all]);
        self.b.sum(&exchanged, 3, true)
    }
}
