//! Fewer tokens of a picture: which stay, by what the attention of the layer before says.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::super::Failure;
use super::super::interpret::Value;
use super::super::kernel::attention::{Heads, Operands, mass};
use super::super::op::{self, Combination, Host};
use super::super::rows::{Kind, Rows};
use super::by_score;
use crate::graph::{PictureRule, Reduction};
use crate::graph::{key_tokens, left_of_picture};

/// One sample after a rule.
#[derive(Debug, Clone, Default, PartialEq)]
struct Left {
    /// The tokens of the sample that each row is the mean of.
    rows: Vec<Vec<usize>>,
    kinds: Vec<Kind>,
}

impl Left {
    /// Some rows as they are.
    fn of(kinds: &[Kind], stay: impl Iterator<Item = usize>) -> Self {
        let stay: Vec<usize> = stay.collect();
        let kinds = stay.iter().map(|&row| kinds[row]).collect();
        Self { rows: stay.into_iter().map(|row| vec![row]).collect(), kinds }
    }

    fn keeps_all(&self, count: usize) -> bool {
        self.rows.len() == count && self.rows.iter().enumerate().all(|(at, row)| row[..] == [at])
    }
}

/// Tokens after a rule. Queries and keys are turned as the attention turned them. Where nothing goes, they are what they were.
///
/// # Errors
/// Where the tensors are not of f32: an error of ours.
pub fn pictured(
    of: &Reduction,
    rule: PictureRule,
    heads: Heads,
    x: &Value,
    [query, key]: [&Value; 2],
) -> Result<Value, Failure> {
    let (features, query, key) =
        (x.tensor.contiguous()?, query.tensor.contiguous()?, key.tensor.contiguous()?);
    let (of_features, of_query, of_key) = (Host::of(&features)?, Host::of(&query)?, Host::of(&key)?);
    let (values, width) = (of_features.values(), x.tensor.dims()[1]);
    let operands = Operands { query: of_query.values(), key: of_key.values(), value: &[], bias: None };
    let all_kinds = x.rows.kinds();
    let ranges = x.rows.ranges();
    let left: Vec<Left> = ranges
        .par_iter()
        .map(|range| {
            let kinds = match &all_kinds {
                Some(kinds) => kinds[range.clone()].to_vec(),
                None => vec![Kind::Text; range.len()],
            };
            let attended = |query: usize| mass(heads, range, operands, query..query + 1);
            match rule {
                PictureRule::LastQuery => by_last_query(of, &kinds, attended),
                PictureRule::ByText { global, individual, .. } => {
                    by_text(&kinds, [global as f32, individual as f32], attended)
                }
                PictureRule::MergeWindows { window, similarity, grid } => {
                    let patches = &values[range.start * width..range.end * width];
                    windows(patches, width, of.protected, window, similarity, grid)
                }
                PictureRule::Keys { share } => keys(&attended(0), of.protected, share),
            }
        })
        .collect();
    let same = left.iter().zip(&ranges).all(|(left, range)| left.keeps_all(range.len()));
    // The text's rule counts places anew even where nothing goes, so that what stands beside a sample decides nothing.
    let is_renumbered = matches!(rule, PictureRule::ByText { .. });
    let rows = match same && !is_renumbered {
        true => (*x.rows).clone(),
        false => Rows::of(left.iter().map(|left| left.rows.len())),
    };
    let has_kinds = all_kinds.is_some() || matches!(rule, PictureRule::Keys { .. });
    let rows = match has_kinds {
        true => rows.with_kinds(left.iter().flat_map(|left| left.kinds.iter().copied()).collect()),
        false => rows,
    };
    if same {
        return Ok(Value { tensor: x.tensor.clone(), rows: Arc::new(rows) });
    }
    let stays_in_place = matches!(rule, PictureRule::LastQuery);
    let rows = match stays_in_place {
        true => {
            let before = x.rows.positions();
            let places = left.iter().zip(&ranges).flat_map(|(left, range)| {
                let before = &before;
                left.rows.iter().map(move |row| before[range.start + row[0]])
            });
            rows.with_places(places.collect())
        }
        false => rows,
    };
    let starts = ranges.iter().map(|range| range.start);
    let parts = left.iter().zip(starts).flat_map(|(left, start)| {
        left.rows.iter().map(move |row| {
            let share = 1.0 / row.len() as f32;
            row.iter().map(move |&token| (start + token, share))
        })
    });
    let tensor = op::combine(&features, Arc::new(Combination::new(parts)))?;
    Ok(Value { tensor, rows: Arc::new(rows) })
}

/// The picture's tokens of a sample: a run of its rows, empty where there are none.
fn span(kinds: &[Kind]) -> Range<usize> {
    let is_picture = |kind: &Kind| *kind != Kind::Text;
    let start = kinds.iter().position(is_picture).unwrap_or(0);
    let end = kinds.iter().rposition(is_picture).map_or(start, |last| last + 1);
    start..end
}

/// Everything of the text, and of the picture what the last token attends to most.
fn by_last_query(of: &Reduction, kinds: &[Kind], attended: impl Fn(usize) -> Vec<f32>) -> Left {
    let picture = span(kinds);
    let left = left_of_picture(of.keep, picture.len());
    if left == picture.len() {
        return Left::of(kinds, 0..kinds.len());
    }
    let mut stay = by_score(&attended(kinds.len() - 1), picture.clone());
    stay.truncate(left);
    stay.sort_unstable();
    Left::of(kinds, (0..picture.start).chain(stay).chain(picture.end..kinds.len()))
}

/// Everything of the text, key tokens, and of the others what the text behind attends to.
fn by_text(kinds: &[Kind], thresholds: [f32; 2], attended: impl Fn(usize) -> Vec<f32>) -> Left {
    let picture = span(kinds);
    let rows: Vec<Vec<f32>> =
        (picture.end..kinds.len()).map(|query| attended(query)[picture.clone()].to_vec()).collect();
    let goes = ignored(&rows, picture.len(), thresholds);
    let stays = |row: &usize| {
        let at = row.checked_sub(picture.start).filter(|at| *at < goes.len());
        at.is_none_or(|at| !goes[at]) || kinds[*row] == Kind::Key
    };
    Left::of(kinds, (0..kinds.len()).filter(stays))
}

/// Which of the picture's tokens the text hardly attends to: in sum less than `global` of all, and by no token `individual`.
fn ignored(attended: &[Vec<f32>], count: usize, [global, individual]: [f32; 2]) -> Vec<bool> {
    let column = |at: usize| attended.iter().map(move |row| row[at]);
    let sums: Vec<f32> = (0..count).map(|at| column(at).sum()).collect();
    let total: f32 = sums.iter().sum();
    let most = |at: usize| column(at).fold(0.0, f32::max);
    (0..count).map(|at| sums[at] < global * total && most(at) < individual).collect()
}

/// The tokens in front, windows of like patches, and the patches that stay by themselves.
fn windows(
    tokens: &[f32],
    width: usize,
    front: usize,
    window: usize,
    similarity: f64,
    [rows, columns]: [usize; 2],
) -> Left {
    let mut merged = Vec::new();
    let mut alone = vec![true; rows * columns];
    for (top, left) in
        (0..rows).step_by(window).flat_map(|top| (0..columns).step_by(window).map(move |left| (top, left)))
    {
        let at: Vec<usize> =
            (0..window * window).map(|it| (top + it / window) * columns + left + it % window).collect();
        let patch = |at: usize| &tokens[(front + at) * width..(front + at + 1) * width];
        let patches: Vec<&[f32]> = at.iter().map(|&at| patch(at)).collect();
        if mean_cosine(&patches) >= similarity {
            at.iter().for_each(|&at| alone[at] = false);
            merged.push(at.into_iter().map(|at| front + at).collect());
        }
    }
    let before = (0..front).map(|row| vec![row]);
    let alone = (0..rows * columns).filter(|&at| alone[at]).map(|at| vec![front + at]);
    let rows: Vec<Vec<usize>> = before.chain(merged).chain(alone).collect();
    Left { kinds: vec![Kind::Text; rows.len()], rows }
}

/// The mean cosine of two different rows.
fn mean_cosine(rows: &[&[f32]]) -> f64 {
    let length = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    let lengths: Vec<f64> = rows.iter().map(|row| length(row)).collect();
    let mut sum = 0.0;
    for (at, row) in rows.iter().enumerate() {
        for (to, other) in rows.iter().enumerate().take(at) {
            let product: f64 = row.iter().zip(*other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sum += product / (lengths[at] * lengths[to]);
        }
    }
    let pairs = rows.len() * rows.len().saturating_sub(1) / 2;
    sum / pairs.max(1) as f64
}

/// All tokens as they are, the best of the patches as key ones.
fn keys(attended: &[f32], front: usize, share: f64) -> Left {
    let count = attended.len();
    let mut kinds = vec![Kind::Picture; count];
    let best = by_score(attended, front.min(count)..count);
    for &row in best.iter().take(key_tokens(share, count - front.min(count))) {
        kinds[row] = Kind::Key;
    }
    Left { rows: (0..count).map(|row| vec![row]).collect(), kinds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attention, ReductionRule, TokenCount};

    fn reduction(keep: TokenCount) -> Reduction {
        let attention = Attention::new(true, 1.0);
        Reduction { protected: 0, keep, rule: ReductionRule::Picture(PictureRule::LastQuery), attention }
    }

    /// Two tokens of the system, four of the picture, two of the text.
    const KINDS: [Kind; 8] = {
        let (text, picture) = (Kind::Text, Kind::Picture);
        [text, text, picture, picture, picture, picture, text, text]
    };

    fn stay(left: &Left) -> Vec<usize> {
        left.rows.iter().map(|row| row[0]).collect()
    }

    #[test]
    fn the_last_query_decides_as_the_card_of_fastv_says() {
        let attended = |query: usize| {
            assert_eq!(query, 7);
            vec![0.3, 0.2, 0.1, 0.4, 0.2, 0.3, 0.1, 0.4]
        };
        let two = by_last_query(&reduction(TokenCount::Exactly(2)), &KINDS, attended);
        assert_eq!(stay(&two), [0, 1, 3, 5, 6, 7]);
        let half = by_last_query(&reduction(TokenCount::Share(0.5)), &KINDS, attended);
        assert_eq!(half, two);
        let all =
            by_last_query(&reduction(TokenCount::Share(1.0)), &KINDS, |_| unreachable!("nothing is asked"));
        assert!(all.keeps_all(8));
        let alike = by_last_query(&reduction(TokenCount::Exactly(2)), &KINDS, |_| vec![0.125; 8]);
        assert_eq!(stay(&alike), [0, 1, 2, 3, 6, 7], "of equal ones the first");
    }

    #[test]
    fn the_text_decides_as_the_card_of_mustdrop_says() {
        let rows = [vec![0.10, 0.002, 0.0005, 0.05], vec![0.05, 0.0004, 0.0006, 0.002]];
        assert_eq!(ignored(&rows, 4, [0.02, 0.001]), [false, false, true, false]);
        assert_eq!(ignored(&rows, 4, [0.0, 0.0]), [false; 4]);
        let attended = |query: usize| [vec![0.0; 2], rows[query - 6].clone(), vec![0.0; 2]].concat();
        assert_eq!(stay(&by_text(&KINDS, [0.02, 0.001], attended)), [0, 1, 2, 3, 5, 6, 7]);
        let mut kinds = KINDS;
        kinds[4] = Kind::Key;
        assert!(by_text(&kinds, [0.02, 0.001], attended).keeps_all(8), "key tokens stay");
        // No text behind the picture: nothing goes.
        assert!(by_text(&KINDS[..6], [0.02, 0.001], attended).keeps_all(6));
    }

    #[test]
    fn windows_of_like_patches_become_one() {
        // A class token, and 2 x 4 patches: the left window points one way, the right one does not.
        let tokens = [
            [9.0, 9.0],
            [1.0, 0.0],
            [3.0, 0.0],
            [1.0, 0.0],
            [0.0, 1.0],
            [2.0, 0.0],
            [2.0, 0.0],
            [0.0, 2.0],
            [5.0, 0.0],
        ];
        let left = windows(tokens.as_flattened(), 2, 1, 2, 0.8, [2, 4]);
        let rows: [&[usize]; 6] = [&[0], &[1, 2, 5, 6], &[3], &[4], &[7], &[8]];
        assert_eq!(left.rows, rows);
        let none = windows(tokens.as_flattened(), 2, 1, 2, 1.5, [2, 4]);
        assert!(none.keeps_all(9));
    }

    #[test]
    fn the_class_token_names_the_key_tokens() {
        let left = keys(&[0.5, 0.1, 0.2, 0.05, 0.15], 1, 0.3);
        assert!(left.keeps_all(5));
        let keys: Vec<usize> = (0..5).filter(|&row| left.kinds[row] == Kind::Key).collect();
        assert_eq!(keys, [2, 4], "0.3 of 4 is two, rounded up");
    }
}
