//! `asvd`: a decomposition that minds which inputs are large.

use std::sync::Arc;

use serde_json::json;

use crate::criterion;
use crate::observe::{FactorOnData, Statistic, Whiten};
use crate::pass::{Criterion, Data, Factorizing, Ratio, Work};
use crate::tensor::whitening::Whitening;

criterion! {
    /// The singular value decomposition of a weight whose inputs were scaled by their mean sizes to a power (ASVD).
    ///
    /// `S = diag(a^alpha + 1e-6)`, where `a` is the mean absolute value of an input over the tokens of a sample, summed over
    /// samples. Each layer sees what comes through the layers before it that were taken apart. The paper's search for the rank of each layer is not done: ranks are
    /// what `to` says.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 32)
    /// factorize weights of layers[*].mlp by asvd(calib) to 60% params
    /// ```
    ///
    /// ASVD: Activation-aware Singular Value Decomposition for Compressing Large Language Models, arXiv:2312.05821.
    Asvd = "asvd"
    {
        /// What the model is shown.
        data: Data,
        /// The power that mean sizes are raised to.
        alpha: Ratio = "50%",
    }
}

impl Criterion for Asvd {
    fn describe(&self) -> String {
        format!("asvd({}, alpha: {})", self.data.reader.describe(), self.alpha.0)
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn decomposes(&self) -> bool {
        true
    }

    fn factorize(&self, asked: &Factorizing<'_>) -> Option<Arc<dyn Work>> {
        let whiten = Arc::new(BySizes { alpha: self.alpha.0 });
        Some(Arc::new(FactorOnData::new(asked, self.data.clone(), whiten)))
    }
}

#[derive(Debug)]
struct BySizes {
    alpha: f64,
}

impl Whiten for BySizes {
    fn statistic(&self) -> Statistic {
        Statistic::MeanAbsolutes
    }

    fn whitening(&self, seen: &[f64], _: usize) -> Option<Whitening> {
        let scales: Vec<f64> = seen.iter().map(|size| size.powf(self.alpha) + 1e-6).collect();
        scales.iter().all(|scale| scale.is_finite()).then_some(Whitening::Diagonal(scales))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "sizes to the power": self.alpha })
    }
}
