//! `insert null_experts`: rows of a router behind which nothing is.
//!
//! ```text
//! insert null_experts of layers[*] into 8 with { top_k: 3 }
//! ```

use std::sync::Arc;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::Graph;
use crate::observe::experts::{DrawNulls, null_name};
use crate::pass;
use crate::pass::elements::refuse_merged;
use crate::pass::{Count, Finding, Findings, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::weights::{Expr, Version};

pass! {
    /// Gives the routers of layers rows that lead to nothing, and lets a token choose more of them: one that takes a null expert
    /// has an expert less to run. Gates are those of the others, renormalized; where all that a token chose is null, the layer
    /// adds nothing to it.
    ///
    /// The new rows are drawn from a normal distribution, so that training has to follow: as they are, they are chosen by
    /// chance. How many experts a token runs is then between what nulls leave of `top_k` and `top_k`, and costs are stated so.
    ///
    /// ```tamis
    /// insert null_experts of layers[*] into 4 with { top_k: 3 }
    ///
    /// data train = text("train.txt")
    /// tune weights on train for 200 steps with { balance: 0.1 }
    /// ```
    ///
    /// AdaMoE: Token-Adaptive Routing with Null Experts for Mixture-of-Experts Language Models, arXiv:2406.13233.
    Insert = "insert" ["null_experts"]
    {
        /// How many rows a router gets.
        Into count: Count,
    }
    with {
        /// How many rows a token chooses, of experts and of nulls together.
        top_k: Count,
        /// The standard deviation of the new rows.
        spread: f64 = "0.02",
        /// Another seed draws other rows.
        seed: u64 = "0",
    }
}

impl Pass for Insert {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        refuse_merged(step)?;
        let axes = step.axes();
        let places = step.graph.places();
        for path in &axes {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let (_, of) = step.graph.experts_of(axis).expect("experts are of an operation");
            let all = step.graph.extent(axis).min + self.count.0;
            if self.top_k.0 > all {
                let message = format!(
                    "a token cannot choose {} of {all}: `{path}` and {} nulls",
                    self.top_k.0, self.count.0
                );
                return Err(step.at(ClauseKind::With, &codes::TOO_MANY, message));
            }
            if of.skip_below.is_some() {
                let message = format!("the second of `{path}` is skipped by its gate, which nulls do too");
                return Err(Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message));
            }
            if of.limit.is_some() || of.correction.is_some() {
                let message = format!("the router of `{path}` corrects its choice, or limits it to groups");
                return Err(Diagnostic::at(&codes::CANNOT_RUN, step.verb, message)
                    .help("null experts are for routers that choose the best shares of a softmax"));
            }
        }
        let (count, top_k) = (self.count.0, self.top_k.0);
        let draw = DrawNulls { axes: axes.clone(), count, spread: self.spread, seed: self.seed };
        let rewrite = Arc::new(InsertNulls { axes, count, top_k });
        Ok(Lowering { stages: vec![Stage { work: vec![Arc::new(draw)], rewrite }], ..Lowering::default() })
    }
}

/// Puts rows beside those of routers.
#[derive(Debug)]
struct InsertNulls {
    /// Paths of the axes of experts.
    axes: Vec<String>,
    count: usize,
    top_k: usize,
}

impl Rewrite for InsertNulls {
    fn describe(&self) -> String {
        let layers = numbers::things(self.axes.len(), "layer");
        format!("{} for {layers}, {} a token", numbers::things(self.count, "null expert"), self.top_k)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "null experts": self.axes, "count": self.count, "top_k": self.top_k })
    }

    fn touches(&self) -> Vec<String> {
        self.axes.clone()
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for axis in self.axes.iter().filter_map(|path| places.axis(path)) {
            graph.insert_nulls(axis, self.count, self.top_k);
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let rows = Arc::new(Checkpoint::open(dir.expect("rows were written"))?);
        let places = version.graph.places();
        for path in &self.axes {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let stored = rows.tensors.get(&null_name(path)).expect("every row was written").clone();
            let expr = Arc::new(Expr::Stored { checkpoint: Arc::clone(&rows), stored });
            version.insert_nulls(axis, self.count, self.top_k, expr);
        }
        Ok(())
    }
}
