//! Experts: the router's choice as weights of every expert, and each expert on the rows that chose it.

use super::builder::Name;
use super::lower::{CannotExport, Lowering, Value};
use super::proto::Attribute;
use super::weight::Form;
use crate::graph::{Expert, Experts, Scoring, Weight};

/// What a router chose: `[rows, top_k]` both.
struct Chosen {
    gates: Name,
    experts: Name,
}

impl Lowering<'_> {
    /// An expert that no row chose runs on no rows, as the model itself does it: cost is that of the chosen ones.
    pub fn experts(&mut self, of: &Experts, x: &Value, width: usize) -> Result<Value, CannotExport> {
        if of.scoring == Scoring::Sigmoid || of.correction.is_some() || of.limit.is_some() {
            return Err(
                self.cannot("routers that choose by sigmoids or within groups are counted and not run")
            );
        }
        let place = self.b.place.clone();
        let rows = self.b.reshape(&x.name, &[-1, width as i64]);
        let chosen = self.chosen(of, &rows);
        let weights = self.weights_of_experts(of, &rows, &chosen);
        let zero = self.b.float(0.0);
        let mut sum = self.b.op("Mul", &[&rows, &zero]);
        for (number, expert) in of.experts.iter().enumerate() {
            self.b.place =
                self.site_name(expert.up).rsplit_once('.').map_or(place.clone(), |(at, _)| at.into());
            sum = self.add_expert(of, expert, number, &rows, &weights, &sum);
        }
        self.b.place = place;
        let shape = self.b.op("Shape", &[&x.name]);
        Ok(x.with(self.b.op("Reshape", &[&sum, &shape])))
    }

    fn chosen(&mut self, of: &Experts, rows: &str) -> Chosen {
        let mut logits = self.linear(of.router, rows, 2);
        let mut count = of.routes.as_ref().map_or(of.experts.len(), |routes| routes.to.len());
        if let Some(nulls) = of.nulls {
            // Further rows of the router, behind which nothing is.
            let further = self.linear(nulls.router, rows, 2);
            logits = self.b.concat(&[&logits, &further], -1);
            count += self.graph.extent(nulls.axis).max;
        }
        let mut shares = self.b.softmax(&logits);
        if let Some(transfer) = of.transfer {
            let site = &self.graph.sites[transfer];
            let Weight::Dense(view) = &site.weight else { unreachable!("a transfer is not factored") };
            let matrix = self.b.weight(view, Form::Columns { transposed: site.transposed });
            shares = self.b.op("MatMul", &[&shares, &matrix]);
            count = of.experts.len();
        }
        let top = self.b.ints(&[of.top_k.min(count) as i64]);
        let attributes = vec![Attribute::int("axis", -1)];
        let [gates, routes] = self.b.op_of("TopK", &[&shares, &top], attributes);
        let (gates, routes) = match (of.nulls.is_some(), of.renormalize) {
            (true, _) => self.without_nulls(&gates, &routes, of.experts.len()),
            (false, true) => {
                let all = self.b.sum(&gates, -1, true);
                (self.b.op("Div", &[&gates, &all]), routes)
            }
            (false, false) => (gates, routes),
        };
        let gates = match of.skip_below {
            Some(share) if of.top_k.min(count) == 2 => self.without_small_seconds(&gates, share),
            _ => gates,
        };
        let experts = match &of.routes {
            Some(to) if of.transfer.is_none() => {
                let to: Vec<i64> = to.to.iter().map(|&expert| expert as i64).collect();
                let to = self.b.ints(&to);
                self.b.op("Gather", &[&to, &routes])
            }
            _ => routes,
        };
        Chosen { gates, experts }
    }

    /// The gates of what is no null expert, renormalized; all 0 where there is nothing else. Nulls are numbered from `first` on,
    /// and lead to the last expert with no weight.
    fn without_nulls(&mut self, gates: &str, routes: &str, first: usize) -> (Name, Name) {
        let (first, last) = (self.b.int(first as i64), self.b.int(first as i64 - 1));
        let (zero, one) = (self.b.float(0.0), self.b.float(1.0));
        let is_expert = self.b.op("Less", &[routes, &first]);
        let gates = self.b.op("Where", &[&is_expert, gates, &zero]);
        let sums = self.b.sum(&gates, -1, true);
        let is_empty = self.b.op("Equal", &[&sums, &zero]);
        let sums = self.b.op("Where", &[&is_empty, &one, &sums]);
        (self.b.op("Div", &[&gates, &sums]), self.b.op("Min", &[routes, &last]))
    }

    /// Where the second gate is less than `share` of the first, the first one is all.
    fn without_small_seconds(&mut self, gates: &str, share: f64) -> Name {
        let halves = self.b.ints(&[1, 1]);
        let [first, second] = self.b.op_of("Split", &[gates, &halves], vec![Attribute::int("axis", -1)]);
        let (zero, one, share) = (self.b.float(0.0), self.b.float(1.0), self.b.float(share as f32));
        let bound = self.b.op("Mul", &[&first, &share]);
        let alone = self.b.op("Less", &[&second, &bound]);
        let first = self.b.op("Where", &[&alone, &one, &first]);
        let second = self.b.op("Where", &[&alone, &zero, &second]);
        self.b.concat(&[&first, &second], -1)
    }

    /// For each row how much each expert counts, `[rows, experts]`: sums, as several routes may lead to one expert.
    fn weights_of_experts(&mut self, of: &Experts, rows: &str, chosen: &Chosen) -> Name {
        let (count, experts) = (self.b.extent(rows, 0), self.b.ints(&[of.experts.len() as i64]));
        let shape = self.b.concat(&[&count, &experts], 0);
        let zero = self.b.float(0.0);
        let zeros = self.b.op("Expand", &[&zero, &shape]);
        let attributes = vec![Attribute::int("axis", 1), Attribute::text("reduction", "add")];
        self.b.op_with("ScatterElements", &[&zeros, &chosen.experts, &chosen.gates], attributes)
    }

    /// Adds what an expert makes of its rows, each times its weight.
    fn add_expert(
        &mut self,
        of: &Experts,
        expert: &Expert,
        number: usize,
        rows: &str,
        weights: &str,
        sum: &str,
    ) -> Name {
        let number = self.b.int(number as i64);
        let weight = self.b.op_with("Gather", &[weights, &number], vec![Attribute::int("axis", 1)]);
        let at = self.b.op("NonZero", &[&weight]);
        let at = self.b.transpose(&at, &[1, 0]);
        let own = self.b.op("GatherND", &[rows, &at]);
        let made = self.expert(of, expert, &own);
        let weight = self.b.op("GatherND", &[&weight, &at]);
        let weight = self.b.unsqueeze(&weight, &[1]);
        let made = self.b.op("Mul", &[&made, &weight]);
        // Rows of one expert differ, so that nothing has to be added up in the scatter, which not every runtime can.
        let before = self.b.op("GatherND", &[sum, &at]);
        let after = self.b.op("Add", &[&before, &made]);
        self.b.op("ScatterND", &[sum, &at, &after])
    }

    fn expert(&mut self, of: &Experts, expert: &Expert, x: &str) -> Name {
        let up = self.linear(expert.up, x, 2);
        let inner = match expert.gate {
            Some(gate) => {
                let gate = self.linear(gate, x, 2);
                let gate = self.activation(of.activation, &gate);
                self.b.op("Mul", &[&gate, &up])
            }
            None => self.activation(of.activation, &up),
        };
        self.linear(expert.down, &inner, 2)
    }
}
