//! The comments of a recipe, each written once.

use crate::source::Span;
use crate::syntax::ast::Comment;

pub(super) struct Comments<'a> {
    /// In the order of the text.
    all: &'a [Comment],
    written: Vec<bool>,
    /// All before this one are written.
    done: usize,
}

impl<'a> Comments<'a> {
    pub(super) fn new(all: &'a [Comment]) -> Self {
        Self { all, written: vec![false; all.len()], done: 0 }
    }

    fn first_from(&self, at: usize) -> usize {
        self.all.partition_point(|comment| comment.span.start < at)
    }

    /// Whether a place in the text is in a comment.
    pub(super) fn cover(&self, at: usize) -> bool {
        let next = self.first_from(at + 1);
        next > 0 && at < self.all[next - 1].span.end
    }

    /// Whether comments stand in a part of the text that are not written yet.
    pub(super) fn any_in(&self, span: Span) -> bool {
        let inside = self.first_from(span.start)..self.first_from(span.end);
        inside.into_iter().any(|i| !self.written[i])
    }

    /// The first comment before `end` that is not written yet.
    pub(super) fn take_before(&mut self, end: usize) -> Option<&'a Comment> {
        while self.written.get(self.done) == Some(&true) {
            self.done += 1;
        }
        self.take(self.done, self.first_from(end), |_| true)
    }

    /// The first comment of a part of the text that is not written yet.
    pub(super) fn take_in(&mut self, start: usize, end: usize) -> Option<&'a Comment> {
        self.take(self.first_from(start), self.first_from(end), |_| true)
    }

    /// The comment that stands behind `end` and before `limit`, with no newline before it.
    pub(super) fn take_on_line(&mut self, text: &str, end: usize, limit: usize) -> Option<&'a Comment> {
        let next = self.first_from(end);
        let same_line = |comment: &Comment| !text[end..comment.span.start].contains('\n');
        self.take(next, self.first_from(limit).min(next + 1), same_line)
    }

    /// The comments of a part of the text that stand in none of its brackets.
    pub(super) fn take_outside(&mut self, groups: &[Span], span: Span) -> Vec<&'a str> {
        let (start, end) = (self.first_from(span.start), self.first_from(span.end));
        let outside = |comment: &Comment| !inside(groups, comment);
        std::iter::from_fn(|| self.take(start, end, outside)).map(|comment| comment.text.as_str()).collect()
    }

    /// Whether [`Comments::take_outside`] would find any.
    pub(super) fn any_outside(&self, groups: &[Span], span: Span) -> bool {
        let (start, end) = (self.first_from(span.start), self.first_from(span.end));
        self.all[start..end].iter().any(|comment| !inside(groups, comment))
    }

    fn take(&mut self, from: usize, to: usize, wanted: impl Fn(&Comment) -> bool) -> Option<&'a Comment> {
        let found = (from..to).find(|&i| !self.written[i] && wanted(&self.all[i]))?;
        self.written[found] = true;
        Some(&self.all[found])
    }
}

fn inside(groups: &[Span], comment: &Comment) -> bool {
    groups.iter().any(|group| group.start < comment.span.start && comment.span.start < group.end)
}
