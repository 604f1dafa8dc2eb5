//! Bytes of a checkpoint as numbers, and back: every float type, rounding to nearest, ties to even.

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::error::expect_length;
use super::{DType, TensorError};

/// Elements that pass through a buffer on the stack at once.
const BLOCK: usize = 1024;

/// How many elements a buffer holds.
pub fn element_count(dtype: DType, bytes: &[u8]) -> Result<usize, TensorError> {
    if !dtype.is_float() {
        return Err(TensorError::NotFloat(dtype));
    }
    let count = bytes.len() / dtype.size();
    expect_length("bytes", count * dtype.size(), bytes.len())?;
    Ok(count)
}

/// Reads elements as f32. Exact but for `f64`, which is rounded.
pub fn read_f32(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), TensorError> {
    expect_length("elements", out.len(), element_count(dtype, bytes)?)?;
    match dtype {
        DType::F64 => map(bytes, out, |b| f64::from_le_bytes(b) as f32),
        DType::F32 => map(bytes, out, f32::from_le_bytes),
        DType::Bf16 => map(bytes, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        _ => read_f16(bytes, out),
    }
    Ok(())
}

/// Reads elements as f64, exactly.
pub fn read_f64(dtype: DType, bytes: &[u8], out: &mut [f64]) -> Result<(), TensorError> {
    expect_length("elements", out.len(), element_count(dtype, bytes)?)?;
    if dtype == DType::F64 {
        map(bytes, out, f64::from_le_bytes);
        return Ok(());
    }
    let mut block = [0.0; BLOCK];
    for (bytes, out) in bytes.chunks(BLOCK * dtype.size()).zip(out.chunks_mut(BLOCK)) {
        let block = &mut block[..out.len()];
        read_f32(dtype, bytes, block)?;
        out.iter_mut().zip(block).for_each(|(out, value)| *out = f64::from(*value));
    }
    Ok(())
}

/// Reads the absolute values of elements: the magnitude criterion.
pub fn read_magnitudes(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), TensorError> {
    read_f32(dtype, bytes, out)?;
    out.iter_mut().for_each(|value| *value = value.abs());
    Ok(())
}

/// Stores f32 values. What is too large for the type becomes infinite: compare [`count_nonfinite`], or use [`cast`].
pub fn write(dtype: DType, values: &[f32], out: &mut [u8]) -> Result<(), TensorError> {
    expect_length("elements", element_count(dtype, out)?, values.len())?;
    match dtype {
        DType::F64 => unmap(values, out, |value| f64::from(value).to_le_bytes()),
        DType::F32 => unmap(values, out, f32::to_le_bytes),
        DType::Bf16 => unmap(values, out, |value| to_bf16(value).to_le_bytes()),
        _ => write_f16(values, out),
    }
    Ok(())
}

/// Stores f64 values, rounding once.
pub fn write_f64(dtype: DType, values: &[f64], out: &mut [u8]) -> Result<(), TensorError> {
    expect_length("elements", element_count(dtype, out)?, values.len())?;
    match dtype {
        DType::F64 => unmap(values, out, f64::to_le_bytes),
        DType::F32 => unmap(values, out, |value| (value as f32).to_le_bytes()),
        _ => {
            let mut block = [0.0; BLOCK];
            for (values, out) in values.chunks(BLOCK).zip(out.chunks_mut(BLOCK * dtype.size())) {
                let block = &mut block[..values.len()];
                block.iter_mut().zip(values).for_each(|(odd, value)| *odd = round_to_odd(*value));
                write(dtype, block, out)?;
            }
        }
    }
    Ok(())
}

/// Changes the element type, rounding once. Returns how many finite values became infinite.
pub fn cast(from: DType, bytes: &[u8], to: DType, out: &mut [u8]) -> Result<usize, TensorError> {
    expect_length("elements", element_count(to, out)?, element_count(from, bytes)?)?;
    if from == to {
        out.copy_from_slice(bytes);
        return Ok(0);
    }
    let mut overflowed = 0;
    for (bytes, out) in bytes.chunks(BLOCK * from.size()).zip(out.chunks_mut(BLOCK * to.size())) {
        cast_block(from, bytes, to, out)?;
        overflowed += count_nonfinite(to, out)? - count_nonfinite(from, bytes)?;
    }
    Ok(overflowed)
}

/// How many elements are NaN or infinite.
pub fn count_nonfinite(dtype: DType, bytes: &[u8]) -> Result<usize, TensorError> {
    element_count(dtype, bytes)?;
    Ok(match dtype {
        DType::F64 => count(bytes, |b| u64::from_le_bytes(b) & (0x7ff << 52) == 0x7ff << 52),
        DType::F32 => count(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        DType::Bf16 => count(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        _ => count(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
    })
}

/// How many elements are zero, of either sign.
pub fn count_zeros(dtype: DType, bytes: &[u8]) -> Result<usize, TensorError> {
    element_count(dtype, bytes)?;
    Ok(match dtype.size() {
        8 => count(bytes, |b| u64::from_le_bytes(b) << 1 == 0),
        4 => count(bytes, |b| u32::from_le_bytes(b) << 1 == 0),
        _ => count(bytes, |b| u16::from_le_bytes(b) << 1 == 0),
    })
}

fn cast_block(from: DType, bytes: &[u8], to: DType, out: &mut [u8]) -> Result<(), TensorError> {
    let len = bytes.len() / from.size();
    if from == DType::F64 {
        let mut block = [0.0; BLOCK];
        read_f64(from, bytes, &mut block[..len])?;
        return write_f64(to, &block[..len], out);
    }
    let mut block = [0.0; BLOCK];
    read_f32(from, bytes, &mut block[..len])?;
    write(to, &block[..len], out)
}

fn map<const N: usize, T>(bytes: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = read(*bytes);
    }
}

fn unmap<const N: usize, T: Copy>(values: &[T], out: &mut [u8], store: impl Fn(T) -> [u8; N]) {
    for (out, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *out = store(*value);
    }
}

fn count<const N: usize>(bytes: &[u8], test: impl Fn([u8; N]) -> bool) -> usize {
    // Short runs counted in 16 bits vectorise; a wide counter on every element does not.
    let blocks = bytes.as_chunks().0.chunks(BLOCK);
    blocks.map(|block| usize::from(block.iter().map(|b| u16::from(test(*b))).sum::<u16>())).sum()
}

fn read_f16(bytes: &[u8], out: &mut [f32]) {
    let mut block = [0; BLOCK];
    for (bytes, out) in bytes.chunks(BLOCK * 2).zip(out.chunks_mut(BLOCK)) {
        let block = &mut block[..out.len()];
        map(bytes, block, u16::from_le_bytes);
        block.reinterpret_cast::<f16>().convert_to_f32_slice(out);
    }
}

fn write_f16(values: &[f32], out: &mut [u8]) {
    let mut block = [0; BLOCK];
    for (values, out) in values.chunks(BLOCK).zip(out.chunks_mut(BLOCK * 2)) {
        let block = &mut block[..values.len()];
        block.reinterpret_cast_mut::<f16>().convert_from_f32_slice(values);
        unmap(block, out, u16::to_le_bytes);
    }
}

fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let quiet = (bits >> 16) | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

/// The f32 below or above whose last bit is odd, or the value itself if it is an f32.
///
/// Rounded again to at most 22 bits it gives what one rounding of `value` gives; a plain `as f32` first does not.
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let towards_zero = nearest.to_bits() - u32::from(f64::from(nearest).abs() > value.abs());
    let inexact = f64::from(nearest) != value;
    f32::from_bits(towards_zero | u32::from(inexact))
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::Bf16];

    fn stored(dtype: DType, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        write(dtype, values, &mut bytes).unwrap();
        bytes
    }

    fn stored_f64(dtype: DType, values: &[f64]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        write_f64(dtype, values, &mut bytes).unwrap();
        bytes
    }

    fn read(dtype: DType, bytes: &[u8]) -> Vec<f32> {
        let mut values = vec![0.0; bytes.len() / dtype.size()];
        read_f32(dtype, bytes, &mut values).unwrap();
        values
    }

    #[test]
    fn ties_round_to_even() {
        // bf16 has 7 bits behind the point: 1 + 2^-8 lies half way to 1 + 2^-7, and 1 + 3 * 2^-8 half way to 1 + 2^-6.
        let steps = [1.0 + 0.003_906_25, 1.0 + 0.011_718_75];
        assert_eq!(read(DType::Bf16, &stored(DType::Bf16, &steps)), [1.0, 1.015_625]);
        // f16 has 10: 2049 and 2051 are half way.
        assert_eq!(read(DType::F16, &stored(DType::F16, &[2049.0, 2051.0])), [2048.0, 2052.0]);
    }

    #[test]
    fn an_f64_is_rounded_once() {
        // Just above half way between 1 and the next bf16. As f32 it would be exactly half way, and then round down.
        let above = 1.0 + 0.003_906_25 + 1e-12;
        assert_eq!(
            read(DType::Bf16, &stored_f64(DType::Bf16, &[above, -above])),
            [1.007_812_5, -1.007_812_5]
        );
        let above = 2049.0 + 1e-9;
        assert_eq!(read(DType::F16, &stored_f64(DType::F16, &[above, -above])), [2050.0, -2050.0]);
    }

    #[test]
    fn special_values_survive_every_type() {
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        for dtype in FLOATS {
            let bytes = stored(dtype, &special);
            let back = read(dtype, &bytes);
            assert_eq!(
                back[..4].iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
                special[..4].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            );
            assert!(back[4].is_nan());
            assert_eq!(count_nonfinite(dtype, &bytes), Ok(3));
            assert_eq!(count_zeros(dtype, &bytes), Ok(2));
            assert_eq!(
                stored_f64(dtype, &special.map(f64::from))[..4 * dtype.size()],
                bytes[..4 * dtype.size()]
            );
        }
    }

    #[test]
    fn a_cast_tells_what_it_could_not_hold() {
        let bytes = stored(DType::F32, &[65504.0, 65520.0, -1e6, f32::INFINITY]);
        let mut out = [0; 8];
        assert_eq!(cast(DType::F32, &bytes, DType::F16, &mut out), Ok(2));
        let huge = stored_f64(DType::F64, &[1e300, f64::NEG_INFINITY, 1.0]);
        let mut out = [0; 12];
        assert_eq!(cast(DType::F64, &huge, DType::F32, &mut out), Ok(1));
    }

    #[test]
    fn integers_and_odd_lengths_are_refused() {
        assert_eq!(read_f32(DType::U8, &[1], &mut [0.0]), Err(TensorError::NotFloat(DType::U8)));
        assert!(read_f32(DType::F32, &[0; 5], &mut [0.0]).is_err());
        assert!(read_f32(DType::F32, &[0; 8], &mut [0.0]).is_err());
        assert!(write(DType::Bf16, &[1.0], &mut [0; 4]).is_err());
    }

    #[test]
    fn every_half_survives_a_round_trip() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for dtype in [DType::F16, DType::Bf16] {
            let back = stored(dtype, &read(dtype, &all));
            for (before, after) in all.as_chunks::<2>().0.iter().zip(back.as_chunks::<2>().0) {
                let nan = u16::from_le_bytes(*before) & 0x7fff > infinity(dtype);
                assert!(nan || before == after, "{before:?} became {after:?}");
            }
        }
    }

    fn any_f64() -> impl Strategy<Value = f64> {
        // Bits that end in zeros make halfway cases, which random ones never meet.
        (any::<u64>(), 0..60_u32).prop_map(|(bits, zeros)| f64::from_bits(bits >> zeros << zeros))
    }

    /// Whether what is stored is as near as the numbers before and after it. `decode` takes bits without a sign.
    fn is_nearest(dtype: DType, value: f64, decode: impl Fn(u16) -> f64) -> bool {
        let bytes = stored_f64(dtype, &[value]);
        let bits = u16::from_le_bytes([bytes[0], bytes[1]]) & 0x7fff;
        let magnitude = value.abs().min(decode(infinity(dtype)));
        let distance = |bits| (decode(bits) - magnitude).abs();
        let neighbours = [bits.checked_sub(1), (bits < infinity(dtype)).then_some(bits + 1)];
        neighbours.into_iter().flatten().all(|other| {
            distance(bits) < distance(other) || distance(bits) == distance(other) && bits.is_multiple_of(2)
        })
    }

    fn infinity(dtype: DType) -> u16 {
        if dtype == DType::F16 { 0x7c00 } else { 0x7f80 }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        // `half` is no reference here: its f64 to f16 drops the low 32 bits, or rounds twice.
        #[test]
        fn no_neighbour_is_nearer_and_ties_are_even(value in any_f64(), small in -70000.0..70000.0_f64) {
            for value in [value, small, f64::from(small as f32)] {
                prop_assume!(!value.is_nan());
                let half = |bits| if bits == 0x7c00 { 65536.0 } else { f16::from_bits(bits).to_f64_const() };
                prop_assert!(is_nearest(DType::F16, value, half), "{value:e} as f16");
                let finite = |bits| bf16::from_bits(bits).to_f64_const();
                let brain = |bits| if bits == 0x7f80 { 2.0_f64.powi(128) } else { finite(bits) };
                prop_assert!(is_nearest(DType::Bf16, value, brain), "{value:e} as bf16");
                let single = stored(DType::Bf16, &[value as f32]);
                prop_assert_eq!(single, bf16::from_f32_const(value as f32).to_le_bytes());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn blocks_and_unaligned_buffers_change_nothing(len in 0..2500_usize, seed in any::<u32>()) {
            let values: Vec<f32> = (0..len).map(|i| (i as f32 + seed as f32 * 1e-3).sin()).collect();
            for from in FLOATS {
                let mut shifted = vec![0; 1];
                shifted.extend(stored(from, &values));
                for to in FLOATS {
                    let mut out = vec![0; len * to.size() + 1];
                    cast(from, &shifted[1..], to, &mut out[1..]).unwrap();
                    let expected: Vec<u8> =
                        values.iter().flat_map(|v| stored(to, &read(from, &stored(from, &[*v])))).collect();
                    prop_assert_eq!(&out[1..], &expected[..]);
                }
            }
        }
    }
}
