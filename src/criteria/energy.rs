//! `energy`: tokens that are like many others may merge, the others are protected (PiToMe).

use std::sync::Arc;

use crate::graph::{ByEnergy, EnergyKernel, EnergyPairing, ReductionRule};
use crate::pass::tokens::{Layer, Reducing};
use crate::pass::{Criterion, Told};
use crate::{choice, criterion};

choice! {
    /// Layers in which the most similar pairs of all tokens merge.
    pub enum Bipartite("a choice of layers") {
        /// None of them: algorithm 1 of the paper throughout.
        None = "none",
        /// The first half of the model's, rounded up, as the authors do for DeiT.
        FirstHalf = "first_half",
        /// The others, as the authors do for masked autoencoders.
        SecondHalf = "second_half",
    }
}

choice! {
    /// How energy is taken, and who is paired with whom.
    pub enum Form("a form") {
        /// As the paper says: tokens of high energy go by turns.
        Vision = "vision",
        /// As the authors do for BERT: each cosine adds `exp(-((1 - cosine) / d)^2 / 2) / (d sqrt(2 pi))` with `d = 1 - margin`, the
        /// tokens of the highest energy go into the next ones, and a merged token counts as one in later layers.
        Text = "text",
    }
}

criterion! {
    /// A token's energy is high where it is like many others: the mean over tokens of `f(cosine - margin)` of keys averaged over
    /// heads, with `f(v) = v` above 0 and `exp(v) - 1` below. Of the tokens of the highest energy every second goes into the most
    /// similar of the others; tokens of low energy, such as those of a small object, stay as they are.
    ///
    /// The margin falls from layer to layer, as `margin (1 - layer / layers)`.
    ///
    /// PiToMe, arXiv:2405.16148. Attention is not proportional unless the step says so, as in the authors' code. There are two more
    /// ways in that code. In some halves of the layers it pairs all tokens, sorted by energy, and merges the most similar pairs, as
    /// Token Merging does: `bipartite`. For texts it takes a Gaussian kernel, and sizes start anew in each layer: `form: text`.
    ///
    /// ```tamis
    /// merge tokens at layers[*] by energy keep 90%
    /// merge tokens at layers[*] by energy(bipartite: first_half) keep 90%
    /// ```
    Energy = "energy"
    {
        /// The margin of the first layer.
        margin: f64 = "0.75",
        /// Layers in which the most similar pairs of all tokens merge.
        bipartite: Bipartite = "none",
        /// How energy is taken, and who is paired with whom.
        form: Form = "vision",
    }
}

impl Criterion for Energy {
    fn describe(&self) -> String {
        let said = |choice: serde_json::Value| choice.as_str().unwrap_or_default().to_owned();
        let (bipartite, form) = (said(self.bipartite.told()), said(self.form.told()));
        format!("energy(margin: {}, bipartite: {bipartite}, form: {form})", self.margin)
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for Energy {
    fn rule(&self, layer: &Layer<'_>) -> ReductionRule {
        let left = 1.0 - layer.number as f64 / layer.of.max(1) as f64;
        let is_first = layer.number < layer.of.div_ceil(2);
        let (kernel, pairing) = match self.form {
            Form::Vision => (EnergyKernel::Elu, EnergyPairing::Alternate),
            Form::Text => (EnergyKernel::Gaussian, EnergyPairing::Halves),
        };
        let is_bipartite = match self.bipartite {
            Bipartite::None => false,
            Bipartite::FirstHalf => is_first,
            Bipartite::SecondHalf => !is_first,
        };
        ReductionRule::MergeByEnergy(ByEnergy {
            margin: self.margin * left,
            kernel,
            pairing: if is_bipartite { EnergyPairing::Closest } else { pairing },
            restart: self.form == Form::Text,
        })
    }
}
