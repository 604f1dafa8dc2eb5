//! Exponentials and what is made of them, as arithmetic that vectorizes. Relative errors are below 3e-7.

/// `e^x`; below -87 it stays at the smallest normal number, above 88 at the largest that it can say.
///
/// `e^x = 2^n e^r` with the rest by a polynomial of degree 6 (Cephes, `expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let fraction = p * r * r + r + 1.0;
    fraction * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// The logistic function.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent: by `exp` where it is large, by a series where that would cancel.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    let square = x * x;
    // x - x^3/3 + 2x^5/15 - 17x^7/315 + 62x^9/2835, good to 1e-8 where it is used.
    let near = x
        * (1.0
            + square
                * (-1.0 / 3.0 + square * (2.0 / 15.0 + square * (-17.0 / 315.0 + square * (62.0 / 2835.0)))));
    if x.abs() < 0.15 { near } else { far }
}

/// The error function, as a ratio of polynomials on [-4, 4], beyond which it is 1 in f32.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut over = -2.726_142_3e-10;
    for coefficient in
        [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2]
    {
        over = over * square + coefficient;
    }
    let mut under = -1.456_607_2e-5;
    for coefficient in [-2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        under = under * square + coefficient;
    }
    x * over / under
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against f64, over the range that networks use.
    fn furthest(of: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, relative: bool) -> f64 {
        let points = (-8_000..8_000).map(|step| step as f32 / 1_000.0);
        let error = |x: f32| {
            let (found, exact) = (f64::from(of(x)), exact(f64::from(x)));
            let error = (found - exact).abs();
            if relative { error / exact.abs().max(1e-30) } else { error }
        };
        points.map(error).fold(0.0, f64::max)
    }

    /// The series and the continued fraction for the rest, to 1e-12.
    fn exact_erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        if x.abs() > 5.0 {
            return x.signum();
        }
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn exponentials_are_right_to_the_last_digits_of_f32() {
        assert!(furthest(exp, f64::exp, true) < 3e-7);
        assert!(furthest(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), true) < 4e-7);
        assert!(furthest(tanh, f64::tanh, false) < 2e-7);
        assert!(furthest(erf, exact_erf, false) < 4e-7);
        assert_eq!([exp(0.0), tanh(0.0), erf(0.0), sigmoid(0.0)], [1.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn extremes_neither_overflow_nor_become_nan() {
        for x in [-1e30f32, -200.0, 200.0, 1e30] {
            assert!(exp(x).is_finite() && tanh(x).is_finite() && erf(x).is_finite());
        }
        assert_eq!([tanh(50.0), tanh(-50.0)], [1.0, -1.0]);
        assert!((erf(9.0) - 1.0).abs() < 1e-6);
    }
}
