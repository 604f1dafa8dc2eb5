//! `reconstruction`: the set of experts with which a layer's output changes least.

use std::sync::Arc;

use crate::criterion;
use crate::observe::experts::{ChooseSubset, MOST_SUBSETS, subsets};
use crate::pass::{Choosing, Criterion, Data, Work};

criterion! {
    /// Tries every set of experts that may stay, and keeps the one whose output is nearest to that of all experts: the least sum of
    /// squared differences over the tokens of the data. Each layer is looked at by itself, on what the whole model gives it.
    ///
    /// Each expert runs once for every token; what a set makes of them is then a matter of gates. Above 10,000 sets of a layer it is
    /// refused.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by reconstruction(calib) keep 3
    /// ```
    ///
    /// Not All Experts are Equal, arXiv:2402.14800, there with the norm of each batch instead of one sum of squares.
    Reconstruction = "reconstruction"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for Reconstruction {
    fn describe(&self) -> String {
        format!("reconstruction({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn choose(&self, asked: &Choosing<'_>) -> Result<Option<Arc<dyn Work>>, [String; 2]> {
        let places = asked.graph.places();
        for (path, &keep) in asked.keep {
            let axis = places.axis(path).expect("targets are resolved in this graph");
            let all = asked.graph.extent(axis).max;
            if subsets(all, keep).is_none() {
                let message =
                    format!("`{path}` has more than {MOST_SUBSETS} sets of {keep} of {all} experts");
                let help = "`by reap(…)` and `by frequency(…)` score experts one by one";
                return Err([message, help.into()]);
            }
        }
        Ok(Some(Arc::new(ChooseSubset::new(asked.graph, self.data.clone(), asked.keep))))
    }
}
