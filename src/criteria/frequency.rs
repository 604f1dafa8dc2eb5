//! `frequency`: how often a router chooses an expert.

use std::collections::BTreeMap;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::observe::experts::{Look, look};
use crate::pass::{Context, Criterion, Data, UnitScores};

criterion! {
    /// How many tokens of the data a router sends to an expert.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by frequency(calib) keep 50%
    /// ```
    Frequency = "frequency"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for Frequency {
    fn describe(&self) -> String {
        format!("frequency({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for Frequency {
    fn takes(&self, noun: &str) -> bool {
        noun == "experts"
    }

    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let looked = look(at, &self.data, axes, Look::default())?;
        Ok(looked.into_iter().map(|(path, looked)| (path, looked.counts)).collect())
    }
}
