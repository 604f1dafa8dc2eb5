//! What a run leaves for people, made from its provenance: a page, a model card, a summary for the terminal, JSON.
//!
//! Nothing is measured here and nothing is read: equal provenances give equal bytes.

mod card;
mod chart;
mod html;
mod json;
mod layers;
mod rows;
mod summary;
#[cfg(test)]
mod tests;
mod words;

pub use card::{card, license_of};
pub use html::html;
pub use json::json;
pub use summary::summary;

use crate::provenance::Provenance;

/// Files for people that go into the output's directory, by name. `license` is what the input's own card says.
pub fn pages(provenance: &Provenance, license: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let page = |name: &str, text: String| (name.to_string(), text.into_bytes());
    vec![page("report.html", html(provenance)), page("README.md", card(provenance, license))]
}

/// How to load the output, as code.
fn load(provenance: &Provenance) -> String {
    if provenance.loads_in.transformers {
        "from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained(\"DIRECTORY\")".into()
    } else {
        let call = "AutoModel.from_pretrained(\"DIRECTORY\", trust_remote_code=True)";
        format!("from transformers import AutoModel\n\nmodel = {call}")
    }
}

/// The command that makes the same output again.
fn reproduce(provenance: &Provenance) -> String {
    let set = provenance
        .recipe
        .params
        .iter()
        .map(|(name, value)| format!("--set {}", quoted(&format!("{name}={value}"))));
    let words = ["tamis run recipe.tamis".to_string(), format!("--model {}", quoted(&provenance.input.path))];
    words.into_iter().chain(set).collect::<Vec<_>>().join(" ")
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "%._/=:+-".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
