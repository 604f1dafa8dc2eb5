//! Matrices of sites in every layout, by hand.

use std::collections::BTreeMap;

use super::fixture::{checkpoint, numbers};
use crate::graph::{Bias, Builder, Graph, Header, Role, Size, View, Weight};
use crate::tensor::DType;
use crate::weights::Version;

/// A model of one layer: a plain linear, one of GPT-2's fused ones, and patches.
fn model(tensors: &[(&str, DType, &[usize], &[f32])], build: impl FnOnce(&mut Builder<'_>)) -> Version {
    let checkpoint = checkpoint(tensors);
    let header = |(name, dtype, shape, _): &(&str, DType, &[usize], &[f32])| {
        (name.to_string(), Header { dtype: *dtype, shape: shape.to_vec() })
    };
    let headers: BTreeMap<String, Header> = tensors.iter().map(header).collect();
    let mut builder = Builder::new("toy", Some(&headers), DType::F32);
    builder.base(&[], "");
    build(&mut builder);
    Version::open(builder.finish().unwrap(), &checkpoint)
}

fn matrix(version: &Version, path: &str) -> Vec<f32> {
    version.site_matrix(version.graph.places().site(path).unwrap()).unwrap()
}

fn linear(values: &[f32], shape: &[usize], dtype: DType) -> Version {
    let bias = vec![0.0; shape[0]];
    let tensors = [("up.weight", dtype, shape, values), ("up.bias", dtype, &shape[..1], &bias)];
    model(&tensors, |m| {
        let ids = m.token_ids(2);
        let x = m.pixels_of(ids, shape[1]);
        let out = m.axis(Role::Neurons, Size::fixed(shape[0]));
        m.linear("up", "up", x, out, Bias::With);
    })
}
