//! `image(...)`: pictures, prepared as the model's own preprocessor config says.

use std::path::PathBuf;

use super::source;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Count, DataKind, For, Placed, Reader, Samples};
use crate::reader;

reader! {
    /// Pictures from IDX files or folders, prepared as the model's `preprocessor_config.json` says.
    Image = "image" of Image
    {
        /// The directory.
        path: Placed<String>,
        /// The part of the data set.
        split: Option<Placed<String>>,
        /// How many samples are taken: all where nothing is said.
        samples: Option<Placed<Count>>,
        /// What shuffling starts from.
        seed: u64 = "0",
        /// Whether samples are drawn in random order.
        shuffle: bool = "false",
    }
}

impl Reader for Image {
    fn describe(&self) -> String {
        let mut said = source::Said::new("image", &self.path.value);
        said.text("split", self.split.as_ref());
        said.number("samples", self.samples.as_ref().map(|it| it.value.0 as u64));
        said.number("shuffle", self.shuffle.then_some(self.seed));
        said.finish()
    }

    fn kind(&self) -> DataKind {
        SPEC.kind
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn look(&self) -> Result<(), Diagnostic> {
        source::names(&self.path).map(drop)
    }

    fn has_labels(&self) -> bool {
        true
    }

    fn samples(&self, _: &For<'_>) -> Result<Samples, Diagnostic> {
        Err(self.path.wrong(&codes::DATA_UNFIT, "pictures are not read by this build"))
    }
}
