//! Ranks of tokens, as `runtime::reduce::ranked` counts them: in f64, and by masks rather than by picking rows.

use super::super::attention::Heads;
use super::super::builder::Name;
use super::super::lower::Lowering;
use super::super::proto::{Attribute, element};
use super::Tokens;
use crate::graph::{RankStart, Ranking, Reduction};

impl Lowering<'_> {
    /// What tokens are worth, `[batch, count]`: less than any rank for those that are like others (Zero-TPrune, arXiv:2305.17328).
    pub(super) fn ranked(
        &mut self,
        of: &Reduction,
        heads: Heads,
        tokens: &Tokens,
        ranking: &Ranking,
    ) -> Name {
        let key = self.by_heads(&tokens.key, heads.kv, heads.dim);
        let query = self.by_heads(&tokens.query, heads.query, heads.dim);
        let sizes = of.attention.by_size.then(|| tokens.sizes.clone());
        let shares = self.attended(&of.attention, heads, &query, &key, None, sizes.as_deref());
        let shares = self.b.cast(&shares, element::DOUBLE);
        let ones = self.ones_like_rows(&tokens.x);
        let mut alive = self.b.cast(&ones, element::DOUBLE);
        if ranking.similar > 0 {
            let first = self.ranks(&Ranking { iterations: 1, ..*ranking }, &shares, &alive);
            let gone = self.too_similar(of, heads, tokens, ranking, &first);
            let (none, shape) = (self.b.double(0.0), self.b.op("Shape", &[&gone]));
            let none = self.b.op("Expand", &[&none, &shape]);
            let axis = vec![Attribute::int("axis", 1)];
            alive = self.b.op_with("ScatterElements", &[&alive, &gone, &none], axis);
        }
        let ranks = self.ranks(ranking, &shares, &alive);
        let (half, least) = (self.b.double(0.5), self.b.float(-1.0));
        let is_alive = self.b.op("Greater", &[&alive, &half]);
        self.b.op("Where", &[&is_alive, &ranks, &least])
    }

    /// The tokens of the less important half that are most like one of the other half.
    fn too_similar(
        &mut self,
        of: &Reduction,
        heads: Heads,
        tokens: &Tokens,
        ranking: &Ranking,
        ranks: &str,
    ) -> Name {
        let (zero, two) = (self.b.ints(&[0]), self.b.ints(&[2]));
        let protected = self.b.ints(&[of.protected as i64]);
        let free_ranks = self.from(ranks, 1, &protected);
        let free = self.b.extent(&free_ranks, 1);
        let order = self.sorted_places(&free_ranks);
        let order = self.b.op("Add", &[&order, &protected]);
        let half = self.b.op("Div", &[&free, &two]);
        let important = self.b.op("Sub", &[&free, &half]);
        let rest = self.from(&order, 1, &important);
        let rest = self.ascending(&rest);
        let important = self.b.slice(&order, 1, &zero, &important);
        let keys = self.mean_keys(heads, tokens);
        let [left, right] = [&rest, &important].map(|at| self.b.rows(&keys, at));
        let cosines = self.cosines(&left, &right);
        let alike = self.b.reduce("ReduceMax", &cosines, 2, false);
        let places = self.sorted_places(&alike);
        let gone = self.similar(ranking.similar, &free);
        let gone = self.b.slice(&places, 1, &zero, &gone);
        self.gathered(&rest, &gone)
    }

    /// Ranks of the tokens that are there, `[batch, count]`. `shares` are `[batch, heads, count, count]`.
    fn ranks(&mut self, ranking: &Ranking, shares: &str, alive: &str) -> Name {
        let by_key = self.b.unsqueeze(alive, &[1, 2]);
        let shares = self.b.op("Mul", &[shares, &by_key]);
        let sums = self.b.sum(&shares, -1, true);
        let least = self.b.double(f64::MIN_POSITIVE);
        let sums = self.b.op("Max", &[&sums, &least]);
        let shares = self.b.op("Div", &[&shares, &sums]);
        let there = self.b.sum(alive, 1, true);
        let weights = match ranking.start {
            RankStart::Uniform => alive.to_owned(),
            RankStart::First => {
                let (zero, one) = (self.b.ints(&[0]), self.b.ints(&[1]));
                let (first, others) = (self.b.slice(alive, 1, &zero, &one), self.from(alive, 1, &one));
                let root = self.b.op("Sqrt", &[&there]);
                let first = self.b.op("Mul", &[&first, &root]);
                self.b.concat(&[&first, &others], 1)
            }
        };
        let all = self.b.sum(&weights, 1, true);
        let start = self.b.op("Div", &[&weights, &all]);
        let mut ranks = self.b.unsqueeze(&start, &[1, 2]);
        for _ in 0..ranking.iterations {
            ranks = self.b.op("MatMul", &[&ranks, &shares]);
        }
        let ranks = self.b.squeeze(&ranks, &[2]);
        let squares = self.b.op("Mul", &[&ranks, &ranks]);
        let mean = match ranking.variance {
            None => self.b.reduce("ReduceMean", &squares, 1, false),
            Some(range) => {
                let counts = self.counting_heads(range, &ranks, alive, &there);
                let squares = self.b.op("Mul", &[&squares, &counts]);
                let (sum, counts) = (self.b.sum(&squares, 1, false), self.b.sum(&counts, 1, false));
                self.b.op("Div", &[&sum, &counts])
            }
        };
        let root = self.b.op("Sqrt", &[&mean]);
        self.b.cast(&root, element::FLOAT)
    }

    /// Ones for the heads whose ranks vary as much as they may, all ones where none does: `[batch, heads, 1]`.
    fn counting_heads(&mut self, [least, most]: [f64; 2], ranks: &str, alive: &str, there: &str) -> Name {
        let (of_tokens, there) = (self.b.unsqueeze(alive, &[1]), self.b.unsqueeze(there, &[1]));
        let (none, one) = (self.b.double(0.0), self.b.double(1.0));
        let scaled = self.b.op("Mul", &[ranks, &there]);
        let off = self.b.op("Sub", &[&scaled, &one]);
        let squares = self.b.op("Mul", &[&off, &off]);
        let squares = self.b.op("Mul", &[&squares, &of_tokens]);
        let variance = self.b.sum(&squares, 2, true);
        let variance = self.b.op("Div", &[&variance, &there]);
        let (least, most) = (self.b.double(least), self.b.double(most));
        let (enough, few) = (
            self.b.op("GreaterOrEqual", &[&variance, &least]),
            self.b.op("GreaterOrEqual", &[&most, &variance]),
        );
        let counts = self.b.op("And", &[&enough, &few]);
        let counts = self.b.cast(&counts, element::DOUBLE);
        let any = self.b.reduce("ReduceMax", &counts, 1, true);
        let is_any = self.b.op("Greater", &[&any, &none]);
        self.b.op("Where", &[&is_any, &counts, &one])
    }
}
