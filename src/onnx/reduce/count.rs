//! How many tokens are left of a number that only the input knows: what `Reduction::after` says, as nodes.

use super::super::builder::Name;
use super::super::lower::Lowering;
use super::super::proto::element;
use crate::graph::{Reduction, ReductionRule, TokenCount};

impl Lowering<'_> {
    /// `count` is a list of one, and so is the result.
    pub(super) fn after(&mut self, of: &Reduction, count: &str) -> Name {
        let protected = self.b.ints(&[of.protected as i64]);
        let protected = self.b.op("Min", &[&protected, count]);
        let mut free = self.b.op("Sub", &[count, &protected]);
        if let ReductionRule::DropByRank(ranking) = of.rule {
            let similar = self.similar(ranking.similar, &free);
            free = self.b.op("Sub", &[&free, &similar]);
        }
        let left = self.left_free(of.keep, &protected, &free);
        let (one, two) = (self.b.ints(&[1]), self.b.ints(&[2]));
        let least = match of.rule {
            ReductionRule::MergePairs | ReductionRule::MergeByEnergy(_) => {
                let half = self.b.op("Div", &[&free, &two]);
                self.b.op("Sub", &[&free, &half])
            }
            ReductionRule::MergeByAttention { .. }
            | ReductionRule::Drop { .. }
            | ReductionRule::DropByRank(_)
            | ReductionRule::Picture(_) => self.b.op("Min", &[&free, &one]),
        };
        let left = self.b.op("Max", &[&left, &least]);
        let after = self.b.op("Add", &[&protected, &left]);
        if !matches!(of.rule, ReductionRule::Drop { fuse: true, .. }) {
            return after;
        }
        let is_fewer = self.b.op("Less", &[&left, &free]);
        let fused = self.b.cast(&is_fewer, element::INT64);
        self.b.op("Add", &[&after, &fused])
    }

    /// How many go since they are like others: half at most.
    pub(super) fn similar(&mut self, similar: usize, free: &str) -> Name {
        let (two, similar) = (self.b.ints(&[2]), self.b.ints(&[similar as i64]));
        let half = self.b.op("Div", &[free, &two]);
        self.b.op("Min", &[&similar, &half])
    }

    pub(in crate::onnx) fn left_free(&mut self, keep: TokenCount, protected: &str, free: &str) -> Name {
        let zero = self.b.ints(&[0]);
        match keep {
            TokenCount::Less(gone) => {
                let gone = self.b.ints(&[gone as i64]);
                let gone = self.b.op("Min", &[&gone, free]);
                self.b.op("Sub", &[free, &gone])
            }
            TokenCount::Share(share) => {
                // In f64, as it is counted elsewhere: 70 % of 10 are not quite 7 in f32.
                let (share, nearly) = (self.b.double(share), self.b.double(1e-9));
                let exact = self.b.cast(free, element::DOUBLE);
                let exact = self.b.op("Mul", &[&exact, &share]);
                let exact = self.b.op("Sub", &[&exact, &nearly]);
                let up = self.b.op("Ceil", &[&exact]);
                let left = self.b.cast(&up, element::INT64);
                let left = self.b.op("Max", &[&left, &zero]);
                self.b.op("Min", &[&left, free])
            }
            TokenCount::Open => free.to_owned(),
            TokenCount::Exactly(all) => {
                let all = self.b.ints(&[all as i64]);
                let left = self.b.op("Sub", &[&all, protected]);
                let left = self.b.op("Max", &[&left, &zero]);
                self.b.op("Min", &[&left, free])
            }
        }
    }
}
