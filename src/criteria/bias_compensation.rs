//! `bias_compensation`: biases that make up for the mean of what is gone.

use std::sync::Arc;

use serde_json::json;

use crate::criterion;
use crate::pass::{Aim, Criterion, Data, Equations, Projected, Recovery};

criterion! {
    /// Adds to the biases of output projections what they give less on average than the input model's.
    ///
    /// What a head or a neuron that was taken out gave is, in the mean over the data, given by the bias. Projections are mended one
    /// after the other. Models without biases there, as Llama, have nothing to put it in.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// prune neurons of layers[*] by magnitude remove 20%
    /// recover outputs of layers[*] by bias_compensation(calib)
    /// ```
    BiasCompensation = "bias_compensation"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for BiasCompensation {
    fn describe(&self) -> String {
        format!("bias_compensation({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn recovery(&self) -> Option<Arc<dyn Recovery>> {
        Some(Arc::new(self.clone()))
    }
}

impl Recovery for BiasCompensation {
    fn data(&self) -> &Data {
        &self.data
    }

    fn aim(&self) -> Aim {
        Aim::Output
    }

    fn keeps_zeros(&self) -> bool {
        true
    }

    fn needs_bias(&self) -> bool {
        true
    }

    fn fit(&self, seen: &Equations, projection: &mut Projected) -> Result<bool, String> {
        let bias = projection.bias.as_mut().expect("it is refused where there is none");
        for (bias, missing) in bias.iter_mut().zip(&seen.missing) {
            *bias = (f64::from(*bias) + missing / seen.rows.max(1.0)) as f32;
        }
        Ok(true)
    }

    fn arguments(&self) -> serde_json::Value {
        json!("bias compensation")
    }
}
