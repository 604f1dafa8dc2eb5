//! Tests of lazy weights over checkpoints made on the spot.

mod fixture;
mod read;
mod values;
