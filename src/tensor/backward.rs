//! Which tensors are worth a gradient under a budget of backward work: the exact choice of GreenTrainer.

/// What the gradient of one tensor costs, and is worth; tensors are listed from the last layer backwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gradient {
    /// FLOPs of its own gradient.
    pub own: f64,
    /// FLOPs of passing the gradient of what it makes on to what it is given.
    pub through: f64,
    /// How much the loss is expected to fall by a step of it.
    pub worth: f64,
}

/// Levels that costs are rounded up to: a choice never costs more than it may.
const LEVELS: usize = 1000;

/// The tensors whose gradients are worth most at a share of what all of them cost (GreenTrainer, arXiv:2309.13192, section 3.3).
///
/// The gradient of a tensor needs that of everything between it and the loss: a set costs its own parts, and all that is passed
/// through down to the deepest of it. `best[k][t]` is the most that is worth with k the deepest at a cost of at most t: `worth[k]` and
/// the best of a deepest tensor before, at what is left. Tensors that are worth nothing are never chosen.
pub fn choose(all: &[Gradient], share: f64) -> Vec<bool> {
    let total: f64 = all.iter().map(|it| it.own + it.through).sum();
    let limit = share * total;
    let level = total / LEVELS as f64;
    let mut chosen = vec![false; all.len()];
    if level <= 0.0 || limit <= 0.0 {
        return chosen;
    }
    let limit = (share * LEVELS as f64 + 1e-9).floor() as usize;
    let levels = |cost: f64| (cost / level - 1e-9).ceil().max(0.0) as usize;
    // Costs add up before they are rounded: what is passed through from one deepest tensor to the next.
    let mut passed = vec![0.0];
    all.iter().for_each(|it| passed.push(passed[passed.len() - 1] + it.through));
    let from = |before: usize, k: usize| levels(all[k].own + passed[k + 1] - passed[before]);
    // Number 0 stands for none, k for the tensor k - 1 as the deepest.
    let mut best = vec![vec![f64::NEG_INFINITY; limit + 1]; all.len() + 1];
    let mut came = vec![vec![0usize; limit + 1]; all.len() + 1];
    best[0].fill(0.0);
    for k in 0..all.len() {
        if all[k].worth <= 0.0 {
            continue;
        }
        for before in 0..=k {
            let cost = from(before, k);
            for t in cost..=limit {
                let worth = all[k].worth + best[before][t - cost];
                if worth > best[k + 1][t] {
                    best[k + 1][t] = worth;
                    came[k + 1][t] = before;
                }
            }
        }
    }
    // Of equals the shallowest.
    let mut deepest =
        (0..=all.len()).fold(0, |most, k| if best[k][limit] > best[most][limit] { k } else { most });
    let mut left = limit;
    while deepest > 0 {
        chosen[deepest - 1] = true;
        let before = came[deepest][left];
        left -= from(before, deepest - 1);
        deepest = before;
    }
    chosen
}

/// What a set costs, as a share of all.
pub fn cost(all: &[Gradient], chosen: &[bool]) -> f64 {
    let total: f64 = all.iter().map(|it| it.own + it.through).sum();
    let deepest = chosen.iter().rposition(|chosen| *chosen).map_or(0, |at| at + 1);
    let through: f64 = all[..deepest].iter().map(|it| it.through).sum();
    let own: f64 = all.iter().zip(chosen).filter(|(_, chosen)| **chosen).map(|(it, _)| it.own).sum();
    if total > 0.0 { (own + through) / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn gradients(through: &[f64], own: &[f64], worth: &[f64]) -> Vec<Gradient> {
        let all = through.iter().zip(own).zip(worth);
        all.map(|((&through, &own), &worth)| Gradient { own, through, worth }).collect()
    }

    fn places(chosen: &[bool]) -> Vec<usize> {
        (0..chosen.len()).filter(|&at| chosen[at]).collect()
    }

    /// The cases of the card: the solver's own test, and the one that it gets wrong.
    #[test]
    fn the_cases_of_the_card_are_chosen() {
        let all =
            gradients(&[0.0, 2.0, 1.0, 4.0, 0.0], &[5.0, 1.0, 7.0, 3.0, 1.0], &[1.0, 3.0, 10.0, 5.0, 3.0]);
        let chosen = choose(&all, 0.6);
        assert_eq!(places(&chosen), [1, 2]);
        assert!((cost(&all, &chosen) - 11.0 / 24.0).abs() < 1e-12);
        let all = gradients(&[2.0, 1.0, 3.0], &[1.0, 4.0, 2.0], &[1.0, 2.0, 7.0]);
        // 13 in all: 10.4 of it.
        assert_eq!(places(&choose(&all, 0.8)), [0, 2]);
    }

    #[test]
    fn no_set_within_the_budget_is_worth_more() {
        let stream = Stream::new(3, "gradients");
        for case in 0..400u64 {
            let count = 3 + (case % 6) as usize;
            let number = |at: usize| f64::from(stream.uniform(case * 100 + at as u64));
            let of = |from: usize| -> Vec<f64> {
                (0..count).map(|at| (number(from + at) * 10.0).round()).collect()
            };
            let worth: Vec<f64> = (0..count).map(|at| number(80 + at) * 10.0 - 2.0).collect();
            let all = gradients(&of(0), &of(20), &worth);
            let share = 0.1 + 0.8 * number(60);
            let chosen = choose(&all, share);
            let worth_of = |set: &[bool]| -> f64 {
                all.iter().zip(set).filter(|(_, chosen)| **chosen).map(|(it, _)| it.worth).sum()
            };
            assert!(cost(&all, &chosen) <= share + 1e-9);
            for set in 0..1u32 << count {
                let set: Vec<bool> = (0..count).map(|at| set >> at & 1 == 1).collect();
                // Costs are rounded up a thousandth at most for each tensor: a set that only just fits may be passed over.
                let fits = cost(&all, &set) <= share - count as f64 / LEVELS as f64;
                assert!(!fits || worth_of(&set) <= worth_of(&chosen) + 1e-9, "case {case}");
            }
        }
    }

    #[test]
    fn a_budget_of_all_takes_all_that_is_worth_something() {
        let all = gradients(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0], &[1.0, -1.0, 2.0]);
        assert_eq!(places(&choose(&all, 1.0)), [0, 2]);
        assert_eq!(places(&choose(&all, 0.0)), Vec::<usize>::new());
    }
}
