//! `README.md`: the model card that hubs show, with YAML in front for their search.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::rows::{self, Expected, Measure, Stage, Total};
use super::words::{at, title};
use super::{load, reproduce};
use crate::provenance::Provenance;

/// The card. `license` is that of the input model, where its own card says one; the recipe's header goes before it.
pub fn card(provenance: &Provenance, license: Option<&str>) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("text", |text: String| plain(&text));
    environment.add_filter("code", |text: String| code(&text));
    environment.add_filter("in_cell", |text: String| text.replace('|', "\\|"));
    environment.add_filter("block", |text: String, language: String| block(&text, &language));
    environment
        .add_template("card.md", include_str!("card.md.j2"))
        .and_then(|()| environment.get_template("card.md"))
        .and_then(|template| template.render(Serde(Card::new(provenance, license))))
        .map(|card| card + "\n")
        .expect("the template is fixed, and a card has every field that it names")
}

/// The licence that a card's front matter states.
pub fn license_of(readme: &str) -> Option<String> {
    let mut lines = readme.lines().map(str::trim_end);
    if lines.next() != Some("---") {
        return None;
    }
    let front = lines.take_while(|line| *line != "---");
    let value = front.filter_map(|line| line.strip_prefix("license:")).map(str::trim).next()?;
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty() && !value.starts_with(['[', '|', '>'])).then(|| value.to_string())
}

/// What the template shows.
#[derive(Debug, Serialize)]
struct Card<'a> {
    front: String,
    title: String,
    doc: Option<&'a str>,
    model: &'a str,
    family: &'a str,
    at: String,
    stages: Vec<Stage>,
    totals: Vec<Total>,
    expectations: Vec<Expected>,
    measures: Vec<Measure>,
    transformers: bool,
    because: Vec<[&'a str; 2]>,
    load: String,
    reproduce: String,
    /// In markdown.
    paper: Option<String>,
    tool: String,
}

impl<'a> Card<'a> {
    fn new(provenance: &'a Provenance, license: Option<&str>) -> Self {
        let because = &provenance.loads_in.because;
        Self {
            front: front(provenance, license),
            title: title(provenance),
            doc: provenance.recipe.doc.as_deref(),
            model: &provenance.input.path,
            family: &provenance.input.family,
            at: at(provenance.at),
            stages: rows::stages(provenance).split_off(1),
            totals: rows::totals(provenance),
            expectations: rows::expectations(provenance),
            measures: rows::measures(provenance),
            transformers: provenance.loads_in.transformers,
            because: because.iter().map(|reason| [reason.key.as_str(), reason.why.as_str()]).collect(),
            load: load(provenance),
            reproduce: reproduce(provenance),
            paper: header(provenance, "paper").map(paper),
            tool: format!("{} {}", provenance.tool.name, provenance.tool.version),
        }
    }
}

/// Lines of YAML.
fn front(provenance: &Provenance, license: Option<&str>) -> String {
    let mut lines = vec!["library_name: transformers".to_string()];
    // Hubs know licences by small letters.
    let license = header(provenance, "license").or(license).map(str::to_lowercase);
    lines.extend(license.map(|license| format!("license: {}", scalar(&license))));
    let base = header(provenance, "base_model");
    lines.extend(base.map(|base| format!("base_model: {}", scalar(base))));
    lines.push("tags:".into());
    lines.extend(tags(provenance).into_iter().map(|tag| format!("- {tag}")));
    lines.join("\n")
}

/// What was done, in the words of hubs.
fn tags(provenance: &Provenance) -> Vec<&'static str> {
    let any = |is: fn(&crate::provenance::Step) -> bool| provenance.steps.iter().any(is);
    let mut tags = vec!["tamis", "compression"];
    let merged = |step: &crate::provenance::Step| step.kept.iter().any(|kept| kept.merged.is_some());
    tags.extend(any(|step| step.kept.iter().any(|kept| kept.merged.is_none())).then_some("pruned"));
    tags.extend(any(merged).then_some("merged"));
    tags.extend(any(|step| !step.sparsified.is_empty()).then_some("sparse"));
    tags.extend(any(|step| !step.factored.is_empty()).then_some("low-rank"));
    tags.extend(any(|step| step.training.is_some() && step.verb == "distill").then_some("distilled"));
    tags.extend(
        any(|step| step.training.as_ref().is_some_and(|it| it.weights > 0) && step.verb != "distill")
            .then_some("fine-tuned"),
    );
    tags
}

fn header<'a>(provenance: &'a Provenance, name: &str) -> Option<&'a str> {
    let mut fields = provenance.recipe.header.iter();
    fields.find(|(field, _)| field == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// A YAML scalar: plain where nothing can be misread, else in double quotes, where JSON's escapes hold.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let inner = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._/-".contains(letter));
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if begins && inner && !words.contains(&text.to_lowercase().as_str()) {
        return text.to_string();
    }
    let escaped = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        // Line separators and controls are not printable in YAML.
        _ if letter.is_control() || "\u{2028}\u{2029}\u{feff}".contains(letter) => {
            format!("\\u{:04x}", u32::from(letter))
        }
        _ => letter.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A link where the paper names a place that has one.
fn paper(text: &str) -> String {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "./-()_".contains(letter))
    };
    let link = match text.split_once(':') {
        Some(("arXiv", name)) if is_name(name) => Some(format!("https://arxiv.org/abs/{name}")),
        Some(("doi", name)) if is_name(name) => Some(format!("https://doi.org/{name}")),
        _ => None,
    };
    link.map_or_else(|| plain(text), |link| format!("[{}](<{link}>)", plain(text)))
}

/// Text that markdown takes for nothing else.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        if "\\`*_[]<>#|&~$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A code span, whatever backquotes the text has.
fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.contains('`') {
        return format!("`{text}`");
    }
    let quotes = "`".repeat(longest_run(&text) + 1);
    format!("{quotes} {text} {quotes}")
}

/// A fenced block, whatever fences the text has.
fn block(text: &str, language: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

/// The longest run of backquotes.
fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_scalars_are_quoted_where_they_could_be_misread() {
        assert_eq!(scalar("apache-2.0"), "apache-2.0");
        assert_eq!(scalar("microsoft/MiniLM"), "microsoft/MiniLM");
        assert_eq!(scalar("no"), "\"no\"");
        assert_eq!(scalar("3.0"), "\"3.0\"");
        assert_eq!(scalar("a: b\n- c\"\u{2028}"), "\"a: b\\u000a- c\\\"\\u2028\"");
        assert_eq!(scalar(""), "\"\"");
    }

    #[test]
    fn code_keeps_its_backquotes() {
        assert_eq!(code("a b"), "`a b`");
        assert_eq!(code("a ``b` c"), "``` a ``b` c ```");
        assert_eq!(block("x\n```\ny\n", "sh"), "````sh\nx\n```\ny\n````");
    }

    #[test]
    fn text_is_not_markdown() {
        assert_eq!(plain("<script>*a*\n# b"), "\\<script\\>\\*a\\* \\# b");
    }

    #[test]
    fn papers_with_a_place_are_links() {
        assert_eq!(paper("arXiv:2403.17921"), "[arXiv:2403.17921](<https://arxiv.org/abs/2403.17921>)");
        assert_eq!(paper("arXiv:> <b>"), "arXiv:\\> \\<b\\>");
        assert_eq!(paper("Kwon et al., 2022"), "Kwon et al., 2022");
    }

    #[test]
    fn a_card_tells_its_licence() {
        let front = "---\ntags:\n- x\nlicense: \"mit\"\n---\nlicense: other\n";
        assert_eq!(license_of(front).as_deref(), Some("mit"));
        assert_eq!(license_of("license: mit"), None);
        assert_eq!(license_of("---\nlicense:\n- mit\n---\n"), None);
        assert_eq!(license_of(""), None);
    }
}
