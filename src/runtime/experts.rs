//! Experts: a router chooses for each token which of them run, and how their results are weighed.

use std::sync::Arc;

use candle_core::{D, Device, Tensor};

use super::Failure;
use super::interpret::{Running, Value};
use super::op::{self, Host};
use super::rows::Rows;
use super::watch::Watch;
use super::weights::Loaded;
use crate::graph::{Expert, Experts, Scoring};

/// In the place of an expert that is left out.
pub const NOBODY: usize = usize::MAX;

/// What a router did with some rows.
pub struct Routed<'a> {
    /// What came to it, `[rows, hidden]`.
    pub x: &'a Value,
    /// `[rows, routes]`
    pub logits: &'a Tensor,
    /// What the best are chosen by, those of null experts last: `[rows, routes and nulls]`.
    pub shares: &'a Tensor,
    /// The columns of `shares` that each row chose, best first: `top_k` a row.
    pub routes: &'a [u32],
    /// The experts of each row, best first: `top_k` a row, `NOBODY` among them.
    pub chosen: &'a [usize],
    /// Their gates, in the same order.
    pub gates: &'a Tensor,
    pub top_k: usize,
}

/// Softmax over all rows of the router, the best `top_k` for each token, their shares renormalized where the model does so; each
/// expert runs on its tokens only, once where several rows lead to it.
pub(super) fn experts(
    running: &Running<'_>,
    of: &Experts,
    x: &Value,
    watch: &mut dyn Watch,
) -> Result<Value, Failure> {
    if of.scoring == Scoring::Sigmoid || of.correction.is_some() || of.limit.is_some() {
        return Err(running.not_run());
    }
    let logits = running.linear(of.router, x, watch)?.tensor;
    let shares = match of.nulls {
        Some(nulls) => {
            let nulls = running.linear(nulls.router, x, watch)?.tensor;
            softmax(&Tensor::cat(&[&logits, &nulls], 1)?)?
        }
        None => softmax(&logits)?,
    };
    let shares = match of.transfer {
        Some(site) => {
            let transfer = running.weights.get(site).dense()?.reshape(((), shares.dims2()?.1))?;
            op::linear(&shares, &transfer, None)?
        }
        None => shares,
    };
    let (rows, count) = shares.dims2()?;
    let top_k = of.top_k.min(count);
    let routes = chosen(Host::of(&shares)?.values(), count, top_k);
    let at = Tensor::from_slice(&routes, (rows, top_k), &Device::Cpu)?;
    let mut gates = shares.gather(&at, 1)?;
    let nulls = (of.nulls.is_some()).then_some(of.experts.len());
    if let Some(first) = nulls {
        gates = without_nulls(&gates, &routes, first)?;
    } else if of.renormalize {
        gates = gates.broadcast_div(&gates.sum_keepdim(D::Minus1)?)?;
    }
    if let Some(share) = of.skip_below {
        gates = without_small_seconds(&gates, share)?;
    }
    let gates = gates.flatten_all()?;
    let expert_of = |&route: &u32| match (route as usize, nulls) {
        (route, Some(first)) if route >= first => NOBODY,
        (route, _) if of.transfer.is_some() => route,
        (route, _) => of.expert_of(route),
    };
    let mut chosen: Vec<usize> = routes.iter().map(expert_of).collect();
    if of.skip_below.is_some() {
        let skipped = Host::of(&gates)?;
        let skipped = skipped.values().iter().zip(&mut chosen).filter(|(gate, _)| **gate == 0.0);
        skipped.for_each(|(_, chosen)| *chosen = NOBODY);
    }
    let routed = Routed {
        x,
        logits: &logits,
        shares: &shares,
        routes: &routes,
        chosen: &chosen,
        gates: &gates,
        top_k,
    };
    watch.routed(of, &routed)?;
    let samples = x.rows.sample_of_row();
    let mut out = x.tensor.zeros_like()?;
    for (number, expert) in of.experts.iter().enumerate() {
        let Some(Turn { of_rows, gates }) = turn(&chosen, number, top_k, &gates)? else { continue };
        let mut lengths = vec![0; x.rows.samples()];
        of_rows.iter().for_each(|&row| lengths[samples[row as usize]] += 1);
        let at = Tensor::from_slice(&of_rows, of_rows.len(), &Device::Cpu)?;
        let routed = Value { tensor: x.tensor.index_select(&at, 0)?, rows: Arc::new(Rows::of(lengths)) };
        let made = expert_forward(running, of, expert, &routed, watch)?;
        watch.expert(of, number, &made, &gates)?;
        out = out.index_add(&at, &made.tensor.broadcast_mul(&gates.unsqueeze(1)?)?, 0)?;
    }
    Ok(x.with(out))
}

fn softmax(logits: &Tensor) -> Result<Tensor, Failure> {
    let top = logits.max_keepdim(D::Minus1)?.detach();
    let exponentials = logits.broadcast_sub(&top)?.exp()?;
    Ok(exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?)
}

/// The gates of what is no null expert, renormalized; all 0 where there is nothing else. Nulls are numbered from `first` on.
fn without_nulls(gates: &Tensor, routes: &[u32], first: usize) -> Result<Tensor, Failure> {
    let (rows, top_k) = gates.dims2()?;
    let kept: Vec<f32> =
        routes.iter().map(|&route| if (route as usize) < first { 1.0 } else { 0.0 }).collect();
    let empty: Vec<f32> = kept
        .chunks_exact(top_k.max(1))
        .map(|row| if row.iter().all(|kept| *kept == 0.0) { 1.0 } else { 0.0 })
        .collect();
    let gates = (gates * op::tensor(kept, (rows, top_k))?)?;
    let sums = (gates.sum_keepdim(D::Minus1)? + op::tensor(empty, (rows, 1))?)?;
    Ok(gates.broadcast_div(&sums)?)
}

/// The rows that one expert runs for, and its gate for each.
struct Turn {
    of_rows: Vec<u32>,
    gates: Tensor,
}

fn turn(chosen: &[usize], number: usize, top_k: usize, gates: &Tensor) -> Result<Option<Turn>, Failure> {
    let slots: Vec<u32> = (0..chosen.len() as u32).filter(|&slot| chosen[slot as usize] == number).collect();
    if slots.is_empty() {
        return Ok(None);
    }
    let mut of_rows: Vec<u32> = slots.iter().map(|slot| slot / top_k as u32).collect();
    let at = Tensor::from_slice(&slots, slots.len(), &Device::Cpu)?;
    let mut gates = gates.index_select(&at, 0)?;
    if of_rows.windows(2).any(|pair| pair[0] == pair[1]) {
        // Slots of a row follow each other: the place of each among the rows that differ.
        let places: Vec<u32> = of_rows
            .iter()
            .scan((None, 0), |(last, place), &row| {
                *place += u32::from(last.is_some_and(|last| last != row));
                *last = Some(row);
                Some(*place)
            })
            .collect();
        of_rows.dedup();
        let places = Tensor::from_slice(&places, places.len(), &Device::Cpu)?;
        gates = Tensor::zeros(of_rows.len(), gates.dtype(), &Device::Cpu)?.index_add(&places, &gates, 0)?;
    }
    Ok(Some(Turn { of_rows, gates }))
}

/// Where the second gate is less than `share` of the first, the first one is all.
fn without_small_seconds(gates: &Tensor, share: f64) -> Result<Tensor, Failure> {
    let (rows, top_k) = gates.dims2()?;
    if top_k != 2 {
        return Ok(gates.clone());
    }
    let host = gates.contiguous()?;
    let host = Host::of(&host)?;
    let alone = |pair: &[f32]| f64::from(pair[1]) < share * f64::from(pair[0]);
    let both = |pair: &[f32]| if alone(pair) { [0.0, 0.0] } else { [1.0, 1.0] };
    let kept: Vec<f32> = host.values().chunks_exact(2).flat_map(both).collect();
    let first: Vec<f32> = kept.chunks_exact(2).flat_map(|pair| [1.0 - pair[0], 0.0]).collect();
    let (kept, first) = (op::tensor(kept, (rows, 2))?, op::tensor(first, (rows, 2))?);
    Ok(((gates * kept)? + first)?)
}

fn expert_forward(
    running: &Running<'_>,
    of: &Experts,
    expert: &Expert,
    x: &Value,
    watch: &mut dyn Watch,
) -> Result<Value, Failure> {
    let up = running.linear(expert.up, x, watch)?;
    let inner = match expert.gate {
        Some(gate) => {
            let gate = running.linear(gate, x, watch)?;
            (op::activation(of.activation, &gate.tensor)? * &up.tensor)?
        }
        None => op::activation(of.activation, &up.tensor)?,
    };
    running.linear(expert.down, &x.with(inner), watch)
}

/// What an expert makes of rows, whether or not they were routed to it: `[rows, hidden]` to `[rows, hidden]`.
///
/// # Errors
/// Where its weights do not fit: an error of ours.
pub fn expert_output(weights: &Loaded, of: &Experts, number: usize, x: &Tensor) -> Result<Tensor, Failure> {
    let expert = &of.experts[number];
    let up = weights.get(expert.up).apply(x)?;
    let inner = match expert.gate {
        Some(gate) => (op::activation(of.activation, &weights.get(gate).apply(x)?)? * &up)?,
        None => op::activation(of.activation, &up)?,
    };
    weights.get(expert.down).apply(&inner)
}

/// The `top_k` rows of the router for each token, best first; of equal shares the lower number.
fn chosen(shares: &[f32], routes: usize, top_k: usize) -> Vec<u32> {
    let mut chosen = Vec::with_capacity(shares.len() / routes.max(1) * top_k);
    let mut order: Vec<u32> = Vec::new();
    for row in shares.chunks_exact(routes.max(1)) {
        order.clear();
        order.extend(0..routes as u32);
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        chosen.extend_from_slice(&order[..top_k]);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_shares_the_lower_number_is_chosen() {
        assert_eq!(chosen(&[0.2, 0.4, 0.4, 0.0, 0.1, 0.3, 0.3, 0.3], 4, 2), [1, 2, 1, 2]);
    }

    fn row(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Three tokens with two choices each: both of the second lead to expert 1, which then runs once with the sum of the gates.
    #[test]
    fn two_rows_that_lead_to_one_expert_let_it_run_once() {
        let gates = Tensor::new(&[0.7f32, 0.3, 0.6, 0.4, 0.9, 0.1], &Device::Cpu).unwrap();
        let chosen = [0, 1, 1, 1, 1, 0];
        let Turn { of_rows, gates: of_one } = turn(&chosen, 1, 2, &gates).unwrap().unwrap();
        assert_eq!(of_rows, [0, 1, 2]);
        assert_eq!(row(&of_one), [0.3, 1.0, 0.9]);
        let Turn { of_rows, gates: of_none } = turn(&chosen, 0, 2, &gates).unwrap().unwrap();
        assert_eq!((of_rows, row(&of_none)), (vec![0, 2], vec![0.7, 0.1]));
        assert!(turn(&chosen, 2, 2, &gates).unwrap().is_none());
    }

    /// The case of the method card (AdaMoE): two experts, three nulls, three choices; and a token that chose nulls alone.
    #[test]
    fn gates_of_nulls_go_to_the_others() {
        let gates = Tensor::new(&[[0.30f32, 0.25, 0.20], [0.5, 0.3, 0.1]], &Device::Cpu).unwrap();
        let gates = without_nulls(&gates, &[0, 1, 2, 3, 2, 4], 2).unwrap();
        let expected = [0.545_455, 0.454_545, 0.0, 0.0, 0.0, 0.0];
        assert!(row(&gates).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{gates}");
    }

    /// The ratio is 1/4 in the first row, 2/3 in the second.
    #[test]
    fn a_small_second_gate_leaves_all_to_the_first() {
        let gates = Tensor::new(&[[0.8f32, 0.2], [0.6, 0.4]], &Device::Cpu).unwrap();
        let skipped = without_small_seconds(&gates, 0.5).unwrap();
        assert_eq!(row(&skipped), [1.0, 0.0, 0.6, 0.4]);
        assert_eq!(row(&without_small_seconds(&gates, 0.0).unwrap()), row(&gates));
    }
}
