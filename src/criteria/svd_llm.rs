//! `svd_llm`: a decomposition whose error is that of the output.

use std::sync::Arc;

use serde_json::json;

use crate::criterion;
use crate::observe::{FactorOnData, Statistic, Whiten};
use crate::pass::{Criterion, Data, Factorizing, Work};
use crate::tensor::whitening::Whitening;

criterion! {
    /// The singular value decomposition of a weight whose inputs were made white, so that what is cut off is what changes its
    /// output over the data least (SVD-LLM).
    ///
    /// `S` is the lower Cholesky factor of the products of inputs, and the squared error of the output is the sum of the squares of
    /// the singular values that were cut off. Layers are taken apart one after the other, each by what comes through those
    /// before it: of all factors of that rank these are the best for these inputs.
    ///
    /// With `update`, layers are taken apart by what came through the dense ones before them, and the outer factors are then fitted
    /// to what comes through those that were taken apart, in the order of the paper. Its fine-tuning is not done.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 256)
    /// factorize weights of layers[*] by svd_llm(calib) to 80% params
    /// ```
    ///
    /// SVD-LLM: Truncation-aware Singular Value Decomposition for Large Language Model Compression, arXiv:2403.07378.
    SvdLlm = "svd_llm"
    {
        /// What the model is shown.
        data: Data,
        /// Whether to whiten by the dense model's inputs and fit outer factors to the compressed one's.
        update: bool = "false",
    }
}

impl Criterion for SvdLlm {
    fn describe(&self) -> String {
        let update = if self.update { ", update: true" } else { "" };
        format!("svd_llm({}{update})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn decomposes(&self) -> bool {
        true
    }

    fn factorize(&self, asked: &Factorizing<'_>) -> Option<Arc<dyn Work>> {
        Some(Arc::new(FactorOnData::new(
            asked,
            self.data.clone(),
            Arc::new(ByProducts { update: self.update }),
        )))
    }
}

#[derive(Debug)]
struct ByProducts {
    update: bool,
}

impl Whiten for ByProducts {
    fn statistic(&self) -> Statistic {
        Statistic::Products
    }

    fn whitening(&self, seen: &[f64], inputs: usize) -> Option<Whitening> {
        Whitening::of_products(seen, inputs)
    }

    fn refits(&self) -> bool {
        self.update
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "products": { "update": self.update } })
    }
}
