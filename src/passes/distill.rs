//! `distill`: weights trained to answer, and to look inside, as the input model does.
//!
//! ```tamis
//! distill weights from input on train for 2 epochs
//! ```

use crate::diagnostic::{Diagnostic, codes};
use crate::observe::{Adapter, Layers, Parts, Terms, has_logits, lowering};
use crate::pass::{Data, Factor, Length, Lowering, Pass, Positive, StepScope, Teachers};
use crate::syntax::ast::ClauseKind;
use crate::{pass, training_options};

training_options! {
    pass {
        /// Trains weights to do as the recipe's input model does on the data: what pruning took is learned back from what it was.
        ///
        /// The loss is a sum of terms, each times what it counts. `logits` compares predictions, softened by `temperature`, and is
        /// what is compared where nothing else is said; of a model that predicts nothing it is `hidden`, the layers' outputs. `labels`
        /// adds the loss on the true classes or next tokens. `attention` compares who attends to whom, `relations` queries, keys
        /// and values each with themselves. Where layers are of other widths than the teacher's, `hidden` learns a map between them, which is forgotten
        /// afterwards; where there are fewer, each stands beside the one at the same share of the depth.
        ///
        /// Zeros stay zero, and without `of` every tensor is trained, as in `tune`.
        ///
        /// ```tamis
        /// data train = text("train.jsonl", label: "label")
        /// prune heads, neurons of layers[*] by magnitude to 50% flops
        /// distill weights from input on train for 2 epochs with { logits: 1, labels: 0.1, temperature: 2 }
        /// distill weights from input on train for 500 steps with { hidden: 1, relations: 1, layers: last }
        /// ```
        ///
        /// Hinton et al., arXiv:1503.02531; FitNets, arXiv:1412.6550; MiniLM, arXiv:2002.10957 and arXiv:2012.15828.
        Distill = "distill" ["weights"]
        {
            /// The model that is learned from, or several, whose losses are averaged.
            From teachers: Teachers,
            /// What both are shown.
            On data: Data,
            /// How long.
            For length: Length,
        }
    }
    with {
        /// What the divergence of predictions counts; where nothing is said 1 of a model that gives logits.
        logits: Option<Factor>,
        /// By what logits are divided before they are compared.
        temperature: Positive = "1",
        /// What the loss on labels, or on next tokens, counts.
        labels: Factor = "0",
        /// What the mean squared difference of the layers' outputs counts; where nothing is said 1 of a model without logits.
        hidden: Option<Factor>,
        /// What the divergence of attention, as queries and keys say, counts.
        attention: Factor = "0",
        /// What the divergence of the relations among queries, among keys and among values counts.
        relations: Factor = "0",
        /// What the unevenness of the load of experts counts, where layers have routers: it is `top_k` where all rows of a router are
        /// chosen as often. Each null expert counts with their mean (AdaMoE, arXiv:2406.13233).
        balance: Factor = "0",
        /// The layers that `hidden`, `attention` and `relations` compare.
        layers: Layers = "all",
        /// What is trained in the place of whole matrices, to be merged into them.
        adapter: Option<Adapter>,
    }
}

impl Pass for Distill {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let inside = self.attention.0 + self.relations.0 > 0.0;
        let predicts = has_logits(step.graph);
        let or = |factor: Option<Factor>, default: bool| {
            factor.map_or(f64::from(u8::from(default)), |Factor(it)| it)
        };
        let terms = Terms {
            labels: self.labels.0,
            smoothing: 0.0,
            logits: or(self.logits, predicts),
            temperature: self.temperature.0,
            hidden: or(self.hidden, !predicts && !inside),
            attention: self.attention.0,
            relations: self.relations.0,
            balance: self.balance.0,
            layers: self.layers,
        };
        if !terms.needs_teacher() {
            let message = "every term that compares with the teacher counts 0";
            let error = step.at(ClauseKind::With, &codes::NO_LOSS, message);
            return Err(error.help("`tune` trains on labels alone"));
        }
        lowering(
            step,
            self.regimen(self.data.clone(), self.length),
            terms,
            &self.teachers.0,
            Parts { adapter: self.adapter.as_ref(), spending: None },
        )
    }
}
