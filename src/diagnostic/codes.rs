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
}
