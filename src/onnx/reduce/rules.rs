//! The rules of reductions, for samples of one length of which some tokens go. Each is what `runtime::reduce` does of one sample.

use super::super::attention::Heads;
use super::super::builder::{END, Name};
use super::super::lower::Lowering;
use super::super::proto::{Attribute, element};
use super::{Left, Tokens};
use crate::graph::{ByEnergy, EnergyKernel, EnergyPairing, Reduction, TokenScore};
use crate::tensor::random::Stream;

impl Lowering<'_> {
    /// Keys averaged over heads, each row of length 1: `[batch, count, dim]`.
    pub(super) fn mean_keys(&mut self, heads: Heads, tokens: &Tokens) -> Name {
        let keys = self.by_heads(&tokens.key, heads.kv, heads.dim);
        let mean = self.b.reduce("ReduceMean", &keys, 1, false);
        self.unit(&mean)
    }

    /// Rows divided by their lengths.
    fn unit(&mut self, x: &str) -> Name {
        let length = self.b.reduce("ReduceL2", x, -1, true);
        let least = self.b.float(1e-12);
        let length = self.b.op("Max", &[&length, &least]);
        self.b.op("Div", &[x, &length])
    }

    pub(super) fn cosines(&mut self, left: &str, right: &str) -> Name {
        let right = self.b.transpose(right, &[0, 2, 1]);
        self.b.op("MatMul", &[left, &right])
    }

    /// Minus infinity in the first rows, or the first columns, of `[batch, rows, columns]`.
    fn hide_first(&mut self, x: &str, axis: i64, first: usize) -> Name {
        if first == 0 {
            return x.to_owned();
        }
        let count = self.b.extent(x, axis);
        let places = self.b.range(&count);
        let places = if axis == 1 { self.b.unsqueeze(&places, &[1]) } else { places };
        let (first, least) = (self.b.int(first as i64), self.b.float(f32::NEG_INFINITY));
        let is_first = self.b.op("Less", &[&places, &first]);
        self.b.op("Where", &[&is_first, &least, x])
    }

    /// The places of values, the largest first and of equal ones the first.
    pub(super) fn sorted_places(&mut self, values: &str) -> Name {
        let count = self.b.extent(values, 1);
        let [_, places] = self.b.op_of("TopK", &[values, &count], vec![Attribute::int("axis", 1)]);
        places
    }

    /// Whole numbers from small to large.
    pub(super) fn ascending(&mut self, values: &str) -> Name {
        let count = self.b.extent(values, 1);
        let attributes = vec![Attribute::int("axis", 1), Attribute::int("largest", 0)];
        let [values, _] = self.b.op_of("TopK", &[values, &count], attributes);
        values
    }

    /// `[count]` for each sample: `[batch, count]`.
    fn for_each(&mut self, list: &str, tokens: &Tokens) -> Name {
        let (batch, one) = (self.b.extent(&tokens.x, 0), self.b.ints(&[1]));
        let shape = self.b.concat(&[&batch, &one], 0);
        self.b.op("Expand", &[list, &shape])
    }

    /// Protected tokens, for each sample.
    fn front(&mut self, of: &Reduction, tokens: &Tokens) -> Name {
        let front: Vec<i64> = (0..of.protected as i64).collect();
        let front = self.b.ints(&front);
        self.for_each(&front, tokens)
    }

    pub(super) fn gathered(&mut self, values: &str, at: &str) -> Name {
        self.b.op_with("GatherElements", &[values, at], vec![Attribute::int("axis", 1)])
    }

    /// Adds rows, or numbers, at places of the second axis.
    fn scattered(&mut self, to: &str, at: &str, what: &str) -> Name {
        let attributes = vec![Attribute::int("axis", 1), Attribute::text("reduction", "add")];
        self.b.op_with("ScatterElements", &[to, at, what], attributes)
    }

    /// The same place for every feature of a row.
    fn per_feature(&mut self, at: &str, rows: &str) -> Name {
        let shape = self.b.op("Shape", &[rows]);
        let at = self.b.unsqueeze(at, &[-1]);
        self.b.op("Expand", &[&at, &shape])
    }

    /// Token Merging: even places propose, odd places receive, the most similar pairs become one (arXiv:2210.09461, section 3.1).
    pub(super) fn merge_pairs(&mut self, of: &Reduction, heads: Heads, tokens: &Tokens) -> Left {
        let keys = self.mean_keys(heads, tokens);
        let (zero, one, two, end) =
            (self.b.ints(&[0]), self.b.ints(&[1]), self.b.ints(&[2]), self.b.ints(&[END]));
        let [even, odd] = [&zero, &one].map(|first| self.b.op("Slice", &[&keys, first, &end, &one, &two]));
        let cosines = self.cosines(&even, &odd);
        let (even_front, odd_front) = (of.protected.div_ceil(2), of.protected / 2);
        let cosines = self.hide_first(&cosines, 2, odd_front);
        let cosines = self.hide_first(&cosines, 1, even_front);
        let best = self.b.reduce("ReduceMax", &cosines, 2, false);
        let into = self.arg_max(&cosines, 2, false);
        let order = self.sorted_places(&best);
        let leave = self.b.op("Sub", &[&tokens.count, &tokens.after]);
        let gone = self.b.slice(&order, 1, &zero, &leave);
        let stay = self.from(&order, 1, &leave);
        // Protected ones are among them, in front.
        let stay = self.ascending(&stay);
        let stay = self.b.op("Mul", &[&stay, &two]);
        let behind = self.b.ints(&[even_front as i64]);
        let stay = self.from(&stay, 1, &behind);
        let all = self.b.range(&tokens.count);
        let first_odd = self.b.ints(&[1 + 2 * odd_front as i64]);
        let axis = self.b.ints(&[0]);
        let odd = self.b.op("Slice", &[&all, &first_odd, &end, &axis, &two]);
        let odd = self.for_each(&odd, tokens);
        let front = self.front(of, tokens);
        let order = self.b.concat(&[&front, &stay, &odd], 1);
        let into = self.gathered(&into, &gone);
        let into = self.b.op("Mul", &[&into, &two]);
        let into = self.b.op("Add", &[&into, &one]);
        let gone = self.b.op("Mul", &[&gone, &two]);
        self.merged(tokens, &order, &gone, &into)
    }

    /// PiToMe: tokens that are like many others are paired, the rest stays (arXiv:2405.16148, algorithm 1).
    pub(super) fn merge_by_energy(
        &mut self,
        of: &Reduction,
        heads: Heads,
        tokens: &Tokens,
        energy: ByEnergy,
    ) -> Left {
        let first = self.b.ints(&[of.protected as i64]);
        let keys = self.mean_keys(heads, tokens);
        let keys = self.from(&keys, 1, &first);
        let cosines = self.cosines(&keys, &keys);
        let energies = self.energies(&cosines, energy);
        let order = self.sorted_places(&energies);
        let (zero, one, two, end) =
            (self.b.ints(&[0]), self.b.ints(&[1]), self.b.ints(&[2]), self.b.ints(&[END]));
        let leave = self.b.op("Sub", &[&tokens.count, &tokens.after]);
        let pairs = self.b.op("Mul", &[&leave, &two]);
        let [goes, takes] = match energy.pairing {
            EnergyPairing::Alternate => {
                [&zero, &one].map(|from| self.b.op("Slice", &[&order, from, &pairs, &one, &two]))
            }
            EnergyPairing::Halves => {
                [self.b.slice(&order, 1, &zero, &leave), self.b.slice(&order, 1, &leave, &pairs)]
            }
            EnergyPairing::Closest => {
                [&zero, &one].map(|from| self.b.op("Slice", &[&order, from, &end, &one, &two]))
            }
        };
        let between = self.b.rows(&cosines, &goes);
        let between = self.b.transpose(&between, &[0, 2, 1]);
        let between = self.b.rows(&between, &takes);
        let between = self.b.transpose(&between, &[0, 2, 1]);
        let nearest = self.arg_max(&between, 2, false);
        let (goes, stay, nearest) = match energy.pairing {
            EnergyPairing::Alternate | EnergyPairing::Halves => (goes, self.from(&order, 1, &pairs), nearest),
            EnergyPairing::Closest => {
                let alike = self.b.reduce("ReduceMax", &between, 2, false);
                let places = self.sorted_places(&alike);
                let (gone, rest) = (self.b.slice(&places, 1, &zero, &leave), self.from(&places, 1, &leave));
                (self.gathered(&goes, &gone), self.gathered(&goes, &rest), self.gathered(&nearest, &gone))
            }
        };
        let into = self.gathered(&takes, &nearest);
        let [stay, takes, goes, into] =
            [stay, takes, goes, into].map(|free| self.b.op("Add", &[&free, &first]));
        let front = self.front(of, tokens);
        let order = self.b.concat(&[&front, &stay, &takes], 1);
        if !energy.restart {
            return self.merged(tokens, &order, &goes, &into);
        }
        let alone = Tokens { sizes: self.ones_like_rows(&tokens.x), ..tokens.clone() };
        let left = self.merged(&alone, &order, &goes, &into);
        Left { sizes: self.ones_like_rows(&left.x), ..left }
    }

    /// Means over tokens of what cosines add. In f64, so that order is that of the runtime.
    fn energies(&mut self, cosines: &str, of: ByEnergy) -> Name {
        let margin = of.margin as f32;
        let one = self.b.double(1.0);
        let added = match of.kernel {
            EnergyKernel::Elu => {
                let margin = self.b.float(margin);
                let above = self.b.op("Sub", &[cosines, &margin]);
                let above = self.b.cast(&above, element::DOUBLE);
                let zero = self.b.double(0.0);
                let below = self.b.op("Exp", &[&above]);
                let below = self.b.op("Sub", &[&below, &one]);
                let is_above = self.b.op("Greater", &[&above, &zero]);
                self.b.op("Where", &[&is_above, &above, &below])
            }
            EnergyKernel::Gaussian => {
                let deviation = 1.0 - f64::from(margin);
                let factor = self.b.double(-0.5 / (deviation * deviation));
                let scale = self.b.double(1.0 / (deviation * std::f64::consts::TAU.sqrt()));
                let one = self.b.float(1.0);
                let off = self.b.op("Sub", &[&one, cosines]);
                let off = self.b.cast(&off, element::DOUBLE);
                let squares = self.b.op("Mul", &[&off, &off]);
                let exponent = self.b.op("Mul", &[&squares, &factor]);
                let density = self.b.op("Exp", &[&exponent]);
                self.b.op("Mul", &[&density, &scale])
            }
        };
        let mean = self.b.reduce("ReduceMean", &added, 2, false);
        self.b.cast(&mean, element::FLOAT)
    }

    /// DiffRate: those that the first token attends to least go into those that they are most like by features (arXiv:2305.17997,
    /// section 3).
    pub(super) fn merge_by_attention(
        &mut self,
        of: &Reduction,
        heads: Heads,
        tokens: &Tokens,
        kept: usize,
    ) -> Left {
        let scores = self.scores(of, heads, tokens, TokenScore::FirstAttention);
        let order = self.by_score(of, &scores, tokens);
        let zero = self.b.ints(&[0]);
        let kept = self.b.ints(&[kept as i64]);
        let kept = self.b.op("Max", &[&kept, &tokens.after]);
        let sources = self.b.slice(&order, 1, &tokens.after, &kept);
        let order = self.b.slice(&order, 1, &zero, &tokens.after);
        let (stay, gone) = (self.b.rows(&tokens.x, &order), self.b.rows(&tokens.x, &sources));
        let (into, from) = (self.unit(&stay), self.unit(&gone));
        let cosines = self.cosines(&from, &into);
        let cosines = self.hide_first(&cosines, 2, of.protected);
        let alike = self.b.reduce("ReduceMax", &cosines, 2, false);
        let into = self.arg_max(&cosines, 2, false);
        let ones = self.ones_like_rows(&stay);
        let others = self.ones_like_rows(&gone);
        let counts = self.scattered(&ones, &into, &others);
        let counts = self.b.unsqueeze(&counts, &[-1]);
        let places = self.per_feature(&into, &gone);
        let sum = self.scattered(&stay, &places, &gone);
        let x = self.b.op("Div", &[&sum, &counts]);
        let grown = self.gathered(&tokens.sizes, &sources);
        let none = self.b.float(0.0);
        let alike = self.b.op("Max", &[&alike, &none]);
        let grown = self.b.op("Mul", &[&grown, &alike]);
        let sizes = self.gathered(&tokens.sizes, &order);
        Left { x, sizes: self.scattered(&sizes, &into, &grown) }
    }

    /// The tokens of the lowest scores go, or become one (EViT, arXiv:2202.07800; PoWER-BERT, arXiv:2001.08950).
    pub(super) fn drop_tokens(
        &mut self,
        of: &Reduction,
        tokens: &Tokens,
        scores: &str,
        fuse: bool,
        sorted: bool,
    ) -> Left {
        let order = self.by_score(of, scores, tokens);
        let (zero, one) = (self.b.ints(&[0]), self.b.ints(&[1]));
        let stays = if fuse { self.b.op("Sub", &[&tokens.after, &one]) } else { tokens.after.clone() };
        let mut kept = self.b.slice(&order, 1, &zero, &stays);
        if !sorted {
            kept = self.ascending(&kept);
        }
        let (x, sizes) = (self.b.rows(&tokens.x, &kept), self.gathered(&tokens.sizes, &kept));
        if !fuse {
            return Left { x, sizes };
        }
        let gone = self.from(&order, 1, &stays);
        let rows = self.b.rows(&tokens.x, &gone);
        let shares = self.gathered(scores, &gone);
        let shares = self.b.unsqueeze(&shares, &[-1]);
        let rows = self.b.op("Mul", &[&rows, &shares]);
        let sum = self.b.sum(&rows, 1, true);
        let own = self.ones_like_rows(&sum);
        Left { x: self.b.concat(&[&x, &sum], 1), sizes: self.b.concat(&[&sizes, &own], 1) }
    }

    /// Tokens in an order, and into some of them others: means by size.
    fn merged(&mut self, tokens: &Tokens, order: &str, gone: &str, into: &str) -> Left {
        let (zero, left) = (self.b.int(0), self.b.extent(order, 1));
        let none = self.b.op("Shape", &[&tokens.sizes]);
        let none = self.b.op("Expand", &[&zero, &none]);
        let numbers = self.b.range(&left);
        let numbers = self.for_each(&numbers, tokens);
        let axis = vec![Attribute::int("axis", 1)];
        let places = self.b.op_with("ScatterElements", &[&none, order, &numbers], axis);
        let place = self.gathered(&places, into);
        let by_row = self.b.unsqueeze(&tokens.sizes, &[-1]);
        let weighted = self.b.op("Mul", &[&tokens.x, &by_row]);
        let (own, coming) = (self.gathered(&tokens.sizes, order), self.gathered(&tokens.sizes, gone));
        let sizes = self.scattered(&own, &place, &coming);
        let (stay, coming) = (self.b.rows(&weighted, order), self.b.rows(&weighted, gone));
        let place = self.per_feature(&place, &coming);
        let sum = self.scattered(&stay, &place, &coming);
        let by_row = self.b.unsqueeze(&sizes, &[-1]);
        Left { x: self.b.op("Div", &[&sum, &by_row]), sizes }
    }

    /// What tokens are worth, `[batch, count]`.
    pub(super) fn scores(
        &mut self,
        of: &Reduction,
        heads: Heads,
        tokens: &Tokens,
        score: TokenScore,
    ) -> Name {
        if let TokenScore::Random { start } = score {
            let stream = Stream::from_start(start);
            let most = self.most_tokens().unwrap_or_default();
            let chances: Vec<f32> = (0..most as u64).map(|token| stream.uniform(token)).collect();
            let chances = self.b.floats(&chances, &[most]);
            let zero = self.b.ints(&[0]);
            let chances = self.b.slice(&chances, 0, &zero, &tokens.count);
            return self.for_each(&chances, tokens);
        }
        let key = self.by_heads(&tokens.key, heads.kv, heads.dim);
        let mut query = self.by_heads(&tokens.query, heads.query, heads.dim);
        if score == TokenScore::FirstAttention {
            let (zero, one) = (self.b.ints(&[0]), self.b.ints(&[1]));
            query = self.b.slice(&query, 2, &zero, &one);
        }
        let sizes = of.attention.by_size.then(|| tokens.sizes.clone());
        let shares = self.attended(&of.attention, heads, &query, &key, None, sizes.as_deref());
        let mean = self.b.reduce("ReduceMean", &shares, 1, false);
        self.b.sum(&mean, 1, false)
    }

    /// Protected tokens, then the others, the best first; of equal ones the first.
    fn by_score(&mut self, of: &Reduction, scores: &str, tokens: &Tokens) -> Name {
        let first = self.b.ints(&[of.protected as i64]);
        let free = self.from(scores, 1, &first);
        let order = self.sorted_places(&free);
        let order = self.b.op("Add", &[&order, &first]);
        let front = self.front(of, tokens);
        self.b.concat(&[&front, &order], 1)
    }
}
