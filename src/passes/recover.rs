//! `recover`: what is left makes up for what was taken out, without training.
//!
//! ```tamis
//! recover outputs of layers[*] by least_squares(calib)
//! ```

use std::sync::Arc;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, SiteId, Weight};
use crate::observe::{RecoverOutputs, recovered_names};
use crate::pass;
use crate::pass::{Finding, Findings, Lowering, Pass, Recovery, Rewrite, Scorer, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::weights::{Expr, Version};

pass! {
    /// Changes the output projections of attention and feed-forward so that they give what the recipe's input model gave, as far as
    /// what is left of their inputs allows. No gradient is taken, and shapes stay.
    ///
    /// The model and the input model run side by side on the data. Projections are fitted in the order in which they run, each to
    /// what comes through those that were fitted before it. It belongs behind the steps that take something out: `sparsify` before it would lose its zeros to `least_squares`, which is an error;
    /// `mask_tuning` and `bias_compensation` keep them.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// recover outputs of layers[*] by least_squares(calib)
    /// ```
    Recover = "recover" ["outputs"]
    {
        /// How outputs are fitted.
        By method: Scorer,
    }
    with {}
}

impl Pass for Recover {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let recovery = self.method.recovery()?;
        if !step.graph.reductions().is_empty() {
            let message =
                "outputs are held against the input model's, token by token, and tokens became fewer above";
            let error = Diagnostic::at(&codes::TOKENS_REDUCED, step.verb, message);
            return Err(error.help("recover first, and reduce tokens behind it"));
        }
        let (sites, places) = (step.sites(), step.graph.places());
        for path in &sites {
            let site = places.site(path).expect("targets are resolved in this graph");
            self.refuse(step, &*recovery, path, site)?;
        }
        let work = Arc::new(RecoverOutputs::new(step.graph, recovery, &sites));
        let rewrite = Arc::new(ReplaceOutputs { sites, method: self.method.criterion.describe() });
        Ok(Lowering { stages: vec![Stage { work: vec![work], rewrite }], ..Lowering::default() })
    }
}

impl Recover {
    /// What cannot be fitted.
    fn refuse(
        &self,
        step: &StepScope<'_>,
        recovery: &dyn Recovery,
        path: &str,
        site: SiteId,
    ) -> Result<(), Diagnostic> {
        let of = &step.graph.sites[site];
        let Weight::Dense(view) = &of.weight else {
            let message = format!("`{path}` is two factors, and `recover` fits one matrix");
            let error = step.at(ClauseKind::Of, &codes::FACTORED, message);
            return Err(error.help("recover before `factorize`; `by svd_llm` fits its factors itself"));
        };
        if !view.fixed.is_empty() {
            let message = format!("`{path}` is a part of a fused tensor, which `recover` cannot change");
            return Err(step.at(ClauseKind::Of, &codes::FACTORED, message));
        }
        if of.sparsity.is_some() && !recovery.keeps_zeros() {
            let message = format!("`{}` would fill the zeros of `{path}`", self.method.spec.name);
            let error = step.at(ClauseKind::By, &codes::UNDOES_STEP, message);
            return Err(error.help("recover before `sparsify`, or `by mask_tuning`, which keeps zeros"));
        }
        if recovery.needs_bias() && of.bias.is_none() {
            let message = format!("`{path}` has no bias for `{}` to change", self.method.spec.name);
            let error = step.at(ClauseKind::By, &codes::NOT_IN_MODEL, message);
            return Err(error.help("`by least_squares` changes weights"));
        }
        Ok(())
    }
}

/// Puts fitted projections in the place of those that were there.
#[derive(Debug)]
struct ReplaceOutputs {
    /// Paths of the projections.
    sites: Vec<String>,
    /// How they are fitted, as written.
    method: String,
}

impl Rewrite for ReplaceOutputs {
    fn describe(&self) -> String {
        format!("{} fitted", numbers::things(self.sites.len(), "output"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "recover": self.sites, "method": self.method })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn effect(&self, _: &mut Graph) {}

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let checkpoint = Arc::new(Checkpoint::open(dir.expect("outputs come with what was fitted"))?);
        let places = version.graph.places();
        for path in &self.sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let of = version.graph.sites[site].clone();
            for (name, view) in recovered_names(path).iter().zip(of.views()) {
                let stored = checkpoint.tensors[name].clone();
                let checkpoint = Arc::clone(&checkpoint);
                version.replace(view.param, Arc::new(Expr::Stored { checkpoint, stored }));
            }
        }
        Ok(())
    }
}
