//! `taylor`: what an element's absence does to the loss, to first order.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::observe::{axes, gate_gradients, read_batches};
use crate::pass::{Context, Count, Criterion, Data, UnitScores};
use crate::{choice, criterion};

choice! {
    /// What becomes of the sum of `w dL/dw` over an element's weights.
    pub enum Order("an order") {
        /// Its absolute value.
        Absolute = "absolute",
        /// Its square, as in NViT.
        Square = "square",
    }
}

criterion! {
    /// The sum of weight times gradient over all weights of an element, with its sign until the end: the change of the loss to
    /// first order when the element goes.
    ///
    /// The sum over the weights that read an element, of the products of weight and gradient, is the gradient by a gate on
    /// the element; that is how it is computed. Signs cancel within an element, as they should: parts that undo each other do
    /// not matter. The gradient is that of the mean loss over all samples.
    ///
    /// ```tamis
    /// data train = text("train.jsonl", label: "label", samples: 512)
    /// prune neurons of layers[*] by taylor(train) keep 50%
    /// ```
    ///
    /// Global Vision Transformer Pruning with Hessian-Aware Saliency, arXiv:2110.04869, equation of the group saliency; LLM-Pruner,
    /// arXiv:2305.11627, its vector-wise importance.
    Taylor = "taylor"
    {
        /// Samples with labels; of a language model, text.
        data: Data,
        /// How many of them are taken; all where nothing is said.
        samples: Option<Count>,
        /// What becomes of the sum.
        order: Order = "square",
    }
}

impl Criterion for Taylor {
    fn describe(&self) -> String {
        let samples = self.samples.map_or_else(String::new, |Count(samples)| format!(", samples: {samples}"));
        let order = match self.order {
            Order::Absolute => "absolute",
            Order::Square => "square",
        };
        format!("taylor({}{samples}, order: {order})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for Taylor {
    fn takes(&self, noun: &str) -> bool {
        !matches!(noun, "layers" | "experts" | "vocab")
    }

    fn score(&self, at: &Context<'_>, paths: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let axes = axes(&at.version.graph, paths);
        let batches = read_batches(at, &self.data, self.samples.map(|Count(samples)| samples))?;
        let asked: Vec<_> = axes.values().copied().collect();
        let found = gate_gradients(at, &self.data, &batches, &asked, 1)?;
        let samples = found.samples.max(1) as f64;
        let of_sum = |sum: &f64| match self.order {
            Order::Absolute => (sum / samples).abs(),
            Order::Square => (sum / samples).powi(2),
        };
        let of_axis =
            |axis| found.sums.get(&axis).map_or_else(Vec::new, |sums| sums.iter().map(of_sum).collect());
        Ok(axes.into_iter().map(|(path, axis)| (path, of_axis(axis))).collect())
    }
}
