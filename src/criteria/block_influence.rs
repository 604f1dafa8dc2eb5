//! `block_influence`: how much a layer turns what goes through it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::observe::{cosine, read_batches};
use crate::pass::{Context, Criterion, Data, UnitScores};
use crate::runtime::op::Host;
use crate::runtime::{Failure, Model, Value, Watch};

criterion! {
    /// One less the cosine between what goes into a layer and what comes out of it, as a mean over tokens (ShortGPT): a layer
    /// that turns nothing can go.
    ///
    /// Both are taken from the residual stream, before any norm behind the last layer, and over real tokens only.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 64)
    /// drop layers by block_influence(calib) remove 1
    /// ```
    ///
    /// ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, arXiv:2403.03853, equation 1.
    BlockInfluence = "block_influence"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for BlockInfluence {
    fn describe(&self) -> String {
        format!("block_influence({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for BlockInfluence {
    fn takes(&self, noun: &str) -> bool {
        noun == "layers"
    }

    fn score(&self, at: &Context<'_>, paths: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let graph = &at.version.graph;
        let batches = read_batches(at, &self.data, None)?;
        let mut turned = Turned { sums: vec![0.0; graph.blocks.len()], rows: 0 };
        Model::new(at.version).run(&batches, &mut turned).map_err(Failure::told)?;
        let rows = turned.rows.max(1) as f64 / graph.blocks.len().max(1) as f64;
        let scores: Vec<f64> = turned.sums.iter().map(|sum| sum / rows).collect();
        Ok(paths.iter().map(|path| (path.clone(), scores.clone())).collect())
    }
}

/// Sums over tokens of one less the cosine, by layer.
struct Turned {
    sums: Vec<f64>,
    /// Rows of all layers.
    rows: usize,
}

impl Watch for Turned {
    fn block(&mut self, number: usize, before: &Value, after: &Value) -> Result<(), Failure> {
        let (before, after) = (before.tensor.contiguous()?, after.tensor.contiguous()?);
        let (rows, width) = before.dims2()?;
        let (before, after) = (Host::of(&before)?, Host::of(&after)?);
        let pairs = before.values().par_chunks(width).zip(after.values().par_chunks(width));
        let turned: Vec<f64> = pairs.map(|(before, after)| 1.0 - cosine(before, after)).collect();
        self.sums[number] += turned.iter().sum::<f64>();
        self.rows += rows;
        Ok(())
    }
}
