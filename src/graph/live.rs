//! How long values live.

use std::collections::BTreeMap;

use super::{Graph, OpId};

impl Graph {
    /// Bytes of the values of one sample that are alive at once at most, in f32: each from the operation that makes it to the last
    /// one that reads it.
    pub fn peak_value_bytes(&self) -> u64 {
        let schedule = self.schedule();
        let mut readers: BTreeMap<OpId, usize> = BTreeMap::new();
        for &op in &schedule {
            self.operands(op).into_iter().for_each(|operand| *readers.entry(operand).or_default() += 1);
        }
        let bytes = |op: OpId| -> u64 {
            self.ops[op].value.iter().map(|dim| self.dim_extent(dim) as u64).product::<u64>() * 4
        };
        let (mut alive, mut most) = (0, 0);
        for &op in &schedule {
            alive += bytes(op);
            most = most.max(alive);
            for operand in self.operands(op) {
                let left = readers.get_mut(&operand).expect("it was counted");
                *left -= 1;
                if *left == 0 {
                    alive -= bytes(operand);
                }
            }
            if !readers.contains_key(&op) {
                alive -= bytes(op);
            }
        }
        most
    }
}
