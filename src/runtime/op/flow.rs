//! Flow attention of sequences that lie one after the other (Flowformer, arXiv:2202.06258, section 3), made of operations that have
//! gradients.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::activation;
use crate::graph::Activation;
use crate::runtime::kernel::attention::Heads;

/// Keeps sums from 0.
const EPS: f64 = 1e-6;

/// `query`, `key [rows, heads x head_dim]` and `value [rows, heads x value_dim]` to `[rows, heads x value_dim]`; a row flows within its
/// own sequence. As many query heads as key heads.
///
/// # Errors
/// Where the tensors are not of f32.
pub fn flow(
    heads: Heads,
    sequences: &[Range<usize>],
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
) -> Result<Tensor> {
    let [query, key] = [query, key].map(|x| activation(Activation::Sigmoid, x));
    let (query, key) = (query?, key?);
    let count = sequences.first().map_or(0, ExactSizeIterator::len);
    if sequences.iter().all(|range| range.len() == count) {
        return alike(heads, sequences.len(), [&query, &key, value]);
    }
    let one = |range: &Range<usize>| {
        let [query, key, value] = [&query, &key, value].map(|x| x.narrow(0, range.start, range.len()));
        alike(heads, 1, [&query?, &key?, &value?])
    };
    let filled = sequences.iter().filter(|range| !range.is_empty());
    Tensor::cat(&filled.map(one).collect::<Result<Vec<_>>>()?, 0)
}

/// Sequences of one length; queries and keys are between 0 and 1.
fn alike(heads: Heads, sequences: usize, operands: [&Tensor; 3]) -> Result<Tensor> {
    let rows = operands[0].dims2()?.0;
    let tokens = rows / sequences.max(1);
    if tokens == 0 {
        return Ok(operands[2].clone());
    }
    let by_heads = |x: &Tensor, dim: usize| {
        x.reshape((sequences, tokens, heads.kv_heads, dim))?.transpose(1, 2)?.contiguous()
    };
    let query = by_heads(operands[0], heads.head_dim)?;
    let key = by_heads(operands[1], heads.head_dim)?;
    let value = by_heads(operands[2], heads.value_dim)?;
    let (sinks, sources) = ((&query + EPS)?, (&key + EPS)?);
    // What each row of one side exchanges with all of the other.
    let with_all = |rows: &Tensor, all: &Tensor| -> Result<Tensor> {
        let all = (all.sum_keepdim(2)? + EPS)?;
        rows.broadcast_mul(&all)?.sum_keepdim(3)
    };
    let sink_in = with_all(&sinks, &key)?.recip()?;
    let source_out = with_all(&sources, &query)?.recip()?;
    let sunk = query.broadcast_mul(&sink_in)?;
    let conserved_sink = with_all(&sinks, &key.broadcast_mul(&source_out)?)?;
    let conserved_source = with_all(&sources, &sunk)?.clamp(-1f32, 1f32)?;
    let allocation = activation(Activation::Sigmoid, &conserved_sink)?;
    // At most 1: the exponentials need no largest one taken off.
    let competition = conserved_source.exp()?;
    let competition = competition.broadcast_div(&competition.mean_keepdim(2)?)?;
    let source = key.transpose(2, 3)?.contiguous()?.matmul(&value.broadcast_mul(&competition)?)?;
    let out = sunk.matmul(&source)?.broadcast_mul(&allocation)?;
    out.transpose(1, 2)?.contiguous()?.reshape((rows, heads.kv_heads * heads.value_dim))
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::runtime::op::tensor;

    fn heads(kv_heads: usize, dim: usize) -> Heads {
        let (group, scale, causal, window) = (1, 1.0, false, None);
        Heads { kv_heads, group, head_dim: dim, value_dim: dim, scale, causal, window }
    }

    /// One sequence of so many rows.
    fn one(rows: usize) -> Vec<Range<usize>> {
        std::iter::once(0..rows).collect()
    }

    fn rows(values: &[[f32; 2]]) -> Tensor {
        tensor(values.concat(), (values.len(), 2)).unwrap()
    }

    const QUERY: [[f32; 2]; 3] = [[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]];
    const KEY: [[f32; 2]; 3] = [[1.0, 0.0], [-1.0, 1.0], [0.0, 2.0]];
    const VALUE: [[f32; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];

    /// The case of the method's card.
    #[test]
    fn what_flows_is_as_the_card_says() {
        let found = flow(heads(1, 2), &one(3), &rows(&QUERY), &rows(&KEY), &rows(&VALUE)).unwrap();
        let expected = [0.562_697, 0.498_801, 0.578_639, 0.410_016, 0.570_645, 0.480_190];
        let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-6), "{found:?}");
    }

    /// Sequences of unlike lengths beside each other flow as each does alone, and so do heads.
    #[test]
    fn sequences_do_not_mix() {
        let more = |x: &[[f32; 2]; 3]| rows(&[x[0], x[1], x[2], x[1], x[0]]);
        let all = flow(heads(1, 2), &[0..3, 3..5], &more(&QUERY), &more(&KEY), &more(&VALUE)).unwrap();
        let pair = |x: &[[f32; 2]; 3]| rows(&[x[1], x[0]]);
        let first = flow(heads(1, 2), &one(3), &rows(&QUERY), &rows(&KEY), &rows(&VALUE)).unwrap();
        let second = flow(heads(1, 2), &one(2), &pair(&QUERY), &pair(&KEY), &pair(&VALUE)).unwrap();
        let apart = Tensor::cat(&[first, second], 0).unwrap();
        assert_eq!(all.to_vec2::<f32>().unwrap(), apart.to_vec2::<f32>().unwrap());
    }

    /// Against finite differences; one conserved source is clamped here, two are not.
    #[test]
    fn gradients_are_those_of_what_flows() {
        let at = [QUERY, KEY, VALUE];
        let weights = [0.3f32, -0.8, 0.5, 0.9, -0.2, 0.7];
        let loss = |operands: [&Tensor; 3]| {
            let out = flow(heads(1, 2), &one(3), operands[0], operands[1], operands[2]).unwrap();
            (out * tensor(weights.to_vec(), (3, 2)).unwrap()).unwrap().sum_all().unwrap()
        };
        let variables = at.map(|x| Var::from_tensor(&rows(&x)).unwrap());
        let gradients = loss([&variables[0], &variables[1], &variables[2]]).backward().unwrap();
        for (operand, variable) in variables.iter().enumerate() {
            let found = gradients.get(variable).unwrap().to_vec2::<f32>().unwrap();
            for row in 0..3 {
                for column in 0..2 {
                    let moved = |by: f32| {
                        let mut at = at;
                        at[operand][row][column] += by;
                        let [q, k, v] = at.map(|x| rows(&x));
                        f64::from(loss([&q, &k, &v]).to_scalar::<f32>().unwrap())
                    };
                    let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                    let found = f64::from(found[row][column]);
                    assert!((found - expected).abs() < 1e-3, "{operand} {row} {column}: {found} {expected}");
                }
            }
        }
    }
}
