//! What `tamis::ide` says, in the words of the protocol.

use std::collections::HashMap;
use std::path::Path;

use gen_lsp_types::{
    CodeAction, CodeActionKind, Command, CompletionItem, CompletionItemKind, CompletionItemLabelDetails,
    CompletionItemTextEdit, Documentation, FoldingRange, FoldingRangeKind, InsertTextFormat, Label, Location,
    MarkupContent, MarkupKind, ParameterInformation, ParameterInformationLabel, Position, Range,
    SemanticToken, SignatureHelp, SignatureInformation, SymbolKind, TextEdit, Tooltip, Uri, WorkspaceEdit,
};
use tamis::ide::{self, Completion, CompletionKind, Edit, FoldKind};
use tamis::source::{SourceId, Sources, Span};

use super::position::{Lines, as_u32};
use super::uri;

/// A text with its lines: offsets become positions.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub text: &'a str,
    pub lines: &'a Lines,
}

impl Text<'_> {
    pub fn offset(&self, position: Position) -> usize {
        self.lines.offset(self.text, position)
    }

    pub fn position(&self, offset: usize) -> Position {
        self.lines.position(self.text, offset)
    }

    pub fn range(&self, start: usize, end: usize) -> Range {
        self.lines.range(self.text, start, end)
    }

    pub fn edit(&self, edit: &Edit) -> TextEdit {
        TextEdit { range: self.range(edit.start, edit.end), new_text: edit.text.clone() }
    }

    pub fn edits(&self, edits: &[Edit]) -> Vec<TextEdit> {
        edits.iter().map(|edit| self.edit(edit)).collect()
    }
}

pub fn markdown(text: impl Into<String>) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value: text.into() }
}

/// A place in the recipe, or in another file that was read for it. Texts that are no files have none.
pub fn location(sources: &Sources, recipe: SourceId, recipe_uri: &Uri, span: Span) -> Option<Location> {
    let source = sources.get(span.source);
    let uri = match span.source == recipe {
        true => recipe_uri.clone(),
        false => Some(Path::new(source.name())).filter(|path| path.exists()).map(uri::of)?,
    };
    let range = Lines::of(source.text()).range(source.text(), span.start, span.end);
    Some(Location { uri, range })
}

pub fn workspace_edit(uri: &Uri, edits: Vec<TextEdit>) -> WorkspaceEdit {
    WorkspaceEdit { changes: Some(HashMap::from([(uri.clone(), edits)])), ..Default::default() }
}

pub fn completion(text: Text<'_>, number: usize, item: Completion, snippets: bool) -> CompletionItem {
    let (start, end) = item.replaces;
    let snippet = item.snippet.filter(|_| snippets);
    let format = if snippet.is_some() { InsertTextFormat::Snippet } else { InsertTextFormat::PlainText };
    let edit = TextEdit { range: text.range(start, end), new_text: snippet.unwrap_or(item.insert) };
    let again = Command {
        title: "more".into(),
        command: "editor.action.triggerSuggest".into(),
        ..Default::default()
    };
    let doc = Some(item.doc).filter(|doc| !doc.is_empty());
    CompletionItem {
        label: item.label,
        label_details: Some(CompletionItemLabelDetails {
            detail: None,
            description: Some(short(&item.detail)),
        }),
        kind: Some(completion_kind(item.kind)),
        detail: Some(item.detail),
        documentation: doc.map(|doc| Documentation::MarkupContent(markdown(doc))),
        sort_text: Some(format!("{number:04}")),
        insert_text_format: Some(format),
        text_edit: Some(CompletionItemTextEdit::TextEdit(edit)),
        command: Some(again).filter(|_| item.goes_on && snippets),
        ..Default::default()
    }
}

fn short(detail: &str) -> String {
    match detail.char_indices().nth(48) {
        Some((at, _)) => format!("{}…", &detail[..at]),
        None => detail.to_owned(),
    }
}

fn completion_kind(kind: CompletionKind) -> CompletionItemKind {
    match kind {
        CompletionKind::Keyword => CompletionItemKind::Keyword,
        CompletionKind::Verb => CompletionItemKind::Function,
        CompletionKind::Noun => CompletionItemKind::Class,
        CompletionKind::Criterion | CompletionKind::Measure | CompletionKind::Reader => {
            CompletionItemKind::Method
        }
        CompletionKind::Option => CompletionItemKind::Property,
        CompletionKind::Choice => CompletionItemKind::EnumMember,
        CompletionKind::Unit => CompletionItemKind::Unit,
        CompletionKind::Type => CompletionItemKind::TypeParameter,
        CompletionKind::Name => CompletionItemKind::Variable,
        CompletionKind::Place => CompletionItemKind::Module,
        CompletionKind::Example => CompletionItemKind::Value,
        CompletionKind::File => CompletionItemKind::File,
        CompletionKind::Directory => CompletionItemKind::Folder,
        CompletionKind::Field => CompletionItemKind::Field,
    }
}

pub fn signature(found: ide::Signature) -> SignatureHelp {
    // Labels are ASCII but for an ellipsis: units are counted all the same.
    let units = |bytes: usize| as_u32(found.label[..bytes].encode_utf16().count());
    let parameter = |(start, end, doc): &(usize, usize, String)| ParameterInformation {
        label: ParameterInformationLabel::Tuple((units(*start), units(*end))),
        documentation: Some(Documentation::MarkupContent(markdown(doc.clone()))),
    };
    let parameters = found.parameters.iter().map(parameter).collect();
    let active = found.active.map(|active| as_u32(active).into());
    let information = SignatureInformation {
        label: found.label.clone(),
        documentation: Some(Documentation::MarkupContent(markdown(found.doc.clone()))),
        parameters: Some(parameters),
        active_parameter: active,
    };
    SignatureHelp { signatures: vec![information], active_signature: Some(0), active_parameter: active }
}

#[expect(deprecated, reason = "the protocol's own structure has the field")]
pub fn symbol(text: Text<'_>, symbol: ide::Symbol) -> gen_lsp_types::DocumentSymbol {
    let children: Vec<_> = symbol.children.into_iter().map(|child| self::symbol(text, child)).collect();
    gen_lsp_types::DocumentSymbol {
        name: if symbol.name.is_empty() { "?".into() } else { symbol.name },
        detail: Some(symbol.detail).filter(|detail| !detail.is_empty()),
        kind: symbol_kind(symbol.kind),
        tags: None,
        deprecated: None,
        range: text.range(symbol.span.start, symbol.span.end),
        selection_range: text.range(symbol.focus.start, symbol.focus.end),
        children: Some(children).filter(|children| !children.is_empty()),
    }
}

fn symbol_kind(kind: ide::SymbolKind) -> SymbolKind {
    match kind {
        ide::SymbolKind::Recipe => SymbolKind::File,
        ide::SymbolKind::Param => SymbolKind::Constant,
        ide::SymbolKind::Let => SymbolKind::Variable,
        ide::SymbolKind::Model => SymbolKind::Module,
        ide::SymbolKind::Data => SymbolKind::Array,
        ide::SymbolKind::Step => SymbolKind::Function,
        ide::SymbolKind::Sweep => SymbolKind::Namespace,
        ide::SymbolKind::Measure => SymbolKind::Event,
        ide::SymbolKind::Save => SymbolKind::Package,
    }
}

pub fn fold(fold: ide::Fold) -> FoldingRange {
    let kind = match fold.kind {
        FoldKind::Comment => FoldingRangeKind::Comment,
        FoldKind::Region => FoldingRangeKind::Region,
    };
    FoldingRange {
        start_line: as_u32(fold.first),
        end_line: as_u32(fold.last),
        kind: Some(kind),
        ..Default::default()
    }
}

/// Each token's place is told from the one before it.
pub fn tokens(text: Text<'_>, tokens: &[ide::Token]) -> Vec<SemanticToken> {
    let mut last = Position { line: 0, character: 0 };
    let mut told = Vec::new();
    for token in tokens {
        let range = text.range(token.start, token.end);
        if range.start.line != range.end.line || range.start == range.end {
            continue;
        }
        let same_line = range.start.line == last.line;
        told.push(SemanticToken {
            delta_line: range.start.line - last.line,
            delta_start: range.start.character - if same_line { last.character } else { 0 },
            length: range.end.character - range.start.character,
            token_type: token.kind as u32,
            token_modifiers_bitset: 0,
        });
        last = range.start;
    }
    told
}

pub fn hint(text: Text<'_>, hint: ide::Hint) -> gen_lsp_types::InlayHint {
    gen_lsp_types::InlayHint {
        position: text.position(hint.offset),
        label: Label::String(hint.text),
        kind: None,
        text_edits: None,
        tooltip: Some(Tooltip::String(hint.more)),
        padding_left: Some(true),
        padding_right: None,
        data: None,
    }
}

pub fn action(
    text: Text<'_>,
    uri: &Uri,
    action: ide::Action,
    diagnostics: &[gen_lsp_types::Diagnostic],
) -> CodeAction {
    let mended = action.mends.and_then(|number| diagnostics.get(number)).cloned();
    let kind = if action.mends.is_some() { CodeActionKind::QuickFix } else { CodeActionKind::SourceFixAll };
    CodeAction {
        title: action.title,
        kind: Some(kind),
        is_preferred: action.mends.map(|_| true),
        diagnostics: mended.map(|it| vec![it]),
        edit: Some(workspace_edit(uri, text.edits(&action.edits))),
        ..Default::default()
    }
}
