//! Every diagnostic code once: its name, its severity, whose fault it is, its explanation.

use super::{Code, Fault, Severity};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $ident:ident = $name:literal, $severity:ident, $fault:ident;)+) => {
        $($(#[doc = $doc])+
        pub static $ident: Code = Code {
            name: $name,
            severity: Severity::$severity,
            fault: Fault::$fault,
            explanation: concat!($($doc, "\n"),+),
        };)+
        /// Every code there is, in the order of its phase.
        pub static ALL: &[&Code] = &[$(&$ident),+];
    };
}

codes! {
    // -- syntax
    /// A statement that the grammar does not know. The rest of the file is still checked.
    SYNTAX = "syntax", Error, Recipe;
    // -- checkpoint
    /// The model is neither a directory nor a name in the local Hugging Face cache. tamis downloads nothing:
    /// fetch it first (`hf download ORG/NAME`) and name the directory or `ORG/NAME`.
    MODEL_MISSING = "model-missing", Error, Input;
    /// The directory has no `config.json`. The architecture is read from it, never guessed from tensor names.
    CONFIG_MISSING = "config-missing", Error, Input;
    /// `config.json` is not a JSON object in UTF-8.
    CONFIG_INVALID = "config-invalid", Error, Input;
    /// A field of `config.json` that the architecture needs is missing, or is of another type than it must be.
    /// `null` counts as missing.
    CONFIG_FIELD = "config-field", Error, Input;
    /// The directory has neither `model.safetensors` nor `model.safetensors.index.json`. Only safetensors is read.
    WEIGHTS_MISSING = "weights-missing", Error, Input;
    /// The only weights are pickled (`pytorch_model.bin`, `*.pt`). To unpickle a file is to run the program in it, so
    /// tamis never does. Convert the model once, where you trust it:
    /// `AutoModel.from_pretrained(DIR).save_pretrained(NEW, safe_serialization=True)`.
    WEIGHTS_PICKLED = "weights-pickled", Error, Input;
    /// A safetensors file ends before its header or its tensors do. Most often a download was cut short: fetch it again.
    WEIGHTS_TRUNCATED = "weights-truncated", Error, Input;
    /// The first eight bytes of a safetensors file announce a header of more than 100 MB, which the format forbids.
    /// The file is damaged, or not safetensors at all.
    HEADER_TOO_LARGE = "header-too-large", Error, Input;
    /// The header of a safetensors file is not the JSON object of tensors that it must be.
    HEADER_INVALID = "header-invalid", Error, Input;
    /// One tensor name stands twice, in one header or in two shards. Which one counts would be a guess.
    DUPLICATE_TENSOR = "duplicate-tensor", Error, Input;
    /// A tensor has an element type that the safetensors format has not.
    UNKNOWN_DTYPE = "unknown-dtype", Error, Input;
    /// A tensor has an element type of the format that tamis does not compute with: 8-bit and smaller floats, unsigned
    /// 16 to 64 bit, complex. Such checkpoints are mostly quantized already: start from the unquantized one.
    UNSUPPORTED_DTYPE = "unsupported-dtype", Error, Input;
    /// Tensors of a safetensors file overlap, leave holes, or end before they begin. Every byte must belong to one tensor.
    TENSOR_OFFSETS = "tensor-offsets", Error, Input;
    /// A tensor's shape and element type take another number of bytes than its offsets span.
    TENSOR_SIZE = "tensor-size", Error, Input;
    /// `model.safetensors.index.json` has no `weight_map` from tensor names to file names.
    INDEX_INVALID = "index-invalid", Error, Input;
    /// The index names a file outside of its own directory. Only plain file names are followed.
    SHARD_OUTSIDE = "shard-outside", Error, Input;
    /// The index names a file that is not there. Most often a download is incomplete.
    SHARD_MISSING = "shard-missing", Error, Input;
    /// The index promises a tensor in a file whose header has it not. Index and shards are of different models or versions.
    TENSOR_NOT_IN_SHARD = "tensor-not-in-shard", Error, Input;
    /// A file could not be read: permissions, a bad disk, or it changed while tamis read it.
    READ_FAILED = "read-failed", Error, Input;
}
