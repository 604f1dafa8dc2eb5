//! `gate_ratio`: where the second of two experts hardly counts.

use std::sync::Arc;

use crate::criterion;
use crate::graph::Graph;
use crate::observe::experts::MedianRatios;
use crate::pass::{Criterion, Data, Work};

criterion! {
    /// The median, over the tokens of the data, of the second gate divided by the first, layer by layer.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// skip experts of layers[*] by gate_ratio(calib)
    /// ```
    ///
    /// Not All Experts are Equal, arXiv:2402.14800.
    GateRatio = "gate_ratio"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for GateRatio {
    fn describe(&self) -> String {
        format!("gate_ratio({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn skipping(&self, graph: &Graph, axes: &[String]) -> Option<Arc<dyn Work>> {
        Some(Arc::new(MedianRatios::new(graph, self.data.clone(), axes)))
    }
}
