//! SHA-256 of several streams side by side.
//!
//! Each round waits for the one before it, so that one stream leaves half of the processor's rounds unused. Two at a time take
//! little longer than one.

use sha2::block_api::compress256;

use super::Digest;

pub type Block = [u8; 64];

/// The hash of what went by so far, which is whole blocks.
#[derive(Debug, Clone)]
pub struct Sha256 {
    state: [u32; 8],
    blocks: u64,
}

impl Sha256 {
    pub fn new() -> Self {
        // The roots of the first eight primes, as the standard has them.
        let state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, blocks: 0 }
    }

    pub fn update(&mut self, blocks: &[Block]) {
        compress256(&mut self.state, blocks);
        self.blocks += blocks.len() as u64;
    }

    /// Ends the stream with what is left of it, less than a block.
    pub fn finish(mut self, rest: &[u8]) -> Digest {
        let bits = (self.blocks * 64 + rest.len() as u64) * 8;
        let mut last = rest.to_vec();
        last.push(0x80);
        last.resize((last.len() + 8).next_multiple_of(64), 0);
        let end = last.len() - 8;
        last[end..].copy_from_slice(&bits.to_be_bytes());
        self.update(last.as_chunks().0);
        let mut digest = [0; 32];
        let words = digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state);
        words.for_each(|(bytes, word)| *bytes = word.to_be_bytes());
        Digest(digest)
    }
}

/// Updates two streams: together as far as both go, then each alone.
pub fn update_both(left: (&mut Sha256, &[Block]), right: (&mut Sha256, &[Block])) {
    let together = pairs(left.1.len().min(right.1.len()));
    let ((first, left_rest), (second, right_rest)) = (left.1.split_at(together), right.1.split_at(together));
    if together > 0 {
        compress_both([&mut left.0.state, &mut right.0.state], [first, second]);
        left.0.blocks += together as u64;
        right.0.blocks += together as u64;
    }
    left.0.update(left_rest);
    right.0.update(right_rest);
}

/// How many blocks of two streams are hashed together: all, where the processor can.
fn pairs(blocks: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        return blocks;
    }
    let _ = blocks;
    0
}

/// Only called where [`pairs`] says so.
fn compress_both(states: [&mut [u32; 8]; 2], blocks: [&[Block]; 2]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `pairs` has asked whether the processor has the instructions.
    unsafe {
        x86::compress(states, blocks);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for (state, blocks) in states.into_iter().zip(blocks) {
        compress256(state, blocks);
    }
}

/// The rounds of some streams in turn, with the instructions of the processor.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    use super::Block;

    /// The roots of the first 64 primes, as the standard has them.
    #[rustfmt::skip]
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    pub fn is_there() -> bool {
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    /// Goes through as many blocks as every stream has.
    ///
    /// # Safety
    /// The processor has the instructions: [`is_there`].
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    pub unsafe fn compress<const N: usize>(states: [&mut [u32; 8]; N], blocks: [&[Block]; N]) {
        let mut pairs: [(__m128i, __m128i); N] = std::array::from_fn(|lane| {
            let (low, high) = states[lane].split_at(4);
            let (dcba, hgfe) = (words(low), words(high));
            let (cdab, efgh) = (_mm_shuffle_epi32(dcba, 0xB1), _mm_shuffle_epi32(hgfe, 0x1B));
            (_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xF0))
        });
        let count = blocks.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
        // Every lane is at the same block.
        #[expect(clippy::needless_range_loop, reason = "it indexes each lane's blocks")]
        for at in 0..count {
            let before = pairs;
            let mut messages: [[__m128i; 4]; N] = std::array::from_fn(|lane| message(&blocks[lane][at]));
            for (round, keys) in ROUNDS.iter().enumerate() {
                let keys = words(keys);
                for (message, (abef, cdgh)) in messages.iter_mut().zip(&mut pairs) {
                    if round >= 4 {
                        *message = extended(message);
                    }
                    let sum = _mm_add_epi32(message[round.min(3)], keys);
                    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
                    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(sum, 0x0E));
                }
            }
            for (pair, before) in pairs.iter_mut().zip(before) {
                *pair = (_mm_add_epi32(pair.0, before.0), _mm_add_epi32(pair.1, before.1));
            }
        }
        for (state, (abef, cdgh)) in states.into_iter().zip(pairs) {
            let (feba, dchg) = (_mm_shuffle_epi32(abef, 0x1B), _mm_shuffle_epi32(cdgh, 0xB1));
            let (low, high) = state.split_at_mut(4);
            // SAFETY: four words are the 16 bytes of a vector, and need no alignment.
            unsafe {
                _mm_storeu_si128(low.as_mut_ptr().cast(), _mm_blend_epi16(feba, dchg, 0xF0));
                _mm_storeu_si128(high.as_mut_ptr().cast(), _mm_alignr_epi8(dchg, feba, 8));
            }
        }
    }

    /// The last four words of a message and the next, made of the sixteen before.
    #[target_feature(enable = "sha,ssse3")]
    fn extended(&[a, b, c, d]: &[__m128i; 4]) -> [__m128i; 4] {
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));
        [b, c, d, _mm_sha256msg2_epu32(sum, d)]
    }

    /// The words of a block, which stand with their highest byte first.
    #[target_feature(enable = "ssse3")]
    fn message(block: &Block) -> [__m128i; 4] {
        let order = _mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203);
        std::array::from_fn(|at| {
            let bytes = &block[16 * at..16 * at + 16];
            // SAFETY: these are the 16 bytes of a vector, and need no alignment.
            _mm_shuffle_epi8(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }, order)
        })
    }

    #[target_feature(enable = "sse2")]
    fn words(words: &[u32]) -> __m128i {
        assert_eq!(words.len(), 4, "a vector has four words");
        // SAFETY: four words are the 16 bytes of a vector, and need no alignment.
        unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both streams, each in pieces of whole blocks.
    fn both(left: &[u8], right: &[u8], piece: usize) -> [Digest; 2] {
        let (left, left_rest) = left.as_chunks::<64>();
        let (right, right_rest) = right.as_chunks::<64>();
        let (mut first, mut second) = (Sha256::new(), Sha256::new());
        let pieces = left.len().max(right.len()).div_ceil(piece);
        let cut = |blocks: &[Block], at: usize| {
            blocks[(at * piece).min(blocks.len())..((at + 1) * piece).min(blocks.len())].to_vec()
        };
        for at in 0..pieces {
            update_both((&mut first, &cut(left, at)), (&mut second, &cut(right, at)));
        }
        [first.finish(left_rest), second.finish(right_rest)]
    }

    #[test]
    fn two_streams_by_hand() {
        let found = both(b"abc", b"", 1);
        assert_eq!(found, [Digest::sha256(b"abc"), Digest::sha256(b"")]);
    }

    proptest! {
        #[test]
        fn streams_side_by_side_are_as_each_alone(
            left in prop::collection::vec(any::<u8>(), 0..700),
            right in prop::collection::vec(any::<u8>(), 0..700),
            piece in 1..5_usize,
        ) {
            prop_assert_eq!(both(&left, &right, piece), [Digest::sha256(&left), Digest::sha256(&right)]);
        }
    }
}
