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
    /// The text is no statement of the language: something is missing, misplaced or too much. The other statements are
    /// read all the same.
    ///
    /// ```tamis
    /// let depth 6        # wrong: `=` is missing
    /// let depth = 6
    /// ```
    SYNTAX = "syntax", Error, Recipe;
    /// A bracket or a text has no end, or a closing bracket has no beginning. A text ends on its own line.
    ///
    /// ```tamis
    /// drop layers[6..12      # wrong
    /// drop layers[6..12]
    /// ```
    UNCLOSED = "unclosed", Error, Recipe;
    /// A line begins with a clause word (`of`, `by`, `to`, `with`, ...), but what stands above it takes no such clause.
    ///
    /// ```tamis
    /// let share = 60%
    ///   to share flops       # wrong: `let` takes no clause
    ///
    /// prune heads of layers[*]
    ///   to share flops
    /// ```
    STRAY_CLAUSE = "stray-clause", Error, Recipe;
    /// A step goes on with something that is no clause. Each clause begins with one of the words `of`, `at`, `by`, `to`,
    /// `keep`, `remove`, `into`, `from`, `on`, `for`, `over` and `with`.
    ///
    /// ```tamis
    /// sparsify weights of ** using magnitude to 2:4   # wrong
    /// sparsify weights of ** by magnitude to 2:4
    /// ```
    UNKNOWN_CLAUSE = "unknown-clause", Error, Recipe;
    /// A word of the language stands where a name is wanted. Clause words are no names of values, units or nouns.
    ///
    /// ```tamis
    /// let keep = 8           # wrong
    /// let kept = 8
    /// ```
    RESERVED_WORD = "reserved-word", Error, Recipe;
    /// A number that cannot be read. A number has digits on both sides of its point and may end with `%` or with one of
    /// `K`, `M`, `G` and `T` (powers of 1000); a unit stands apart.
    ///
    /// ```tamis
    /// prune heads of layers[*] to 60 % flops      # wrong, as are .5, 1_000 and 2GiB
    /// prune heads of layers[*] to 60% flops
    /// ```
    BAD_NUMBER = "bad-number", Error, Recipe;
    /// A text that cannot be read. A text stands in double quotes; `{name}` in it is replaced by the value of that name;
    /// a brace, a quote and a backslash of its own are written `\{`, `\"` and `\\`, a newline `\n`.
    ///
    /// ```tamis
    /// save "out/{r"          # wrong
    /// save "out/\{r"
    /// ```
    BAD_TEXT = "bad-text", Error, Recipe;
    /// A character that stands for nothing outside of texts and comments. Word processors write such characters in place
    /// of the plain ones: `≤` for `<=`, a dash for `-`.
    BAD_CHARACTER = "bad-character", Error, Recipe;
    /// A range of indices is written with two points, and its end is not part of it.
    ///
    /// ```tamis
    /// drop layers[6-11]      # wrong
    /// drop layers[6..12]
    /// ```
    BAD_RANGE = "bad-range", Error, Recipe;
    /// Brackets, blocks or operators nest deeper than any recipe needs. Give the inner parts names with `let`.
    TOO_DEEP = "too-deep", Error, Recipe;
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
