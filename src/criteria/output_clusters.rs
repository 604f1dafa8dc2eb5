//! `output_clusters`: experts that make the same of all tokens are alike.

use std::sync::Arc;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, Data, Grouping, Seen, Sight};
use crate::tensor::linkage::{average_linkage, euclidean};

criterion! {
    /// Puts experts into groups by what each makes of all tokens on average, whether or not they are sent to it: the two nearest
    /// clusters become one until few enough are left, their distance the mean over all pairs.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// merge experts of layers[*] by output_clusters(calib) into 3
    /// ```
    ///
    /// Retraining-Free Merging of Sparse MoE via Hierarchical Clustering, arXiv:2410.08589.
    OutputClusters = "output_clusters"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for OutputClusters {
    fn describe(&self) -> String {
        format!("output_clusters({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn grouping(&self) -> Option<Arc<dyn Grouping>> {
        Some(Arc::new(self.clone()))
    }
}

impl Grouping for OutputClusters {
    fn data(&self) -> Option<&Data> {
        Some(&self.data)
    }

    fn sight(&self) -> Sight {
        Sight::Outputs
    }

    fn groups(&self, seen: &Seen<'_>, into: usize) -> Result<Vec<usize>, Diagnostic> {
        let width = seen.outputs.len() / seen.experts.max(1);
        Ok(average_linkage(&euclidean(seen.outputs, width), seen.experts, into))
    }
}
