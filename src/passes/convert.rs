//! `convert attention`: another way for a token to find what it attends to, with the same parameters.
//!
//! ```text
//! convert attention of layers[6..] into flow
//! ```

use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, NotFlow};
use crate::pass::tokens::layers;
use crate::pass::{Findings, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::weights::Version;
use crate::{choice, pass};

choice! {
    /// What attention becomes.
    pub enum Kind("a kind of attention") {
        /// Values compete for what flows out of them, and each query lets so much in: linear in the number of tokens.
        Flow = "flow",
    }
}

pass! {
    /// Makes the attention of layers flow attention, which costs `tokens x width x head_dim` where softmax attention costs `tokens x
    /// tokens x width`: less where there are more tokens than a head is wide.
    ///
    /// Weights stay, and what they give does not: training has to follow, best from the model as it was. Attention that is causal,
    /// turns by positions, sees a window or shares keys is not converted, nor that of a layer whose tokens become fewer by it.
    ///
    /// ```tamis
    /// data train = text("train.jsonl", label: "label")
    /// convert attention of layers[*] into flow
    /// distill weights from input on train for 2 epochs with { hidden: 1 }
    /// ```
    ///
    /// Flowformer: Linearizing Transformers with Conservation Flows, arXiv:2202.06258.
    Convert = "convert" ["attention"]
    {
        /// What it becomes.
        Into kind: Kind,
    }
    with {}
}

impl Pass for Convert {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let Kind::Flow = self.kind;
        let mut graph = step.graph.clone();
        let numbers = layers(step);
        let path = |layer: usize| step.graph.tree.path(step.graph.blocks[layer].node);
        let mut changes = false;
        for &layer in &numbers {
            changes |= graph.convert_to_flow(layer).map_err(|why| refused(step, &path(layer), why))?;
        }
        if let Some(place) = graph.untimed() {
            let message = format!("the table of times has none of `{place}`");
            let error = Diagnostic::at(&codes::NO_TIMES, step.verb, message);
            return Err(error.help(
                "measure again, `tamis time MODEL --out times.json`: older tables know no flow attention",
            ));
        }
        let no_effect = || step.at(ClauseKind::Into, &codes::NO_EFFECT, "this is flow attention already");
        let notes = if changes { Vec::new() } else { vec![no_effect()] };
        let rewrite = Arc::new(ConvertAttention { layers: numbers.into_iter().map(path).collect() });
        Ok(Lowering { stages: vec![Stage { work: Vec::new(), rewrite }], notes, ..Lowering::default() })
    }
}

fn refused(step: &StepScope<'_>, path: &str, why: NotFlow) -> Diagnostic {
    match why {
        NotFlow::NoAttention => {
            let message = format!("`{path}` has no attention of queries, keys and values");
            step.at(ClauseKind::Of, &codes::NOT_IN_MODEL, message)
        }
        NotFlow::Has(has) => {
            let message = format!("the attention of `{path}` cannot become flow attention");
            step.at(ClauseKind::Of, &codes::CANNOT_CONVERT, message).says(has)
        }
    }
}

/// Makes the attention of layers flow attention.
#[derive(Debug)]
struct ConvertAttention {
    /// Paths of the layers.
    layers: Vec<String>,
}

impl ConvertAttention {
    fn convert(&self, graph: &mut Graph) {
        for path in &self.layers {
            let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == *path);
            let Some(number) = number else { continue };
            let converted = graph.convert_to_flow(number);
            debug_assert!(converted.is_ok(), "the step was lowered on this graph: {converted:?}");
        }
    }
}

impl Rewrite for ConvertAttention {
    fn describe(&self) -> String {
        format!("flow attention in {}", numbers::things(self.layers.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "flow attention": self.layers })
    }

    /// No tensor changes.
    fn touches(&self) -> Vec<String> {
        Vec::new()
    }

    fn effect(&self, graph: &mut Graph) {
        self.convert(graph);
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        self.convert(&mut version.graph);
        Ok(())
    }
}
