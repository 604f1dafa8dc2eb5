//! Scaled dot-product attention over sequences that lie one after the other, forward and backward.
//!
//! A tile of queries at a time against the keys that it may see, so that scores never stand in memory as a whole
//! (Rabe & Staats, arXiv:2112.05682, in its plain form). Sequences and heads are spread over threads.

use std::ops::Range;

use rayon::prelude::*;

use super::exp::exp;
use super::product::{Into, Matrix, Threads, product};
use super::wide;

/// Queries of a tile.
const TILE: usize = 64;

/// What is attended: heads of what width, which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    pub kv_heads: usize,
    /// Query heads of a key/value head; they lie side by side.
    pub group: usize,
    /// Width of queries and keys.
    pub head_dim: usize,
    /// Width of values.
    pub value_dim: usize,
    pub scale: f32,
    pub causal: bool,
    /// Keys that a causal query sees at most, its own included.
    pub window: Option<usize>,
}

impl Heads {
    fn query_width(&self) -> usize {
        self.kv_heads * self.group * self.head_dim
    }

    fn out_width(&self) -> usize {
        self.kv_heads * self.group * self.value_dim
    }

    pub fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The keys that the query of this number sees, of `keys`.
    fn seen(&self, query: usize, keys: usize) -> Range<usize> {
        if !self.causal {
            return 0..keys;
        }
        let end = (query + 1).min(keys);
        end - self.window.map_or(end, |window| window.min(end))..end
    }

    /// The keys that any query of a tile sees.
    fn tile(&self, queries: &Range<usize>, keys: usize) -> Range<usize> {
        self.seen(queries.start, keys).start..self.seen(queries.end - 1, keys).end
    }
}

/// Queries, keys and values, rows of all heads side by side.
#[derive(Clone, Copy)]
pub struct Operands<'a> {
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub value: &'a [f32],
    /// What is added to all scores of a key, `[rows]`.
    pub bias: Option<&'a [f32]>,
}

/// One head of one sequence in the rows of all.
struct Place<'a> {
    heads: Heads,
    rows: Range<usize>,
    kv_head: usize,
    operands: Operands<'a>,
}

impl<'a> Place<'a> {
    fn matrix(
        values: &'a [f32],
        rows: Range<usize>,
        width: usize,
        column: usize,
        columns: usize,
    ) -> Matrix<'a> {
        Matrix::rows(&values[rows.start * width + column..], rows.len(), columns, width)
    }

    /// Rows of the sequence, counted from its start, of one query head.
    fn queries(&self, of: &'a [f32], rows: &Range<usize>, member: usize, dim: usize) -> Matrix<'a> {
        let width = self.heads.kv_heads * self.heads.group * dim;
        let column = (self.kv_head * self.heads.group + member) * dim;
        Self::matrix(of, self.rows.start + rows.start..self.rows.start + rows.end, width, column, dim)
    }

    fn keys(&self, of: &'a [f32], rows: &Range<usize>, dim: usize) -> Matrix<'a> {
        let width = self.heads.kv_heads * dim;
        Self::matrix(
            of,
            self.rows.start + rows.start..self.rows.start + rows.end,
            width,
            self.kv_head * dim,
            dim,
        )
    }

    /// The probabilities of a tile, rows `keys.len()` apart, zero where a query does not see.
    fn probabilities(&self, queries: &Range<usize>, keys: &Range<usize>, member: usize, p: &mut Vec<f32>) {
        let Heads { head_dim, scale, .. } = self.heads;
        p.resize(queries.len() * keys.len(), 0.0);
        let query = self.queries(self.operands.query, queries, member, head_dim);
        let key = self.keys(self.operands.key, keys, head_dim).transposed();
        product((p, keys.len()), Into::Replace, scale, query, key, Threads::One);
        for (row, query) in p.chunks_exact_mut(keys.len()).zip(queries.clone()) {
            let seen = self.heads.seen(query, self.rows.len());
            let seen = seen.start - keys.start..seen.end - keys.start;
            if let Some(bias) = self.operands.bias {
                let bias = &bias[self.rows.start + keys.start..];
                row.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
            softmax(&mut row[seen]);
        }
    }
}

wide! {
    fn softmax(row: &mut [f32]) {
        const LANES: usize = super::LANES;
        let mut tops = [f32::MIN; LANES];
        for chunk in row.chunks(LANES) {
            for (top, &x) in tops.iter_mut().zip(chunk) {
                *top = if x > *top { x } else { *top };
            }
        }
        let top = tops.iter().copied().fold(f32::MIN, |top, x| if x > top { x } else { top });
        row.iter_mut().for_each(|x| *x = exp(*x - top));
        let inverse = 1.0 / super::lanes(row, row, |x, _| x);
        row.iter_mut().for_each(|x| *x *= inverse);
    }
}

/// A slice that several threads write to, each at places of its own.
struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: whoever writes through it says why no other thread writes there.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(values: &mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), len: values.len() }
    }

    /// Writes (or adds) rows of a head: `rows` rows of `columns` values at `first`, `stride` apart.
    ///
    /// # Safety
    /// No other thread may write to these rows and columns.
    unsafe fn put(&self, first: usize, stride: usize, columns: usize, from: &[f32], add: bool) {
        for (row, from) in from.chunks_exact(columns).enumerate() {
            let at = first + row * stride;
            assert!(at + columns <= self.len, "heads lie in their rows");
            // SAFETY: in bounds as asserted; exclusive as the caller promises.
            let to = unsafe { std::slice::from_raw_parts_mut(self.start.add(at), columns) };
            if add {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            } else {
                to.copy_from_slice(from);
            }
        }
    }
}

/// `out [rows, query heads x value_dim]`; `sequences` are rows of all operands.
pub fn forward(heads: Heads, sequences: &[Range<usize>], operands: Operands<'_>, out: &mut [f32]) {
    let Heads { kv_heads, group, value_dim, .. } = heads;
    let width = heads.out_width();
    let shared = Shared::new(out);
    let items: Vec<(usize, usize)> = items(sequences, kv_heads * group);
    items.into_par_iter().for_each_init(
        || (Vec::new(), vec![0.0; TILE * value_dim]),
        |(p, tile), (sequence, head)| {
            let (kv_head, member) = (head / group, head % group);
            let rows = sequences[sequence].clone();
            let place = Place { heads, rows: rows.clone(), kv_head, operands };
            for queries in tiles(rows.len()) {
                let keys = heads.tile(&queries, rows.len());
                place.probabilities(&queries, &keys, member, p);
                let tile = &mut tile[..queries.len() * value_dim];
                let probabilities = Matrix::rows(p, queries.len(), keys.len(), keys.len());
                let values = place.keys(operands.value, &keys, value_dim);
                product((tile, value_dim), Into::Replace, 1.0, probabilities, values, Threads::One);
                let first = (rows.start + queries.start) * width + head * value_dim;
                // SAFETY: rows of this sequence and columns of this head are written by this item alone.
                unsafe { shared.put(first, width, value_dim, tile, false) };
            }
        },
    );
}

/// How much some queries of a sequence attend to each of its rows: summed over the queries, averaged over heads.
pub fn mass(heads: Heads, rows: &Range<usize>, operands: Operands<'_>, queries: Range<usize>) -> Vec<f32> {
    let Heads { kv_heads, group, .. } = heads;
    let mut mass = vec![0.0; rows.len()];
    let mut p = Vec::new();
    let share = 1.0 / (kv_heads * group).max(1) as f32;
    for head in 0..kv_heads * group {
        let place = Place { heads, rows: rows.clone(), kv_head: head / group, operands };
        for start in queries.clone().step_by(TILE) {
            let tile = start..(start + TILE).min(queries.end);
            let keys = heads.tile(&tile, rows.len());
            place.probabilities(&tile, &keys, head % group, &mut p);
            for row in p.chunks_exact(keys.len()) {
                mass[keys.clone()].iter_mut().zip(row).for_each(|(mass, p)| *mass += share * p);
            }
        }
    }
    mass
}

/// How much each row of a sequence attends to each, in one query head: `[rows, rows]`, rows that add up to 1.
pub fn shares(heads: Heads, rows: &Range<usize>, operands: Operands<'_>, head: usize) -> Vec<f32> {
    let count = rows.len();
    let mut shares = vec![0.0; count * count];
    let mut p = Vec::new();
    let place = Place { heads, rows: rows.clone(), kv_head: head / heads.group, operands };
    for tile in tiles(count) {
        let keys = heads.tile(&tile, count);
        place.probabilities(&tile, &keys, head % heads.group, &mut p);
        for (query, row) in tile.zip(p.chunks_exact(keys.len())) {
            shares[query * count..][keys.clone()].copy_from_slice(row);
        }
    }
    shares
}

/// Gradients of queries, keys and values.
pub struct Gradients {
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
}

pub fn backward(
    heads: Heads,
    sequences: &[Range<usize>],
    operands: Operands<'_>,
    out_gradient: &[f32],
) -> Gradients {
    let Heads { kv_heads, .. } = heads;
    let mut gradients = Gradients {
        query: vec![0.0; operands.query.len()],
        key: vec![0.0; operands.key.len()],
        value: vec![0.0; operands.value.len()],
    };
    let shared = [&mut gradients.query, &mut gradients.key, &mut gradients.value].map(|it| Shared::new(it));
    items(sequences, kv_heads).into_par_iter().for_each(|(sequence, kv_head)| {
        let place = Place { heads, rows: sequences[sequence].clone(), kv_head, operands };
        for member in 0..heads.group {
            for queries in tiles(place.rows.len()) {
                tile_back(&place, member, &queries, out_gradient, &shared);
            }
        }
    });
    gradients
}

/// With `P` the probabilities and `dP = dO V^T`: `dV += P^T dO`, `dS = scale P (dP - sum(dP P))`, `dQ = dS K`,
/// `dK += dS^T Q`.
fn tile_back(
    place: &Place<'_>,
    member: usize,
    queries: &Range<usize>,
    out_gradient: &[f32],
    [to_query, to_key, to_value]: &[Shared; 3],
) {
    let Heads { kv_heads, group, head_dim, value_dim, scale, .. } = place.heads;
    let keys = place.heads.tile(queries, place.rows.len());
    let (count, seen) = (queries.len(), keys.len());
    let mut p = Vec::new();
    place.probabilities(queries, &keys, member, &mut p);
    // A gradient lies as the output does, so that it is cut as queries are.
    let column = (place.kv_head * group + member) * value_dim;
    let start = (place.rows.start + queries.start) * place.heads.out_width() + column;
    let out = Matrix::rows(&out_gradient[start..], count, value_dim, place.heads.out_width());
    let first_key = |width: usize, dim: usize| (place.rows.start + keys.start) * width + place.kv_head * dim;

    let mut values = vec![0.0; seen * value_dim];
    let probabilities = Matrix::rows(&p, count, seen, seen);
    product((&mut values, value_dim), Into::Replace, 1.0, probabilities.transposed(), out, Threads::One);
    let width = kv_heads * value_dim;
    // SAFETY: rows of this sequence and columns of this key/value head are written by this item alone.
    unsafe { to_value.put(first_key(width, value_dim), width, value_dim, &values, true) };

    let mut s = vec![0.0; count * seen];
    let value = place.keys(place.operands.value, &keys, value_dim).transposed();
    product((&mut s, seen), Into::Replace, 1.0, out, value, Threads::One);
    for (s, p) in s.chunks_exact_mut(seen).zip(p.chunks_exact(seen)) {
        let along = super::lanes(s, p, |s, p| s * p);
        s.iter_mut().zip(p).for_each(|(s, p)| *s = p * (*s - along));
    }
    let scores = Matrix::rows(&s, count, seen, seen);
    let mut of_query = vec![0.0; count * head_dim];
    let key = place.keys(place.operands.key, &keys, head_dim);
    product((&mut of_query, head_dim), Into::Replace, scale, scores, key, Threads::One);
    let width = place.heads.query_width();
    let first = (place.rows.start + queries.start) * width + (place.kv_head * group + member) * head_dim;
    // SAFETY: as above; query heads of this key/value head are this item's own.
    unsafe { to_query.put(first, width, head_dim, &of_query, false) };

    let mut of_key = vec![0.0; seen * head_dim];
    let query = place.queries(place.operands.query, queries, member, head_dim);
    product((&mut of_key, head_dim), Into::Replace, scale, scores.transposed(), query, Threads::One);
    let width = kv_heads * head_dim;
    // SAFETY: as above.
    unsafe { to_key.put(first_key(width, head_dim), width, head_dim, &of_key, true) };
}

/// Every head of every sequence that has rows.
fn items(sequences: &[Range<usize>], heads: usize) -> Vec<(usize, usize)> {
    let filled = (0..sequences.len()).filter(|&sequence| !sequences[sequence].is_empty());
    filled.flat_map(|sequence| (0..heads).map(move |head| (sequence, head))).collect()
}

fn tiles(queries: usize) -> impl Iterator<Item = Range<usize>> {
    (0..queries).step_by(TILE).map(move |start| start..(start + TILE).min(queries))
}
