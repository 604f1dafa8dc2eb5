//! `save`: where to, in what form, and whether the architecture's own config can say the result.

use std::path::{Component, Path, PathBuf};

use super::{Checker, Item, State, TypedSave};
use crate::choice;
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::graph::CannotSay;
use crate::pass::{Bound, Bytes, FieldSpec, ValueKind};
use crate::source::Span;
use crate::syntax::ast;
use crate::tensor::DType;

choice! {
    /// What must be able to load the result.
    pub enum LoadsIn("a way to load") {
        /// tamis, and whatever else can.
        Any = "any",
        /// The stock classes of `transformers`, by the config alone.
        Transformers = "transformers",
    }
}

/// The options of `save … with { … }`.
pub static OPTIONS: &[FieldSpec] = &[
    crate::field_spec!(
        shard_size,
        Option<Bytes>,
        ["Bytes of one weight file at most; more go into several, with an index."],
    ),
    crate::field_spec!(dtype, Option<DType>, ["The element type that all float tensors are written in."],),
    crate::field_spec!(
        loads_in,
        LoadsIn,
        ["What must be able to load the result; checked before any weight is read."],
        "any"
    ),
];

impl Checker<'_> {
    pub(super) fn save(
        &mut self,
        path: &ast::Expr,
        options: Option<&ast::Record>,
        span: Span,
        state: &State,
    ) -> Option<TypedSave> {
        let value = self.evaluate(path)?;
        let written = self.read::<String>(&value);
        let fields = self.save_fields(options)?;
        let mut found = Diagnostics::new();
        let mut bound = Bound {
            owner: "save",
            span,
            clauses: Vec::new(),
            fields,
            registry: self.registry,
            diagnostics: &mut found,
        };
        let shard_size = bound.field::<Option<Bytes>>(&OPTIONS[0]);
        let dtype = bound.field::<Option<DType>>(&OPTIONS[1]);
        let loads_in = bound.field::<LoadsIn>(&OPTIONS[2]);
        bound.refuse_unknown(OPTIONS);
        self.adopt(found);
        let path = self.place_of(PathBuf::from(written?), value.span)?;
        let loads = state.graph.config_fields();
        if let (Some(why), Err(reasons)) = (state.graph.cannot_run(), &loads) {
            let message = format!("nothing could load this: tamis does not run the model, as {why}");
            let error = Diagnostic::at(&codes::CANNOT_RUN, span, message);
            let reason =
                reasons.first().map_or(String::new(), |it| format!("`{}` cannot say it: {}", it.key, it.why));
            self.report(error.help(reason));
        }
        if let (Some(LoadsIn::Transformers), Err(reasons)) = (loads_in, &loads) {
            self.refuse_load(reasons, span);
        }
        let shard_size = shard_size?.map(|Bytes(bytes)| bytes).or(self.settings.shard_size);
        Some(TypedSave { path, span, shard_size, dtype: dtype?, loads })
    }

    fn save_fields(
        &mut self,
        options: Option<&ast::Record>,
    ) -> Option<Vec<(String, Span, crate::pass::Value)>> {
        let Some(record) = options else { return Some(Vec::new()) };
        let expr = ast::Expr { kind: ast::ExprKind::Record(record.clone()), span: record.span };
        match self.evaluate(&expr)?.kind {
            ValueKind::Record(fields) => Some(fields),
            _ => None,
        }
    }

    /// The directory to write: as in the recipe, or as the command line moves it. No two may be one.
    fn place_of(&mut self, written: PathBuf, span: Span) -> Option<PathBuf> {
        if written.as_os_str().is_empty() {
            self.report(Diagnostic::at(&codes::OUT_OF_RANGE, span, "a directory to save to is needed"));
            return None;
        }
        let here = plain(&written);
        if let Some(model) = self.model.as_ref().map(|model| plain(&model.path))
            && (here.starts_with(&model) || model.starts_with(&here))
        {
            let message = format!("the output `{}` would lie in the input, or over it", written.display());
            self.report(
                Diagnostic::at(&codes::OUTPUT_IS_INPUT, span, message).help("save to a directory of its own"),
            );
            return None;
        }
        let meets = |(other, _): &&(PathBuf, Span)| {
            let other = plain(other);
            here.starts_with(&other) || other.starts_with(&here)
        };
        if let Some((other, first)) = self.saves.iter().find(meets) {
            let message = match plain(other) {
                other if other == here => format!("`{}` is saved to already", written.display()),
                other if here.starts_with(&other) => {
                    format!("`{}` lies in `{}`, which is an output too", written.display(), other.display())
                }
                other => {
                    format!("`{}` holds `{}`, which is an output too", written.display(), other.display())
                }
            };
            let diagnostic = Diagnostic::at(&codes::DUPLICATE_SAVE, span, message);
            let diagnostic = if *first == span {
                diagnostic.help("put the sweep's variable into the name: `\"out/{r}\"`")
            } else {
                diagnostic.label(*first, "here")
            };
            self.report(diagnostic);
            return None;
        }
        self.saves.push((written.clone(), span));
        Some(written)
    }

    /// `--out DIR`: a single save goes there, several go below it.
    pub(super) fn move_saves(&mut self, body: &mut [Item]) {
        let Some(out) = self.settings.out.clone() else { return };
        let mut saves = saves_of(body);
        if let [only] = saves.as_mut_slice() {
            only.path = out;
            return;
        }
        let mut taken: Vec<(PathBuf, Span)> = Vec::new();
        for save in saves {
            let moved = save.path.file_name().map(|name| out.join(name));
            let clash = taken.iter().find(|(other, _)| Some(other) == moved.as_ref());
            match (moved, clash) {
                (Some(moved), None) => {
                    taken.push((moved.clone(), save.span));
                    save.path = moved;
                }
                (moved, clash) => {
                    let message = match moved {
                        Some(moved) => format!("two outputs would go to `{}`", moved.display()),
                        None => format!("`{}` has no last name to go by", save.path.display()),
                    };
                    let diagnostic = Diagnostic::at(&codes::DUPLICATE_SAVE, save.span, message)
                        .help("below `--out`, outputs keep the last part of their path");
                    let diagnostic = match clash {
                        Some((_, first)) if *first != save.span => diagnostic.label(*first, "the other"),
                        _ => diagnostic,
                    };
                    self.diagnostics.push(diagnostic);
                }
            }
        }
    }

    fn refuse_load(&mut self, reasons: &[CannotSay], span: Span) {
        let Some(first) = reasons.first() else { return };
        // Widths have a field that could say them, other changes have none.
        let (message, help) = match first.key.as_str() {
            "architectures" => (
                "no config of this architecture can say the result".to_owned(),
                "save `with { loads_in: any }`: tamis reads the graph beside the weights, and transformers runs it by a modeling file",
            ),
            key => (
                format!("`{key}` of this architecture's config cannot say the result"),
                "remove as much in every layer, or save `with { loads_in: any }`: tamis reads the graph beside the weights",
            ),
        };
        let diagnostic = Diagnostic::at(&codes::CANNOT_LOAD, span, message).says(first.why.clone());
        self.report(diagnostic.help(help));
    }
}

/// All saves, those of sweeps included, in the order of the text.
fn saves_of(body: &mut [Item]) -> Vec<&mut TypedSave> {
    let mut saves = Vec::new();
    for item in body {
        match item {
            Item::Save(save) => saves.push(save),
            Item::Sweep(branches) => {
                saves.extend(branches.iter_mut().flat_map(|branch| saves_of(&mut branch.body)));
            }
            _ => {}
        }
    }
    saves
}

/// A path without `.` and doubled slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
