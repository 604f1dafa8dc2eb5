//! `tune`: weights trained further on labels, or on the next token.
//!
//! ```tamis
//! tune weights on train for 2 epochs with { optimizer: adamw(3e-4) }
//! ```

use crate::diagnostic::Diagnostic;
use crate::observe::{Adapter, Parts, Spending, Terms, lowering};
use crate::pass::{Count, Data, Factor, Length, Lowering, Pass, Ratio, StepScope};
use crate::{pass, training_options};

training_options! {
    pass {
        /// Trains weights on labelled samples, or a language model on its next tokens. Shapes and zeros stay: what an earlier step made
        /// zero is zero afterwards, to the weight.
        ///
        /// Without `of` every tensor is trained: norms, biases and embeddings too. With `of` the selected matrices and their biases
        /// are.
        ///
        /// Weights are trained in f32 and rounded to their stored types at the end. The same recipe gives the same bytes, for any
        /// number of threads; a run that was stopped goes on where its last state was kept.
        ///
        /// ```tamis
        /// data train = text("train.jsonl", label: "label")
        /// prune heads, neurons of layers[*] by magnitude to 50% flops
        /// tune weights on train for 2 epochs with { optimizer: adamw(3e-4), schedule: cosine, warmup: 10% }
        /// tune weights of layers[*].attention on train for 500 steps with { adapter: lowrank(8) }
        /// ```
        Tune = "tune" ["weights"]
        {
            /// What it is trained on.
            On data: Data,
            /// How long.
            For length: Length,
        }
    }
    with {
        /// The probability that is not of the label, but of all classes alike.
        smoothing: Ratio = "0%",
        /// What the unevenness of the load of experts counts, where layers have routers: it is `top_k` where all rows of a router are
        /// chosen as often. Each null expert counts with their mean (AdaMoE, arXiv:2406.13233).
        balance: Factor = "0",
        /// What is trained in the place of whole matrices, to be merged into them; norms, biases and embeddings stay then.
        adapter: Option<Adapter>,
        /// The share of the FLOPs of training every tensor that may be spent: those whose gradients are worth most are trained
        /// (GreenTrainer, arXiv:2309.13192).
        spend: Option<Ratio>,
        /// Epochs between choices of what is trained under `spend`.
        choose_every: Count = "2",
    }
}

impl Pass for Tune {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let regimen = self.regimen(self.data.clone(), self.length);
        let spending = self.spend.map(|Ratio(share)| Spending { share, epochs: self.choose_every.0 });
        let parts = Parts { adapter: self.adapter.as_ref(), spending };
        let terms = Terms { balance: self.balance.0, ..Terms::of_labels(self.smoothing.0) };
        lowering(step, regimen, terms, &[], parts)
    }
}
