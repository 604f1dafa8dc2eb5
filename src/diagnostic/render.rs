//! Diagnostics as text for people, as JSON and as SARIF.

use super::Diagnostics;
use crate::source::Sources;

/// As a person reads it: message, source with carets, labels, help.
pub fn human(_diagnostics: &Diagnostics, _sources: &Sources) -> String {
    String::new()
}

/// `[{code, severity, message, path, range, labels, help, fix}]` of design section 8.
pub fn json(_diagnostics: &Diagnostics, _sources: &Sources) -> serde_json::Value {
    serde_json::Value::Null
}

/// A SARIF 2.1.0 log.
pub fn sarif(_diagnostics: &Diagnostics, _sources: &Sources) -> serde_json::Value {
    serde_json::Value::Null
}
