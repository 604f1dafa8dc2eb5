//! An open text: its current version, the check of it, and the requests that wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gen_lsp_types::{TextDocumentContentChangeEvent, Uri};
use lsp_server::Request;

use super::position::Lines;
use super::worker::Checked;

#[derive(Debug)]
pub struct Document {
    pub uri: Uri,
    /// As the editor counts.
    pub version: i32,
    pub text: Arc<str>,
    pub lines: Lines,
    /// The newest check that was asked for. A check with another number is of no use any more.
    pub ticket: Arc<AtomicU64>,
    /// The check of this text, once it is done.
    pub checked: Option<Arc<Checked>>,
    /// Requests that wait for it.
    pub waiting: Vec<Request>,
}

impl Document {
    pub fn new(uri: Uri, version: i32, text: String) -> Self {
        let lines = Lines::of(&text);
        let text = text.into();
        Self { uri, version, text, lines, ticket: Arc::default(), checked: None, waiting: Vec::new() }
    }

    /// The text after some changes, each of which is of the text that the one before it left.
    pub fn change(&mut self, version: i32, changes: Vec<TextDocumentContentChangeEvent>) {
        let mut text = self.text.to_string();
        for change in changes {
            match change {
                TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    let start = self.lines.offset(&text, part.range.start);
                    let end = self.lines.offset(&text, part.range.end);
                    text.replace_range(start.min(end)..end.max(start), &part.text);
                }
                TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                    text = whole.text;
                }
            }
            self.lines = Lines::of(&text);
        }
        self.text = text.into();
        self.version = version;
    }

    /// From now on only a check of this number counts.
    pub fn expect(&mut self, ticket: u64) {
        self.ticket.store(ticket, Ordering::Release);
        self.checked = None;
    }

    pub fn expects(&self, ticket: u64) -> bool {
        self.ticket.load(Ordering::Acquire) == ticket
    }
}
