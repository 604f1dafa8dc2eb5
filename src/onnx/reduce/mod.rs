//! Fewer tokens: which stay, what the others become, and how many there are then.
//!
//! Pictures of one size have one number of tokens, so that a batch is reduced at once. Texts are of unlike lengths, and padding must
//! decide nothing: a `Loop` reduces each by its own real tokens, as `execute/modeling_tamis.py` does.

mod count;
mod ranked;
mod rules;

use super::attention::Heads;
use super::builder::{END, Name};
use super::lower::{CannotExport, Lowering, Rows, Value};
use super::proto::{self, Attribute, ValueInfo, element};
use crate::graph::{Op, OpId, Reduction, ReductionRule, TokenScore};

/// What a reduction reads: samples of one length.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// `[batch, count, width]`
    x: Name,
    query: Name,
    key: Name,
    /// `[batch, count]`, ones where each token is its own.
    sizes: Name,
    /// How many there are, as a list of one.
    count: Name,
    /// How many are left, as a list of one.
    after: Name,
}

/// What is left.
#[derive(Debug, Clone)]
pub struct Left {
    x: Name,
    sizes: Name,
}

impl Lowering<'_> {
    pub fn reduce_tokens(
        &mut self,
        of: &Reduction,
        op: OpId,
        operands: &[Value],
    ) -> Result<Value, CannotExport> {
        let [x, query, key] = operands else { unreachable!("a reduction has three operands") };
        let heads = self.heads(op, [1, 2, 2]);
        if let ReductionRule::Picture(rule) = of.rule {
            return Ok(self.reduce_picture(of, rule, heads, [x, query, key]));
        }
        self.has_scores(of)?;
        let has_sizes = x.rows.sizes.is_some() || of.rule.makes_sizes();
        let made = match &x.rows.mask {
            Some(mask) => self.of_texts(of, heads, [x, query, key], &mask.clone()),
            None => self.of_pictures(of, op, heads, [x, query, key]),
        };
        let sizes = made.rows.sizes.filter(|_| has_sizes);
        Ok(Value { name: made.name, rows: Rows { sizes, ..made.rows } })
    }

    /// A random score is a number of a table by the token's place: there has to be a longest text.
    fn has_scores(&self, of: &Reduction) -> Result<(), CannotExport> {
        let is_random = matches!(of.rule, ReductionRule::Drop { score: TokenScore::Random { .. }, .. });
        match is_random && self.most_tokens().is_none() {
            true => Err(self
                .cannot("scores by chance need a table of positions, which says how many tokens there are")),
            false => Ok(()),
        }
    }

    /// As many tokens as there are positions for.
    fn most_tokens(&self) -> Option<usize> {
        let rows = |op: &Op| match op {
            Op::Positions { table, .. } => Some(self.rows_of(*table)[0]),
            _ => None,
        };
        self.graph.ops.node_weights().filter_map(|made| rows(&made.op)).min()
    }

    fn ones_like_rows(&mut self, x: &str) -> Name {
        let shape = self.b.op_with("Shape", &[x], vec![Attribute::int("start", 0), Attribute::int("end", 2)]);
        let one = self.b.float(1.0);
        self.b.op("Expand", &[&one, &shape])
    }

    fn of_pictures(&mut self, of: &Reduction, op: OpId, heads: Heads, [x, query, key]: [&Value; 3]) -> Value {
        let stream = self.graph.operands(op)[0];
        let known = (!self.is_any_size()).then(|| self.extent(&self.graph.ops[stream].value[0]));
        if known.is_some_and(|count| of.after(count) == count) {
            return x.clone();
        }
        let sizes = x.rows.sizes.clone().unwrap_or_else(|| self.ones_like_rows(&x.name));
        let (count, after) = match known {
            Some(count) => (self.b.ints(&[count as i64]), self.b.ints(&[of.after(count) as i64])),
            None => {
                let count = self.b.extent(&x.name, 1);
                let after = self.after(of, &count);
                (count, after)
            }
        };
        let (query, key) = (query.name.clone(), key.name.clone());
        let tokens = Tokens { x: x.name.clone(), query, key, sizes, count, after };
        let left = match known {
            Some(_) => self.left(of, heads, &tokens),
            None => self.left_if_fewer(of, heads, &tokens),
        };
        Value { name: left.x, rows: Rows { sizes: Some(left.sizes), ..Rows::default() } }
    }

    /// Each text by itself, in a loop over the batch; then all of them as long as the longest.
    fn of_texts(&mut self, of: &Reduction, heads: Heads, [x, query, key]: [&Value; 3], mask: &str) -> Value {
        let sizes = x.rows.sizes.clone().unwrap_or_else(|| self.ones_like_rows(&x.name));
        let all = [&x.name, &query.name, &key.name, &sizes].map(String::as_str);
        let batch = self.b.extent(&x.name, 0);
        let batch = self.b.squeeze(&batch, &[0]);
        // ONNX lets the condition be left out, which not every runtime knows.
        let go_on = self.b.bool(true);
        let body = self.text_body(of, heads, all, mask);
        let [rows, sizes, mask] =
            self.b.op_of("Loop", &[&batch, &go_on], vec![Attribute::graph("body", body)]);
        let lengths = self.b.sum(&mask, 1, false);
        let longest = self.b.reduce("ReduceMax", &lengths, 0, true);
        let first = self.b.ints(&[0]);
        let [name, sizes, mask] = [rows, sizes, mask].map(|made| self.b.slice(&made, 1, &first, &longest));
        Value { name, rows: Rows { mask: Some(mask), sizes: Some(sizes), ..Rows::default() } }
    }

    /// One text: its real tokens reduced, and padded to the length that all of them had.
    fn text_body(&mut self, of: &Reduction, heads: Heads, all: [&str; 4], mask: &str) -> proto::Graph {
        let (number, go_on) = (self.b.name("number"), self.b.name("go_on"));
        let input = vec![
            ValueInfo::new(&number, element::INT64, Vec::new()),
            ValueInfo::new(&go_on, element::BOOL, Vec::new()),
        ];
        // The builder opens the inner graph; `self` is needed inside of it.
        self.inside("text", input, |this| {
            let go_on = this.b.op("Identity", &[&go_on]);
            let own_mask = this.b.op("Gather", &[mask, &number]);
            let real = this.b.op("NonZero", &[&own_mask]);
            let [x, query, key, sizes] = all.map(|all| {
                let own = this.b.op("Gather", &[all, &number]);
                this.b.op("Gather", &[&own, &real])
            });
            let count = this.b.extent(&x, 1);
            let after = this.after(of, &count);
            let tokens = Tokens { x, query, key, sizes, count, after };
            let left = this.left_if_fewer(of, heads, &tokens);
            let (length, before) = (this.b.extent(&left.x, 1), this.b.extent(mask, 1));
            let missing = this.b.op("Sub", &[&before, &length]);
            let (zero, zeros) = (this.b.ints(&[0]), this.b.ints(&[0, 0]));
            let (no_rows, no_size) = (this.b.float(0.0), this.b.float(1.0));
            let of_rows = this.b.concat(&[&zeros, &missing, &zero], 0);
            let of_sizes = this.b.concat(&[&zero, &missing], 0);
            let rows = this.b.squeeze(&left.x, &[0]);
            let rows = this.b.op("Pad", &[&rows, &of_rows, &no_rows]);
            let sizes = this.b.squeeze(&left.sizes, &[0]);
            let sizes = this.b.op("Pad", &[&sizes, &of_sizes, &no_size]);
            let places = this.b.range(&before);
            let is_real = this.b.op("Less", &[&places, &length]);
            let mask = this.b.cast(&is_real, element::INT64);
            vec![go_on, rows, sizes, mask]
        })
    }

    /// A graph inside of a node, made by more than the builder.
    pub fn inside(
        &mut self,
        name: &str,
        input: Vec<ValueInfo>,
        fill: impl FnOnce(&mut Self) -> Vec<Name>,
    ) -> proto::Graph {
        self.b.open();
        let given = fill(self);
        self.b.close(name, input, &given)
    }

    /// The rules want a token that goes; where none does, tokens are what they were, in their order.
    fn left_if_fewer(&mut self, of: &Reduction, heads: Heads, tokens: &Tokens) -> Left {
        let is_fewer = self.b.op("Less", &[&tokens.after, &tokens.count]);
        let is_fewer = self.b.squeeze(&is_fewer, &[0]);
        let fewer = self.inside("fewer", Vec::new(), |this| {
            let left = this.left(of, heads, tokens);
            vec![left.x, left.sizes]
        });
        let same = self.inside("same", Vec::new(), |this| {
            [&tokens.x, &tokens.sizes].map(|kept| this.b.op("Identity", &[kept])).to_vec()
        });
        let branches = vec![Attribute::graph("then_branch", fewer), Attribute::graph("else_branch", same)];
        let [x, sizes] = self.b.op_of("If", &[&is_fewer], branches);
        Left { x, sizes }
    }

    fn left(&mut self, of: &Reduction, heads: Heads, tokens: &Tokens) -> Left {
        match &of.rule {
            ReductionRule::MergePairs => self.merge_pairs(of, heads, tokens),
            ReductionRule::MergeByEnergy(energy) => self.merge_by_energy(of, heads, tokens, *energy),
            ReductionRule::MergeByAttention { kept } => self.merge_by_attention(of, heads, tokens, *kept),
            ReductionRule::Picture(_) => unreachable!("lowered by itself"),
            ReductionRule::Drop { score, fuse, sorted } => {
                let scores = self.scores(of, heads, tokens, *score);
                self.drop_tokens(of, tokens, &scores, *fuse, *sorted)
            }
            ReductionRule::DropByRank(ranking) => {
                let scores = self.ranked(of, heads, tokens, ranking);
                self.drop_tokens(of, tokens, &scores, false, false)
            }
        }
    }

    /// From a number on to the end of an axis.
    pub fn from(&mut self, x: &str, axis: i64, first: &str) -> Name {
        let end = self.b.ints(&[END]);
        self.b.slice(x, axis, first, &end)
    }
}
