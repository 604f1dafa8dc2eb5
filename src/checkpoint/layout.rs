//! Where each tensor of an output goes, known before its first byte: shards, headers, positions, sizes.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Metadata, TensorInfo};

use super::header::{PREFIX, stored_type};
use super::index::SINGLE;
use crate::tensor::DType;

/// Shards are at most this large, as those of transformers are.
pub const SHARD_SIZE: u64 = 5_000_000_000;

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

impl TensorSpec {
    pub fn bytes(&self) -> u64 {
        let size = self.shape.iter().try_fold(self.dtype.size(), |size, &extent| size.checked_mul(extent));
        size.expect("a planned tensor fits the address space") as u64
    }
}

/// The files of one set of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub files: Vec<FileLayout>,
    /// The place of each tensor, in the order of the plan.
    pub slots: Vec<Slot>,
    /// `model.safetensors.index.json`, where there is more than one file.
    pub index: Option<Vec<u8>>,
}

/// One file: its name, its first bytes (length and header), its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLayout {
    pub name: String,
    pub head: Vec<u8>,
    pub bytes: u64,
}

/// The bytes of one tensor: file, position in it, how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub file: usize,
    pub offset: u64,
    pub bytes: u64,
}

impl Layout {
    /// Fills shards in the order of the plan. A tensor larger than a shard gets one of its own.
    ///
    /// # Panics
    /// Where two tensors have one name.
    pub fn new(plan: &[TensorSpec], shard_size: Option<u64>) -> Self {
        let shards = pack(plan, shard_size.unwrap_or(SHARD_SIZE));
        let names: Vec<String> = match shards.len() {
            1 => vec![SINGLE.into()],
            n => (1..=n).map(|i| format!("model-{i:05}-of-{n:05}.safetensors")).collect(),
        };
        let index = (shards.len() > 1).then(|| index(plan, &shards, &names));
        let mut slots = vec![Slot { file: 0, offset: 0, bytes: 0 }; plan.len()];
        let files = shards.into_iter().zip(names).enumerate();
        let files = files.map(|(file, (shard, name))| lay_out(plan, shard, file, name, &mut slots)).collect();
        Self { files, slots, index }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let index = self.index.as_ref().map_or(0, Vec::len) as u64;
        self.files.iter().map(|file| file.bytes).sum::<u64>() + index
    }
}

/// Indices of the plan, a list a shard; at least one shard.
fn pack(plan: &[TensorSpec], shard_size: u64) -> Vec<Vec<usize>> {
    let mut shards = vec![Vec::new()];
    let mut filled = 0_u64;
    for (tensor, spec) in plan.iter().enumerate() {
        let last = shards.last_mut().expect("there is a first shard");
        if filled + spec.bytes() > shard_size && !last.is_empty() {
            shards.push(vec![tensor]);
            filled = spec.bytes();
        } else {
            last.push(tensor);
            filled += spec.bytes();
        }
    }
    shards
}

/// Orders one file as the `safetensors` crate does, widest elements first and then by name, so that all data are aligned.
fn lay_out(
    plan: &[TensorSpec],
    mut shard: Vec<usize>,
    file: usize,
    name: String,
    slots: &mut [Slot],
) -> FileLayout {
    shard.sort_by(|&a, &b| {
        let (a, b) = (&plan[a], &plan[b]);
        stored_type(b.dtype).cmp(&stored_type(a.dtype)).then_with(|| a.name.cmp(&b.name))
    });
    let mut end = 0;
    let mut infos = Vec::with_capacity(shard.len());
    for &tensor in &shard {
        let spec = &plan[tensor];
        let begin = end;
        end += spec.bytes();
        slots[tensor] = Slot { file, offset: begin, bytes: spec.bytes() };
        let data_offsets = (position(begin), position(end));
        let info = TensorInfo { dtype: stored_type(spec.dtype), shape: spec.shape.clone(), data_offsets };
        infos.push((spec.name.clone(), info));
    }
    let head = head(infos);
    for tensor in shard {
        slots[tensor].offset += head.len() as u64;
    }
    FileLayout { name, bytes: head.len() as u64 + end, head }
}

/// Length and header, padded so that the data begin at a multiple of eight.
fn head(infos: Vec<(String, TensorInfo)>) -> Vec<u8> {
    let tensors = infos.len();
    // Readers other than ours ask for the framework that the tensors are for.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), infos).expect("offsets are laid out without holes");
    assert_eq!(metadata.tensors().len(), tensors, "a plan names each tensor once");
    let mut json = serde_json::to_vec(&metadata).expect("a header has only string keys");
    json.resize(json.len().next_multiple_of(PREFIX as usize), b' ');
    [&(json.len() as u64).to_le_bytes()[..], &json].concat()
}

fn index(plan: &[TensorSpec], shards: &[Vec<usize>], names: &[String]) -> Vec<u8> {
    let files =
        shards.iter().zip(names).flat_map(|(shard, name)| shard.iter().map(move |&tensor| (tensor, name)));
    let map: BTreeMap<&str, &String> =
        files.map(|(tensor, file)| (plan[tensor].name.as_str(), file)).collect();
    let total: u64 = plan.iter().map(TensorSpec::bytes).sum();
    let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
    let mut text = serde_json::to_vec_pretty(&index).expect("an index has only string keys");
    text.push(b'\n');
    text
}

fn position(at: u64) -> usize {
    usize::try_from(at).expect("a planned file fits the address space")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safetensors::tensor::TensorView;

    use super::*;

    fn spec(name: &str, dtype: DType, shape: &[usize]) -> TensorSpec {
        TensorSpec { name: name.into(), dtype, shape: shape.into() }
    }

    #[test]
    fn one_file_where_all_fit() {
        let plan = [spec("b", DType::F32, &[2]), spec("a", DType::I64, &[1]), spec("c", DType::U8, &[3])];
        let layout = Layout::new(&plan, None);
        assert_eq!(layout.files.len(), 1);
        assert_eq!(layout.files[0].name, "model.safetensors");
        assert_eq!(layout.index, None);
        let base = layout.files[0].head.len() as u64;
        assert_eq!(base % 8, 0);
        assert_eq!(layout.slots.iter().map(|slot| slot.offset - base).collect::<Vec<_>>(), [8, 0, 16]);
        assert_eq!(layout.bytes(), base + 19);
    }

    #[test]
    fn shards_are_filled_in_order_up_to_their_size() {
        let sizes = [4, 4, 9, 1, 8];
        let plan: Vec<_> =
            sizes.iter().enumerate().map(|(i, &n)| spec(&format!("t{i}"), DType::U8, &[n])).collect();
        let layout = Layout::new(&plan, Some(8));
        assert_eq!(layout.slots.iter().map(|slot| slot.file).collect::<Vec<_>>(), [0, 0, 1, 2, 3]);
        assert_eq!(layout.files[1].name, "model-00002-of-00004.safetensors");
        let index: serde_json::Value = serde_json::from_slice(layout.index.as_ref().unwrap()).unwrap();
        assert_eq!(index["metadata"]["total_size"], 26);
        assert_eq!(index["weight_map"]["t3"], "model-00003-of-00004.safetensors");
    }

    #[test]
    fn a_plan_of_nothing_is_one_empty_file() {
        let layout = Layout::new(&[], None);
        assert_eq!(layout.files[0].bytes, layout.files[0].head.len() as u64);
    }

    #[test]
    fn names_are_unique() {
        let plan = [spec("a", DType::U8, &[1]), spec("a", DType::U8, &[1])];
        assert!(std::panic::catch_unwind(|| Layout::new(&plan, None)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Head and offsets are byte for byte those of the reference writer.
        #[test]
        fn a_file_is_laid_out_as_the_reference_does(
            tensors in prop::collection::btree_map(
                "[a-z.]{1,6}", (0..DType::ALL.len(), prop::collection::vec(0..4_usize, 0..3)), 0..8),
        ) {
            let plan: Vec<TensorSpec> =
                tensors.into_iter().rev().map(|(name, (dtype, shape))| spec(&name, DType::ALL[dtype], &shape)).collect();
            let data: Vec<u8> = (0..=255).collect();
            let view = |s: &TensorSpec| {
                TensorView::new(stored_type(s.dtype), s.shape.clone(), &data[..s.bytes() as usize]).unwrap()
            };
            let views: Vec<_> = plan.iter().map(|spec| (&spec.name, view(spec))).collect();
            let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
            let reference = safetensors::serialize(views, Some(format)).unwrap();
            let layout = Layout::new(&plan, None);
            let mut ours = layout.files[0].head.clone();
            ours.resize(layout.files[0].bytes as usize, 0);
            for (spec, slot) in plan.iter().zip(&layout.slots) {
                ours[slot.offset as usize..][..slot.bytes as usize].copy_from_slice(&data[..spec.bytes() as usize]);
            }
            prop_assert_eq!(ours, reference);
        }
    }
}
