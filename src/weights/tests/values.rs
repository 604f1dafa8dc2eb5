//! Matrices of sites in every layout, by hand.

use std::collections::BTreeMap;

use super::fixture::{Tensor, checkpoint, numbers};
use crate::graph::{AxisId, Bias, Builder, Dim, Header, Role, Size, Value, View};
use crate::tensor::DType;
use crate::tensor::convert::count_zeros;
use crate::weights::Version;

/// A graph over those tensors. `build` gets a value of 4 features, an embedding's.
fn model(tensors: &[Tensor<'_>], build: impl FnOnce(&mut Builder<'_>, Value)) -> Version {
    let embedding = numbers(12, 9);
    let embedding: Tensor<'_> = ("embed.weight", DType::F32, &[3, 4], &embedding);
    let tensors: Vec<Tensor<'_>> = tensors.iter().copied().chain([embedding]).collect();
    let header = |(name, dtype, shape, _): &Tensor<'_>| {
        (name.to_string(), Header { dtype: *dtype, shape: shape.to_vec() })
    };
    let headers: BTreeMap<String, Header> = tensors.iter().map(header).collect();
    let mut m = Builder::new("toy", Some(&headers), DType::F32);
    m.base(&[], "");
    let ids = m.token_ids(2);
    let (vocab, hidden) = (m.axis(Role::Vocab, Size::fixed(3)), m.axis(Role::Hidden, Size::fixed(4)));
    let (x, _) = m.embedding("embeddings", "embed", ids, vocab, hidden);
    build(&mut m, x);
    Version::open(m.finish().unwrap(), &checkpoint(&tensors))
}

fn neurons(m: &mut Builder<'_>, count: usize) -> AxisId {
    m.axis(Role::Neurons, Size::fixed(count))
}

fn matrix(version: &Version, path: &str) -> Vec<f32> {
    version.site_matrix(version.graph.places().site(path).unwrap()).unwrap()
}

/// Every piece of the matrix, asked for by itself.
fn by_pieces(version: &Version, path: &str, piece: usize) -> Vec<f32> {
    let site = version.graph.places().site(path).unwrap();
    let mut values = matrix(version, path);
    values.fill(f32::NAN);
    for (at, part) in values.chunks_mut(piece).enumerate() {
        version.matrix_range(site, at * piece, part).unwrap();
    }
    values
}

const UP: [f32; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];

#[test]
fn a_linear_weight_is_its_own_matrix() {
    let version = model(&[("up.weight", DType::F16, &[2, 4], &UP)], |m, x| {
        let out = neurons(m, 2);
        m.linear("up", "up", x, out, Bias::Without);
    });
    assert_eq!(matrix(&version, "up"), UP);
    assert_eq!(by_pieces(&version, "up", 3), UP);
    assert_eq!(by_pieces(&version, "up", 8), UP);
    assert!(version.has_rows_apart(version.graph.places().site("up").unwrap()));
}

#[test]
fn a_transposed_weight_is_turned() {
    let version = model(
        &[("up.weight", DType::F32, &[4, 2], &UP), ("up.bias", DType::F32, &[2], &[0.0; 2])],
        |m, x| {
            let out = neurons(m, 2);
            m.transposed_linear("up", "up", x, out);
        },
    );
    let turned = [1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0];
    assert_eq!(matrix(&version, "up"), turned);
    assert_eq!(by_pieces(&version, "up", 4), turned);
    assert!(!version.has_rows_apart(version.graph.places().site("up").unwrap()));
}

#[test]
fn parts_of_a_fused_weight_are_matrices_of_their_own() {
    // [4 inputs, query key value x 2 outputs]
    let fused: Vec<f32> = (0..24).map(|v| v as f32).collect();
    let version = model(
        &[("qkv.weight", DType::Bf16, &[4, 6], &fused), ("qkv.bias", DType::F32, &[6], &[0.0; 6])],
        |m, x| {
            let heads = m.axis(Role::Heads, Size::fixed(2));
            m.transposed_fused(["query", "key", "value"], "qkv", x, Role::Qkv, Dim::from(heads));
        },
    );
    assert_eq!(matrix(&version, "query"), [0.0, 6.0, 12.0, 18.0, 1.0, 7.0, 13.0, 19.0]);
    assert_eq!(matrix(&version, "value"), [4.0, 10.0, 16.0, 22.0, 5.0, 11.0, 17.0, 23.0]);
}

#[test]
fn patches_have_all_of_a_patch_as_inputs() {
    let kernel: Vec<f32> = (0..16).map(|v| v as f32).collect();
    let version = model(
        &[("patch.weight", DType::F32, &[2, 2, 2, 2], &kernel), ("patch.bias", DType::F32, &[2], &[0.0; 2])],
        |m, _| {
            let channels = m.axis(Role::Channels, Size::fixed(2));
            let x = m.pixels(channels, [4, 4]);
            let width = m.axis(Role::Hidden, Size::fixed(2));
            m.patches("patches", "patch", x, [2, 2], width);
        },
    );
    assert_eq!(matrix(&version, "patches"), kernel);
    assert_eq!(by_pieces(&version, "patches", 4), kernel);
}

#[test]
fn a_factored_weight_is_the_product_of_its_factors() {
    let mut version = model(&[("up.weight", DType::F32, &[2, 4], &UP)], |m, x| {
        let out = neurons(m, 2);
        m.linear("up", "up", x, out, Bias::Without);
    });
    version.factor(version.graph.places().site("up").unwrap(), 2);
    let product = matrix(&version, "up");
    assert!(product.iter().zip(UP).all(|(now, before)| (now - before).abs() < 1e-5), "{product:?}");
    assert_eq!(by_pieces(&version, "up", 4), product);
}

#[test]
fn what_cannot_be_factored_stays_as_it_is() {
    let fused: Vec<f32> = (0..24).map(|v| v as f32).collect();
    let mut version = model(
        &[("qkv.weight", DType::F32, &[4, 6], &fused), ("qkv.bias", DType::F32, &[6], &[0.0; 6])],
        |m, x| {
            let heads = m.axis(Role::Heads, Size::fixed(2));
            m.transposed_fused(["query", "key", "value"], "qkv", x, Role::Qkv, Dim::from(heads));
        },
    );
    version.factor(version.graph.places().site("key").unwrap(), 1);
    assert_eq!(matrix(&version, "key"), [2.0, 8.0, 14.0, 20.0, 3.0, 9.0, 15.0, 21.0]);
}

#[test]
fn values_come_in_order_in_several_blocks() {
    let rows = (3 << 20) / 4;
    let long = numbers(4 * rows, 2);
    let version = model(&[("up.weight", DType::F16, &[rows, 4], &long)], |m, x| {
        let out = neurons(m, rows);
        m.linear("up", "up", x, out, Bias::Without);
    });
    let param = version.graph.param_named("up.weight").unwrap();
    let mut firsts = Vec::new();
    version.for_each_block(param, |first, _| firsts.push(first)).unwrap();
    assert_eq!(firsts, [0, 2 << 20]);
    assert_eq!(version.values(param).unwrap(), long);
    let site = version.graph.places().site("up").unwrap();
    let (mut zeros, mut seen) = (0, 0);
    let count = |block: crate::weights::StoredBlock<'_>| {
        zeros += count_zeros(block.dtype, block.bytes).unwrap();
        seen += block.matrix.len();
    };
    version.for_each_stored(&View::whole(param), version.graph.sites[site].transposed, count).unwrap();
    assert_eq!((zeros, seen), (long.iter().filter(|value| **value == 0.0).count(), long.len()));
}

#[test]
fn stored_blocks_hold_each_element_of_a_part_once() {
    let fused = numbers(24, 4);
    let version = model(
        &[("qkv.weight", DType::F32, &[4, 6], &fused), ("qkv.bias", DType::F32, &[6], &[0.0; 6])],
        |m, x| {
            let heads = m.axis(Role::Heads, Size::fixed(2));
            m.transposed_fused(["query", "key", "value"], "qkv", x, Role::Qkv, Dim::from(heads));
        },
    );
    let site = &version.graph.sites[version.graph.places().site("key").unwrap()];
    let view = site.views().next().unwrap();
    let mut found = Vec::new();
    let visit = |block: crate::weights::StoredBlock<'_>| {
        for o in 0..block.matrix.out {
            for i in 0..block.matrix.inputs {
                let at = 4 * block.matrix.index(o, i);
                found.push(f32::from_le_bytes(block.bytes[at..at + 4].try_into().unwrap()));
            }
        }
    };
    version.for_each_stored(view, true, visit).unwrap();
    assert_eq!(found, matrix(&version, "key"));
}

#[test]
fn values_that_are_not_finite_are_counted_by_tensor() {
    let version = model(
        &[("up.weight", DType::F32, &[2, 4], &[f32::NAN, 1.0, 2.0, 3.0, f32::INFINITY, 1.0, 1.0, 1.0])],
        |m, x| {
            let out = neurons(m, 2);
            m.linear("up", "up", x, out, Bias::Without);
        },
    );
    let site = version.graph.places().site("up").unwrap();
    let param = version.graph.param_named("up.weight").unwrap();
    for wrong in [version.site_matrix(site).unwrap_err(), version.values(param).unwrap_err()] {
        assert_eq!(wrong.code.name, "weights-not-finite");
        assert_eq!(wrong.message, "2 values of `up.weight` are not finite: NaN or infinite");
        assert_eq!(wrong.code.fault.exit_code(), 3);
        assert!(wrong.path.unwrap().ends_with("model.safetensors"));
    }
}
