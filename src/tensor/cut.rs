//! Exact selection by rank, over one row or over many tensors.

/// An integer that orders as the score does. Both zeros have one key; a NaN has some key.
pub fn order_key(score: f32) -> u32 {
    // Adding zero turns -0.0 into +0.0.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}
