//! The tree of one recipe. Every node has its span; names are not resolved yet.

use crate::source::Span;

/// One file.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The `##` comment on top of the file, joined by newlines.
    pub doc: Option<String>,
    pub statements: Vec<Statement>,
    /// All comments in order, for the formatter.
    pub comments: Vec<Comment>,
    pub span: Span,
}

/// A comment, with its `#` or `##`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StatementKind {
    /// `recipe "name" { paper: "..." }`
    Header { name: Text, fields: Option<Record> },
    /// `use "common.tamis"`
    Use { path: Text },
    /// `param budget: ratio = 60%`
    Param { name: Name, ty: Name, default: Option<Expr> },
    /// `let NAME = expr`
    Let { name: Name, value: Expr },
    /// `model input = "dir"`; without a path the command line says it.
    Model { name: Name, path: Option<Expr> },
    /// `data calib = text("...", ...)`
    Data { name: Name, reader: Expr },
    /// `measure at { tokens: 128, batch: 1 }`: the input that costs are stated for.
    MeasureAt { at: Record },
    /// `measure accuracy(test), latency(batch: 32)`
    Measure { measures: Vec<Measured> },
    /// `expect flops <= 60% of input`
    Expect { measure: Measured, op: Comparison, bound: Expr, of: Option<Name> },
    /// `VERB NOUN[, NOUN] CLAUSE*`
    Step(Step),
    /// `sweep r in [30%, 50%] { ... }`
    Sweep { name: Name, values: Expr, body: Vec<Statement> },
    /// `save "out" with { ... }`
    Save { path: Expr, options: Option<Record> },
    /// Text that is no statement. A diagnostic stands for it.
    Broken,
}

/// A measure, and the part of the model it is taken of: `zeros of layers[0].mlp`.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub measure: Expr,
    pub of: Option<Selector>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    LessOrEqual,
    GreaterOrEqual,
    Less,
    Greater,
    Equal,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub verb: Name,
    pub nouns: Vec<Noun>,
    pub clauses: Vec<Clause>,
    pub span: Span,
}

/// `heads`, or with indices `heads[0, 3]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Noun {
    pub name: Name,
    pub indices: Option<Indices>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    pub kind: ClauseKind,
    /// The keyword alone.
    pub keyword: Span,
    pub value: ClauseValue,
    /// Keyword and value.
    pub span: Span,
}

/// The words that begin a clause. Each stands at most once in a step; the checker says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClauseKind {
    Of,
    At,
    By,
    To,
    Keep,
    Remove,
    Into,
    From,
    On,
    For,
    Over,
    With,
}

impl ClauseKind {
    pub const ALL: [ClauseKind; 12] = [
        Self::Of,
        Self::At,
        Self::By,
        Self::To,
        Self::Keep,
        Self::Remove,
        Self::Into,
        Self::From,
        Self::On,
        Self::For,
        Self::Over,
        Self::With,
    ];

    pub fn keyword(self) -> &'static str {
        match self {
            Self::Of => "of",
            Self::At => "at",
            Self::By => "by",
            Self::To => "to",
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Into => "into",
            Self::From => "from",
            Self::On => "on",
            Self::For => "for",
            Self::Over => "over",
            Self::With => "with",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum ClauseValue {
    /// `of`, `at`
    Selector(Selector),
    /// `with`
    Record(Record),
    /// All others.
    Expr(Expr),
}

/// A union of paths, less another union of paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    pub include: Vec<Path>,
    pub except: Vec<Path>,
    pub span: Span,
}

/// `layers[0..6].attention.{query, key}`, `**.mlp`, `tensor("*.norm.*")`
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    pub segments: Vec<Segment>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub kind: SegmentKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SegmentKind {
    /// `mlp`, `layers[*]`
    Child { name: Name, indices: Option<Indices> },
    /// `{query, key, value}`
    Alternatives(Vec<Name>),
    /// `*`: any child
    Any,
    /// `**`: any depth, this node included
    AnyDepth,
    /// `tensor("glob")`: raw checkpoint names; stands alone in its path
    Tensor(Text),
}

/// What stands in brackets: `[*]`, `[0, 3]`, `[6..12]`, `[-1]`, `[..depth]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Indices {
    pub items: Vec<Index>,
    /// With the brackets.
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Index {
    All(Span),
    One(Expr),
    /// Half open; a missing end is the end of the list.
    Range {
        start: Option<Expr>,
        end: Option<Expr>,
        span: Span,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `12`, `2.5`, `3e-4`, `11M`: the value with its suffix (K, M, G, T: powers of 1000) multiplied in.
    Number {
        value: f64,
        integer: bool,
    },
    /// `60%` is 0.6.
    Percent(f64),
    Bool(bool),
    Text(Text),
    Name(String),
    /// `wanda(calib, samples: 64)`
    Call {
        name: Name,
        args: Vec<Argument>,
    },
    List(Vec<Expr>),
    Record(Record),
    /// `2:4`, `n:m`
    Pattern {
        n: Box<Expr>,
        m: Box<Expr>,
    },
    /// A value with a unit behind it: `60% flops`, `2.5G macs`, `2 GiB`, `3 epochs`, `budget flops`.
    Amount {
        value: Box<Expr>,
        unit: Name,
    },
    Negate(Box<Expr>),
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// Text that is no value. A diagnostic stands for it: whatever type is wanted, this has it.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Named where `name` is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub name: Option<Name>,
    pub value: Expr,
    pub span: Span,
}

/// `{ key: value, ... }`
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub fields: Vec<Field>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Name,
    pub value: Expr,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// A string in quotes; `{name}` in it is replaced by a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub parts: Vec<TextPart>,
    /// With the quotes.
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TextPart {
    Literal(String),
    Interpolated(Name),
}

impl Text {
    /// The text, where nothing is interpolated.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TextPart::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

impl Step {
    pub fn clause(&self, kind: ClauseKind) -> Option<&Clause> {
        self.clauses.iter().find(|clause| clause.kind == kind)
    }
}
