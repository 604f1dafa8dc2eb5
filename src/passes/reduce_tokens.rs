//! `reduce tokens`: lists that say how many tokens each layer has left, first by dropping and then by merging; given, or learned.

use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, NotReduced, ReductionRule, TokenCount};
use crate::observe::{Counts as TokenCosts, LearnRates, Rating, labelled, learnable, put_rates};
use crate::pass;
use crate::pass::elements::everything;
use crate::pass::tokens::{Reduced, layers, refused};
use crate::pass::{
    Budget, CostBound, CostMeasure, Count, Counts, Data, Factor, Findings, Length, Lowering, Pass, Positive,
    Rewrite, Stage, StepScope,
};
use crate::syntax::ast::ClauseKind;
use crate::weights::Version;

pass! {
    /// Gives each layer numbers of its own: after `prune` those tokens are left that the class token attends to most, of which
    /// those behind the first `merge` go into the ones that they are most like by features. Counts include the class token;
    /// where there are fewer tokens already, nothing happens.
    ///
    /// Such lists are what DiffRate learns, arXiv:2305.17997; its authors publish them for DeiT and ViT. A mean over merged
    /// tokens is a plain one, and a token's size grows by what comes times its cosine, as there.
    ///
    /// With `to 70% macs on train for 3 epochs` the lists are learned, and no weight changes: for each layer and each list there is a
    /// distribution over numbers, whose mean, rounded up, is the number. Tokens are masked in the place of going, and the loss is the
    /// cross entropy and `weight` times the squared distance of the cost from the budget. That distance is a share of the budget here,
    /// so that small models learn too; the authors take it in billions. At the end all numbers are scaled by one factor, so that the
    /// budget is met. The authors leave the first layer out: `at layers[1..]`. It takes a vision model with a class token.
    ///
    /// ```tamis
    /// reduce tokens at layers[1, 2] with { prune: [120, 80], merge: [100, 60] }
    /// ```
    ///
    /// ```text
    /// reduce tokens at layers[1..] to 70% macs on train for 3 epochs
    /// ```
    ReduceTokens = "reduce" ["tokens"]
    {
        /// What the whole model may cost, where lists are learned: in MACs or FLOPs.
        To budget: Option<Budget>,
        /// Labelled pictures that lists are learned on.
        On data: Option<Data>,
        /// How long lists are learned.
        For length: Option<Length>,
    }
    with {
        /// How many tokens are left in each layer once the least attended are dropped.
        prune: Option<Counts>,
        /// How many of those are left once the next ones are merged.
        merge: Option<Counts>,
        /// Whether attention behind weighs tokens by their size.
        proportional_attention: bool = "true",
        /// The learning rate of the first step.
        rate: Positive = "0.01",
        /// The learning rate of the last step; half a cosine leads to it.
        last_rate: Factor = "0.001",
        /// What the distance from the budget counts beside the cross entropy.
        weight: Factor = "5",
        /// Pictures of a step.
        batch: Count = "32",
        /// Steps between two states from which a stopped run goes on.
        checkpoint: Count = "100",
        /// Chooses the order of pictures.
        seed: u64 = "0",
    }
}

impl Pass for ReduceTokens {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let conflict = || {
            let message = "lists are given, by `prune` and `merge`, or learned, by `to`, `on` and `for`";
            let error = Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message);
            error.help("write one or the other")
        };
        match (&self.prune, &self.merge, self.budget, &self.data, self.length) {
            (Some(prune), Some(merge), None, None, None) => self.given(step, prune, merge),
            (None, None, Some(budget), Some(data), Some(length)) => self.learned(step, budget, data, length),
            (None, None, ..) => {
                let message = "how many tokens are left in each layer?";
                let error = Diagnostic::at(&codes::MISSING_CLAUSE, step.verb, message);
                Err(error.help(
                    "give both lists, `with { prune: [12, 8], merge: [10, 6] }`, or say `to 70% macs on train for 3 epochs`",
                ))
            }
            (Some(_), None, None, None, None) | (None, Some(_), None, None, None) => {
                let message = "`prune` and `merge` are given together";
                Err(Diagnostic::at(&codes::MISSING_CLAUSE, step.verb, message)
                    .help("write a number for each layer"))
            }
            _ => Err(conflict()),
        }
    }
}

impl ReduceTokens {
    fn given(&self, step: &StepScope<'_>, prune: &Counts, merge: &Counts) -> Result<Lowering, Diagnostic> {
        let layers = layers(step);
        for (name, list) in [("prune", &prune.0), ("merge", &merge.0)] {
            if list.len() != layers.len() {
                let message = format!("`{name}` has {} numbers for {} layers", list.len(), layers.len());
                return Err(Diagnostic::at(&codes::OUT_OF_RANGE, step.targets[0].span, message)
                    .help("write a number for each layer that the step names"));
            }
        }
        let rules = prune.0.iter().map(|&kept| ReductionRule::MergeByAttention { kept }).collect();
        let both = prune.0.iter().zip(&merge.0);
        let counts = both.map(|(&prune, &merge)| TokenCount::Exactly(prune.min(merge))).collect();
        let by = "given lists".to_owned();
        Reduced { layers, rules, by_size: self.proportional_attention, by }.lower_counts(step, counts)
    }

    fn learned(
        &self,
        step: &StepScope<'_>,
        budget: Budget,
        data: &Data,
        length: Length,
    ) -> Result<Lowering, Diagnostic> {
        if !matches!(budget.measure, CostMeasure::Macs | CostMeasure::Flops) {
            let message = format!("fewer tokens change no {}", budget.measure);
            let error = step.at(ClauseKind::To, &codes::WRONG_UNIT, message);
            return Err(error.help("bound the work: `to 70% macs`"));
        }
        if !learnable(step.graph) {
            let message = "numbers of tokens are learned for a vision model of one size that answers by its class token";
            let error = Diagnostic::at(&codes::NOT_IN_MODEL, step.verb, message);
            return Err(error.help("give lists, or say `merge tokens … to 70% macs`"));
        }
        labelled(step, data)?;
        let bound = CostBound { measure: budget.measure, at_most: step.at_most(budget)? };
        if !step.graph.reductions().is_empty() {
            let message = "numbers are learned for all layers at once, and tokens became fewer above";
            let error = Diagnostic::at(&codes::TOKENS_REDUCED, step.verb, message);
            return Err(error.help("say it in one step"));
        }
        let path = |number: usize| step.graph.tree.path(step.graph.blocks[number].node);
        let paths: Vec<String> = layers(step).into_iter().map(path).collect();
        self.refuse_unreachable(step, &paths, bound)?;
        let by_size = self.proportional_attention;
        let work = LearnRates {
            data: data.clone(),
            length,
            layers: paths.clone(),
            bound,
            cost_batch: step.batch,
            rating: Rating {
                rates: [self.rate.0, self.last_rate.0],
                weight: self.weight.0,
                batch: self.batch.0,
                checkpoint: self.checkpoint.0,
                seed: self.seed,
            },
            by_size,
            reads: everything(step.graph),
        };
        let rewrite = Arc::new(PutRates { layers: paths, by_size, bound });
        let stage = Stage { work: vec![Arc::new(work)], rewrite };
        Ok(Lowering { stages: vec![stage], bound: Some(bound), ..Lowering::default() })
    }

    fn refuse_unreachable(
        &self,
        step: &StepScope<'_>,
        paths: &[String],
        bound: CostBound,
    ) -> Result<(), Diagnostic> {
        let mut graph = step.graph.clone();
        let (measure, by_size) = (bound.measure, self.proportional_attention);
        let costs = TokenCosts::new(&mut graph, paths, measure, step.batch, by_size)
            .map_err(|(path, why): (String, NotReduced)| refused(step, &path, why))?;
        let least = costs.least();
        if least <= bound.at_most as f64 {
            return Ok(());
        }
        let message = format!(
            "{} {measure} allow fewer tokens than there can be: {} at least",
            measure.show(bound.at_most),
            measure.show(least.ceil() as u64)
        );
        let error = step.at(ClauseKind::To, &codes::UNREACHABLE_BUDGET, message);
        Err(error.help("name earlier layers too, or prune what else costs"))
    }
}

/// Puts learned numbers into layers.
#[derive(Debug)]
struct PutRates {
    /// Paths, in their order.
    layers: Vec<String>,
    by_size: bool,
    bound: CostBound,
}

impl Rewrite for PutRates {
    fn describe(&self) -> String {
        format!("fewer tokens in {}, as learned", numbers::things(self.layers.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "learned tokens": self.layers, "by size": self.by_size, "bound": self.bound })
    }

    /// No tensor changes.
    fn touches(&self) -> Vec<String> {
        Vec::new()
    }

    fn effect(&self, graph: &mut Graph) {
        put_rates(graph, &self.layers, self.by_size, None);
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let found = found.statistics().expect("numbers were learned");
        put_rates(&mut version.graph, &self.layers, self.by_size, Some(found));
        Ok(())
    }
}
