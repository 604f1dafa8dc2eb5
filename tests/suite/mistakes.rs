//! Typical mistakes: what a person is told, and the text after its own suggestion was taken.
//!
//! `tamis` is a recipe with one mistake. `told` is what is said of it; `mended` the recipe with every fix applied, which then
//! has no error, or `no fix`.

use std::sync::Arc;

use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::diagnostic::{self, Severity, Style};
use tamis::ide::{self, Analysis, Edit};

use crate::checker::Toys;
use crate::fixture::Case;

pub fn check(case: &mut Case) {
    let blocks = case.blocks.clone();
    if blocks.is_empty() {
        return;
    }
    let Some(recipe) = blocks.iter().find(|block| block.kind() == "tamis") else {
        return case.fail(1, "a case has a recipe");
    };
    let analysis = analyse(&recipe.text);
    let errors = |analysis: &Analysis| {
        analysis.examined.diagnostics.iter().filter(|it| it.severity == Severity::Error).count()
    };
    if analysis.examined.diagnostics.is_empty() {
        case.fail(recipe.line, "nothing is wrong here");
    }
    let style = Style { colour: false, width: 100 };
    let told = diagnostic::human(&analysis.examined.diagnostics, &analysis.sources, style);
    let told = told.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "");
    let mended = mended(&analysis);
    for (number, block) in blocks.iter().enumerate() {
        match block.kind() {
            "told" => case.expect(number, &told),
            "mended" => case.expect(number, mended.as_deref().unwrap_or("no fix\n")),
            _ => {}
        }
    }
    if let Some(text) = mended.filter(|text| errors(&analyse(text)) > 0) {
        case.fail(recipe.line, format!("the suggestion does not mend it:\n{text}"));
    }
}

fn analyse(text: &str) -> Analysis {
    let text: Arc<str> = text.into();
    ide::analyse("recipe.tamis", text, &Settings::default(), &Toys::default(), &REGISTRY)
}

/// The text with all fixes applied, those of what was hidden behind other mistakes too; none where nothing has a fix.
fn mended(analysis: &Analysis) -> Option<String> {
    let edits: Vec<Edit> = analysis
        .examined
        .diagnostics
        .iter()
        .filter_map(|it| it.fix.as_ref())
        .map(|fix| Edit { start: fix.span.start, end: fix.span.end, text: fix.replacement.clone() })
        .collect();
    if edits.is_empty() {
        return None;
    }
    let text = Edit::apply(&edits, analysis.text());
    Some(mended(&analyse(&text)).unwrap_or(text))
}
