//! `patch_windows`: windows of a picture whose patches are alike become one token each (MustDrop).

use std::sync::Arc;

use crate::criterion;
use crate::graph::{PictureRule, ReductionRule};
use crate::pass::tokens::{Layer, Reducing};
use crate::pass::{Count, Criterion};

criterion! {
    /// In the vision tower of a model that reads a picture beside a text, a window of patches becomes one token, their mean, where
    /// the mean cosine of any two of them is `similarity` or more: by what goes into the layer that is named. Merged windows stand
    /// behind the class token, before the patches that stay.
    ///
    /// How many merge depends on each picture, so that `keep` and `remove` are not written, and costs are intervals. Each picture is
    /// merged by itself; the authors' code merges as many windows in all pictures of a batch, the fewest of any.
    ///
    /// The vision stage of MustDrop, arXiv:2411.10803, section 3.2: 3 x 3 patches after the first layer of CLIP.
    ///
    /// ```tamis
    /// merge tokens at vision.layers[1] by patch_windows(window: 3, similarity: 0.8)
    /// ```
    PatchWindows = "patch_windows"
    {
        /// Rows and columns of a window; they divide those of the picture.
        window: Count = "3",
        /// From which mean cosine on a window merges.
        similarity: f64 = "0.8",
    }
}

impl Criterion for PatchWindows {
    fn describe(&self) -> String {
        format!("patch_windows(window: {}, similarity: {})", self.window.0, self.similarity)
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for PatchWindows {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        let (window, similarity) = (self.window.0, self.similarity);
        // The grid is the model's.
        ReductionRule::Picture(PictureRule::MergeWindows { window, similarity, grid: [0, 0] })
    }

    fn decides(&self) -> bool {
        true
    }
}
