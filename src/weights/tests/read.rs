//! Each expression against the naive evaluation of the whole tensor, for any cut into blocks.

use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::fixture::{bytes, numbers, stored};
use crate::diagnostic::Diagnostic;
use crate::graph::Part;
use crate::tensor::pattern::{Pattern, zero_pattern_magnitude};
use crate::tensor::{DType, MatrixView, convert, svd};
use crate::weights::{Expr, Factoring, MaskRule, MatrixBlock, Reach};

/// Decides by all that its reach lets it see, and by where that is.
#[derive(Debug)]
struct Toy(Reach);

impl MaskRule for Toy {
    fn reach(&self) -> Reach {
        self.0
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let (outs, inputs) = (block.matrix.out, block.matrix.inputs);
        let unit = match self.0 {
            Reach::Inputs(inputs) => (1, inputs),
            Reach::Row => (1, block.whole.1),
            Reach::Rows(outs) => (outs, block.whole.1),
            Reach::Matrix => block.whole,
        };
        let values = block.values()?;
        let of = |o: usize, i: usize| ((block.first.0 + o) / unit.0, (block.first.1 + i) / unit.1);
        let each = || (0..outs).flat_map(|o| (0..inputs).map(move |i| (o, i)));
        let mean = |unit: (usize, usize)| {
            let members: Vec<f32> =
                each().filter(|&(o, i)| of(o, i) == unit).map(|(o, i)| values[o * inputs + i]).collect();
            members.iter().sum::<f32>() / members.len() as f32
        };
        let odd = |o: usize, i: usize| !(block.first.0 + o + block.first.1 + i).is_multiple_of(5);
        let keep: Vec<bool> =
            each().map(|(o, i)| values[o * inputs + i] >= mean(of(o, i)) && odd(o, i)).collect();
        block.zero_dropped(&keep);
        Ok(())
    }
}

/// 2:4 on stored bits.
#[derive(Debug)]
struct TwoOfFour;

impl MaskRule for TwoOfFour {
    fn reach(&self) -> Reach {
        Reach::Inputs(4)
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let pattern = Pattern::new(2, 4).expect("a pattern");
        block.refuse_nonfinite()?;
        zero_pattern_magnitude(block.dtype, block.bytes, &block.matrix, pattern).expect("4 divides");
        Ok(())
    }
}

fn masked(input: &Arc<Expr>, matrix: MatrixView, rule: impl MaskRule + 'static) -> Arc<Expr> {
    let place = "layers[0].mlp.up".into();
    Arc::new(Expr::Masked { input: Arc::clone(input), place, matrix, rule: Arc::new(rule), step: None })
}

fn gathered(input: &Arc<Expr>, keep: &[Option<Vec<usize>>]) -> Arc<Expr> {
    let keep = keep.iter().map(|keep| keep.as_deref().map(Arc::from)).collect();
    Arc::new(Expr::Gather { input: Arc::clone(input), keep })
}

/// The whole tensor at once.
fn naive(expr: &Expr) -> Vec<u8> {
    match expr {
        Expr::Stored { checkpoint, stored } => checkpoint.read(stored).unwrap(),
        Expr::Gather { input, keep } => {
            naive_gather(&naive(input), &input.shape(), keep, expr.dtype().size())
        }
        Expr::Masked { input, place, matrix, rule, .. } => {
            let mut bytes = naive(input);
            let whole = (matrix.out, matrix.inputs);
            let (dtype, matrix) = (input.dtype(), *matrix);
            rule.apply(&mut MatrixBlock { place, dtype, bytes: &mut bytes, matrix, first: (0, 0), whole })
                .unwrap();
            bytes
        }
        Expr::Cast { input, to, .. } => {
            let mut out = vec![0; input.len() * to.size()];
            convert::cast(input.dtype(), &naive(input), *to, &mut out).unwrap();
            out
        }
        Expr::Factor { factoring, part } => {
            let values = values(factoring.input.dtype(), &naive(&factoring.input));
            let MatrixView { out, inputs, .. } = factoring.matrix;
            let matrix: Vec<f32> = (0..out)
                .flat_map(|o| (0..inputs).map(move |i| (o, i)))
                .map(|(o, i)| values[factoring.matrix.index(o, i)])
                .collect();
            let factors = svd::factor(&matrix, out, inputs, factoring.rank).unwrap();
            bytes(expr.dtype(), if *part == Part::Left { &factors.left } else { &factors.right })
        }
    }
}

fn naive_gather(bytes: &[u8], shape: &[usize], keep: &[Option<Arc<[usize]>>], size: usize) -> Vec<u8> {
    let mut indices = vec![0];
    for (extent, keep) in shape.iter().zip(keep) {
        let kept: Vec<usize> = keep.as_ref().map_or((0..*extent).collect(), |keep| keep.to_vec());
        indices = indices.iter().flat_map(|at| kept.iter().map(move |index| at * extent + index)).collect();
    }
    indices.iter().flat_map(|index| bytes[index * size..(index + 1) * size].to_vec()).collect()
}

fn values(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.size()];
    convert::read_f32(dtype, bytes, &mut values).unwrap();
    values
}

fn read(expr: &Expr, rows: Range<usize>) -> Vec<u8> {
    let mut out = vec![7; 3];
    expr.read_rows(rows, &mut out).unwrap();
    out
}

/// A stored shape and a matrix in it.
fn layouts() -> impl Strategy<Value = (Vec<usize>, MatrixView)> {
    (0..7, 1..4_usize, 1..4_usize, 0..3_usize).prop_map(|(kind, outs, groups, part)| {
        let (out, inputs) = (4 * outs, 4 * groups);
        let section = MatrixView::rows(out, inputs).at(part * out * inputs);
        match kind {
            0 => (vec![out, inputs], MatrixView::rows(out, inputs)),
            1 => (vec![inputs, out], MatrixView::transposed(out, inputs)),
            2 => (vec![out, groups, 2, 2], MatrixView::rows(out, inputs)),
            3 => (vec![3 * out, inputs], section),
            4 => {
                let view = MatrixView { offset: part * out, out, inputs, out_stride: 1, in_stride: 3 * out };
                (vec![inputs, 3 * out], view)
            }
            5 => (vec![3, out, inputs], section),
            _ => (vec![3, inputs, out], MatrixView::transposed(out, inputs).at(part * out * inputs)),
        }
    })
}

fn reaches() -> impl Strategy<Value = Reach> {
    prop_oneof![
        Just(Reach::Inputs(1)),
        Just(Reach::Inputs(4)),
        Just(Reach::Row),
        Just(Reach::Rows(2)),
        Just(Reach::Matrix)
    ]
}

/// Elements to keep of each dim, at least one, by bits of a number.
fn kept(shape: &[usize], bits: u64) -> Vec<Option<Vec<usize>>> {
    let dim = |(dim, extent): (usize, &usize)| {
        let bits = bits.rotate_right(13 * dim as u32);
        let keep: Vec<usize> = (0..*extent).filter(|i| i % 11 == 0 || bits >> (i % 11) & 1 == 1).collect();
        (!bits.is_multiple_of(3)).then_some(keep)
    };
    shape.iter().enumerate().map(dim).collect()
}

/// The matrix of a whole tensor.
fn whole_matrix(expr: &Expr) -> MatrixView {
    let shape = expr.shape();
    MatrixView::rows(shape[0], shape[1..].iter().product())
}

fn holds_for_any_cut(expr: &Expr, cuts: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    let (rows, expected) = (expr.rows(), naive(expr));
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows + 1)).chain([0, rows]).collect();
    ends.sort_unstable();
    let ranges: Vec<Range<usize>> = ends.windows(2).map(|pair| pair[0]..pair[1]).collect();
    let blocks: Vec<Range<usize>> = expr.row_blocks(100).collect();
    for threads in [1, 4] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for ranges in [&ranges, &blocks] {
            let parts: Vec<Vec<u8>> =
                pool.install(|| ranges.par_iter().map(|range| read(expr, range.clone())).collect());
            prop_assert_eq!(&parts.concat(), &expected, "{:?} in {:?}", expr, ranges);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_expression_is_the_same_in_any_cut(
        (shape, matrix) in layouts(),
        reaches in (reaches(), reaches()),
        bits in any::<(u64, u64)>(),
        dtypes in (0..4_usize, 0..4_usize),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let dtypes = [dtypes.0, dtypes.1].map(|at| [DType::F64, DType::F32, DType::F16, DType::Bf16][at]);
        let plain = stored(dtypes[0], &shape, &numbers(shape.iter().product(), bits.0 as u32));
        let sparse = masked(&plain, matrix, Toy(reaches.0));
        holds_for_any_cut(&sparse, &cuts)?;
        holds_for_any_cut(&masked(&sparse, matrix, TwoOfFour), &cuts)?;
        holds_for_any_cut(&gathered(&plain, &kept(&shape, bits.0)), &cuts)?;
        let pruned = gathered(&sparse, &kept(&shape, bits.0));
        holds_for_any_cut(&pruned, &cuts)?;
        let pruned = gathered(&pruned, &kept(&pruned.shape(), bits.1));
        let twice = masked(&pruned, whole_matrix(&pruned), Toy(reaches.1));
        holds_for_any_cut(&Expr::Cast { input: twice, to: dtypes[1], step: None }, &cuts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn factors_are_the_same_in_any_cut(
        (shape, matrix) in layouts(),
        rank in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let plain = stored(DType::Bf16, &shape, &numbers(shape.iter().product(), 5));
        let rank = rank.index(matrix.out.min(matrix.inputs)) + 1;
        let factoring = Arc::new(Factoring::new(masked(&plain, matrix, TwoOfFour), matrix, rank));
        for part in [Part::Left, Part::Right] {
            let side = Arc::new(Expr::Factor { factoring: Arc::clone(&factoring), part });
            holds_for_any_cut(&side, &cuts)?;
            holds_for_any_cut(&gathered(&side, &kept(&side.shape(), 0x5a5a)), &cuts)?;
        }
    }
}

#[test]
fn only_the_rows_that_a_rule_needs_are_read_together() {
    let plain = stored(DType::F32, &[4, 6], &numbers(24, 1));
    assert_eq!(plain.granule_rows(), 1);
    let rows = MatrixView::rows(4, 6);
    assert_eq!(masked(&plain, rows, Toy(Reach::Row)).granule_rows(), 1);
    assert_eq!(masked(&plain, rows, Toy(Reach::Rows(2))).granule_rows(), 2);
    assert_eq!(masked(&plain, rows, Toy(Reach::Matrix)).granule_rows(), 4);
    let transposed = MatrixView::transposed(6, 4);
    let groups = masked(&plain, transposed, Toy(Reach::Inputs(2)));
    assert_eq!(groups.granule_rows(), 2);
    let both = masked(&groups, rows, Toy(Reach::Rows(2)));
    assert_eq!(gathered(&both, &[None, Some(vec![1, 3])]).granule_rows(), 2);
    assert_eq!(gathered(&groups, &[Some(vec![1, 3]), None]).granule_rows(), 2, "all that are left");
    assert_eq!(gathered(&plain, &[Some(vec![1, 3]), None]).granule_rows(), 1);
}

#[test]
fn gathering_outputs_of_a_convolution_keeps_its_granules() {
    let plain = stored(DType::F32, &[4, 2, 3, 5], &numbers(120, 1));
    let sparse = masked(&plain, MatrixView::rows(4, 30), Toy(Reach::Row));
    assert_eq!(sparse.granule_rows(), 6);
    assert_eq!(gathered(&sparse, &[Some(vec![0, 3]), None, None, None]).granule_rows(), 6);
    assert_eq!(gathered(&sparse, &[None, Some(vec![0]), None, None]).granule_rows(), 12);
}

#[test]
fn a_vector_is_one_row() {
    let bias = stored(DType::F16, &[5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!((bias.rows(), bias.row_len()), (1, 5));
    let pruned = gathered(&bias, &[Some(vec![0, 4])]);
    assert_eq!(values(DType::F16, &read(&pruned, 0..1)), [1.0, 5.0]);
    let scalar = stored(DType::F32, &[], &[2.5]);
    assert_eq!(values(DType::F32, &read(&scalar, 0..1)), [2.5]);
}

#[test]
fn far_runs_are_read_one_by_one_and_near_ones_together() {
    // 3 rows of 64 KiB: what stays is farther apart than a read is worth, or not.
    let wide: Vec<f32> = numbers(3 << 14, 3);
    let plain = stored(DType::F32, &[3, 1 << 14], &wide);
    for columns in [vec![0, 1, 16_000], vec![5, 7, 900], (0..16_384).step_by(3).collect()] {
        let pruned = gathered(&plain, &[Some(vec![0, 2]), Some(columns)]);
        assert_eq!(read(&pruned, 0..2), naive(&pruned));
        assert_eq!(read(&pruned, 1..2), naive(&pruned)[pruned.row_bytes()..]);
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name_and_file() {
    let plain = stored(DType::Bf16, &[2, 4], &[1.0, f32::NAN, 0.0, 2.0, 3.0, f32::INFINITY, 1.0, f32::NAN]);
    for expr in [
        masked(&plain, MatrixView::rows(2, 4), TwoOfFour),
        masked(&plain, MatrixView::rows(2, 4), Toy(Reach::Row)),
    ] {
        let wrong = expr.read_rows(0..2, &mut Vec::new()).unwrap_err();
        assert_eq!(wrong.code.name, "weights-not-finite");
        assert_eq!(wrong.message, "3 values of `layers[0].mlp.up` are not finite: NaN or infinite");
        assert!(wrong.path.unwrap().ends_with("model.safetensors"));
    }
    let factoring = Arc::new(Factoring::new(plain, MatrixView::rows(2, 4), 1));
    let wrong = Expr::Factor { factoring, part: Part::Left }.read_rows(0..2, &mut Vec::new()).unwrap_err();
    assert_eq!(wrong.message, "3 values of `weight` are not finite: NaN or infinite");
}

#[test]
fn values_beside_the_matrix_are_not_its_own() {
    let plain = stored(DType::F32, &[2, 4], &[1.0, 2.0, 3.0, 4.0, f32::NAN, 2.0, 3.0, 4.0]);
    let first = masked(&plain, MatrixView::rows(1, 4), TwoOfFour);
    assert_eq!(values(DType::F32, &read(&first, 0..2))[..4], [0.0, 0.0, 3.0, 4.0]);
}

#[test]
fn a_cast_that_is_too_narrow_is_refused() {
    let plain = stored(DType::F32, &[1, 3], &[1e6, -1e6, 1.0]);
    let wrong =
        Expr::Cast { input: plain, to: DType::F16, step: None }.read_rows(0..1, &mut Vec::new()).unwrap_err();
    assert_eq!(wrong.code.name, "cast-overflows");
    assert_eq!(wrong.message, "2 values of `weight` are too large for f16");
    assert_eq!(wrong.help.as_deref(), Some("the weights are f32; `bf16` has the range for them"));
}

#[test]
fn a_side_that_was_fetched_is_computed_anew() {
    let plain = stored(DType::F32, &[3, 2], &[3.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    let factoring = Arc::new(Factoring::new(plain, MatrixView::rows(3, 2), 1));
    let side = |part| Expr::Factor { factoring: Arc::clone(&factoring), part };
    let (left, right) = (read(&side(Part::Left), 0..3), read(&side(Part::Right), 0..1));
    assert_eq!(read(&side(Part::Left), 0..3), left);
    assert_eq!(read(&side(Part::Right), 0..1), right);
    let root = 3.0_f32.sqrt();
    assert_eq!(values(DType::F32, &left), [root, 0.0, 0.0]);
    assert_eq!(values(DType::F32, &right), [root, 0.0]);
}
