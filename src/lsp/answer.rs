//! Answers to requests about a text, from the check of its current version.

use std::fs;
use std::path::{Path, PathBuf};

use gen_lsp_types::{
    CodeActionParams, CodeLens, Command, CompletionList, CompletionParams, DefinitionParams,
    DocumentHighlight, DocumentRangeFormattingParams, ExecuteCommandParams, HoverParams, InlayHintParams,
    Position, PrepareRenameParams, Range, ReferenceParams, RenameParams, SemanticTokens, SignatureHelpParams,
};
use lsp_server::{ErrorCode, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tamis::ide::{self, Analysis, Listed, Shelf};
use tamis::source::Span;

use super::capability::{PLAN, SHOW_PLAN};
use super::convert::{self, Text, location, markdown, workspace_edit};
use super::document::Document;
use super::publish;

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What the editor says of itself, as far as answers depend on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client {
    pub snippets: bool,
    pub hides_hints: bool,
}

/// A method about one text.
type Method = fn(&Asked<'_>, Value) -> Result<Value, Refusal>;

/// All of them.
const METHODS: &[(&str, Method)] = &[
    ("textDocument/completion", completion),
    ("textDocument/hover", hover),
    ("textDocument/signatureHelp", signature_help),
    ("textDocument/definition", definition),
    ("textDocument/references", references),
    ("textDocument/documentHighlight", highlights),
    ("textDocument/prepareRename", prepare_rename),
    ("textDocument/rename", rename),
    ("textDocument/documentSymbol", symbols),
    ("textDocument/foldingRange", folds),
    ("textDocument/semanticTokens/full", tokens),
    ("textDocument/formatting", formatting),
    ("textDocument/rangeFormatting", range_formatting),
    ("textDocument/inlayHint", hints),
    ("textDocument/codeLens", lenses),
    ("textDocument/codeAction", actions),
    ("workspace/executeCommand", command),
];

/// Whether there is such a method.
pub fn is_known(method: &str) -> bool {
    METHODS.iter().any(|(name, _)| *name == method)
}

/// The address of the text that a request is about.
pub fn subject(request: &Request) -> Option<&str> {
    let params = &request.params;
    let named = params.pointer("/textDocument/uri").or_else(|| params.pointer("/arguments/0"));
    named.and_then(Value::as_str)
}

/// A text and the check of it.
pub struct Asked<'a> {
    document: &'a Document,
    analysis: &'a Analysis,
    client: Client,
}

/// Answers a request about a text that is checked.
pub fn answer(
    request: Request,
    document: &Document,
    analysis: &Analysis,
    client: Client,
) -> Result<Value, Refusal> {
    let known = METHODS.iter().find(|(name, _)| *name == request.method);
    let (_, method) = known.ok_or_else(|| Refusal::new(ErrorCode::MethodNotFound, request.method.clone()))?;
    method(&Asked { document, analysis, client }, request.params)
}

impl Asked<'_> {
    fn text(&self) -> Text<'_> {
        Text { text: &self.document.text, lines: &self.document.lines }
    }

    fn span(&self, range: Range) -> Span {
        let (start, end) = (self.text().offset(range.start), self.text().offset(range.end));
        Span::new(self.analysis.source, start.min(end), end.max(start))
    }

    fn offset(&self, position: Position) -> usize {
        self.text().offset(position)
    }
}

fn params<P: DeserializeOwned>(params: Value) -> Result<P, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::new(ErrorCode::InvalidParams, error.to_string()))
}

fn told(answer: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(answer).map_err(|error| Refusal::new(ErrorCode::InternalError, error.to_string()))
}

fn completion(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: CompletionParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    let shelf = Disk { recipe: Path::new(asked.analysis.sources.get(asked.analysis.source).name()) };
    let found = ide::complete(asked.analysis, offset, &shelf);
    let item = |(number, item)| convert::completion(asked.text(), number, item, asked.client.snippets);
    let items = found.into_iter().enumerate().map(item).collect();
    told(CompletionList { is_incomplete: false, items, ..Default::default() })
}

fn hover(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: HoverParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    told(ide::hover(asked.analysis, offset).map(|found| gen_lsp_types::Hover {
        contents: markdown(found.markdown).into(),
        range: Some(asked.text().range(found.span.start, found.span.end)),
    }))
}

fn signature_help(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: SignatureHelpParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    told(ide::signature(asked.analysis, offset).map(convert::signature))
}

fn definition(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: DefinitionParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    let found = ide::definition(asked.analysis, offset);
    told(
        found.and_then(|span| {
            location(&asked.analysis.sources, asked.analysis.source, &asked.document.uri, span)
        }),
    )
}

fn references(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: ReferenceParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    let defined = ide::definition(asked.analysis, offset);
    let all = ide::references(asked.analysis, offset).into_iter();
    let wanted = all.filter(|span| given.context.include_declaration || Some(*span) != defined);
    let place = |span| location(&asked.analysis.sources, asked.analysis.source, &asked.document.uri, span);
    told(wanted.filter_map(place).collect::<Vec<_>>())
}

fn highlights(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: HoverParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    let all = ide::references(asked.analysis, offset).into_iter();
    let here = all.filter(|span| span.source == asked.analysis.source);
    let highlight = |span: Span| DocumentHighlight {
        range: asked.text().range(span.start, span.end),
        ..Default::default()
    };
    told(here.map(highlight).collect::<Vec<_>>())
}

fn prepare_rename(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: PrepareRenameParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    told(ide::renamable(asked.analysis, offset).map(|span| asked.text().range(span.start, span.end)))
}

fn rename(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: RenameParams = params(given)?;
    let offset = asked.offset(given.text_document_position_params.position);
    let edits = ide::rename(asked.analysis, offset, &given.new_name)
        .map_err(|refused| Refusal::new(ErrorCode::RequestFailed, refused.0))?;
    told(workspace_edit(&asked.document.uri, asked.text().edits(&edits)))
}

fn symbols(asked: &Asked<'_>, _: Value) -> Result<Value, Refusal> {
    let symbols = ide::symbols(asked.analysis).into_iter();
    told(symbols.map(|symbol| convert::symbol(asked.text(), symbol)).collect::<Vec<_>>())
}

fn folds(asked: &Asked<'_>, _: Value) -> Result<Value, Refusal> {
    told(ide::folds(asked.analysis).into_iter().map(convert::fold).collect::<Vec<_>>())
}

fn tokens(asked: &Asked<'_>, _: Value) -> Result<Value, Refusal> {
    let data = convert::tokens(asked.text(), &ide::tokens(asked.analysis));
    told(SemanticTokens { data, ..Default::default() })
}

fn formatting(asked: &Asked<'_>, _: Value) -> Result<Value, Refusal> {
    told(asked.text().edits(&ide::format(asked.analysis)))
}

fn range_formatting(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: DocumentRangeFormattingParams = params(given)?;
    let part = asked.span(given.range);
    told(asked.text().edits(&ide::format_range(asked.analysis, part.start, part.end)))
}

fn hints(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: InlayHintParams = params(given)?;
    let part = asked.span(given.range);
    if asked.client.hides_hints {
        return told(Vec::<()>::new());
    }
    let all = ide::hints(asked.analysis).into_iter();
    let here = all.filter(|hint| part.start <= hint.offset && hint.offset <= part.end);
    told(here.map(|hint| convert::hint(asked.text(), hint)).collect::<Vec<_>>())
}

fn lenses(asked: &Asked<'_>, _: Value) -> Result<Value, Refusal> {
    let lens = ide::lens(asked.analysis).map(|lens| CodeLens {
        range: asked.text().range(lens.offset, lens.offset),
        command: Some(Command {
            title: lens.text,
            command: SHOW_PLAN.into(),
            arguments: Some(vec![Value::String(asked.document.uri.as_ref().to_owned())]),
            ..Default::default()
        }),
        ..Default::default()
    });
    told(lens.into_iter().collect::<Vec<_>>())
}

fn actions(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: CodeActionParams = params(given)?;
    let diagnostics = publish::diagnostics(asked.analysis, asked.text(), &asked.document.uri);
    let actions = ide::actions(asked.analysis, asked.span(given.range)).into_iter();
    let actions =
        actions.map(|action| convert::action(asked.text(), &asked.document.uri, action, &diagnostics));
    told(actions.collect::<Vec<_>>())
}

fn command(asked: &Asked<'_>, given: Value) -> Result<Value, Refusal> {
    let given: ExecuteCommandParams = params(given)?;
    if given.command != PLAN {
        return Err(Refusal::new(
            ErrorCode::InvalidParams,
            format!("there is no command `{}`", given.command),
        ));
    }
    told(ide::plan_text(asked.analysis))
}

/// Files on disk.
struct Disk<'a> {
    recipe: &'a Path,
}

impl Shelf for Disk<'_> {
    fn list(&self, directory: &str, beside_recipe: bool) -> Vec<Listed> {
        let home = self.recipe.parent().filter(|_| beside_recipe).map(Path::to_owned).unwrap_or_default();
        let at: PathBuf = home.join(directory);
        let at = if at.as_os_str().is_empty() { PathBuf::from(".") } else { at };
        let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
        // A directory of a million pictures is not worth a list.
        let listed = entries.flatten().take(2000).filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
            let path = entry.path();
            let is_dir = path.is_dir();
            Some(Listed { name, is_dir, is_model: is_dir && path.join("config.json").exists() })
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_unstable();
        listed
    }
}
