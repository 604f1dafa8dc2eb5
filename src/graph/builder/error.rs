//! What building finds wrong: disagreements between the config and the tensors.

use super::super::axis::{AxisId, Dim, Role};
use super::super::param::Name;
use super::Builder;
use crate::tensor::DType;

/// A disagreement between what the config says and what the checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildError {
    /// The config asks for a tensor that is not there.
    Missing { tensor: String, dims: String, member: Option<Member> },
    /// A tensor has another shape than the config says.
    Misshapen {
        tensor: String,
        found: Vec<usize>,
        dims: String,
        /// The config fields behind the dims that differ.
        keys: Vec<String>,
        /// The field and the value with which the tensor would fit.
        fits: Option<(String, usize)>,
    },
    /// A weight is stored as integers.
    NotFloat { tensor: String, dtype: DType },
    /// A tensor that the architecture has no place for.
    Extra { tensor: String, shape: Vec<usize>, member: Option<Member> },
    /// Two extents that an operation joins differ.
    Disagree { at: String, left: String, right: String, keys: Vec<String> },
}

/// The element of a list that a tensor belongs to: layer 7, which the config counts in `num_hidden_layers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub role: Role,
    pub key: Option<String>,
    pub index: usize,
}

impl Builder<'_> {
    /// The outermost list that a tensor of that name is in.
    pub(super) fn member_of(&self, name: &Name) -> Option<Member> {
        name.members().next().map(|(axis, index)| self.member_at(axis, index))
    }

    pub(super) fn member_at(&self, axis: AxisId, index: usize) -> Member {
        let axis = &self.graph.axes[axis];
        Member { role: axis.role, key: axis.key.clone(), index }
    }

    pub(super) fn misshapen(&self, tensor: &str, found: &[usize], dims: &[Dim]) -> BuildError {
        let wrong = |(dim, extent): &(&Dim, &usize)| self.graph.dim_extent(dim) != **extent;
        let differ: Vec<(&Dim, &usize)> = match found.len() == dims.len() {
            true => dims.iter().zip(found).filter(wrong).collect(),
            false => Vec::new(),
        };
        let fits = match differ.as_slice() {
            [(Dim(axes), extent)] if axes.len() == 1 => {
                self.graph.axes[axes[0]].key.clone().map(|key| (key, **extent))
            }
            _ => None,
        };
        let blamed: Vec<Dim> = match differ.is_empty() {
            true => dims.to_vec(),
            false => differ.into_iter().map(|(dim, _)| dim.clone()).collect(),
        };
        BuildError::Misshapen {
            tensor: tensor.into(),
            found: found.to_vec(),
            dims: self.graph.dims_text(dims),
            keys: self.keys(&blamed),
            fits,
        }
    }

    /// The config fields that gave the extents of these dims.
    pub(super) fn keys(&self, dims: &[Dim]) -> Vec<String> {
        let mut keys: Vec<String> = dims
            .iter()
            .flat_map(|dim| &dim.0)
            .filter_map(|&axis| self.graph.axes[axis].key.clone())
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}
