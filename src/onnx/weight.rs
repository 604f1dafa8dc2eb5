//! The weights of a graph of ONNX: parts of tensors, each once, read when they are written.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Diagnostic;
use crate::graph::{Dim, Graph, View};
use crate::weights::Version;

/// The form in which an operation wants a part of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `[out, in]`; `transposed` says that the file has it the other way round.
    Rows { transposed: bool },
    /// `[in, out]`, which a product of rows wants.
    Columns { transposed: bool },
    /// All elements in the order of the file, in this shape.
    Shaped(Vec<usize>),
}

/// One weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightKey {
    pub view: View,
    pub form: Form,
}

/// A weight of the graph, to be read later.
#[derive(Debug, Clone)]
pub struct Weight {
    pub name: String,
    pub dims: Vec<usize>,
    key: WeightKey,
}

/// Param, fixed elements and form: what tells a weight from others.
type Order = (usize, Vec<(usize, usize)>, Form);

/// Weights in the order in which they were asked for first.
#[derive(Debug, Default)]
pub struct Weights {
    pub all: Vec<Weight>,
    known: BTreeMap<Order, usize>,
    names: BTreeSet<String>,
}

impl WeightKey {
    fn order(&self) -> Order {
        let fixed = self.view.fixed.iter().map(|&(axis, at)| (axis.index(), at)).collect();
        (self.view.param.index(), fixed, self.form.clone())
    }

    fn dims(&self, graph: &Graph) -> Vec<usize> {
        let matrix = |transposed: bool| {
            let (out, inputs) = graph.matrix_dims(&self.view, transposed);
            let extent = |dim: &Dim| graph.dim_extent(dim);
            [extent(&out), extent(&inputs)]
        };
        match &self.form {
            Form::Rows { transposed } => matrix(*transposed).into(),
            Form::Columns { transposed } => {
                let [out, inputs] = matrix(*transposed);
                vec![inputs, out]
            }
            Form::Shaped(dims) => dims.clone(),
        }
    }

    /// The checkpoint's name, with the part where it is one: `h.0.attn.c_attn.weight[qkv=1].T`.
    fn name(&self, graph: &Graph) -> String {
        let mut name = graph.params[self.view.param].name.resolve();
        for (axis, at) in &self.view.fixed {
            name.push_str(&format!("[{}={at}]", graph.axes[*axis].role));
        }
        match self.form {
            Form::Columns { transposed: false } | Form::Rows { transposed: true } => name + ".T",
            _ => name,
        }
    }
}

impl Weights {
    /// The name of a weight, which is noted where it is new.
    pub fn name(&mut self, graph: &Graph, key: WeightKey) -> String {
        let at = *self.known.entry(key.order()).or_insert_with(|| {
            let mut name = key.name(graph);
            // One tensor in two shapes.
            while !self.names.insert(name.clone()) {
                name.push('\'');
            }
            self.all.push(Weight { name, dims: key.dims(graph), key });
            self.all.len() - 1
        });
        self.all[at].name.clone()
    }

    /// Whether a part is there as rows already: a table that is a head too.
    pub fn has(&self, view: &View, form: &Form) -> bool {
        self.known.contains_key(&WeightKey { view: view.clone(), form: form.clone() }.order())
    }
}

impl Weight {
    /// Bytes of the elements as they are written.
    pub fn bytes(&self) -> u64 {
        self.dims.iter().map(|&dim| dim as u64).product::<u64>() * size_of::<f32>() as u64
    }

    /// Reads it, as little-endian f32.
    ///
    /// # Errors
    /// Where its file cannot be read, or holds what is not finite.
    pub fn read(&self, version: &Version) -> Result<Vec<u8>, Diagnostic> {
        let (transposed, turned) = match self.key.form {
            Form::Rows { transposed } => (transposed, false),
            Form::Columns { transposed } => (transposed, true),
            Form::Shaped(_) => (false, false),
        };
        let values = version.view_matrix(&self.key.view, transposed)?;
        Ok(match self.dims.as_slice() {
            &[inputs, out] if turned => turned_bytes(&values, out, inputs),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }
}

/// The bytes of a matrix turned about: columns become rows.
fn turned_bytes(values: &[f32], rows: usize, columns: usize) -> Vec<u8> {
    const SIZE: usize = size_of::<f32>();
    // Small squares stay in the cache, where whole rows and columns would throw each other out.
    const SIDE: usize = 32;
    let mut bytes = vec![0; values.len() * SIZE];
    for top in (0..rows).step_by(SIDE) {
        for left in (0..columns).step_by(SIDE) {
            for column in left..(left + SIDE).min(columns) {
                for row in top..(top + SIDE).min(rows) {
                    let value = values[row * columns + column].to_le_bytes();
                    bytes[(column * rows + row) * SIZE..][..SIZE].copy_from_slice(&value);
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_turned_about() {
        let (rows, columns) = (35, 70);
        let values: Vec<f32> = (0..rows * columns).map(|at| at as f32).collect();
        let turned = turned_bytes(&values, rows, columns);
        let at = |column: usize, row: usize| {
            f32::from_le_bytes(turned[(column * rows + row) * 4..][..4].try_into().unwrap())
        };
        assert!(
            (0..rows).all(|row| (0..columns).all(|column| at(column, row) == values[row * columns + column]))
        );
    }
}
