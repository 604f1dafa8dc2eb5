//! Tokens that become a part of others.

use super::{Left, Tokens, by_score, unit_rows};
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

/// PiToMe: of the `2 gone` tokens of the highest energy, sorted by it, even places go to the most similar odd ones.
///
/// The energy of a token is the mean over tokens of `f(cosine - margin)`, `f(v) = v` above 0 and `exp(v) - 1` below.
pub(super) fn by_energy(tokens: Tokens<'_>, keys: &[f32], margin: f32, gone: usize) -> Left {
    let Tokens { count, protected, .. } = tokens;
    let width = keys.len() / count;
    let free = count - protected;
    let of_free = Matrix::rows(&keys[protected * width..], free, width, width);
    let cosines = cosines(of_free, of_free);
    let lifted = |cosine: &f32| {
        let above = f64::from(cosine - margin);
        if above > 0.0 { above } else { above.exp_m1() }
    };
    let energies: Vec<f32> = cosines
        .chunks_exact(free)
        .map(|row| (row.iter().map(lifted).sum::<f64>() / free as f64) as f32)
        .collect();
    let order = by_score(&energies, 0..free);
    let (paired, stay) = order.split_at(2 * gone);
    let goers = paired.iter().step_by(2);
    let receivers: Vec<usize> = paired.iter().skip(1).step_by(2).copied().collect();
    let goes: Vec<(usize, usize)> = goers
        .map(|&token| {
            let row: Vec<f32> = receivers.iter().map(|&other| cosines[token * free + other]).collect();
            let (at, _) = best(&row, 0).expect("as many receive as go");
            (protected + token, protected + receivers[at])
        })
        .collect();
    let behind = stay.iter().chain(&receivers).map(|&token| protected + token);
    let order: Vec<usize> = (0..protected).chain(behind).collect();
    by_size(tokens, &order, &goes)
}

/// DiffRate: sorted by how much the first token attends to them, all but `kept` are dropped; those behind the first `after` go
/// into the ones that they are most like by features. Features are plain means, and a size grows by what comes times its cosine.
pub(super) fn by_attention(tokens: Tokens<'_>, attended: &[f32], kept: usize, after: usize) -> Left {
    let Tokens { features, width, count, protected, .. } = tokens;
    let sorted: Vec<usize> = (0..protected).chain(by_score(attended, protected..count)).collect();
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
        left.sizes[at] += tokens.size(token) * cosine;
    }
    for parts in &mut left.parts {
        let share = 1.0 / parts.len() as f32;
        parts.iter_mut().for_each(|(_, weight)| *weight = share);
    }
    left
}
