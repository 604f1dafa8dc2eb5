//! What an editor can set: the model of recipes that name none, params, where paths begin.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use tamis::check::Settings;

/// `initializationOptions`, and the section `tamis` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    /// Stands in for the path of a `model` statement that has none.
    pub model: Option<String>,
    /// `name=value`, as `--set` takes them.
    pub set: Vec<String>,
    /// Where paths of models and data begin, from the folder that is open.
    pub directory: Option<PathBuf>,
    /// Whether to tell, with `tamis/status`, what the model costs.
    pub status: bool,
    /// Whether costs are shown behind steps.
    pub hints: Option<bool>,
}

impl Options {
    /// Options of a JSON object; what is of another form is as if it were not there.
    pub fn read(value: &Value) -> Self {
        let section = value.get("tamis").unwrap_or(value);
        Self::deserialize(section).unwrap_or_default()
    }

    /// For the check of one recipe. A model that the recipe names counts before this one.
    pub fn for_check(&self, names_model: bool) -> Settings {
        let model = self.model.as_ref().filter(|model| !model.is_empty() && !names_model).map(PathBuf::from);
        Settings { model, set: self.set.clone(), ..Settings::default() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_of_another_form_are_left_out() {
        assert_eq!(Options::read(&json!({ "tamis": { "model": "m" } })).model.as_deref(), Some("m"));
        assert_eq!(Options::read(&json!({ "model": 3 })), Options::default());
        assert_eq!(Options::read(&Value::Null), Options::default());
    }
}
