//! Cases about a cursor: what can stand there, what is told of a word, what a text looks like.
//!
//! `tamis` is a recipe with `$0` at the cursor. Blocks below it say what comes out: `complete` a line a completion, `hover`
//! markdown, `signature` with the active parameter between `«` and `»`, `references` a line a place, `rename NAME` the text
//! afterwards, `symbols`, `folds`, `tokens`, `hints`, `actions` the titles and texts after each.

use std::sync::Arc;

use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::ide::{self, Analysis, Edit, Listed, Shelf, Symbol};
use tamis::source::Span;

use crate::checker::Toys;
use crate::fixture::{Block, Case};

/// Completions of one list beyond this many are counted only.
const LISTED: usize = 30;

pub fn check(case: &mut Case) {
    let blocks = case.blocks.clone();
    if blocks.is_empty() {
        return;
    }
    let Some(recipe) = blocks.iter().find(|block| block.kind() == "tamis") else {
        return case.fail(1, "a case has a recipe");
    };
    let files = blocks.iter().filter(|block| block.kind() == "file");
    let files = files.map(|block| (block.info["file ".len()..].to_owned(), block.text.clone())).collect();
    let cursor = recipe.text.find("$0").unwrap_or(recipe.text.len());
    let text: Arc<str> = recipe.text.replacen("$0", "", 1).into();
    let analysis = ide::analyse("recipe.tamis", text, &Settings::default(), &Toys { files }, &REGISTRY);
    for (number, block) in blocks.iter().enumerate() {
        match answer(&analysis, cursor, block) {
            // A block that holds fences needs a longer one around it.
            Some(answer) if answer.starts_with("nothing is known of") => case.fail(block.line, answer),
            Some(answer) => case.expect(number, &answer),
            None => {}
        }
    }
}

fn answer(analysis: &Analysis, cursor: usize, block: &Block) -> Option<String> {
    let lines = |lines: Vec<String>| lines.into_iter().map(|line| format!("{line}\n")).collect::<String>();
    Some(match block.kind() {
        "tamis" | "file" => return None,
        "complete" => lines(completions(analysis, cursor)),
        "hover" => ide::hover(analysis, cursor)
            .map_or("nothing\n".into(), |it| format!("{}\n", it.markdown.trim_end())),
        "signature" => format!("{}\n", signature(analysis, cursor)),
        "references" => {
            let shown = |span: Span| {
                let source = analysis.sources.get(span.source);
                format!("{}:{}", source.name(), source.place(span.start))
            };
            let defined = ide::definition(analysis, cursor).map(|span| format!("defined at {}", shown(span)));
            let all = ide::references(analysis, cursor).into_iter().map(shown);
            lines(defined.into_iter().chain(all).collect())
        }
        "rename" => {
            let new = block.info.split_whitespace().nth(1).unwrap_or_default();
            match ide::rename(analysis, cursor, new) {
                Ok(edits) => Edit::apply(&edits, analysis.text()),
                Err(refused) => format!("refused: {}\n", refused.0),
            }
        }
        "symbols" => ide::symbols(analysis).iter().map(|symbol| shown(symbol, 0)).collect(),
        "folds" => lines(
            ide::folds(analysis)
                .iter()
                .map(|it| format!("{}-{} {:?}", it.first + 1, it.last + 1, it.kind))
                .collect(),
        ),
        "tokens" => {
            let token = |it: &ide::Token| format!("{:?} {}", it.kind, &analysis.text()[it.start..it.end]);
            lines(ide::tokens(analysis).iter().map(token).collect())
        }
        "hints" => lines(ide::hints(analysis).iter().map(|hint| hinted(analysis, hint)).collect()),
        "lens" => ide::lens(analysis).map_or("none\n".into(), |lens| format!("{}\n", lens.text)),
        "format" => Edit::apply(&ide::format(analysis), analysis.text()),
        "actions" => actions(analysis, cursor),
        other => format!("nothing is known of `{other}`\n"),
    })
}

fn completions(analysis: &Analysis, cursor: usize) -> Vec<String> {
    let found = ide::complete(analysis, cursor, &Shelves);
    let line = |item: &ide::Completion| {
        let insert = item.snippet.as_ref().unwrap_or(&item.insert);
        let insert = if insert.trim() == item.label { String::new() } else { format!(" -> {insert}") };
        format!("{:?} {}{insert}: {}", item.kind, item.label, item.detail.replace('\n', " "))
    };
    let mut lines: Vec<String> = found.iter().take(LISTED).map(line).collect();
    if found.len() > LISTED {
        lines.push(format!("and {} more", found.len() - LISTED));
    }
    lines
}

fn signature(analysis: &Analysis, cursor: usize) -> String {
    let Some(found) = ide::signature(analysis, cursor) else { return "nothing".into() };
    let mut label = found.label;
    if let Some((start, end, _)) = found.active.and_then(|active| found.parameters.get(active)) {
        label.insert(*end, '»');
        label.insert(*start, '«');
    }
    label
}

fn shown(symbol: &Symbol, depth: usize) -> String {
    let children: String = symbol.children.iter().map(|child| shown(child, depth + 1)).collect();
    let text = format!("{:?} {} {}", symbol.kind, symbol.name, symbol.detail);
    format!("{}{}\n{children}", "  ".repeat(depth), text.trim_end())
}

fn hinted(analysis: &Analysis, hint: &ide::Hint) -> String {
    let place = analysis.sources.get(analysis.source).place(hint.offset);
    format!("{place} {}", hint.text)
}

fn actions(analysis: &Analysis, cursor: usize) -> String {
    let here = Span::new(analysis.source, cursor, cursor);
    let after = |action: &ide::Action| {
        format!("-- {}\n{}", action.title, Edit::apply(&action.edits, analysis.text()))
    };
    ide::actions(analysis, here).iter().map(after).collect()
}

/// A shelf of a few files.
struct Shelves;

impl Shelf for Shelves {
    fn list(&self, directory: &str, beside_recipe: bool) -> Vec<Listed> {
        let entry = |name: &str, is_dir: bool, is_model: bool| Listed { name: name.into(), is_dir, is_model };
        match (directory, beside_recipe) {
            ("", true) => vec![entry("common.tamis", false, false), entry("readme.md", false, false)],
            ("", false) => vec![entry("data", true, false), entry("models", true, false)],
            ("models", false) => vec![entry("bert", true, true)],
            _ => Vec::new(),
        }
    }
}
