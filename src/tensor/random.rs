//! Random numbers by position: the same for any order of asking, any chunk and any number of threads.

/// An endless sequence of numbers that a seed and a name choose. The name is that of a tensor, say.
///
/// Number i is SplitMix64's output i from a start that is the BLAKE3 hash of seed and name. It is part of the format of
/// results: changing it changes what recipes give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    start: u64,
}

impl Stream {
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        let hash = hasher.finalize();
        let (start, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        Self { start: u64::from_le_bytes(*start) }
    }

    /// The stream of a start that another one told.
    pub fn from_start(start: u64) -> Self {
        Self { start }
    }

    /// What all numbers follow from.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// 64 random bits.
    pub fn bits(&self, index: u64) -> u64 {
        let mut z = self.start.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A multiple of 2^-24 in [0, 1), each as likely.
    pub fn uniform(&self, index: u64) -> f32 {
        (self.bits(index) >> 40) as f32 * 2.0_f32.powi(-24)
    }

    /// A number of the standard normal distribution (Box and Muller, of the uniform numbers 2 x index and the next).
    pub fn normal(&self, index: u64) -> f64 {
        // Never 0, whose logarithm is not finite.
        let open = |index: u64| ((self.bits(index) >> 11) as f64 + 0.5) * 2.0_f64.powi(-53);
        let (radius, angle) = (open(2 * index), open(2 * index + 1));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Numbers from index `first` on.
    pub fn fill(&self, first: u64, out: &mut [f32]) {
        out.iter_mut().zip(first..).for_each(|(out, index)| *out = self.uniform(index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_splitmix() {
        // The published outputs for the seed 1234567.
        let stream = Stream { start: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([0, 1, 2].map(|index| stream.bits(index)), expected);
    }

    #[test]
    fn what_a_seed_gives_never_changes() {
        let stream = Stream::new(7, "layers.0.mlp.up");
        assert_eq!(
            [0, 1, 1 << 40].map(|index| stream.bits(index)),
            [16_193_724_383_022_787_864, 16_076_935_904_057_223_004, 7_979_113_936_162_401_700]
        );
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal_distribution() {
        let stream = Stream::new(5, "w");
        let values: Vec<f64> = (0..100_000).map(|index| stream.normal(index)).collect();
        let mean = |power: i32| values.iter().map(|it| it.powi(power)).sum::<f64>() / values.len() as f64;
        // Standard errors are 0.003, 0.0045 and 0.03.
        assert!(mean(1).abs() < 0.013 && (mean(2) - 1.0).abs() < 0.02 && (mean(4) - 3.0).abs() < 0.13);
    }

    #[test]
    fn seeds_and_names_are_independent() {
        let first = |seed, name| Stream::new(seed, name).bits(0);
        assert_ne!(first(0, "a"), first(1, "a"));
        assert_ne!(first(0, "a"), first(0, "b"));
    }

    #[test]
    fn a_chunk_is_the_same_wherever_it_starts() {
        let stream = Stream::new(3, "w");
        let mut whole = [0.0; 100];
        stream.fill(0, &mut whole);
        let mut part = [0.0; 30];
        stream.fill(41, &mut part);
        assert_eq!(part, whole[41..71]);
        assert_eq!(stream.uniform(99), whole[99]);
    }

    #[test]
    fn numbers_are_spread_evenly_below_one() {
        let mut values = vec![0.0; 100_000];
        Stream::new(0, "w").fill(0, &mut values);
        let mut bins = [0; 10];
        values.iter().for_each(|value| bins[(value * 10.0) as usize] += 1);
        // The standard deviation of a bin is 95.
        assert!(bins.iter().all(|count| (9_600..10_400).contains(count)), "{bins:?}");
        assert!(Stream { start: 0 }.uniform(0) < 1.0 && (u64::MAX >> 40) as f32 * 2.0_f32.powi(-24) < 1.0);
    }
}
