//! The load of experts, made even: a term of the loss that is least where every row of a router is chosen as often (Switch
//! Transformers, arXiv:2101.03961, section 2.2). Null experts are one as good as another: each counts with the mean load of them all
//! (AdaMoE, arXiv:2406.13233).

use candle_core::Tensor;

use crate::runtime::Failure;
use crate::runtime::op::tensor;

/// `n sum_i f_i P_i` of a router of n rows: f_i is how many of a token's choices are row i, P_i the mean of its shares. Of `top_k`
/// choices it is `top_k` where all are even. Gradients go through the shares alone.
///
/// `shares [rows, n]`; `chosen` are numbers of routes, as many for each row; those from `first_null` on are nulls.
///
/// # Errors
/// Where shapes do not fit: an error of ours.
pub fn balance(shares: &Tensor, chosen: &[u32], first_null: usize) -> Result<Tensor, Failure> {
    let (rows, routes) = shares.dims2()?;
    let mut loads = vec![0.0; routes];
    chosen.iter().for_each(|&route| loads[route as usize] += 1.0 / rows.max(1) as f64);
    let nulls = &mut loads[first_null.min(routes)..];
    let mean = nulls.iter().sum::<f64>() / nulls.len().max(1) as f64;
    nulls.fill(mean);
    let loads = tensor(loads.into_iter().map(|load| load as f32).collect(), routes)?;
    Ok(((shares.mean(0)? * loads)?.sum_all()? * routes as f64)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    fn shares(rows: &[[f32; 4]]) -> Tensor {
        tensor(rows.concat(), (rows.len(), 4)).unwrap()
    }

    fn value(tensor: &Tensor) -> f64 {
        f64::from(tensor.to_scalar::<f32>().unwrap())
    }

    /// By hand: two tokens, two experts, two nulls, two choices. Loads (1, 0.5, 0.5, 0), the nulls' mean is 0.25; mean shares (0.45, 0.25,
    /// 0.2, 0.1): 4 (0.45 + 0.125 + 0.05 + 0.025) = 2.6. Were the nulls not alike, 4 (0.45 + 0.125 + 0.1) = 2.7.
    #[test]
    fn nulls_count_with_their_mean() {
        let shares = shares(&[[0.5, 0.3, 0.1, 0.1], [0.4, 0.2, 0.3, 0.1]]);
        let chosen = [0, 1, 0, 2];
        assert!((value(&balance(&shares, &chosen, 2).unwrap()) - 2.6).abs() < 1e-6);
        assert!((value(&balance(&shares, &chosen, 4).unwrap()) - 2.7).abs() < 1e-6);
    }

    #[test]
    fn an_even_load_is_as_many_as_are_chosen() {
        let shares = shares(&[[0.25; 4], [0.25; 4]]);
        assert_eq!(value(&balance(&shares, &[0, 1, 2, 3], 4).unwrap()), 2.0);
        assert_eq!(value(&balance(&shares, &[0, 0], 4).unwrap()), 1.0);
    }

    /// Against finite differences: loads stay as they are.
    #[test]
    fn gradients_go_through_the_shares() {
        let at = [[0.5f32, 0.3, 0.1, 0.1], [0.4, 0.2, 0.3, 0.1]];
        let variable = Var::from_tensor(&shares(&at)).unwrap();
        let loss = balance(&variable, &[0, 1, 0, 2], 2).unwrap();
        let found = loss.backward().unwrap().get(&variable).unwrap().to_vec2::<f32>().unwrap();
        for row in 0..2 {
            for column in 0..4 {
                let moved = |by: f32| {
                    let mut at = at;
                    at[row][column] += by;
                    value(&balance(&shares(&at), &[0, 1, 0, 2], 2).unwrap())
                };
                let expected = (moved(0.05) - moved(-0.05)) / 0.1;
                assert!((f64::from(found[row][column]) - expected).abs() < 1e-4, "{row} {column}");
            }
        }
    }
}
