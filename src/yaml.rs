//! YAML. The one place that knows `serde_yaml`, which its author has archived: to take another crate is to change this file.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a text is not the YAML that is wanted, and where, in lines and columns from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub message: String,
    pub at: Option<(usize, usize)>,
}

pub fn write(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).expect("texts and numbers are YAML")
}

/// # Errors
/// Where the text is no YAML, or of another form.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    serde_yaml::from_str(text).map_err(|error| Mistake {
        message: error.to_string(),
        at: error.location().map(|place| (place.line(), place.column())),
    })
}
