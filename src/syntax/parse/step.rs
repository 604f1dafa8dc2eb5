//! Steps and their clauses.

use pest::iterators::Pair;

use super::{Builder, Rule, poisoned};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::syntax::ast::{Clause, ClauseKind, ClauseValue, Name, Noun, StatementKind, Step};
use crate::syntax::layout::statement_words;

impl Builder<'_> {
    /// A step with the clauses that are fine; no step where verb or nouns are not.
    pub(super) fn step(&mut self, pair: Pair<Rule>) -> StatementKind {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let verb = self.name(&parts.next().expect("a step begins with its verb"));
        let mut nouns = Vec::new();
        let mut clauses: Vec<Clause> = Vec::new();
        let mut head_is_fine = true;
        let mut mistakes = self.mistakes;
        for part in parts {
            match part.as_rule() {
                Rule::noun => nouns.push(self.noun(part)),
                Rule::no_noun => {
                    self.missing_noun(&part, &verb, nouns.is_empty());
                    head_is_fine &= !nouns.is_empty();
                }
                Rule::clause => {
                    mistakes = self.mistakes;
                    clauses.extend(self.clause(part));
                }
                _ => {
                    let fine = !poisoned(&part);
                    if fine && self.mistakes == mistakes {
                        let head = clauses.is_empty().then_some(&verb);
                        head_is_fine &= self.unknown_clause(&part, head);
                    }
                    if !fine {
                        // The bracket that did not close belongs to what stands before it.
                        self.mistakes += 1;
                        head_is_fine &= clauses.pop().is_some();
                    }
                }
            }
        }
        if !head_is_fine {
            return StatementKind::Broken;
        }
        StatementKind::Step(Step { verb, nouns, clauses, span })
    }

    fn noun(&mut self, pair: Pair<Rule>) -> Noun {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let name = self.name(&parts.next().expect("a noun begins with its name"));
        Noun { name, indices: parts.next().map(|indices| self.indices(indices)), span }
    }

    fn missing_noun(&mut self, pair: &Pair<Rule>, verb: &Name, first: bool) {
        let at = self.start(pair);
        let wanted = if first { format!("what `{}` acts on", verb.text) } else { "one more noun".to_owned() };
        if let Some(keyword) = self.clause_keyword_meant(verb).filter(|_| first) {
            let message = format!("expected a clause, found `{}`", verb.text);
            self.report_meant(&codes::UNKNOWN_CLAUSE, verb.span, message, keyword);
            return;
        }
        let next = self.laid_text(self.token_at(at));
        let Some(diagnostic) = self.expected(at, &wanted) else { return };
        let diagnostic = match keyword_meant(verb) {
            Some(word) => diagnostic.help(format!("did you mean `{word}`?")).fix(verb.span, word),
            None if next == "=" => {
                diagnostic.help(format!("a value gets a name by `let {} = ...`", verb.text))
            }
            None => diagnostic,
        };
        self.diagnostics.push(diagnostic);
    }

    /// The clause that a verb was meant to begin, which stands further in than the step above it.
    fn clause_keyword_meant(&self, verb: &Name) -> Option<&'static str> {
        let step = self.step_above?;
        let column = |at: usize| at - self.laid[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let (_, keyword) = clause_meant(&verb.text)?;
        keyword.filter(|_| column(verb.span.start) > column(step.start))
    }

    fn clause(&mut self, pair: Pair<Rule>) -> Option<Clause> {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let keyword = parts.next().expect("a clause begins with its keyword");
        let kind = ClauseKind::ALL.into_iter().find(|kind| kind.keyword() == keyword.as_str());
        let kind = kind.expect("the grammar knows the keywords of `ClauseKind`");
        let part = parts.next().expect("a clause has a value, or a rule that stands for it");
        let value = match part.as_rule() {
            Rule::selector => ClauseValue::Selector(self.selector(part)?),
            Rule::record => ClauseValue::Record(self.record(part)),
            Rule::no_record => {
                self.missing(&part, "options in braces");
                return None;
            }
            _ => ClauseValue::Expr(self.value(part)),
        };
        Some(Clause { kind, keyword: self.span(&keyword), value, span })
    }

    /// Reports text in a step that is no clause. Right behind the nouns, of the verb `head`, it may be that the
    /// statement was never meant as a step; then the answer is false.
    fn unknown_clause(&mut self, pair: &Pair<Rule>, head: Option<&Name>) -> bool {
        let place = self.token_at(self.start(pair));
        let word = self.laid_text(place);
        let diagnostic =
            Diagnostic::at(&codes::UNKNOWN_CLAUSE, place, format!("expected a clause, found `{word}`"));
        self.mistakes += 1;
        let (fine, diagnostic) = match (head.and_then(keyword_meant), clause_meant(word)) {
            (Some(keyword), _) => {
                let verb = head.map_or(place, |verb| verb.span);
                let message = format!("`{}` is no statement", self.laid_text(verb));
                let diagnostic = Diagnostic::at(&codes::SYNTAX, verb, message);
                (false, diagnostic.help(format!("did you mean `{keyword}`?")).fix(verb, keyword))
            }
            (None, Some((help, Some(mended)))) => (true, diagnostic.help(help).fix(place, mended)),
            (None, Some((help, None))) => (true, diagnostic.help(help)),
            (None, None) => {
                let words: Vec<&str> = ClauseKind::ALL.iter().map(|kind| kind.keyword()).collect();
                (true, diagnostic.help(format!("a clause begins with {}", crate::diagnostic::list(&words))))
            }
        };
        self.diagnostics.push(diagnostic);
        fine
    }
}

/// Words that people write for clauses, and the clause.
const OTHER_WORDS: [(&str, &str); 8] = [
    ("using", "by"),
    ("via", "by"),
    ("per", "by"),
    ("in", "of"),
    ("inside", "of"),
    ("within", "of"),
    ("until", "to"),
    ("options", "with"),
];

/// The statement that a misspelt verb was meant to begin.
fn keyword_meant(verb: &Name) -> Option<&'static str> {
    nearest(&verb.text, statement_words())
}

/// What help there is for text in the place of a clause, and what to put there.
fn clause_meant(word: &str) -> Option<(String, Option<&'static str>)> {
    match word.as_bytes().first()? {
        b'{' => Some(("options stand behind `with`".to_owned(), Some("with {"))),
        b'0'..=b'9' => Some((
            "a target stands behind `to`, a number of elements behind `keep` or `remove`".to_owned(),
            None,
        )),
        _ => {
            let other = OTHER_WORDS.iter().find(|(other, _)| *other == word).map(|(_, keyword)| *keyword);
            let near = || nearest(word, ClauseKind::ALL.iter().map(|kind| kind.keyword()));
            let keyword = other.or_else(near)?;
            Some((format!("did you mean `{keyword}`?"), Some(keyword)))
        }
    }
}
