/**
 * The tamis language for editors that highlight with tree-sitter.
 *
 * `../tamis.pest` is the language; this follows it, and a test holds it to every recipe of the repository. A newline ends a
 * statement unless the next line begins with a clause word, a bracket is open, or a comma or an operator stands before it:
 * `src/scanner.c` decides that.
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

const CLAUSES = ["by", "to", "keep", "remove", "into", "from", "on", "for", "over"];

/** Items between commas; the last may have one behind it. */
function list(item) {
  return optional(seq(item, repeat(seq(",", item)), optional(",")));
}

function list1(item) {
  return seq(item, repeat(seq(",", item)));
}

module.exports = grammar({
  name: "tamis",

  externals: ($) => [$._line_end, $._error_sentinel],
  extras: ($) => [/\s/, $.comment],
  word: ($) => $.identifier,
  conflicts: ($) => [[$.key, $.reference]],

  rules: {
    source_file: ($) => repeat(seq($._statement, $._line_end)),

    _statement: ($) =>
      choice(
        $.header,
        $.use,
        $.param,
        $.let,
        $.model,
        $.data,
        $.measure_at,
        $.measure,
        $.expect,
        $.sweep,
        $.save,
        $.step,
      ),

    header: ($) => seq("recipe", field("title", $.text), optional($.record)),
    use: ($) => seq("use", field("path", $.text)),
    param: ($) =>
      seq("param", field("name", $.identifier), ":", field("type", $.type), optional(seq("=", field("value", $._expression)))),
    let: ($) => seq("let", field("name", $.identifier), "=", field("value", $._expression)),
    model: ($) => seq("model", field("name", $.identifier), optional(seq("=", field("path", $._expression)))),
    data: ($) => seq("data", field("name", $.identifier), "=", field("reader", $._expression)),
    measure_at: ($) => seq("measure", "at", $.record),
    measure: ($) => seq("measure", list1($.measured)),
    expect: ($) =>
      seq(
        "expect",
        alias($.expected, $.measured),
        field("operator", $.comparison),
        field("bound", $._expression),
        optional(seq("of", field("of", $.identifier))),
      ),
    sweep: ($) =>
      seq("sweep", field("name", $.identifier), "in", field("values", $._expression), field("body", $.block)),
    save: ($) => seq("save", field("path", $._expression), optional(seq("with", $.record))),

    block: ($) => seq("{", repeat(seq($._statement, $._line_end)), "}"),
    type: ($) => seq($.identifier, repeat(seq("of", $.identifier))),
    // In a list of measures a comma begins the next measure, not another path.
    measured: ($) => seq($.reference, optional(seq("of", alias($.one_selector, $.selector)))),
    expected: ($) => seq($.reference, optional(seq("of", $.selector))),
    comparison: (_) => choice("<=", ">=", "==", "<", ">"),

    step: ($) => prec.right(seq(field("verb", $.identifier), list1($.noun), repeat($.clause))),
    noun: ($) => seq($.identifier, optional($.indices)),
    clause: ($) =>
      choice(
        seq(field("word", choice("of", "at")), $.selector),
        seq(field("word", "with"), $.record),
        seq(field("word", choice(...CLAUSES)), field("value", $._expression)),
      ),

    selector: ($) => seq(list1($.path), optional(seq("except", list1($.path)))),
    one_selector: ($) => seq($.path, optional(seq("except", $.path))),
    path: ($) => seq($._segment, repeat(seq(".", $._segment))),
    _segment: ($) => choice($.raw, $.child, $.any_depth, $.any_child, $.alternatives),
    any_depth: (_) => "**",
    any_child: (_) => "*",
    alternatives: ($) => seq("{", list($.identifier), "}"),
    raw: ($) => seq("tensor", "(", $.text, ")"),
    child: ($) => seq($.identifier, optional($.indices)),

    indices: ($) => seq("[", list($._index), "]"),
    _index: ($) => choice($.all, $.range, $._expression),
    all: (_) => "*",
    range: ($) => prec.right(choice(seq($._expression, "..", optional($._expression)), seq("..", optional($._expression)))),

    _expression: ($) => choice($.binary, $.negation, $.amount, $.pattern, $._primary),
    binary: ($) =>
      choice(
        prec.left(1, seq($._expression, choice("+", "-"), $._expression)),
        prec.left(2, seq($._expression, choice("*", "/"), $._expression)),
      ),
    negation: ($) => prec(3, seq("-", choice($.negation, $.amount, $.pattern, $._primary))),
    amount: ($) => prec(4, seq(field("value", choice($.pattern, $._primary)), field("unit", alias($.identifier, $.unit)))),
    pattern: ($) => prec(5, seq($._primary, ":", $._primary)),
    _primary: ($) => choice($.reference, $.number, $.text, $.list, $.record, $.parenthesized, $.boolean),
    reference: ($) => seq(field("name", $.identifier), optional($.arguments)),
    arguments: ($) => seq("(", list($.argument), ")"),
    argument: ($) => choice(prec.dynamic(1, seq($.key, ":", $._expression)), $._expression),
    list: ($) => seq("[", list($._expression), "]"),
    record: ($) => seq("{", list($.field), "}"),
    field: ($) => seq($.key, ":", field("value", $._expression)),
    parenthesized: ($) => seq("(", $._expression, ")"),
    boolean: (_) => choice("true", "false"),

    // Names of arguments and options are free: `on: input`, `from: 3`.
    key: ($) => choice($.identifier, "of", "at", "with", "except", "in", ...CLAUSES),
    identifier: (_) => /[A-Za-z_][A-Za-z0-9_]*/,
    number: (_) => /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?[KMGT]?%?/,

    text: ($) =>
      seq('"', repeat(choice($.interpolation, $.escape, alias($._content, $.content))), token.immediate('"')),
    interpolation: ($) => seq(token.immediate("{"), $.identifier, "}"),
    escape: (_) => token.immediate(/\\./),
    _content: (_) => token.immediate(prec(1, /[^"\\{\n]+/)),

    comment: (_) => token(seq("#", /[^\n]*/)),
  },
});
