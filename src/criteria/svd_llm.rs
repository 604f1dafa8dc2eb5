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
    /// before it. Of all factors of that rank these are the best for these inputs: the paper's second step, which fits the
    /// outer factor anew to them, would change nothing. Its fine-tuning is not done.
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
    }
}

impl Criterion for SvdLlm {
    fn describe(&self) -> String {
        format!("svd_llm({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn decomposes(&self) -> bool {
        true
    }

    fn factorize(&self, asked: &Factorizing<'_>) -> Option<Arc<dyn Work>> {
        Some(Arc::new(FactorOnData::new(asked, self.data.clone(), Arc::new(ByProducts))))
    }
}

#[derive(Debug)]
struct ByProducts;

impl Whiten for ByProducts {
    fn statistic(&self) -> Statistic {
        Statistic::Products
    }

    fn whitening(&self, seen: &[f64], inputs: usize) -> Option<Whitening> {
        Whitening::of_products(seen, inputs)
    }

    fn arguments(&self) -> serde_json::Value {
        json!("products")
    }
}
