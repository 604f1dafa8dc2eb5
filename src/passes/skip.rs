//! `skip experts`: the second of two chosen experts left out, token by token, where it hardly counts.
//!
//! ```text
//! skip experts of layers[*] by gate_ratio(calib)
//! ```

use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, Op};
use crate::pass;
use crate::pass::{Findings, Lowering, Pass, Rewrite, Scorer, Stage, StepScope};
use crate::weights::Version;

pass! {
    /// Leaves the second of two chosen experts out where its gate is small beside the first's; the first one then has all of the gate.
    /// No weight changes: it is a rule for the run, saved in the graph beside the weights, and costs that are stated are those of a
    /// token which skips nothing.
    ///
    /// `by gate_ratio(calib)` puts the bound of each layer at the median ratio over the data, so that about every second token
    /// skips. Only routers that choose two experts can skip one.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// skip experts of layers[*] by gate_ratio(calib)
    /// ```
    ///
    /// Not All Experts are Equal, arXiv:2402.14800, dynamic skipping.
    Skip = "skip" ["experts"]
    {
        /// Where the bound is.
        By criterion: Scorer,
    }
    with {}
}

impl Pass for Skip {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let axes = step.axes();
        for path in &axes {
            let axis = step.graph.places().axis(path).expect("targets are resolved in this graph");
            let (_, experts) = step.graph.experts_of(axis).expect("experts are of an operation");
            if experts.nulls.is_some() || experts.transfer.is_some() {
                let message = format!("what a token chooses of `{path}` is more than two gates");
                return Err(Diagnostic::at(&codes::MERGED_EXPERTS, step.verb, message)
                    .help("null experts and mixtures have rules of their own"));
            }
            if experts.top_k != 2 {
                let message = format!("the router of `{path}` chooses {} experts, not two", experts.top_k);
                return Err(Diagnostic::at(&codes::TOO_MANY, step.verb, message)
                    .help("the second of two can be skipped, and no other"));
            }
        }
        let work = self.criterion.skipping(step.graph, &axes)?;
        let rewrite = Arc::new(SkipSeconds { axes, by: self.criterion.criterion.describe() });
        Ok(Lowering { stages: vec![Stage { work: vec![work], rewrite }], ..Lowering::default() })
    }
}

/// Sets the bounds of layers.
#[derive(Debug)]
struct SkipSeconds {
    /// Paths of the axes of experts.
    axes: Vec<String>,
    /// How bounds are found, as written.
    by: String,
}

impl SkipSeconds {
    fn set(graph: &mut Graph, path: &str, share: f64) {
        let Some(axis) = graph.places().axis(path) else { return };
        let Some((id, _)) = graph.experts_of(axis) else { return };
        if let Op::Experts(experts) = &mut graph.ops[id].op {
            experts.skip_below = Some(share);
        }
    }
}

impl Rewrite for SkipSeconds {
    fn describe(&self) -> String {
        format!("second experts of {} skipped", numbers::things(self.axes.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "skip second experts": self.axes, "by": self.by })
    }

    fn touches(&self) -> Vec<String> {
        self.axes.clone()
    }

    fn effect(&self, graph: &mut Graph) {
        // Where the bound is, the run will tell.
        self.axes.iter().for_each(|path| Self::set(graph, path, 0.0));
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let bounds = found.statistics().expect("bounds were looked for");
        self.axes.iter().for_each(|path| Self::set(&mut version.graph, path, bounds.0[path][0]));
        Ok(())
    }
}
