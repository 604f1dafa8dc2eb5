//! Cases about plans: a recipe, the tasks that it wants, and the tasks that a rule leaves of them.
//!
//! `plan` shows the tasks as the recipe says them. `plan after RULE` shows them with that rule alone and, below an empty
//! line, what the rule says of each change; `unchanged by RULE`, an empty block, that the rule finds nothing to do. Models are
//! those of the checker's cases. `UPDATE=1` rewrites what is shown.

use tamis::REGISTRY;
use tamis::check::{Settings, Typed, check as check_recipe};
use tamis::optimize::{RULES, Rule};
use tamis::plan::text as plan_text;
use tamis::source::{Source, Sources};

use crate::checker::Toys;
use crate::fixture::Case;

pub fn check(case: &mut Case) {
    let blocks = case.blocks.clone();
    let Some(recipe) = blocks.first() else { return };
    if recipe.kind() != "tamis" {
        return case.fail(recipe.line, "a case begins with its recipe");
    }
    let Some(typed) = typed(case, recipe.line, &recipe.text) else { return };
    for (at, block) in blocks.iter().enumerate().skip(1) {
        let words: Vec<&str> = block.info.split_whitespace().collect();
        match words.as_slice() {
            ["plan"] => case.expect(at, &plan_text(&tamis::plan(&typed, &[]).0)),
            ["plan", "after", rule] => match named(rule) {
                Some(rule) => {
                    let (plan, trace) = tamis::plan(&typed, &[rule]);
                    if trace.fired.is_empty() {
                        case.fail(block.line, "the rule does not fire");
                    }
                    let said: String =
                        trace.fired.iter().map(|(_, fired)| format!("{}\n", fired.text)).collect();
                    case.expect(at, &format!("{}\n{said}", plan_text(&plan)));
                }
                None => case.fail(block.line, format!("there is no rule `{rule}`")),
            },
            ["unchanged", "by", rule] => match named(rule) {
                Some(rule) => {
                    for (_, fired) in tamis::plan(&typed, &[rule]).1.fired {
                        case.fail(block.line, format!("it fires: {}", fired.text));
                    }
                }
                None => case.fail(block.line, format!("there is no rule `{rule}`")),
            },
            _ => case.fail(block.line, format!("no block is a `{}`", block.info)),
        }
    }
}

fn named(name: &str) -> Option<&'static dyn Rule> {
    RULES.iter().copied().find(|rule| rule.name() == name)
}

fn typed(case: &mut Case, line: usize, text: &str) -> Option<Typed> {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("recipe.tamis", text));
    let (typed, found) = check_recipe(id, &Settings::default(), &Toys::default(), &REGISTRY, &mut sources);
    for diagnostic in found.iter().filter(|_| typed.is_none()) {
        case.fail(line, &diagnostic.message);
    }
    typed
}

/// A rule without a case, or without one where it does nothing, is a rule that nobody knows the limits of. Tasks stand in a
/// good order in every recipe, so that the rule for the order is shown at work beside its code.
#[test]
fn every_rule_is_shown_at_work_and_at_rest() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/plan");
    let entries = std::fs::read_dir(dir).expect("the directory of the fixtures exists");
    let text: String = entries
        .map(|entry| std::fs::read_to_string(entry.expect("an entry can be read").path()).expect("a fixture"))
        .collect();
    for rule in RULES {
        let both = ["plan after", "unchanged by"];
        for shown in &both[usize::from(rule.name() == "order-for-memory")..] {
            assert!(text.contains(&format!("```{shown} {}\n", rule.name())), "no `{shown} {}`", rule.name());
        }
    }
}
