//! Where elements lie: an axis inside a flat tensor, a matrix inside a fused one.

use super::Graph;
use super::axis::{AxisId, Dim};
use super::param::{Param, ParamId, SiteId, View};
use crate::tensor::MatrixView;

/// A flat index split around one axis: `index = (outer_index * extent + element) * inner + inner_index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    pub outer: usize,
    pub extent: usize,
    pub inner: usize,
}

impl Graph {
    /// The largest number of elements a dim can have; the number itself where extents are known.
    pub fn dim_extent(&self, dim: &Dim) -> usize {
        dim.0.iter().map(|&axis| self.extent(axis).max).product()
    }

    /// The stored shape; exact once extents are.
    pub fn shape(&self, param: &Param) -> Vec<usize> {
        param.dims.iter().map(|dim| self.dim_extent(dim)).collect()
    }

    /// Elements of the tensor.
    pub fn elements(&self, param: &Param) -> usize {
        self.shape(param).iter().product()
    }

    /// Where the axis lies in the flat tensor; `None` where the tensor does not carry it.
    pub fn factors(&self, param: &Param, axis: AxisId) -> Option<Factors> {
        let axes: Vec<AxisId> = param.dims.iter().flat_map(|dim| dim.0.iter().copied()).collect();
        let at = axes.iter().position(|&other| other == axis)?;
        let product = |axes: &[AxisId]| axes.iter().map(|&axis| self.extent(axis).max).product();
        Some(Factors {
            outer: product(&axes[..at]),
            extent: self.extent(axis).max,
            inner: product(&axes[at + 1..]),
        })
    }

    /// The axes of a view that are not fixed, by stored dim; dims that are wholly fixed are left out.
    pub fn free_dims(&self, view: &View) -> Vec<Dim> {
        let fixed = |axis: &AxisId| view.fixed.iter().any(|(other, _)| other == axis);
        self.params[view.param]
            .dims
            .iter()
            .map(|dim| Dim::new(dim.0.iter().copied().filter(|axis| !fixed(axis))))
            .zip(&self.params[view.param].dims)
            .filter(|(free, stored)| !free.0.is_empty() || stored.0.is_empty())
            .map(|(free, _)| free)
            .collect()
    }

    /// Output and input dims of a site's dense weight; a convolution's inputs are all dims but the first.
    pub fn site_dims(&self, site: SiteId) -> (Dim, Dim) {
        let site_ = &self.sites[site];
        let (out_view, in_view) = match &site_.weight {
            super::Weight::Dense(view) => (view, view),
            super::Weight::Factored { left, right } => (left, right),
        };
        let outs = self.matrix_dims(out_view, site_.transposed).0;
        let ins = self.matrix_dims(in_view, site_.transposed).1;
        (outs, ins)
    }

    /// The dims of a view as a matrix: outputs, inputs.
    pub fn matrix_dims(&self, view: &View, transposed: bool) -> (Dim, Dim) {
        let dims = self.free_dims(view);
        let flat = |dims: &[Dim]| Dim::new(dims.iter().flat_map(|dim| dim.0.iter().copied()));
        match dims.split_first() {
            None => (Dim(Vec::new()), Dim(Vec::new())),
            Some((first, rest)) if transposed => (flat(rest), first.clone()),
            Some((first, rest)) => (first.clone(), flat(rest)),
        }
    }

    /// The matrix that a view is in its flat tensor. Fixed axes lie outside of the free ones of their dim.
    pub fn matrix(&self, view: &View, transposed: bool) -> MatrixView {
        let param = &self.params[view.param];
        let offset = view
            .fixed
            .iter()
            .map(|&(axis, index)| {
                let factors = self.factors(param, axis).expect("a view fixes axes of its own tensor");
                index * factors.inner
            })
            .sum();
        let stride = |dim: &Dim| {
            let innermost = dim.0.last().expect("a matrix has two dims");
            self.factors(param, *innermost).expect("a view's dims are its tensor's").inner
        };
        let (out, ins) = self.matrix_dims(view, transposed);
        let one_row = ins.0.is_empty();
        MatrixView {
            offset,
            out: self.dim_extent(&out),
            inputs: self.dim_extent(&ins),
            out_stride: stride(&out),
            in_stride: if one_row { 1 } else { stride(&ins) },
        }
    }

    /// Params that carry the axis in their shape, with where it lies.
    pub fn carriers(&self, axis: AxisId) -> Vec<(ParamId, Factors)> {
        self.params.iter().filter_map(|(id, param)| Some((id, self.factors(param, axis)?))).collect()
    }
}
