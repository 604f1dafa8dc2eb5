//! `weights`: experts whose weights are near each other are alike.

use std::sync::Arc;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, Data, Grouping, Seen, Sight};
use crate::tensor::linkage::average_linkage;

criterion! {
    /// Puts experts into groups by the distances of their weights, average linkage, without data. Unless the step says
    /// `align: none`, all are first brought into the order of neurons in which they are most like the layer's first expert.
    ///
    /// ```tamis
    /// merge experts of layers[*] by weights into 2
    /// ```
    Weights = "weights"
    {
    }
}

impl Criterion for Weights {
    fn describe(&self) -> String {
        "weights".into()
    }

    fn grouping(&self) -> Option<Arc<dyn Grouping>> {
        Some(Arc::new(self.clone()))
    }
}

impl Grouping for Weights {
    fn data(&self) -> Option<&Data> {
        None
    }

    fn sight(&self) -> Sight {
        Sight::Weights
    }

    fn groups(&self, seen: &Seen<'_>, into: usize) -> Result<Vec<usize>, Diagnostic> {
        Ok(average_linkage(seen.distances, seen.experts, into))
    }
}
