//! Axes that operations join become one.

use super::super::axis::{AxisId, Dim};
use super::super::op::Op;
use super::super::param::NamePart;
use super::{BuildError, Builder, Graph};

impl Builder<'_> {
    pub(super) fn unify_dims(&mut self, left: &Dim, right: &Dim) {
        if left.0.len() != right.0.len() {
            return self.disagree(left, right);
        }
        for (&left, &right) in left.0.iter().zip(&right.0) {
            self.unify(left, right);
        }
    }

    /// Makes two axes one. It keeps the earlier number, and belongs to the part of the tree that holds both.
    fn unify(&mut self, left: AxisId, right: AxisId) {
        let (left, right) = (self.find(left), self.find(right));
        if left == right {
            return;
        }
        if self.graph.extent(left) != self.graph.extent(right) {
            self.disagree(&left.into(), &right.into());
        }
        let (first, later) = if left < right { (left, right) } else { (right, left) };
        self.same[later.index()] = first;
        let later = self.graph.axes[later].clone();
        let node = self.graph.tree.nearest_above(self.graph.axes[first].node, later.node);
        let first = &mut self.graph.axes[first];
        first.node = node;
        first.key = first.key.take().or(later.key);
    }

    pub(super) fn find(&self, mut axis: AxisId) -> AxisId {
        while self.same[axis.index()] != axis {
            axis = self.same[axis.index()];
        }
        axis
    }

    fn disagree(&mut self, left: &Dim, right: &Dim) {
        let text = |dim: &Dim| self.graph.dims_text(std::slice::from_ref(dim));
        let error = BuildError::Disagree {
            at: self.graph.tree.path(self.node),
            left: text(left),
            right: text(right),
            keys: self.keys(&[left.clone(), right.clone()]),
        };
        self.errors.push(error);
    }
}

/// Replaces every axis by its representative and forgets the others.
pub(super) fn unified(mut graph: Graph, same: impl Fn(AxisId) -> AxisId) -> Graph {
    let dim = |dim: &mut Dim| dim.0.iter_mut().for_each(|axis| *axis = same(*axis));
    for (_, param) in graph.params.iter_mut() {
        param.dims.iter_mut().for_each(dim);
        for part in &mut *param.name.0 {
            if let NamePart::Member(axis, _) = part {
                *axis = same(*axis);
            }
        }
    }
    for op in graph.ops.node_weights_mut() {
        op.value.iter_mut().for_each(dim);
        if let Op::Experts(experts) = &mut op.op {
            experts.axis = same(experts.axis);
        }
    }
    for (_, site) in graph.sites.iter_mut() {
        for (axis, _) in site.views_mut().flat_map(|view| &mut view.fixed) {
            *axis = same(*axis);
        }
    }
    graph.tree.map_axes(&same);
    for fact in graph.facts.iter_mut() {
        fact.formula.map_axes(&same);
    }
    let mut seen = std::collections::BTreeSet::new();
    graph.facts.retain(|fact| seen.insert(fact.clone()));
    graph.axes.retain(|id, _| same(id) == id);
    graph
}
