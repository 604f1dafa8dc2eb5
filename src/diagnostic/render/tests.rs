//! Full renderings, one for each shape that a diagnostic can have.

use proptest::prelude::*;
use serde_json::Value;

use super::{Style, human, json, sarif};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Fault, Severity};
use crate::source::{Source, SourceId, Sources, Span};

static SELECTS_NOTHING: Code = Code {
    name: "selects-nothing",
    severity: Severity::Error,
    fault: Fault::Recipe,
    explanation: " A selector that matches nothing.\n",
};
static UNUSED: Code = Code {
    name: "unused",
    severity: Severity::Warning,
    fault: Fault::Recipe,
    explanation: " A name that nothing uses.\n",
};

const RECIPE: &str = "\
model input = \"models/minilm\"

drop layers[6..12]

sparsify weights
  of layers[*].mpl
  by magnitude to 2:4
save \"out\"
";

/// The span of the first occurrence of `needle`.
fn find(sources: &Sources, source: SourceId, needle: &str) -> Span {
    let start = sources.get(source).text().find(needle).expect("the text has the needle");
    Span::new(source, start, start + needle.len())
}

fn recipe() -> (Sources, SourceId) {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("encoder-60.tamis", RECIPE));
    (sources, id)
}

fn plain(diagnostic: Diagnostic, sources: &Sources) -> String {
    human(&diagnostic.into(), sources, Style::default())
}

fn misspelt(sources: &Sources, id: SourceId) -> Diagnostic {
    let span = find(sources, id, "layers[*].mpl");
    Diagnostic::at(&SELECTS_NOTHING, span, "`layers[*].mpl` selects nothing in this model")
        .says("no child `mpl`; layers[*] has attention, mlp, norm1, norm2")
        .suggest("mpl", find(sources, id, "mpl"), ["mlp", "attention"])
}

#[test]
fn one_label_looks_like_the_bar_of_the_design() {
    let (sources, id) = recipe();
    insta::assert_snapshot!(plain(misspelt(&sources, id), &sources), @"
    error[selects-nothing]: `layers[*].mpl` selects nothing in this model
      ╭─[encoder-60.tamis:6:6]
    6 │   of layers[*].mpl
      ·      ──────┬──────
      ·            ╰── no child `mpl`; layers[*] has attention, mlp, norm1, norm2
      ╰─
      help: did you mean `mlp`?

    1 error
    ");
}

#[test]
fn the_cause_on_a_line_nearby_shares_the_frame() {
    let (sources, id) = recipe();
    let diagnostic = Diagnostic::at(&SELECTS_NOTHING, find(&sources, id, "6..12"), "there is no layer 6")
        .says("layers 0 to 5 are left")
        .label(find(&sources, id, "input"), "of this model");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    error[selects-nothing]: there is no layer 6
      ╭─[encoder-60.tamis:3:13]
    1 │ model input = "models/minilm"
      ·       ──┬──
      ·         ╰── of this model
    2 │
    3 │ drop layers[6..12]
      ·             ──┬──
      ·               ╰── layers 0 to 5 are left
      ╰─

    1 error
    "#);
}

#[test]
fn a_cause_far_away_comes_in_a_frame_of_its_own_behind_the_main_place() {
    let (sources, id) = recipe();
    let diagnostic = Diagnostic::at(&UNUSED, find(&sources, id, "\"out\""), "nothing was done")
        .label(find(&sources, id, "input"), "to this model");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    warning[unused]: nothing was done
      ╭─[encoder-60.tamis:8:6]
    8 │ save "out"
      ·      ─────
      ╰─
      ╭─[encoder-60.tamis:1:7]
    1 │ model input = "models/minilm"
      ·       ──┬──
      ·         ╰── to this model
      ╰─

    1 warning
    "#);
}

#[test]
fn labels_in_other_sources_show_those_sources() {
    let (mut sources, id) = recipe();
    let set = sources.add(Source::new("--set", "budget=150%"));
    let config = sources.add(Source::new("config.json", "{\n  \"num_hidden_layers\": 6\n}\n"));
    let diagnostic = Diagnostic::at(&SELECTS_NOTHING, find(&sources, set, "150%"), "no such share")
        .says("between 0 % and 100 %")
        .label(find(&sources, config, "6"), "the model has 6 layers")
        .label(find(&sources, id, "layers[6..12]"), "used here");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    error[selects-nothing]: no such share
      ╭─[--set:1:8]
    1 │ budget=150%
      ·        ──┬─
      ·          ╰── between 0 % and 100 %
      ╰─
      ╭─[encoder-60.tamis:3:6]
    3 │ drop layers[6..12]
      ·      ──────┬──────
      ·            ╰── used here
      ╰─
      ╭─[config.json:2:24]
    2 │   "num_hidden_layers": 6
      ·                        ┬
      ·                        ╰── the model has 6 layers
      ╰─

    1 error
    "#);
}

#[test]
fn two_labels_of_one_line_share_the_space_below_it() {
    let (sources, id) = recipe();
    let diagnostic = Diagnostic::at(&SELECTS_NOTHING, find(&sources, id, "2:4"), "2:4 needs more columns")
        .says("4 does not divide 6")
        .label(find(&sources, id, "magnitude"), "scored by this");
    insta::assert_snapshot!(plain(diagnostic, &sources), @"
    error[selects-nothing]: 2:4 needs more columns
      ╭─[encoder-60.tamis:7:19]
    7 │   by magnitude to 2:4
      ·      ────┬────    ─┬─
      ·          │         ╰── 4 does not divide 6
      ·          ╰── scored by this
      ╰─

    1 error
    ");
}

#[test]
fn a_label_inside_the_main_place_comes_in_a_frame_of_its_own() {
    let (sources, id) = recipe();
    let diagnostic = Diagnostic::at(&SELECTS_NOTHING, find(&sources, id, "layers[*].mpl"), "nothing there")
        .label(find(&sources, id, "mpl"), "this part");
    insta::assert_snapshot!(plain(diagnostic, &sources), @"
    error[selects-nothing]: nothing there
      ╭─[encoder-60.tamis:6:6]
    6 │   of layers[*].mpl
      ·      ─────────────
      ╰─
      ╭─[encoder-60.tamis:6:16]
    6 │   of layers[*].mpl
      ·                ─┬─
      ·                 ╰── this part
      ╰─

    1 error
    ");
}

#[test]
fn a_span_over_several_lines_is_marked_in_the_margin() {
    let (sources, id) = recipe();
    let whole = find(&sources, id, "sparsify weights\n  of layers[*].mpl\n  by magnitude to 2:4\n");
    let diagnostic = Diagnostic::at(&UNUSED, whole, "this step does nothing").says("no weights are left");
    insta::assert_snapshot!(plain(diagnostic, &sources), @"
    warning[unused]: this step does nothing
      ╭─[encoder-60.tamis:5:1]
    5 │ ╭─▶ sparsify weights
    6 │ │     of layers[*].mpl
    7 │ ├─▶   by magnitude to 2:4
      · ╰──── no weights are left
      ╰─

    1 warning
    ");
}

#[test]
fn a_tall_span_is_marked_in_its_first_line() {
    let (sources, id) = recipe();
    let whole = Span::new(id, 0, RECIPE.len());
    let diagnostic = Diagnostic::at(&UNUSED, whole, "this recipe does nothing").says("from here");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    warning[unused]: this recipe does nothing
      ╭─[encoder-60.tamis:1:1]
    1 │ model input = "models/minilm"
      · ──────────────┬──────────────
      ·               ╰── from here
      ╰─

    1 warning
    "#);
}

#[test]
fn an_empty_span_at_the_end_of_the_file_points_behind_the_text() {
    let (sources, id) = recipe();
    let end = Span::new(id, RECIPE.len(), RECIPE.len());
    let diagnostic = Diagnostic::at(&UNUSED, end, "the file ends here").says("expected a statement");
    insta::assert_snapshot!(plain(diagnostic, &sources), @"
    warning[unused]: the file ends here
      ╭─[encoder-60.tamis:9:1]
    9 │
      · ▲
      · ╰── expected a statement
      ╰─

    1 warning
    ");
}

#[test]
fn tabs_and_wide_characters_keep_the_carets_in_place() {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("x.tamis", "\tsave \"出力\" with { lods_in: any }"));
    let diagnostic = Diagnostic::at(&UNUSED, find(&sources, id, "lods_in"), "unknown option `lods_in`")
        .says("no such option")
        .label(find(&sources, id, "出力"), "of this output");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    warning[unused]: unknown option `lods_in`
      ╭─[x.tamis:1:19]
    1 │     save "出力" with { lods_in: any }
      ·           ──┬─         ───┬───
      ·             │             ╰── no such option
      ·             ╰── of this output
      ╰─

    1 warning
    "#);
}

#[test]
fn characters_that_move_the_cursor_are_shown_as_others() {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("x.tamis", "save \"\x1b[2J\u{202e}tuo\""));
    let diagnostic = Diagnostic::at(&UNUSED, find(&sources, id, "tuo"), "no \x07 bell").help("\x1b[0m");
    insta::assert_snapshot!(plain(diagnostic, &sources), @r#"
    warning[unused]: no ? bell
      ╭─[x.tamis:1:12]
    1 │ save "?[2J�tuo"
      ·            ───
      ╰─
      help: ?[0m

    1 warning
    "#);
}

#[test]
fn a_long_line_is_cut_around_its_label() {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("config.json", format!("{}here{}", "a, ".repeat(90), " b,".repeat(90))));
    let diagnostic = Diagnostic::at(&UNUSED, find(&sources, id, "here"), "found").says("it");
    let narrow = Style { width: 60, ..Style::default() };
    insta::assert_snapshot!(human(&diagnostic.into(), &sources, narrow), @"
    warning[unused]: found
      ╭─[config.json:1:271]
    1 │ …, a, a, a, a, a, a, here b, b, b, b, b, b, b, b, b…
      ·                      ──┬─
      ·                        ╰── it
      ╰─

    1 warning
    ");
}

#[test]
fn long_labels_and_helps_are_wrapped() {
    let (sources, id) = recipe();
    let long = "layers[*] has attention, mlp, norm1, norm2 and nothing else that you could have meant here";
    let diagnostic = Diagnostic::at(&UNUSED, find(&sources, id, "mpl"), "nothing there")
        .says(long)
        .help(format!("{long}. {long}"));
    let narrow = Style { width: 60, ..Style::default() };
    insta::assert_snapshot!(human(&diagnostic.into(), &sources, narrow), @"
    warning[unused]: nothing there
      ╭─[encoder-60.tamis:6:16]
    6 │   of layers[*].mpl
      ·                ─┬─
      ·                 ╰─┤ layers[*] has attention, mlp,
      ·                   │ norm1, norm2 and nothing else
      ·                   │ that you could have meant here
      ╰─
      help: layers[*] has attention, mlp, norm1, norm2 and
            nothing else that you could have meant here.
            layers[*] has attention, mlp, norm1, norm2 and
            nothing else that you could have meant here

    1 warning
    ");
}

#[test]
fn a_path_without_text_is_pointed_at_by_an_arrow() {
    let diagnostic = Diagnostic::new(&SELECTS_NOTHING, "no `config.json` in this directory")
        .path("models/minilm")
        .help("a model is a directory in Hugging Face layout");
    insta::assert_snapshot!(plain(diagnostic, &Sources::new()), @"
    error[selects-nothing]: no `config.json` in this directory
      --> models/minilm
      help: a model is a directory in Hugging Face layout

    1 error
    ");
}

#[test]
fn the_last_line_counts() {
    let error = || Diagnostic::new(&SELECTS_NOTHING, "a");
    let mut diagnostics = Diagnostics::from(error());
    diagnostics.extend([Diagnostic::new(&UNUSED, "b"), error()]);
    insta::assert_snapshot!(human(&diagnostics, &Sources::new(), Style::default()), @"
    error[selects-nothing]: a

    warning[unused]: b

    error[selects-nothing]: a

    2 errors, 1 warning
    ");
    assert_eq!(human(&Diagnostics::new(), &Sources::new(), Style::default()), "");
}

#[test]
fn colour_comes_only_when_told() {
    let (sources, id) = recipe();
    let coloured = Style { colour: true, ..Style::default() };
    let text = human(&misspelt(&sources, id).into(), &sources, coloured);
    insta::assert_snapshot!(text.replace('\x1b', "␛"), @"
    ␛[1;31merror[selects-nothing]␛[0m␛[1m: `layers[*].mpl` selects nothing in this model␛[0m
      ╭─[␛[36;1;4mencoder-60.tamis:6:6␛[0m]
    ␛[2m6␛[0m │   of layers[*].mpl
      · ␛[31m     ──────┬──────␛[0m
      ·            ␛[31m╰── ␛[31mno child `mpl`; layers[*] has attention, mlp, norm1, norm2␛[0m␛[0m
      ╰─
      ␛[36mhelp:␛[0m did you mean `mlp`?

    1 error
    ");
}

/// One with everything, one with a path only.
fn both() -> (Diagnostics, Sources) {
    let (sources, id) = recipe();
    let first = misspelt(&sources, id).label(find(&sources, id, "layers[6..12]"), "dropped here");
    let mut diagnostics = Diagnostics::from(first);
    diagnostics.push(Diagnostic::new(&UNUSED, "no tokenizer").path("my models/ä"));
    (diagnostics, sources)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value is JSON")
}

#[test]
fn json_has_every_field_and_null_where_there_is_nothing() {
    let (diagnostics, sources) = both();
    insta::assert_snapshot!(pretty(&json(&diagnostics, &sources)));
}

#[test]
fn sarif_has_rules_results_and_fixes() {
    let (diagnostics, sources) = both();
    insta::assert_snapshot!(
        pretty(&sarif(&diagnostics, &sources)).replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_span_makes_rendering_panic(
        text in "([a-z]|é|出|👩‍🚀|\t|\r?\n|\u{7}|\u{202e}| ){0,60}",
        spans in proptest::collection::vec((0usize..150, 0usize..150), 1..5),
        width in 0usize..90,
        colour: bool,
    ) {
        let mut sources = Sources::new();
        let id = sources.add(Source::new("x.tamis", text.as_str()));
        let span = |&(a, b): &(usize, usize)| Span::new(id, a, b);
        let first = Diagnostic::at(&UNUSED, span(&spans[0]), "a").says(text.as_str());
        let diagnostic = spans[1..].iter().fold(first, |all, at| all.label(span(at), "some words to wrap"));
        let all = human(&diagnostic.into(), &sources, Style { colour, width });
        prop_assert!(all.contains("warning[unused]"));
        let moves = all.contains(['\x07', '\u{202e}', '\r']);
        prop_assert!(!moves, "{all}");
    }

    #[test]
    fn an_underline_is_as_wide_as_its_text(before in "[a-z \t出é]{0,9}", under in "[a-z出é]{1,9}", after in "[a-z 出]{0,9}") {
        let mut sources = Sources::new();
        let id = sources.add(Source::new("x", format!("{before}{under}{after}")));
        let span = Span::new(id, before.len(), before.len() + under.len());
        let text = plain(Diagnostic::at(&UNUSED, span, "a"), &sources);
        let bars = text.lines().nth(3).map_or(0, |line| line.matches('─').count());
        let wide = under.chars().map(|char| if char == '出' { 2 } else { 1 }).sum::<usize>();
        prop_assert_eq!(bars, wide, "{}", text);
    }
}
