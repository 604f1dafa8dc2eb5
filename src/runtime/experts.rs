//! Experts: a router chooses for each token which of them run, and how their results are weighed.

use std::sync::Arc;

use candle_core::{D, Device, Tensor};

use super::Failure;
use super::interpret::{Running, Value};
use super::op::{self, Host};
use super::rows::Rows;
use super::watch::Watch;
use crate::graph::{Expert, Experts};

/// Softmax over all experts, the best `top_k` of each row, their shares renormalized where the model does so; each expert
/// runs on its rows only.
pub(super) fn experts(
    running: &Running<'_>,
    of: &Experts,
    x: &Value,
    watch: &mut dyn Watch,
) -> Result<Value, Failure> {
    let logits = running.linear(of.router, x, watch)?.tensor;
    let top = logits.max_keepdim(D::Minus1)?.detach();
    let exponentials = logits.broadcast_sub(&top)?.exp()?;
    let shares = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
    let (rows, count) = shares.dims2()?;
    let top_k = of.top_k.min(count);
    let chosen = chosen(Host::of(&shares)?.values(), count, top_k);
    let at = Tensor::from_slice(&chosen, (rows, top_k), &Device::Cpu)?;
    let mut gates = shares.gather(&at, 1)?;
    if of.renormalize {
        gates = gates.broadcast_div(&gates.sum_keepdim(D::Minus1)?)?;
    }
    let gates = gates.flatten_all()?;
    let samples = x.rows.sample_of_row();
    let mut out = x.tensor.zeros_like()?;
    for (number, expert) in of.experts.iter().enumerate() {
        let slots: Vec<u32> =
            (0..chosen.len() as u32).filter(|&slot| chosen[slot as usize] == number as u32).collect();
        if slots.is_empty() {
            continue;
        }
        let of_rows: Vec<u32> = slots.iter().map(|slot| slot / top_k as u32).collect();
        let mut lengths = vec![0; x.rows.samples()];
        of_rows.iter().for_each(|&row| lengths[samples[row as usize]] += 1);
        let at = Tensor::from_vec(of_rows, slots.len(), &Device::Cpu)?;
        let routed = Value { tensor: x.tensor.index_select(&at, 0)?, rows: Arc::new(Rows::of(lengths)) };
        let made = expert_forward(running, of, expert, &routed, watch)?;
        let slots = Tensor::from_slice(&slots, slots.len(), &Device::Cpu)?;
        let gate = gates.index_select(&slots, 0)?.unsqueeze(1)?;
        out = out.index_add(&at, &made.tensor.broadcast_mul(&gate)?, 0)?;
    }
    Ok(x.with(out))
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

/// The `top_k` experts of each row, best first; of equal shares the lower number.
fn chosen(shares: &[f32], experts: usize, top_k: usize) -> Vec<u32> {
    let mut chosen = Vec::with_capacity(shares.len() / experts.max(1) * top_k);
    let mut order: Vec<u32> = Vec::new();
    for row in shares.chunks_exact(experts.max(1)) {
        order.clear();
        order.extend(0..experts as u32);
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
}
