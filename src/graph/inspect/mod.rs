//! A model for people and for programs: its tree with axes, parameters and costs.

mod axes;
mod lines;
mod text;

use serde_json::{Value, json};

use super::axis::{AxisId, Role};
use super::between::Between;
use super::param::Param;
use super::{Cost, Graph};

/// Of the JSON; rises when something there changes its meaning.
const SCHEMA: u32 = 1;

impl Graph {
    /// The tree as text, alike neighbours folded into one, for 100 columns.
    pub fn inspect_text(&self, batch: u64) -> String {
        text::text(self, batch)
    }

    /// Counts, axes and parameters as JSON. A number that is not known yet is `{"min", "max"}`.
    pub fn inspect_json(&self, batch: u64) -> Value {
        let cost = self.cost(batch);
        let Cost { params, macs, bytes, .. } = cost;
        let parameters = self.weights().map(|(_, param)| self.param_json(param));
        let buffers = self.params.iter().filter(|(_, param)| param.buffer);
        let axes = self.axes.iter().filter(|(_, axis)| axis.role != Role::Fixed);
        json!({
            "schema": SCHEMA,
            "family": self.family,
            "batch": batch,
            "tokens": self.text_tokens().map(|axis| number(self.extent(axis).into())),
            "params": number(params),
            "active_params": self.active_params().map(number),
            "macs": number(macs),
            "flops": number(cost.flops()),
            "bytes": number(bytes),
            "axes": axes.map(|(id, _)| self.axis_json(id)).collect::<Vec<_>>(),
            "parameters": parameters.collect::<Vec<_>>(),
            "buffers": buffers.map(|(_, param)| self.param_json(param)).collect::<Vec<_>>(),
        })
    }

    fn axis_json(&self, id: AxisId) -> Value {
        let axis = &self.axes[id];
        json!({ "path": self.axis_path(id), "role": axis.role, "extent": number(axis.extent.into()) })
    }

    /// `axes` has a list of paths for each stored dimension.
    fn param_json(&self, param: &Param) -> Value {
        let extents = |axes: &[AxisId]| -> Between {
            let one = Between::exact(1);
            axes.iter().fold(one, |product, &axis| product * Between::from(self.extent(axis)))
        };
        let shape: Vec<Value> = param.dims.iter().map(|dim| number(extents(&dim.0))).collect();
        let paths = |axes: &[AxisId]| -> Vec<String> {
            let named = axes.iter().filter(|&&axis| self.axes[axis].role != Role::Fixed);
            named.map(|&axis| self.axis_path(axis)).collect()
        };
        let axes: Vec<Vec<String>> = param.dims.iter().map(|dim| paths(&dim.0)).collect();
        json!({ "name": param.name.resolve(), "dtype": param.dtype, "shape": shape, "axes": axes })
    }
}

fn number(between: Between) -> Value {
    match between.known() {
        Some(number) => number.into(),
        None => json!({ "min": between.min, "max": between.max }),
    }
}
