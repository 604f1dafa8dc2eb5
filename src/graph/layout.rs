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
        product(dim.0.iter().map(|&axis| self.extent(axis).max))
    }

    /// A number that surely divides a dim, whatever is chosen later.
    pub fn dim_multiple(&self, dim: &Dim) -> usize {
        dim.0.iter().map(|&axis| self.extent(axis).multiple).product()
    }

    /// The stored shape; exact once extents are.
    pub fn shape(&self, param: &Param) -> Vec<usize> {
        param.dims.iter().map(|dim| self.dim_extent(dim)).collect()
    }

    /// Elements of the tensor.
    pub fn elements(&self, param: &Param) -> usize {
        product(self.shape(param))
    }

    /// Where the axis lies in the flat tensor, outermost first; nowhere where the tensor does not carry it.
    ///
    /// Twice in `[hidden, hidden]`: rows and columns go together there. Whoever slices one after the other finds the
    /// second `outer` shrunk.
    pub fn factors(&self, param: &Param, axis: AxisId) -> Vec<Factors> {
        let axes = flat(param);
        let extents: Vec<usize> = axes.iter().map(|&axis| self.extent(axis).max).collect();
        let places = axes.iter().enumerate().filter(|&(_, &other)| other == axis);
        places
            .map(|(at, _)| Factors {
                outer: product(extents[..at].iter().copied()),
                extent: extents[at],
                inner: product(extents[at + 1..].iter().copied()),
            })
            .collect()
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
            super::Weight::Factored { left, right, .. } => (left, right),
        };
        let outs = self.matrix_dims(out_view, site_.transposed).0;
        let ins = self.matrix_dims(in_view, site_.transposed).1;
        (outs, ins)
    }

    /// The dims of a view as a matrix: outputs, inputs. A vector is a column; a table `[1, rows, hidden]` is of its rows.
    pub fn matrix_dims(&self, view: &View, transposed: bool) -> (Dim, Dim) {
        let dims = self.free_dims(view);
        let dims = &dims[ones(&dims)..];
        let joined = |dims: &[Dim]| Dim::new(dims.iter().flat_map(|dim| dim.0.iter().copied()));
        match dims.split_first() {
            None => (Dim::default(), Dim::default()),
            Some((first, rest)) if transposed && !rest.is_empty() => (joined(rest), first.clone()),
            Some((first, rest)) => (first.clone(), joined(rest)),
        }
    }

    /// The matrices behind a site's weight: one, or two where it is factored.
    pub fn matrix_views(&self, site: SiteId) -> impl Iterator<Item = &View> {
        let bias = self.sites[site].bias.as_ref();
        self.sites[site].views().filter(move |view| Some(*view) != bias)
    }

    /// Elements of a view.
    pub fn view_elements(&self, view: &View) -> usize {
        self.free_dims(view).iter().map(|dim| self.dim_extent(dim)).product()
    }

    /// The matrix that a view is in its flat tensor. Fixed axes lie outside of the free ones of their dim.
    pub fn matrix(&self, view: &View, transposed: bool) -> MatrixView {
        let param = &self.params[view.param];
        let (axes, strides) = (flat(param), self.strides(param));
        let at = |&(axis, index): &(AxisId, usize)| {
            let place = axes.iter().position(|&other| other == axis);
            index * strides[place.expect("a view fixes axes of its own tensor")]
        };
        let dims = self.free_dims(view);
        // A dim's elements lie as far apart as those of its innermost axis.
        let mut steps = self.free_strides(view, &strides);
        let first = steps.nth(ones(&dims)).unwrap_or(1);
        let rest = steps.last().unwrap_or(1);
        let (out, ins) = self.matrix_dims(view, transposed);
        let turned = transposed && dims.len() > 1;
        let (out_stride, in_stride) = if turned { (rest, first) } else { (first, rest) };
        MatrixView {
            offset: view.fixed.iter().map(at).sum(),
            out: self.dim_extent(&out),
            inputs: self.dim_extent(&ins),
            out_stride,
            in_stride,
        }
    }

    /// How far apart elements of each axis of a tensor lie.
    fn strides(&self, param: &Param) -> Vec<usize> {
        let axes = flat(param);
        let extent = |&axis: &AxisId| self.extent(axis).max;
        (0..axes.len()).map(|at| product(axes[at + 1..].iter().map(extent))).collect()
    }

    /// The strides of a view's free dims, in the order of [`Graph::free_dims`].
    fn free_strides<'a>(&'a self, view: &'a View, strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let mut at = 0;
        self.params[view.param].dims.iter().filter_map(move |Dim(axes)| {
            let first = at;
            at += axes.len();
            let free = |place: &usize| view.fixed.iter().all(|(axis, _)| *axis != axes[place - first]);
            match axes.as_slice() {
                [] => Some(1),
                _ => (first..at).rev().find(free).map(|place| strides[place]),
            }
        })
    }

    /// Params that carry the axis in their shape, each once.
    pub fn carriers(&self, axis: AxisId) -> Vec<ParamId> {
        let carries = |param: &Param| param.dims.iter().any(|dim| dim.contains(axis));
        self.params.iter().filter(|(_, param)| carries(param)).map(|(id, _)| id).collect()
    }
}

/// Dims of extent 1 in front of a matrix.
fn ones(dims: &[Dim]) -> usize {
    let leading = dims.iter().take_while(|dim| dim.0.is_empty()).count();
    leading.min(dims.len().saturating_sub(2))
}

/// The axes of all dims.
fn flat(param: &Param) -> Vec<AxisId> {
    param.dims.iter().flat_map(|dim| dim.0.iter().copied()).collect()
}

/// Saturates: extents come from configs, and no config may make an arithmetic panic.
fn product(extents: impl IntoIterator<Item = usize>) -> usize {
    extents.into_iter().fold(1, usize::saturating_mul)
}
