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
    // -- families
    /// `model_type` of the config (or, where it has none, the first of its `architectures`) names an architecture that
    /// tamis has no family for.
    UNKNOWN_ARCHITECTURE = "unknown-architecture", Error, Input;
    /// Fields of the config contradict each other: `hidden_size` is no multiple of `num_attention_heads`, say.
    CONFIG_DISAGREES = "config-disagrees", Error, Input;
    /// The config describes a tensor that the checkpoint has not. Either the config is of another model, or the
    /// download is incomplete.
    TENSOR_MISSING = "tensor-missing", Error, Input;
    /// A tensor has another shape than the config says. The message writes the shape as axes,
    /// `[neurons=1536, hidden=384]`; the label is at the field of the config that gave the extent.
    TENSOR_MISSHAPEN = "tensor-misshapen", Error, Input;
    /// `tamis.graph.json` describes a model that the config of its architecture cannot state. It was written by another
    /// version of tamis, or edited so that it does not hold together.
    GRAPH_INVALID = "graph-invalid", Error, Input;
    /// The checkpoint has a tensor that the architecture has no place for. It would be lost silently, so this is an error.
    TENSOR_UNEXPECTED = "tensor-unexpected", Error, Input;

    /// The output directory exists. tamis replaces only what it wrote itself, and only when told to.
    /// Choose another name, remove the directory, or allow the replacement.
    OUTPUT_EXISTS = "output-exists", Error, Output;
    /// The output directory is an input of the run, lies in one, or contains one. Inputs are never changed.
    OUTPUT_IS_INPUT = "output-is-input", Error, Output;
    /// The output cannot be made where it was asked for: no permission, a read-only disk, a file where a directory has to be.
    OUTPUT_NOT_WRITABLE = "output-not-writable", Error, Output;
    /// The disk has not enough room for the output. The size is known before the first byte, so mostly nothing was
    /// written; what was is removed.
    DISK_FULL = "disk-full", Error, Output;
    /// Writing failed for another reason than room or permission: the disk itself, or what it is mounted on.
    WRITE_FAILED = "write-failed", Error, Output;

    // -- weights
    /// Weights are NaN or infinite, so that nothing can be said of their importance, or of such sizes that they cannot be
    /// factored. Most often a training run diverged, or a cast to `f16` was too narrow: look at the tensor that is named,
    /// and fetch or train the model again.
    WEIGHTS_NOT_FINITE = "weights-not-finite", Error, Input;
    /// A weight is larger than its new type can hold, and would become infinite. `f16` ends at 65504; `bf16` reaches as far
    /// as `f32`.
    ///
    /// ```tamis
    /// cast weights to f16     # wrong, for a weight of 70000
    /// cast weights to bf16
    /// ```
    CAST_OVERFLOWS = "cast-overflows", Error, Recipe;

    // -- check: names and values
    /// A name that no statement defines. Params, lets, data and models are defined before they are used; a bare word is a
    /// name unless the place takes words, as `scope: global` does.
    ///
    /// ```tamis
    /// prune heads of layers[*] to budgte flops   # `budget` is meant
    /// ```
    UNKNOWN_NAME = "unknown-name", Error, Recipe;
    /// A name is defined twice. A name means one thing in the whole file, inside a `sweep` too: nothing is shadowed.
    DUPLICATE_NAME = "duplicate-name", Error, Recipe;
    /// A value of another kind is needed: a ratio where a number stands, a pattern where a text does.
    ///
    /// ```tamis
    /// param budget: ratio = 60     # write 60%
    /// ```
    WRONG_TYPE = "wrong-type", Error, Recipe;
    /// An amount of a unit that does not fit. `keep` and `remove` count elements; `to` states a target on the result and
    /// names what it is measured in.
    ///
    /// ```tamis
    /// prune heads of layers[*] to 60%         # of what?
    /// prune heads of layers[*] to 60% flops
    /// ```
    WRONG_UNIT = "wrong-unit", Error, Recipe;
    /// A value of the right kind that is not possible: a share above 100 %, a count of 0.
    OUT_OF_RANGE = "out-of-range", Error, Recipe;
    /// A word that is none of the choices.
    UNKNOWN_WORD = "unknown-word", Error, Recipe;
    /// A field stands twice in one record or one call.
    DUPLICATE_FIELD = "duplicate-field", Error, Recipe;
    /// A type that `param` does not know: `ratio`, `count`, `int`, `float`, `text`, `bool`, `pattern` and `amount` are there.
    UNKNOWN_TYPE = "unknown-type", Error, Recipe;
    /// `--set` names something that is no `param` of the recipe, or is not of the form `name=value`.
    BAD_SETTING = "bad-setting", Error, Usage;
    /// `--tokens` asks for the cost of a text that is longer than the model can read: its table of positions ends before.
    TOO_MANY_TOKENS = "too-many-tokens", Error, Usage;
    /// A `param` without a default needs a value: `--set name=value`.
    PARAM_UNSET = "param-unset", Error, Usage;
    /// Something is defined and never used. Take it out, or use it.
    UNUSED = "unused", Warning, Recipe;

    // -- check: statements
    /// A recipe compresses one model, which its first `model` statement names. Further ones, from which `distill` learns, have a path.
    MODEL_STATEMENT = "model-statement", Error, Recipe;
    /// `model input` without a path leaves the model to the command line, and the command line names none: `--model DIR`.
    MODEL_UNSET = "model-unset", Error, Usage;
    /// Nothing is saved: the recipe would do its work for nothing.
    MISSING_SAVE = "missing-save", Error, Recipe;
    /// Two `save` statements write to one place; the second would overwrite the first.
    DUPLICATE_SAVE = "duplicate-save", Error, Recipe;
    /// A statement stands where it cannot: a `param` inside a `sweep`, a second `recipe` header.
    MISPLACED_STATEMENT = "misplaced-statement", Error, Recipe;
    /// A file that `use` names cannot be read.
    USE_MISSING = "use-missing", Error, Recipe;
    /// Files `use` each other in a circle.
    USE_CYCLE = "use-cycle", Error, Recipe;
    /// A used file gives its params, lets and data; its model, steps and outputs would have no place in the user's order.
    USE_CONTENT = "use-content", Error, Recipe;

    // -- check: steps
    /// No pass has this verb. `tamis doc` lists all verbs.
    UNKNOWN_VERB = "unknown-verb", Error, Recipe;
    /// The verb does not act on this noun.
    ///
    /// ```tamis
    /// sparsify heads of layers[*] to 2:4     # weights are sparsified
    /// ```
    UNKNOWN_NOUN = "unknown-noun", Error, Recipe;
    /// There is no criterion of this name. `tamis doc` lists all criteria.
    UNKNOWN_CRITERION = "unknown-criterion", Error, Recipe;
    /// There is no measure of this name.
    UNKNOWN_MEASURE = "unknown-measure", Error, Recipe;
    /// There is no data reader of this name.
    UNKNOWN_READER = "unknown-reader", Error, Recipe;
    /// The pass, criterion or statement has no such option.
    UNKNOWN_OPTION = "unknown-option", Error, Recipe;
    /// A clause stands twice in one step.
    DUPLICATE_CLAUSE = "duplicate-clause", Error, Recipe;
    /// A clause that the pass cannot do without.
    MISSING_CLAUSE = "missing-clause", Error, Recipe;
    /// A clause that this pass does not take.
    UNEXPECTED_CLAUSE = "unexpected-clause", Error, Recipe;
    /// Clauses that say the same thing in two ways, `keep` and `to` for example.
    CONFLICTING_CLAUSES = "conflicting-clauses", Error, Recipe;
    /// An argument that has no default.
    MISSING_ARGUMENT = "missing-argument", Error, Recipe;

    // -- check: steps against the model
    /// A selector that matches nothing in the model as the steps above left it. It is never a silent no-op.
    ///
    /// ```tamis
    /// sparsify weights of layers[*].mpl to 2:4    # `mlp` is meant
    /// ```
    SELECTS_NOTHING = "selects-nothing", Error, Recipe;
    /// An index past the end of a list. Indices count from 0, negative ones from the end; ranges are half open. Each step
    /// sees the model as the steps above left it: after `drop layers[6..12]` of 12 there are layers 0 to 5.
    INDEX_OUT_OF_RANGE = "index-out-of-range", Error, Recipe;
    /// This model has no such elements: experts in a BERT.
    NOT_IN_MODEL = "not-in-model", Error, Recipe;
    /// N:M groups run along the inputs of a matrix; M has to divide their number.
    PATTERN_DOES_NOT_DIVIDE = "pattern-does-not-divide", Error, Recipe;
    /// Square blocks have to tile the matrix.
    BLOCK_DOES_NOT_DIVIDE = "block-does-not-divide", Error, Recipe;
    /// The criterion has no scores for what the step acts on.
    CANNOT_SCORE = "cannot-score", Error, Recipe;
    /// An earlier step leaves open how many elements stay, as a budget does, and this step counts them or names them by number.
    ///
    /// ```tamis
    /// prune neurons of layers[*] to 80% flops
    /// prune neurons of layers[*] keep 75%        # of how many?
    /// ```
    OPEN_EXTENT = "open-extent", Error, Recipe;
    /// More elements are to stay, or to go, than there are.
    TOO_MANY = "too-many", Error, Recipe;
    /// No choice of elements meets the target. The message states what can be reached.
    UNREACHABLE_BUDGET = "unreachable-budget", Error, Recipe;
    /// A step bounds `latency`, and nothing says how long the model takes. Times are measured once, `tamis time MODEL --out
    /// times.json`, and named in the recipe, `measure at { times: "times.json" }`: so the result is the same wherever it is run.
    NO_TIMES = "no-times", Error, Recipe;
    /// The table that `measure at { times: … }` names is not there, or is no table of times.
    TIMES_UNREADABLE = "times-unreadable", Error, Recipe;
    /// A table of times was measured for another input than costs are stated for, or on another model.
    TIMES_MISFIT = "times-misfit", Error, Recipe;
    /// Elements that come in groups are to be removed in part: query heads that share a key/value head, experts fewer than a
    /// router chooses.
    INDIVISIBLE = "indivisible", Error, Recipe;
    /// The experts of a layer were merged before: several rows of their router lead to one. Such experts are not taken out or merged
    /// again; say it in one step, or merge after taking out.
    MERGED_EXPERTS = "merged-experts", Error, Recipe;
    /// The model has operations that tamis counts and changes but does not run: an encoder beside a decoder (Switch), latent
    /// attention (DeepSeek). Criteria and measures that look at data are not for it, and what its architecture's config cannot
    /// say is not saved, as nothing would run it.
    CANNOT_RUN = "cannot-run", Error, Recipe;
    /// Only experts that are alike can become one: equally wide, of the same kind. A step before made these differ.
    UNLIKE_EXPERTS = "unlike-experts", Error, Recipe;
    /// There are too many sets of experts to try each. A criterion that scores experts one by one takes any number.
    TOO_MANY_SETS = "too-many-sets", Error, Recipe;
    /// Something behind reads every token at its place: a head that says something of each, text that is made token by token,
    /// positions relative to each other. Tokens cannot become fewer before it.
    TOKENS_NEEDED = "tokens-needed", Error, Recipe;
    /// A layer has one place where tokens become fewer, and an earlier step has used it; or the step compares tokens one by one,
    /// which are not the same any more.
    TOKENS_REDUCED = "tokens-reduced", Error, Recipe;
    /// Flow attention lets all tokens of a sample compete with each other, without scores, and each once: attention that is causal, that
    /// adds to scores, that turns by positions, that weighs tokens by size or that says which tokens go cannot become it.
    CANNOT_CONVERT = "cannot-convert", Error, Recipe;
    /// The step changes nothing: it keeps everything, or the model is as asked already.
    NO_EFFECT = "no-effect", Warning, Recipe;
    /// A step undoes what an earlier one established: it removes inputs of weights that are 2:4. Change the order of the
    /// steps, or say `densify weights` in between.
    UNDOES_STEP = "undoes-step", Error, Recipe;
    /// Query heads that share a key/value head are removed together with it.
    WHOLE_GROUPS = "whole-groups", Note, Recipe;
    /// Factors of this rank would not be smaller than the weight that they stand for; it stays dense.
    STAYS_DENSE = "stays-dense", Note, Recipe;
    /// A step wants the one matrix of a weight that an earlier step wrote as two factors. Sparsify before factoring, or leave
    /// the weight out.
    ///
    /// ```tamis
    /// factorize weights of layers[*].mlp to rank(64)
    /// sparsify weights of layers[*].mlp to 2:4        # wrong: there is no one matrix any more
    /// sparsify weights of layers[*].attention to 2:4
    /// ```
    FACTORED = "factored", Error, Recipe;
    /// Factors stand for a whole linear matrix that is a tensor of its own. A part of a fused tensor, a weight that is tied to
    /// another, a convolution and an embedding table stay as they are, and here nothing else was selected.
    CANNOT_FACTOR = "cannot-factor", Error, Recipe;
    /// Some layer loses all of its weights: what it computes no longer depends on its input. Under one threshold for all, a
    /// layer of small weights can vanish; `with { floor: 0.05% }` keeps something of each, and so does `by lamp`.
    LAYER_COLLAPSE = "layer-collapse", Warning, Recipe;
    /// A tensor holds more than what was selected, and all of it is changed: query, key and value in one, or a tied head.
    SHARED_TENSOR = "shared-tensor", Note, Recipe;
    /// The result cannot be stated in the config of its architecture, and `save … with { loads_in: transformers }` asks for it.
    CANNOT_LOAD = "cannot-load", Error, Recipe;
    /// An `expect` that the shapes contradict already: no weights are needed to know that it fails.
    CANNOT_HOLD = "cannot-hold", Error, Recipe;

    // -- data
    /// A file or directory of a data set is not there. Data, like models and outputs, is named from the current directory.
    DATA_MISSING = "data-missing", Error, Input;
    /// A directory holds several files of data, or none, and `split` does not say which is meant: of a directory it picks the
    /// one file that has this word in its name.
    ///
    /// ```tamis
    /// data test = text("data/sst2", split: "test")      # data/sst2/test.jsonl
    /// ```
    DATA_SPLIT = "data-split", Error, Recipe;
    /// A record has no field of that name, or what it holds is no text.
    DATA_FIELD = "data-field", Error, Recipe;
    /// A record has no label of that name, or one that is neither a whole number from 0 nor a name of `label2id` or `id2label` in
    /// the model's `config.json`.
    DATA_LABEL = "data-label", Error, Recipe;
    /// A file of data is not what its name says: a line that is no JSON, a row with too many fields, bytes that are not UTF-8, an
    /// IDX file that ends too early, a picture that cannot be decoded.
    DATA_INVALID = "data-invalid", Error, Input;
    /// There are fewer samples than the recipe asks for. They are never silently fewer, as every number that comes from them
    /// would be another one.
    DATA_TOO_FEW = "data-too-few", Error, Recipe;
    /// The data is not for this model: text for a model of pictures, more tokens than it takes, pictures of another size.
    DATA_UNFIT = "data-unfit", Error, Recipe;
    /// Text is read, and the model has no `tokenizer.json`. It can be made of other tokenizer files:
    /// `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`.
    TOKENIZER_MISSING = "tokenizer-missing", Error, Input;
    /// The model's `tokenizer.json` cannot be read, or fails at a text.
    TOKENIZER_INVALID = "tokenizer-invalid", Error, Input;
    /// Pictures are read, and the model has no `preprocessor_config.json`, without which nobody knows how they were prepared when
    /// it was trained. Image processors write it: `AutoImageProcessor.from_pretrained(DIR).save_pretrained(DIR)`.
    PREPROCESSOR_MISSING = "preprocessor-missing", Error, Input;

    // -- run
    /// The model on disk is another one than a moment ago, when the recipe was checked against it. Run again, when nobody
    /// writes to its directory.
    MODEL_CHANGED = "model-changed", Error, Input;
    /// A loss or a comparison is wanted of a model that gives no logits, or on samples that have no labels. A language model is
    /// measured by the next token; a classifier needs `label: "FIELD"` in its data.
    NO_LOSS = "no-loss", Error, Recipe;
    /// What the model answers is NaN or infinite. Measure the input model too: if its answers are finite, a step broke it.
    ANSWERS_NOT_FINITE = "answers-not-finite", Error, Recipe;
    /// The loss of a training, or a gradient, became NaN or infinite: weights moved too far. Nothing is written. Take a smaller
    /// learning rate, a longer warm-up or a smaller `clip`.
    TRAINING_DIVERGED = "training-diverged", Error, Recipe;
    /// A sample does not fit the model any more: a token whose row an earlier step took out of the vocabulary, or more tokens
    /// than there are positions left.
    SAMPLE_MISFIT = "sample-misfit", Error, Input;
    /// An `expect` does not hold for the result. Everything is written all the same, so that the report can be read.
    EXPECTATION_FAILED = "expectation-failed", Error, Recipe;
    /// The files that were written are not what the steps promise. That is an error of tamis, never of the recipe: the
    /// output is not kept. Please report it with the recipe and the model's config.
    POST_CONDITION = "post-condition", Error, Output;

    // -- command line
    /// A recipe cannot be read: it is not there, it is a directory, or its text is not UTF-8.
    RECIPE_UNREADABLE = "recipe-unreadable", Error, Input;
    /// The model holds an operation that has no form in ONNX: one that tamis counts and does not run, or one that needs to know more
    /// of its input than a file can say. Nothing was written; the message names the operation and says why.
    CANNOT_EXPORT = "cannot-export", Error, Input;
    /// `tamis explain` was asked about a word that is no code. Codes stand in brackets behind the severity: of
    /// `error[unknown-verb]: ...` the code is `unknown-verb`.
    UNKNOWN_CODE = "unknown-code", Error, Usage;
    /// `tamis doc` was asked about a name that nothing in the language has. `tamis doc` alone lists all names.
    UNKNOWN_ENTRY = "unknown-entry", Error, Usage;
    /// `provenance.json` or `tamis.lock` of an output is missing, or is not what tamis writes.
    PROVENANCE_INVALID = "provenance-invalid", Error, Input;
    /// A file of an output is not the one that the run wrote, or is missing. Its digest stands in `provenance.json`.
    DIGEST_DIFFERS = "digest-differs", Error, Recipe;
    /// A file in an output's directory that the run did not write. It is no part of what the provenance vouches for.
    FILE_UNLISTED = "file-unlisted", Note, Recipe;
    /// The model or the data that an output was made from is not what it was then, so the recipe would not make this output now.
    INPUT_CHANGED = "input-changed", Warning, Recipe;
    /// `tamis verify --rerun` made the output again, and a file came out differently: another version of tamis, another
    /// input, or an error of tamis.
    RERUN_DIFFERS = "rerun-differs", Error, Recipe;
    /// The file that `tamis import` is given cannot be read, or is no YAML.
    IMPORT_UNREADABLE = "import-unreadable", Error, Input;
    /// The file that `tamis import` is given has no form that it knows: llm-compressor's modifiers, or slices of layers as
    /// mergekit passes them through.
    IMPORT_UNKNOWN = "import-unknown", Error, Input;
    /// Something of an imported file can not be said in a recipe. It is left out, and the recipe does not do it: a comment in
    /// the recipe stands in its place.
    NO_EQUIVALENT = "no-equivalent", Warning, Recipe;
}
