//! What the server can do, as it tells the editor.

use gen_lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProvider, CodeLensOptions, CompletionOptions,
    DefinitionProvider, DocumentFormattingProvider, DocumentHighlightProvider,
    DocumentRangeFormattingProvider, DocumentSymbolProvider, ExecuteCommandOptions, FoldingRangeProvider,
    Full, HoverProvider, InitializeResult, InlayHintProvider, PositionEncodingKind, ReferencesProvider,
    RenameOptions, RenameProvider, SemanticTokensLegend, SemanticTokensOptions, SemanticTokensProvider,
    ServerCapabilities, ServerInfo, SignatureHelpOptions, TextDocumentSync, TextDocumentSyncKind,
    TextDocumentSyncOptions,
};

/// Shows the plan of a recipe; its argument is the recipe's address.
pub const SHOW_PLAN: &str = "tamis.showPlan";
/// The text of that plan, for whoever wants to show it himself.
pub const PLAN: &str = "tamis.plan";

/// Types of semantic tokens, in the order of [`tamis::ide::TokenKind`].
pub const TOKEN_TYPES: [&str; 12] = [
    "comment",
    "keyword",
    "function",
    "class",
    "method",
    "variable",
    "parameter",
    "property",
    "enumMember",
    "type",
    "string",
    "number",
];

pub fn initialized() -> InitializeResult {
    let info = ServerInfo { name: "tamis".into(), version: Some(env!("CARGO_PKG_VERSION").into()) };
    InitializeResult { capabilities: capabilities(), server_info: Some(info) }
}

fn capabilities() -> ServerCapabilities {
    let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::Incremental),
        ..Default::default()
    };
    let types = SemanticTokensLegend {
        token_types: TOKEN_TYPES.map(String::from).to_vec(),
        token_modifiers: Vec::new(),
    };
    let tokens = SemanticTokensOptions { legend: types, full: Some(Full::Bool(true)), ..Default::default() };
    let kinds = vec![CodeActionKind::QuickFix, CodeActionKind::SourceFixAll];
    ServerCapabilities {
        position_encoding: Some(PositionEncodingKind::UTF16),
        text_document_sync: Some(TextDocumentSync::Options(sync)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: texts(&[".", " ", "\"", "/", "(", "[", "{", ",", ":"]),
            ..Default::default()
        }),
        hover_provider: Some(HoverProvider::Bool(true)),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: texts(&["(", ",", "{"]),
            ..Default::default()
        }),
        definition_provider: Some(DefinitionProvider::Bool(true)),
        references_provider: Some(ReferencesProvider::Bool(true)),
        document_highlight_provider: Some(DocumentHighlightProvider::Bool(true)),
        document_symbol_provider: Some(DocumentSymbolProvider::Bool(true)),
        code_action_provider: Some(CodeActionProvider::CodeActionOptions(CodeActionOptions {
            code_action_kinds: Some(kinds),
            ..Default::default()
        })),
        code_lens_provider: Some(CodeLensOptions::default()),
        document_formatting_provider: Some(DocumentFormattingProvider::Bool(true)),
        document_range_formatting_provider: Some(DocumentRangeFormattingProvider::Bool(true)),
        rename_provider: Some(RenameProvider::RenameOptions(RenameOptions {
            prepare_provider: Some(true),
            ..Default::default()
        })),
        folding_range_provider: Some(FoldingRangeProvider::Bool(true)),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: vec![PLAN.to_owned()],
            ..Default::default()
        }),
        semantic_tokens_provider: Some(SemanticTokensProvider::SemanticTokensOptions(tokens)),
        inlay_hint_provider: Some(InlayHintProvider::Bool(true)),
        ..Default::default()
    }
}
