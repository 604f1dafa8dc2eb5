// The TextMate grammar colours what the language's grammar says, in every recipe of the repository.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";
import textmate from "vscode-textmate";
import oniguruma from "vscode-oniguruma";

const require = createRequire(import.meta.url);
const here = new URL("..", import.meta.url).pathname;
const root = join(here, "../..");

const wasm = readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => {
    const path = join(here, "syntaxes/tamis.tmLanguage.json");
    return textmate.parseRawGrammar(readFileSync(path, "utf8"), path);
  },
});
const grammar = await registry.loadGrammar("source.tamis");

/** `word scope` for each token that is not blank. */
function tokens(text) {
  let stack = textmate.INITIAL;
  const found = [];
  for (const line of text.split("\n")) {
    const result = grammar.tokenizeLine(line, stack);
    stack = result.ruleStack;
    for (const token of result.tokens) {
      const word = line.slice(token.startIndex, token.endIndex).trim();
      if (word) {
        found.push([word, token.scopes.at(-1)]);
      }
    }
  }
  return found;
}

function scope(text, word) {
  return tokens(text).find(([found]) => found === word)?.[1];
}

function recipes(dir) {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isDirectory() ? recipes(path) : path.endsWith(".tamis") ? [path] : [];
  });
}

const pest = readFileSync(join(root, "grammar/tamis.pest"), "utf8");
const wordsOf = (rule) =>
  [...pest.match(new RegExp(`^${rule}\\s*=[^}]*`, "m"))[0].matchAll(/"([a-z]+)"/g)].map((match) => match[1]);

test("every word that begins a statement is a keyword", () => {
  const words = wordsOf("statement_word");
  assert.ok(words.length >= 10, words.join(" "));
  for (const word of words) {
    assert.equal(scope(`${word} "x"`, word), "keyword.control.statement.tamis", word);
  }
});

test("every word that begins a clause is a keyword, but not as the name of an argument", () => {
  const words = ["where_word", "with_word", "value_word", "except_word"].flatMap(wordsOf);
  assert.ok(words.length >= 12, words.join(" "));
  for (const word of words) {
    assert.equal(scope(`prune heads\n  ${word} x`, word), "keyword.control.clause.tamis", word);
    assert.notEqual(scope(`let a = f(${word}: 1)`, word), "keyword.control.clause.tamis", word);
  }
});

test("in every recipe verbs are functions, comments comments, and texts end", () => {
  const paths = recipes(join(root, "recipes"));
  assert.ok(paths.length > 10);
  const statements = new Set(wordsOf("statement_word"));
  for (const path of paths) {
    const text = readFileSync(path, "utf8");
    const lines = text.split("\n");
    let stack = textmate.INITIAL;
    lines.forEach((line, number) => {
      const result = grammar.tokenizeLine(line, stack);
      stack = result.ruleStack;
      const where = `${path}:${number + 1}: ${line}`;
      const first = line.match(/^([a-z_]+) /)?.[1];
      const token = result.tokens.find((token) => line.slice(token.startIndex, token.endIndex).trim() === first);
      if (first && statements.has(first)) {
        assert.equal(token?.scopes.at(-1), "keyword.control.statement.tamis", where);
      } else if (first) {
        assert.equal(token?.scopes.at(-1), "entity.name.function.tamis", where);
      }
      if (line.startsWith("#")) {
        assert.ok(result.tokens.every((token) => token.scopes.at(-1).startsWith("comment.line")), where);
      }
    });
    const end = grammar.tokenizeLine("", stack);
    assert.equal(end.tokens[0].scopes.length, 1, `${path}: something is open at the end`);
  }
});

test("values look like what they are", () => {
  const text = 'sparsify weights of layers[0..6].mlp by wanda(calib, on: input) to 80% zeros\nsave "out/{share}\\n"';
  assert.equal(scope(text, "wanda"), "support.function.tamis");
  assert.equal(scope(text, "on"), "variable.parameter.tamis");
  assert.equal(scope(text, "80%"), "constant.numeric.tamis");
  assert.equal(scope(text, "share"), "variable.other.tamis");
  assert.equal(scope(text, "\\n"), "constant.character.escape.tamis");
});
