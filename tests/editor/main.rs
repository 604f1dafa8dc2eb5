//! The language server as editors start it: over standard input and output, and in the face of everything.

#[expect(dead_code, reason = "only the bench asks how much memory the server holds")]
mod client;
mod edits;
mod session;
