//! stub.
use crate::provenance::Provenance;
pub fn html(_: &Provenance) -> String {
    String::new()
}
pub fn card(_: &Provenance, _: Option<&str>) -> String {
    String::new()
}
pub fn summary(_: &Provenance, output: &str) -> String {
    format!("{output}\n")
}
pub fn license_of(_: &str) -> Option<String> {
    None
}
pub fn json(outputs: &[(String, Provenance)]) -> serde_json::Value {
    serde_json::json!({"output": outputs[0].0})
}
