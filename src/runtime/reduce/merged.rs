//! Tokens that become a part of others.

use super::{Left, Tokens, by_score, unit_rows};
use crate::graph::{ByEnergy, EnergyKernel, EnergyPairing};
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};

/// Cosines of rows of length 1, `[left, right]`.
fn cosines(left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
    let (rows, columns) = (left.rows, right.rows);
    let mut cosines = vec![0.0; rows * columns];
    product((&mut cosines, columns), Into::Replace, 1.0, left, right.transposed(), Threads::One);
    cosines
}

/// The column of the largest value from `first` on, the first of equal ones, and the value; none where there is no such column.
fn best(row: &[f32], first: usize) -> Option<(usize, f32)> {
    let candidates = row.iter().copied().enumerate().skip(first);
    candidates.fold(None, |best, (at, value)| match best {
        Some((_, top)) if top >= value => best,
        _ => Some((at, value)),
    })
}

/// Tokens that stay, and for some of them others that go into them: means by size.
fn by_size(tokens: Tokens<'_>, order: &[usize], goes: &[(usize, usize)]) -> Left {
    let mut left = tokens.kept(order.iter().copied());
    let place = places(tokens.count, order);
    for &(token, into) in goes {
        left.parts[place[into]].push((token, 1.0));
        left.sizes[place[into]] += tokens.size(token);
    }
    for (parts, size) in left.parts.iter_mut().zip(&left.sizes).filter(|(parts, _)| parts.len() > 1) {
        parts.iter_mut().for_each(|(token, weight)| *weight = tokens.size(*token) / size);
    }
    left
}

/// The place of each token in an order.
fn places(count: usize, order: &[usize]) -> Vec<usize> {
    let mut places = vec![usize::MAX; count];
    order.iter().enumerate().for_each(|(place, &token)| places[token] = place);
    places
}

/// Token Merging: even places propose, odd places receive, and the `gone` most similar pairs become one.
pub(super) fn pairs(tokens: Tokens<'_>, keys: &[f32], gone: usize) -> Left {
    let Tokens { count, protected, .. } = tokens;
    let width = keys.len() / count;
    let every_other =
        |first: usize| Matrix::rows(&keys[first * width..], (count - first).div_ceil(2), width, 2 * width);
    let cosines = cosines(every_other(0), every_other(1));
    // Of odd places, token 2i + 1 is number i.
    let (receivers, free) = (count / 2, protected / 2);
    let nearest: Vec<Option<(usize, f32)>> =
        cosines.chunks_exact(receivers).map(|row| best(row, free)).collect();
    let mut alike = vec![f32::NEG_INFINITY; count];
    let proposers = || (0..count).step_by(2).filter(|&token| token >= protected);
    proposers()
        .for_each(|token| alike[token] = nearest[token / 2].map_or(f32::NEG_INFINITY, |(_, cosine)| cosine));
    let goes: Vec<(usize, usize)> = by_score(&alike, proposers())
        .into_iter()
        .take(gone)
        .filter_map(|token| Some((token, 2 * nearest[token / 2]?.0 + 1)))
        .collect();
    let is_gone = |token: &usize| goes.iter().any(|(gone, _)| gone == token);
    let staying = proposers().filter(|token| !is_gone(token));
    let received = (1..count).step_by(2).filter(|&token| token >= protected);
    let order: Vec<usize> = (0..protected).chain(staying).chain(received).collect();
    by_size(tokens, &order, &goes)
}

/// For each of some tokens the place of the most similar of others, and the cosine; of equal ones the first.
pub(super) fn nearest(keys: &[f32], width: usize, of: &[usize], among: &[usize]) -> Vec<(usize, f32)> {
    let gathered = |tokens: &[usize]| -> Vec<f32> {
        tokens.iter().flat_map(|&token| &keys[token * width..(token + 1) * width]).copied().collect()
    };
    let (left, right) = (gathered(of), gathered(among));
    let cosines =
        cosines(Matrix::rows(&left, of.len(), width, width), Matrix::rows(&right, among.len(), width, width));
    cosines.chunks_exact(among.len()).filter_map(|row| best(row, 0)).collect()
}

/// PiToMe: tokens that are like many others are paired, the rest stays.
///
/// The energy of a token is the mean over tokens of what the kernel makes of cosines.
pub(super) fn by_energy(tokens: Tokens<'_>, keys: &[f32], of: ByEnergy, gone: usize) -> Left {
    let Tokens { count, protected, .. } = tokens;
    let width = keys.len() / count;
    let free = count - protected;
    let of_free = Matrix::rows(&keys[protected * width..], free, width, width);
    let cosines = cosines(of_free, of_free);
    let energies = energies(&cosines, free, of);
    let order = by_score(&energies, 0..free);
    let cosine = |token: usize, other: usize| cosines[token * free + other];
    let every_other = |of: &[usize], first: usize| of.iter().skip(first).step_by(2).copied().collect();
    let (goers, receivers, stay): (Vec<usize>, Vec<usize>, &[usize]) = match of.pairing {
        EnergyPairing::Alternate => {
            let (paired, stay) = order.split_at(2 * gone);
            (every_other(paired, 0), every_other(paired, 1), stay)
        }
        EnergyPairing::Halves => (order[..gone].to_vec(), order[gone..2 * gone].to_vec(), &order[2 * gone..]),
        EnergyPairing::Closest => (every_other(&order, 0), every_other(&order, 1), &[]),
    };
    let into = |&token: &usize| {
        let row: Vec<f32> = receivers.iter().map(|&other| cosine(token, other)).collect();
        best(&row, 0).expect("a token receives where one goes")
    };
    let found: Vec<(usize, f32)> = goers.iter().map(into).collect();
    // Where more propose than go, those of the most similar pairs do.
    let alike: Vec<f32> = found.iter().map(|(_, cosine)| *cosine).collect();
    let (closest, rest) = match of.pairing {
        EnergyPairing::Closest => {
            let places = by_score(&alike, 0..goers.len());
            (places[..gone].to_vec(), places[gone..].to_vec())
        }
        EnergyPairing::Alternate | EnergyPairing::Halves => ((0..gone).collect(), Vec::new()),
    };
    let goes: Vec<(usize, usize)> = closest
        .into_iter()
        .map(|place| (protected + goers[place], protected + receivers[found[place].0]))
        .collect();
    let rest = rest.iter().map(|&place| &goers[place]);
    let behind = stay.iter().chain(rest).chain(&receivers).map(|&token| protected + token);
    let order: Vec<usize> = (0..protected).chain(behind).collect();
    if !of.restart {
        return by_size(tokens, &order, &goes);
    }
    let mut left = by_size(Tokens { sizes: None, ..tokens }, &order, &goes);
    left.sizes.fill(1.0);
    left
}

/// Means over tokens of what cosines `[count, count]` add.
pub(super) fn energies(cosines: &[f32], count: usize, of: ByEnergy) -> Vec<f32> {
    let margin = of.margin as f32;
    let deviation = 1.0 - f64::from(margin);
    let added = |cosine: &f32| match of.kernel {
        EnergyKernel::Elu => {
            let above = f64::from(cosine - margin);
            if above > 0.0 { above } else { above.exp_m1() }
        }
        EnergyKernel::Gaussian => {
            let off = f64::from(1.0 - cosine) / deviation;
            (-0.5 * off * off).exp() / (deviation * std::f64::consts::TAU.sqrt())
        }
    };
    cosines
        .chunks_exact(count)
        .map(|row| (row.iter().map(added).sum::<f64>() / count as f64) as f32)
        .collect()
}

/// DiffRate: sorted by how much the first token attends to them, all but `kept` are dropped; those behind the first `after` go
/// into the ones that they are most like by features. Features are plain means, and a size grows by what comes times its cosine.
pub(super) fn by_attention(tokens: Tokens<'_>, attended: &[f32], kept: usize, after: usize) -> Left {
    into_first(tokens, &by_rank(tokens, attended), kept, after)
}

/// Protected tokens, then the others by how much they are attended to.
pub(super) fn by_rank(tokens: Tokens<'_>, attended: &[f32]) -> Vec<usize> {
    (0..tokens.protected).chain(by_score(attended, tokens.protected..tokens.count)).collect()
}

/// The first `after` of a list, into which those behind them go; all but `kept` are dropped.
pub(super) fn into_first(tokens: Tokens<'_>, sorted: &[usize], kept: usize, after: usize) -> Left {
    let Tokens { features, width, count, protected, .. } = tokens;
    let sources = &sorted[after..kept.clamp(after, count)];
    let order = &sorted[..after];
    let gathered = |tokens: &[usize]| {
        let rows = tokens.iter().flat_map(|&token| &features[token * width..(token + 1) * width]);
        let mut rows: Vec<f32> = rows.copied().collect();
        unit_rows(&mut rows, width);
        rows
    };
    let (from, into) = (gathered(sources), gathered(order));
    let mut left = tokens.kept(order.iter().copied());
    let cosines =
        cosines(Matrix::rows(&from, sources.len(), width, width), Matrix::rows(&into, after, width, width));
    for (&token, row) in sources.iter().zip(cosines.chunks_exact(after)) {
        let Some((at, cosine)) = best(row, protected) else { continue };
        left.parts[at].push((token, 1.0));
        // The formula as it is has sizes of 0 or less, whose logarithms are no numbers, where a token points away from all others.
        left.sizes[at] += tokens.size(token) * cosine.max(0.0);
    }
    for parts in &mut left.parts {
        let share = 1.0 / parts.len() as f32;
        parts.iter_mut().for_each(|(_, weight)| *weight = share);
    }
    left
}
