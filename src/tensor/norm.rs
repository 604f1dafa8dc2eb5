//! Norms of the elements of an axis: of each head, neuron or channel, over all the weights that belong to it.

use super::TensorError;
use super::error::expect_length;

/// Sums of one element that run side by side, for an addition waits for the one before it.
const LANES: usize = 8;

/// Where an axis stands in a flat tensor: the element e of it holds every index `(o * extent + e) * inner + i`.
///
/// The neurons of a weight [out, in] are `outer 1, extent out, inner in`; its inputs `outer out, extent in, inner 1`;
/// the heads of a query weight [heads head_dim, hidden] `outer 1, extent heads, inner head_dim * hidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AxisLayout {
    pub outer: usize,
    pub extent: usize,
    pub inner: usize,
}

impl AxisLayout {
    /// Elements of the tensor.
    pub fn elements(&self) -> Result<usize, TensorError> {
        let rows = self.outer.checked_mul(self.extent).ok_or(TensorError::Overflow)?;
        rows.checked_mul(self.inner).ok_or(TensorError::Overflow)
    }
}

/// What is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Absolute values.
    L1,
    /// Squares; no root is taken.
    SquaredL2,
}

/// Adds up one tensor, read in order in chunks of any size: the sums depend on the values alone.
#[derive(Debug, Clone)]
pub struct AxisSums {
    axis: AxisLayout,
    len: usize,
    norm: Norm,
    /// For each element of the axis one sum, or [`LANES`] of them by `i % LANES`.
    sums: Vec<f64>,
    seen: usize,
}

impl AxisSums {
    pub fn new(axis: AxisLayout, norm: Norm) -> Result<Self, TensorError> {
        let len = axis.elements()?;
        // Beside an extent of zero stands any number in a header: nothing may be allocated by it.
        if len == 0 {
            return Err(TensorError::Empty);
        }
        Ok(Self { axis, len, norm, sums: vec![0.0; axis.extent * lanes(&axis)], seen: 0 })
    }

    /// Adds the next values of the tensor.
    pub fn add(&mut self, values: &[f32]) -> Result<(), TensorError> {
        let left = self.len - self.seen;
        if values.len() > left {
            return Err(TensorError::TooMany { what: "values", asked: values.len(), available: left });
        }
        match self.norm {
            Norm::L1 => self.add_each(values, |value| f64::from(value.abs())),
            Norm::SquaredL2 => self.add_each(values, |value| f64::from(value) * f64::from(value)),
        }
        Ok(())
    }

    /// The sum of each element of the axis, once the whole tensor is in.
    pub fn finish(self) -> Result<Vec<f64>, TensorError> {
        expect_length("values", self.len, self.seen)?;
        Ok(self.sums.chunks(lanes(&self.axis)).map(|lanes| lanes.iter().sum()).collect())
    }

    fn add_each(&mut self, mut values: &[f32], term: impl Fn(f32) -> f64) {
        let AxisLayout { extent, inner, .. } = self.axis;
        while !values.is_empty() {
            let (element, i) = (self.seen / inner % extent, self.seen % inner);
            let run = if inner == 1 { extent - element } else { inner - i };
            let (now, later) = values.split_at(run.min(values.len()));
            match lanes(&self.axis) {
                _ if inner == 1 => add_along(&mut self.sums[element..], now, &term),
                1 => now.iter().for_each(|value| self.sums[element] += term(*value)),
                _ => {
                    let lanes = &mut self.sums.as_chunks_mut().0[element];
                    add_to_lanes(lanes, i, now, &term);
                }
            }
            self.seen += now.len();
            values = later;
        }
    }
}

fn lanes(axis: &AxisLayout) -> usize {
    if axis.inner < LANES { 1 } else { LANES }
}

fn add_along(sums: &mut [f64], values: &[f32], term: impl Fn(f32) -> f64) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += term(*value));
}

/// Adds values of which the first is number `i` of its element.
fn add_to_lanes(lanes: &mut [f64; LANES], i: usize, values: &[f32], term: impl Fn(f32) -> f64) {
    let (head, rest) = values.split_at((i.next_multiple_of(LANES) - i).min(values.len()));
    let (blocks, tail) = rest.as_chunks::<LANES>();
    add_along(&mut lanes[i % LANES..], head, &term);
    let mut sums = *lanes;
    blocks.iter().for_each(|block| add_along(&mut sums, block, &term));
    *lanes = sums;
    add_along(lanes, tail, &term);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(axis: AxisLayout, norm: Norm, values: &[f32], chunk: usize) -> Vec<f64> {
        let mut sums = AxisSums::new(axis, norm).unwrap();
        values.chunks(chunk).for_each(|values| sums.add(values).unwrap());
        sums.finish().unwrap()
    }

    #[test]
    fn neurons_and_inputs_of_a_small_weight() {
        // [2 neurons, 3 inputs]
        let weight = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0];
        let neurons = AxisLayout { outer: 1, extent: 2, inner: 3 };
        let inputs = AxisLayout { outer: 2, extent: 3, inner: 1 };
        assert_eq!(sums(neurons, Norm::L1, &weight, 6), [6.0, 15.0]);
        assert_eq!(sums(neurons, Norm::SquaredL2, &weight, 6), [14.0, 77.0]);
        assert_eq!(sums(inputs, Norm::L1, &weight, 6), [5.0, 7.0, 9.0]);
    }

    #[test]
    fn an_axis_in_the_middle_gathers_from_every_block() {
        // [2, 2 channels, 2]
        let axis = AxisLayout { outer: 2, extent: 2, inner: 2 };
        let values = [1.0, 1.0, 10.0, 10.0, 2.0, 2.0, 20.0, 20.0];
        assert_eq!(sums(axis, Norm::L1, &values, 8), [6.0, 60.0]);
    }

    #[test]
    fn the_tensor_must_be_whole() {
        let axis = AxisLayout { outer: 1, extent: 2, inner: 2 };
        let mut short = AxisSums::new(axis, Norm::L1).unwrap();
        short.add(&[1.0; 3]).unwrap();
        assert_eq!(
            short.clone().add(&[1.0; 2]),
            Err(TensorError::TooMany { what: "values", asked: 2, available: 1 })
        );
        assert!(short.finish().is_err());
        let huge = AxisLayout { outer: usize::MAX, extent: 2, inner: 1 };
        assert!(AxisSums::new(huge, Norm::L1).is_err());
        let empty = AxisLayout { outer: 0, extent: usize::MAX, inner: 1 };
        assert_eq!(AxisSums::new(empty, Norm::L1).err(), Some(TensorError::Empty));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn chunks_do_not_change_a_bit(
            outer in 1..4_usize, extent in 1..6_usize, inner in 1..40_usize, chunk in 1..60_usize, seed in 0..100
        ) {
            let axis = AxisLayout { outer, extent, inner };
            let value = |i| ((i * 37 + seed) as f32).sin();
            let values: Vec<f32> = (0..(outer * extent * inner) as i32).map(value).collect();
            for norm in [Norm::L1, Norm::SquaredL2] {
                let whole = sums(axis, norm, &values, usize::MAX);
                prop_assert_eq!(&sums(axis, norm, &values, chunk), &whole);
                for (element, sum) in whole.iter().enumerate() {
                    let own = values.iter().enumerate().filter(|(at, _)| at / inner % extent == element);
                    let term = |v: f64| if norm == Norm::L1 { v.abs() } else { v * v };
                    let expected: f64 = own.map(|(_, v)| term(f64::from(*v))).sum();
                    prop_assert!((sum - expected).abs() < 1e-9);
                }
            }
        }
    }
}
