//! The language server: `tamis::ide` over the language server protocol. The only module that knows the protocol.
//!
//! One thread reads messages and answers; another checks texts, the newest version of each only. A request about a text is
//! answered from the check of its current version: it waits for that, and once the text changes it is refused as outdated.
//! What one message does wrong ends with that message.

mod answer;
mod capability;
mod convert;
mod document;
mod position;
mod publish;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod transport;
mod uri;
mod worker;
mod world;

pub use server::{Ending, serve};
pub use transport::stdio;
